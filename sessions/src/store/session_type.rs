//! What a store knows of one session type. It is computed once, and its requests share it.

use std::any::TypeId;
use std::fmt::{self, Write};
use std::time::Duration;

use super::assurance::OwnLimits;
use super::settings::TypeSettings;
use super::times::{Span, Times};
use crate::cookie::SetCookie;
use crate::crypto::purpose::Purpose;
use crate::data::SessionData;
use crate::error::Error;
use crate::id::{KeyHasher, Secret, SecretHash, SessionId, StoreKey};
use crate::schema::fields::Fields;
use crate::schema::header::{OwnTimes, Summary};
use crate::schema::table::Table;
use crate::telemetry::metrics::Tallies;

/// A session type as the store sees it, without the type.
pub(crate) struct SessionType {
    pub(crate) type_id: TypeId,
    pub(crate) table: &'static Table,
    pub(crate) cookie: SetCookie,
    pub(crate) purpose: Purpose,
    /// The purpose of a cookie that holds the whole session.
    pub(crate) client_side: Purpose,
    /// The fields of a new session.
    pub(crate) fresh: fn() -> Result<Fields, Error>,
    pub(crate) tallies: Tallies,
    pub(crate) longest_remember: Duration,
    times: Times,
    own_limits: OwnLimits,
    ids: KeyHasher,
    secrets: KeyHasher,
    bindings: KeyHasher,
    fences: KeyHasher,
    app: String,
}

impl SessionType {
    pub(crate) fn of<T: SessionData>(app: &str, settings: &TypeSettings) -> Self {
        let name = T::SCHEMA.name;
        let config = &settings.cookie;
        let cookie = config.named(config.cookie_name(name));
        let hasher = |domain| KeyHasher::new(domain, app, name);
        Self {
            type_id: TypeId::of::<T>(),
            table: T::TABLE,
            purpose: Purpose::session(&cookie.name),
            client_side: Purpose::client_side(&cookie.name),
            cookie,
            fresh: || T::fresh().fields(),
            tallies: Tallies::new(name),
            longest_remember: settings.longest_remember,
            times: settings.times,
            own_limits: settings.own,
            ids: hasher("session"),
            secrets: hasher("secret"),
            bindings: hasher("binding"),
            fences: hasher("fence"),
            app: app.to_owned(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.table.schema.name
    }

    /// Returns the times that apply to the session of this record.
    pub(crate) fn span(&self, summary: &Summary) -> Span {
        let OwnTimes { idle, lifetime, persistent } = summary.own;
        let OwnLimits { idle: longest_idle, lifetime: longest } = self.own_limits;
        let own = OwnTimes {
            idle: idle.map(|idle| idle.min(longest_idle)),
            lifetime: lifetime.map(|lifetime| lifetime.min(longest)),
            persistent,
        };
        self.times.of(summary.created_at, own)
    }

    pub(crate) fn key(&self, id: &SessionId) -> StoreKey {
        self.ids.key(&*id.to_bytes())
    }

    /// Returns the hash of a secret, as the record holds it.
    pub(crate) fn hash(&self, secret: &Secret) -> SecretHash {
        SecretHash::from_bytes(self.secrets.half(&*secret.to_bytes()))
    }

    /// Returns the bytes that an app may derive from a secret.
    pub(crate) fn binding(&self, secret: &Secret) -> [u8; 16] {
        self.bindings.half(&*secret.to_bytes())
    }

    /// Returns the id of the record of an owner's fence. No store key has this form, so nobody can
    /// revoke a fence.
    pub(crate) fn fence(&self, owner: &str) -> String {
        format!("{FENCE}{}", self.fences.key(owner.as_bytes()))
    }

    /// Returns `"app/name/owner"`, so that user 7 of one type is not user 7 of another. An owner
    /// that does not fit into a record's 255 bytes is replaced by its hash.
    pub(crate) fn owner(&self, owner: &str) -> String {
        let name = self.name();
        let whole = self.app.len() + name.len() + owner.len() + 2;
        if whole <= 255 && !owner.contains('\0') && !owner.starts_with('/') {
            [&*self.app, name, owner].join("/")
        } else {
            // Two slashes, so no plain owner has this form.
            format!("{}/{name}//{}", self.app, self.fences.key(owner.as_bytes()))
        }
    }

    /// Whether a record that is filed under `filed` may hold this value: `revoke_all` must reach
    /// whoever it says is logged in.
    pub(crate) fn files<T: SessionData>(&self, filed: Option<&str>, value: &T) -> bool {
        self.is_filed(filed, value.owner())
            // An owner that is no `Option` owns nothing before it is assigned.
            || filed.is_none() && {
                let text = |owner: Option<&T::Owner>| owner.map(ToString::to_string);
                text(value.owner()) == text(T::fresh().owner())
            }
    }

    /// Whether `filed`, as a record has it, is this owner.
    ///
    /// Compares piece by piece as the owner displays itself: each load asks this.
    fn is_filed(&self, filed: Option<&str>, owner: Option<&impl fmt::Display>) -> bool {
        let (filed, owner) = match (filed, owner) {
            (None, None) => return true,
            (Some(filed), Some(owner)) => (filed, owner),
            _ => return false,
        };
        let name = [&self.app, "/", self.name(), "/"];
        let mut rest = Rest(filed);
        if name.iter().all(|part| rest.write_str(part).is_ok()) && !rest.0.starts_with('/') {
            return write!(rest, "{owner}").is_ok() && rest.0.is_empty();
        }
        filed == self.owner(&owner.to_string())
    }
}

/// What is left of a text once what was written is taken from its front.
struct Rest<'t>(&'t str);

impl Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The start of the id of a fence's record.
const FENCE: &str = "fence:";

impl fmt::Debug for SessionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionType").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use crate::store::settings::SessionSettings;

    #[derive(Session)]
    #[session(name = "visitor", version = 1, crate = crate)]
    struct Visitor {}

    #[test]
    fn a_record_is_filed_under_the_owner_that_displays_so() {
        let settings = SessionSettings::default().over(&SessionSettings::default());
        let session_type = SessionType::of::<Visitor>("shop", &settings);
        let long = "x".repeat(300);
        for owner in ["7", "", "a/b", "/rooted", "nul\0", "ünïcode", &long] {
            let filed = session_type.owner(owner);
            assert!(session_type.is_filed(Some(&filed), Some(&owner)), "{owner:?}");
            for other in ["8", "77", "a", &long[1..]] {
                assert!(!session_type.is_filed(Some(&filed), Some(&other)), "{owner:?} {other:?}");
            }
            assert!(!session_type.is_filed(None, Some(&owner)));
            assert!(!session_type.is_filed(Some(&filed), None::<&u64>));
            assert!(!session_type.is_filed(Some(&format!("app/{owner}")), Some(&owner)));
        }
        assert!(session_type.is_filed(None, None::<&u64>));
    }
}
