//! What the store keeps of an owner, as JSON.

use serde_json::{Map, Value, json};

use super::Store;
use super::core::Core;
use super::session_type::SessionType;
use super::stats::session_format;
use crate::authentication::Authentication;
use crate::clock::to_rfc3339;
use crate::data::{AsOwner, SessionData};
use crate::device::Device;
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{Page, Record};
use crate::schema::stored::Stored;
use crate::telemetry::emit::chain;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;

impl Store {
    /// Returns what the store keeps of an owner in sessions of this type, as JSON: for a request for
    /// access or portability (GDPR, articles 15 and 20). It needs the feature `export`.
    ///
    /// ```json
    /// {
    ///   "app": "shop",
    ///   "session": "visitor",
    ///   "owner": "7",
    ///   "exported_at": "2026-01-31T09:30:00.000Z",
    ///   "sessions": [
    ///     {
    ///       "key": "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k",
    ///       "created_at": "2026-01-30T18:00:00.000Z",
    ///       "last_seen": "2026-01-31T09:00:00.000Z",
    ///       "expires_at": "2026-02-07T10:00:00.000Z",
    ///       "label": "Firefox on Linux",
    ///       "authentication": { "at": "2026-01-30T18:00:00.000Z", "level": 1, .. },
    ///       "acting_as": null,
    ///       "locked": false,
    ///       "token": "cookie",
    ///       "ended": false,
    ///       "version": 1,
    ///       "fields": { "cart": ["tea"], "user": 7 }
    ///     }
    ///   ]
    /// }
    /// ```
    ///
    /// - Times are in UTC, as RFC 3339 has them. `last_seen` has the precision of the touch interval.
    /// - `fields` has every field of the record under its storage key, as the record's `version` of
    ///   the type stored it, also those that this build does not know.
    /// - JSON has less than Rust: bytes become text in base64, integers beyond 64 bits become text, and
    ///   so do `NaN` and the infinities. A map whose keys are not all texts becomes an array of pairs.
    ///   An integer of 64 bits keeps every digit, which JavaScript's `JSON.parse` rounds.
    /// - `ended` is true for a session that [`end_all`](Self::end_all) has ended and whose record has
    ///   not expired yet.
    /// - A record that cannot be read has a `key`, `expires_at`, and `unreadable` with the reason, in
    ///   place of the rest.
    /// - Hashes of ids and secrets are left out, and so are expired records.
    ///
    /// It reads 20 records at a time. The text has all of them, so it is as long as they are together:
    /// at most about twice the [record size](crate::StoreBuilder::max_record_size) for each session. Export each
    /// session type, and what the app keeps elsewhere.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails, or keeps no list.
    /// [`Error::Misuse`] for a client-side store.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// visitor.set_label("Firefox on Linux");
    /// let _ = visitor.commit().await?;
    ///
    /// let json = store.export_owner::<Visitor>(7).await?;
    /// assert!(json.contains(r#""label":"Firefox on Linux""#));
    /// # Ok(()) }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "export")))]
    pub async fn export_owner<T: SessionData>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
    ) -> Result<String, Error> {
        self.core.export::<T>(&owner.name()).await
    }

    /// Returns what the store keeps of one session, as JSON: an element of `sessions` in
    /// [`export_owner`](Self::export_owner), and besides `session` and `owner`, as the record has them.
    /// It returns `None` if there is no live session of this key. It needs the feature `export`.
    ///
    /// `last_seen` is `null` if this process has not used the session's type yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails. [`Error::Misuse`] for a
    /// client-side store.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.visits = 3;
    /// visitor.save().await?;
    /// let key = visitor.key().expect("it was saved");
    /// let json = store.export_session(key).await?.expect("it is live");
    /// assert!(json.contains(r#""visits":3"#));
    /// # Ok(()) }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "export")))]
    pub async fn export_session(&self, key: &StoreKey) -> Result<Option<String>, Error> {
        let session = self.core.export_session(key).await?;
        Ok(session.map(|session| Value::Object(session).to_string()))
    }
}

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
                let exported = self.exported_of::<T>(session_type, record);
                text.push_str(&Value::Object(exported).to_string());
            }
            match listed.next {
                Some(next) => page = Page::after(next, PAGE),
                None => return Ok(()),
            }
        }
    }

    /// See [`Store::export_session`](crate::Store::export_session).
    pub(crate) async fn export_session(
        &self,
        key: &StoreKey,
    ) -> Result<Option<Map<String, Value>>, Error> {
        self.needs_records("export_session()")?;
        self.epochs.read_if_old().await?;
        let record = self.provider.fetch(key.as_str(), self.now()).await?;
        Ok(record.and_then(|record| self.export_record(&record, None)))
    }

    /// Exports a record, if it is a session's, and of this type if one is named.
    pub(crate) fn export_record(
        &self,
        record: &Record,
        session: Option<&str>,
    ) -> Option<Map<String, Value>> {
        let (name, _) = session_format(record)?;
        if session.is_some_and(|session| session != name) {
            return None;
        }
        let mut exported = self.exported(self.known_type(name).as_deref(), record);
        exported.insert("session".to_owned(), name.into());
        exported.insert("owner".to_owned(), record.owner.as_deref().into());
        Some(exported)
    }

    /// Exports a session of an owner.
    fn exported_of<T: SessionData>(
        &self,
        session_type: &SessionType,
        record: &Record,
    ) -> Map<String, Value> {
        let stored = Stored::parse(session_type.name(), &record.data);
        // Whatever it holds is somebody else's. A newer build's cannot be told.
        let is_misfiled = stored.as_ref().is_ok_and(|stored| {
            let value = T::load(stored);
            value.is_ok_and(|value| !session_type.files(record.owner.as_deref(), &value))
        });
        if is_misfiled {
            let mut session = head(record);
            let why = "its owner is another than the one that it is filed under";
            session.insert("unreadable".to_owned(), why.into());
            return session;
        }
        self.exported(Some(session_type), record)
    }

    /// Exports a session. Without its type, when it was last seen is known only if it tells itself.
    fn exported(&self, session_type: Option<&SessionType>, record: &Record) -> Map<String, Value> {
        let time = |time| Value::from(to_rfc3339(time));
        let mut session = head(record);
        let mut put = |name: &str, value: Value| _ = session.insert(name.to_owned(), value);
        let name = session_type.map_or("", SessionType::name);
        let stored = Stored::parse(name, &record.data);
        let read = stored.and_then(|stored| Ok((stored.json()?, stored.header()?)));
        let (fields, header) = match read {
            Ok(read) => read,
            Err(error) => {
                put("unreadable", chain(&error).into());
                return session;
            }
        };
        let created_at = header.summary.created_at;
        let last_seen = header.summary.seen_at.or_else(|| {
            let span = session_type?.span(&header.summary);
            Some(record.expires_at.map_or(created_at, |at| span.last_seen(at)))
        });
        put("created_at", time(created_at));
        put("last_seen", last_seen.map_or(Value::Null, time));
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
        put("device_bound", header.summary.is_bound.into());
        put("locked", header.summary.locked.into());
        put("token", if header.token_in_header { "header" } else { "cookie" }.into());
        put("ended", self.is_over(&header.summary).into());
        put("version", header.summary.schema_version.into());
        put("fields", Value::Object(fields));
        session
    }
}

/// What is known of a record that cannot be read.
fn head(record: &Record) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("key".to_owned(), (*record.id).into());
    let expires_at = record.expires_at.map(to_rfc3339);
    head.insert("expires_at".to_owned(), expires_at.into());
    head
}

/// How many records are held at once.
const PAGE: u32 = 20;
