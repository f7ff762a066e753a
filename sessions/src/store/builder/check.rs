//! Which settings of a store cannot work together.

use std::time::Duration;

use super::StoreBuilder;
use crate::error::Error;
use crate::schema::limits::MAX_RECORD;
use crate::store::at_limit::AtLimit;
use crate::store::settings::SessionSettings;
use crate::transport::Transport;

impl StoreBuilder {
    pub(super) fn check(&self) -> Result<(), Error> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.app.is_empty() || self.app.len() > 64 || !self.app.bytes().all(known) {
            return Err(Error::config(format!(
                "app {:?} must be 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`",
                self.app
            )));
        }
        SessionSettings::default().over(&self.settings).check()?;
        for (at, (_, name, own)) in self.types.iter().enumerate() {
            own.over(&self.settings).check().map_err(|error| match error {
                Error::Config(text) => {
                    Error::config(format!("the settings of session type \"{name}\": {text}"))
                }
                error => error,
            })?;
            // Their records would be one another's.
            if self.types[..at].iter().any(|(_, other, _)| other == name) {
                return Err(Error::config(format!(
                    "two session types are named \"{name}\"; give one of them another name"
                )));
            }
        }
        if !(1 << 10..=MAX_RECORD).contains(&self.record_limit) {
            return Err(Error::config(format!(
                "max_record_size({}) must be between 1 KiB and 16 MiB",
                self.record_limit
            )));
        }
        if self.watch_interval < Duration::from_secs(1) {
            return Err(Error::config(format!(
                "watch_interval({:?}) must be at least one second",
                self.watch_interval
            )));
        }
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            cache.check()?;
            if self.client_side {
                return Err(Error::config("client_side() keeps no records to cache; drop cache()"));
            }
        }
        #[cfg(feature = "dbsc")]
        self.check_device()?;
        if self.client_side && self.most_sessions.is_some() {
            return Err(Error::config(
                "max_sessions_per_owner() needs records, and client_side() keeps none; drop one \
                 of them",
            ));
        }
        if self.client_side && self.encrypt_records {
            return Err(Error::config(
                "client_side() keeps no records to encrypt; drop encrypt_records()",
            ));
        }
        let own = self.types.iter().map(|(_, _, own)| own.over(&self.settings).transport);
        let carried = |transport| transport != Transport::Cookie;
        if self.client_side
            && own.chain([SessionSettings::default().over(&self.settings).transport]).any(carried)
        {
            return Err(Error::config(
                "client_side() keeps sessions in cookies; drop transport(), or drop client_side()",
            ));
        }
        if self.client_side
            && self.types.iter().any(|(_, _, own)| own.over(&self.settings).lock.is_some())
        {
            return Err(Error::config(
                "lock_after() needs records, and client_side() keeps none; drop one of them",
            ));
        }
        let settings = |own: &SessionSettings| own.over(&self.settings).has_domains();
        let has_domains = settings(&SessionSettings::default())
            || self.types.iter().any(|(_, _, own)| settings(own));
        if self.client_side && has_domains {
            return Err(Error::config(
                "domains() needs records, and client_side() keeps none; drop one of them",
            ));
        }
        if self.accept_plain_records && !self.encrypt_records {
            return Err(Error::config(
                "accept_plain_records() needs encrypt_records(); add it, or drop \
                 accept_plain_records()",
            ));
        }
        if self.encrypt_records && self.key_encryption.is_none() && !self.plain_keys {
            return Err(Error::config(
                "encrypt_records() hides nothing if the keys are in plaintext beside the records; \
                 set key_encryption(), or call danger_plain_keys()",
            ));
        }
        if self.client_side && self.key_encryption.is_none() && !self.plain_keys {
            return Err(Error::config(
                "client_side() with plain keys lets anybody who reads the database forge \
                 sessions; set key_encryption(), or call danger_plain_keys()",
            ));
        }
        if self.most_sessions.is_none() && self.at_limit != AtLimit::default() {
            return Err(Error::config(
                "at_limit() needs a limit; add max_sessions_per_owner(), or drop at_limit()",
            ));
        }
        if self.most_sessions == Some(0) {
            return Err(Error::config(
                "max_sessions_per_owner(0) would end every login; choose at least 1",
            ));
        }
        Ok(())
    }
}
