//! What a store knows of one session type. It is computed once, and its requests share it.

use std::any::TypeId;
use std::fmt;

use crate::codec::Purpose;
use crate::cookie::{CookieConfig, SetCookie};
use crate::event::Tallies;
use crate::id::{KeyHasher, Secret, SecretHash, SessionId, StoreKey};
use crate::schema::{Fields, Table};
use crate::{Error, SessionData};

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
    ids: KeyHasher,
    secrets: KeyHasher,
    bindings: KeyHasher,
    fences: KeyHasher,
    app: String,
}

impl SessionType {
    pub(crate) fn of<T: SessionData>(app: &str, config: &CookieConfig) -> Self {
        let name = T::SCHEMA.name;
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
            format!("{}/{name}/{owner}", self.app)
        } else {
            // Two slashes, so no plain owner has this form.
            format!("{}/{name}//{}", self.app, self.fences.key(owner.as_bytes()))
        }
    }
}

/// The start of the id of a fence's record.
const FENCE: &str = "fence:";

impl fmt::Debug for SessionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionType").field("name", &self.name()).finish_non_exhaustive()
    }
}
