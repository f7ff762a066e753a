//! What a store knows of one session type, worked out once and shared by its requests.

use std::any::TypeId;
use std::fmt;

use super::id::{KeyHasher, SessionId, StoreKey};
use crate::codec::Purpose;
use crate::cookie::{CookieConfig, SetCookie};
use crate::event::Tallies;
use crate::schema::{Fields, Table};
use crate::{Error, SessionData};

/// A session type as the store sees it, without the type.
pub(crate) struct Kind {
    pub(crate) type_id: TypeId,
    pub(crate) table: &'static Table,
    pub(crate) cookie: SetCookie,
    pub(crate) purpose: Purpose,
    /// Of a cookie that holds the whole session.
    pub(crate) client_side: Purpose,
    /// The fields of a new session.
    pub(crate) fresh: fn() -> Result<Fields, Error>,
    pub(crate) tallies: Tallies,
    hasher: KeyHasher,
    fences: KeyHasher,
    app: String,
}

impl Kind {
    pub(crate) fn of<T: SessionData>(app: &str, config: &CookieConfig) -> Self {
        let name = T::SCHEMA.name;
        let cookie = config.named(config.cookie_name(name));
        Self {
            type_id: TypeId::of::<T>(),
            table: T::TABLE,
            purpose: Purpose::session(&cookie.name),
            client_side: Purpose::client_side(&cookie.name),
            cookie,
            fresh: || T::fresh().fields(),
            tallies: Tallies::new(name),
            hasher: KeyHasher::new("session", app, name),
            fences: KeyHasher::new("fence", app, name),
            app: app.to_owned(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.table.schema.name
    }

    pub(crate) fn key(&self, id: &SessionId) -> StoreKey {
        self.hasher.key(&*id.to_bytes())
    }

    /// Where an owner's fence is kept.
    pub(crate) fn fence(&self, owner: &str) -> StoreKey {
        self.fences.key(owner.as_bytes())
    }

    /// `"app/name/owner"`, so that user 7 of one type is not user 7 of another. An owner that
    /// would not fit into a record's 255 bytes stands there as its hash.
    pub(crate) fn owner(&self, owner: &str) -> String {
        let name = self.name();
        let whole = self.app.len() + name.len() + owner.len() + 2;
        if whole <= 255 && !owner.contains('\0') && !owner.starts_with('/') {
            format!("{}/{name}/{owner}", self.app)
        } else {
            // Two slashes: no owner that stands as it is looks like this.
            format!("{}/{name}//{}", self.app, self.fence(owner))
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name()).finish_non_exhaustive()
    }
}
