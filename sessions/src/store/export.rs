//! What the store keeps of an owner, as JSON.

use serde_json::{Map, Value, json};

use super::core::Core;
use super::session_type::SessionType;
use crate::authentication::Authentication;
use crate::clock::to_rfc3339;
use crate::data::SessionData;
use crate::device::Device;
use crate::error::Error;
use crate::provider::{Page, Record};
use crate::schema::stored::Stored;
use crate::telemetry::emit::chain;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;

impl Core {
    /// See [`Store::export_owner`](crate::Store::export_owner).
    pub(crate) async fn export<T: SessionData>(&self, owner: &str) -> Result<String, Error> {
        self.needs_records("export_owner()")?;
        self.epochs.read_if_old().await?;
        let session_type = self.session_type::<T>()?;
        let head = [
            ("app", &*self.app),
            ("session", session_type.name()),
            ("owner", owner),
            ("exported_at", &to_rfc3339(self.now())),
        ];
        let mut text = String::from("{");
        for (name, value) in head {
            text.push_str(&format!("{}:{},", Value::from(name), Value::from(value)));
        }
        text.push_str("\"sessions\":[");
        let filed = session_type.owner(owner);
        let work = self.export_pages::<T>(&session_type, &filed, &mut text);
        let end = |(): &()| (CallOutcome::Done, None);
        observe(Operation::List, session_type.name(), None, work, end).await?;
        text.push_str("]}");
        Ok(text)
    }

    /// Appends an owner's sessions. Of the records it holds one page at a time.
    async fn export_pages<T: SessionData>(
        &self,
        session_type: &SessionType,
        owner: &str,
        text: &mut String,
    ) -> Result<(), Error> {
        let mut page = Page::first(PAGE);
        let mut first = true;
        loop {
            let listed = self.provider.list(owner, page, self.now()).await?;
            for record in &listed.records {
                if !std::mem::take(&mut first) {
                    text.push(',');
                }
                text.push_str(&self.exported::<T>(session_type, record).to_string());
            }
            match listed.next {
                Some(next) => page = Page::after(next, PAGE),
                None => return Ok(()),
            }
        }
    }

    fn exported<T: SessionData>(&self, session_type: &SessionType, record: &Record) -> Value {
        let time = |time| Value::from(to_rfc3339(time));
        let mut session = Map::new();
        let mut put = |name: &str, value: Value| _ = session.insert(name.to_owned(), value);
        put("key", (*record.id).into());
        put("expires_at", record.expires_at.map_or(Value::Null, time));
        let stored = Stored::parse(session_type.name(), &record.data);
        // Whatever it holds is somebody else's. A newer build's cannot be told.
        let is_misfiled = stored.as_ref().is_ok_and(|stored| {
            let value = T::load(stored);
            value.is_ok_and(|value| !session_type.files(record.owner.as_deref(), &value))
        });
        if is_misfiled {
            put("unreadable", "its owner is another than the one that it is filed under".into());
            return Value::Object(session);
        }
        let read = stored.and_then(|stored| Ok((stored.json()?, stored.header()?)));
        let (fields, header) = match read {
            Ok(read) => read,
            Err(error) => {
                put("unreadable", chain(&error).into());
                return Value::Object(session);
            }
        };
        let created_at = header.summary.created_at;
        let span = session_type.span(&header.summary);
        let last_seen = || record.expires_at.map_or(created_at, |at| span.last_seen(at));
        let last_seen = header.summary.seen_at.unwrap_or_else(last_seen);
        put("created_at", time(created_at));
        put("last_seen", time(last_seen));
        put("label", json!(header.label.as_deref()));
        let authentication = header
            .authentication
            .map_or_else(|| Authentication::plain(created_at), |authentication| *authentication);
        put(
            "authentication",
            json!({
                "at": time(authentication.at),
                "level": authentication.level,
                "method": authentication.method.as_deref(),
                "credential": authentication.credential.as_deref(),
                "opened_by": authentication.opened_by.as_deref(),
            }),
        );
        let device =
            |device: Device| json!({ "user_agent": device.user_agent, "network": device.network });
        if let Some(devices) = header.devices {
            put("devices", json!({ "first": device(devices.first), "last": device(devices.last) }));
        }
        put("acting_as", json!(header.acting_as.as_deref()));
        put("locked", header.summary.locked.into());
        put("token", if header.token_in_header { "header" } else { "cookie" }.into());
        put("ended", self.is_over(&header.summary).into());
        put("version", header.summary.schema_version.into());
        put("fields", Value::Object(fields));
        Value::Object(session)
    }
}

/// How many records are held at once.
const PAGE: u32 = 20;
