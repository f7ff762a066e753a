//! A session's changes brought to the store, and what the response is to say of it.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;

use super::edit::Edit;
use super::id::{SessionId, StoreKey};
use super::origin::Bearer;
use super::save::{Over, Patience, Written};
use super::{Asks, Kind, Loaded, Origin, Store};
use crate::Error;
use crate::event::{self, Call, Ended, observe};
use crate::schema::{self, Fields, Header};

/// One session's part of a request, without its type.
pub(crate) struct Change {
    pub(crate) kind: Arc<Kind>,
    pub(crate) origin: Origin,
    /// The value as it is now; `None` when nobody could have changed it.
    pub(crate) fields: Option<Fields>,
    pub(crate) asks: Asks,
    /// When the session was loaded: a login is undone by a later `revoke_all`.
    pub(crate) loaded_at: SystemTime,
}

/// How a commit ended.
///
/// ```
/// use sessions::{MemoryProvider, Outcome, Session, Store};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// let store = Store::new(MemoryProvider::new());
/// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
/// assert_eq!(store.commit(&mut visitor).await?.outcome(), Outcome::Unchanged);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing had changed, and nothing was saved.
    Unchanged,
    /// The changes are saved, merged with others' where those came first.
    Saved,
    /// The session was destroyed, as its handler asked.
    Destroyed,
    /// The session had ended meanwhile; the changes are not saved, for a dead session is never
    /// revived.
    Dropped,
}

/// What a commit did.
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) origin: Origin,
    /// The saved fields, where they may differ from the handle's.
    pub(crate) merged: Option<Fields>,
    pub(crate) set_cookie: Option<HeaderValue>,
}

impl Done {
    pub(super) fn unchanged(origin: Origin, set_cookie: Option<HeaderValue>) -> Self {
        Self { outcome: Outcome::Unchanged, origin, merged: None, set_cookie }
    }

    /// How it is told of.
    pub(super) fn told(&self) -> (Ended, Option<&StoreKey>) {
        let ended = match self.outcome {
            Outcome::Unchanged => Ended::Unchanged,
            Outcome::Saved => Ended::Saved,
            Outcome::Destroyed => Ended::Destroyed,
            Outcome::Dropped => Ended::Dropped,
        };
        (ended, self.origin.key())
    }

    pub(super) fn dropped(kind: &Kind, key: StoreKey, why: &'static str) -> Self {
        event::dropped(kind.name(), &key, why);
        let origin = Origin::Ended { key };
        Self { outcome: Outcome::Dropped, origin, merged: None, set_cookie: None }
    }

    /// Saved, under an id that this request's cookie does not reach any more.
    fn moved(key: StoreKey) -> Self {
        let origin = Origin::Ended { key };
        Self { outcome: Outcome::Saved, origin, merged: None, set_cookie: None }
    }

    pub(super) fn saved(
        kind: &Kind,
        key: StoreKey,
        bearer: Option<Bearer>,
        written: Written,
        set_cookie: Option<HeaderValue>,
    ) -> Result<Self, Error> {
        let merged = if written.merged { Some(written.stored.fields(kind.table)?) } else { None };
        Ok(Self {
            outcome: Outcome::Saved,
            origin: Origin::Record(Loaded::new(key, bearer, &written.record, written.stored)),
            merged,
            set_cookie,
        })
    }
}

impl Store {
    /// Carries out what a request did to one session.
    pub(crate) async fn carry_out(&self, change: Change) -> Result<Done, Error> {
        let kind = change.kind.clone();
        let work = self.carry_out_now(change);
        observe(Call::Commit, kind.name(), Some(&kind.tallies), work, Done::told).await
    }

    async fn carry_out_now(&self, change: Change) -> Result<Done, Error> {
        if change.asks.destroy {
            return self.destroy_origin(&change.kind, change.origin).await;
        }
        if self.is_client_side() {
            return self.carry_out_sealed(change).await;
        }
        match change.origin {
            Origin::New { cookie } => self.create(change, cookie).await,
            Origin::Record(ref loaded) => {
                let loaded = loaded.clone();
                self.update_record(change, loaded).await
            }
            // Only a client-side store makes these.
            Origin::Client(_) => Ok(Done::unchanged(change.origin, None)),
            Origin::Ended { ref key } => Ok(if self.changes_anything(&change)? {
                Done::dropped(&change.kind, key.clone(), "ended")
            } else {
                Done::unchanged(change.origin, None)
            }),
        }
    }

    fn changes_anything(&self, change: &Change) -> Result<bool, Error> {
        let Some(mine) = &change.fields else { return Ok(false) };
        let base = change.origin.fields(&change.kind)?;
        Ok(schema::diff(change.kind.table, &base, &mut mine.clone()).changed)
    }

    /// The first save of a new session, if it stores anything.
    async fn create(&self, change: Change, cookie: bool) -> Result<Done, Error> {
        let origin = Origin::New { cookie };
        let Some(mine) = change.fields else { return Ok(Done::unchanged(origin, None)) };
        let base = origin.fields(&change.kind)?;
        let edit = Edit::new(change.kind, base, mine, None, &change.asks, self.now())?;
        if !edit.diff.changed {
            return Ok(Done::unchanged(origin, None));
        }
        let (bearer, key) = self.new_id(&edit.kind)?;
        let draft = edit.first();
        // Sealed before it is saved: what no cookie can name must not be stored.
        let set_cookie = self.cookie(&edit.kind, &bearer, &draft.header).await?;
        let mut patience = Patience::new();
        let written = self.put_copy(&key, 0, &edit, draft, &mut patience).await?;
        let Some(written) = written else {
            return Ok(Done::dropped(&edit.kind, key, "ended"));
        };
        match self.admits(&edit, &key, change.loaded_at).await {
            Ok(true) => {}
            Ok(false) => {
                self.inner.provider.delete(key.as_str()).await?;
                return Ok(Done::dropped(&edit.kind, key, "login_undone"));
            }
            Err(error) => {
                self.discard(&edit.kind, &key).await;
                return Err(error);
            }
        }
        event::created(edit.kind.name(), &key);
        Done::saved(&edit.kind, key, Some(bearer), written, Some(set_cookie))
    }

    /// A live session: saved, renewed, or at least kept alive.
    async fn update_record(&self, change: Change, loaded: Loaded) -> Result<Done, Error> {
        let Change { kind, fields, asks, loaded_at, .. } = change;
        if fields.is_none() && !asks.renew && asks.remember.is_none() && asks.label.is_none() {
            return self.keep_alive(&kind, loaded).await;
        }
        let base = loaded.stored.fields(kind.table)?;
        let mine = fields.unwrap_or_else(|| base.clone());
        let edit = Edit::new(kind, base, mine, loaded.owner.as_ref(), &asks, self.now())?;
        if asks.renew || edit.diff.renew || edit.diff.owner {
            return self.renew(&edit, loaded, loaded_at).await;
        }
        if !edit.diff.changed && !edit.changes_header(&loaded.stored.header) {
            return self.keep_alive(&edit.kind, loaded).await;
        }
        let persistence = loaded.stored.header.remember.is_some();
        let draft = edit.over(&loaded);
        let mut patience = Patience::new();
        let over = self.put_over(&loaded.key, loaded.version, &edit, draft, &mut patience).await?;
        let written = match over {
            Over::Written(written) => written,
            Over::Moved => return Ok(Done::moved(loaded.key)),
            Over::Gone => {
                return Ok(Done::dropped(&edit.kind, loaded.key, "ended"));
            }
        };
        let header = &written.stored.header;
        let set_cookie = match &loaded.bearer {
            Some(bearer) if bearer.seal.reissue || persistence != header.remember.is_some() => {
                Some(self.cookie(&edit.kind, bearer, header).await?)
            }
            _ => None,
        };
        Done::saved(&edit.kind, loaded.key, loaded.bearer, written, set_cookie)
    }

    /// Nothing changed: moves the expiry where that is due, and gives an old token's bearer a
    /// new one.
    async fn keep_alive(&self, kind: &Kind, mut loaded: Loaded) -> Result<Done, Error> {
        let now = self.now();
        if let Some(expiry) = self.touch_due(&loaded, now) {
            match self.inner.provider.touch(loaded.key.as_str(), expiry, now).await {
                Ok(true) => {
                    event::touched(kind.name(), &loaded.key);
                    loaded.expires_at = Some(expiry);
                }
                // It ended meanwhile; the next request will find out.
                Ok(false) => return Ok(Done::unchanged(Origin::Record(loaded), None)),
                Err(error) => {
                    event::touch_failed(kind.name(), &loaded.key, &error.into());
                    return Ok(Done::unchanged(Origin::Record(loaded), None));
                }
            }
        }
        let set_cookie = match &loaded.bearer {
            Some(bearer) if bearer.seal.reissue => {
                Some(self.cookie(kind, bearer, &loaded.stored.header).await?)
            }
            _ => None,
        };
        Ok(Done::unchanged(Origin::Record(loaded), set_cookie))
    }

    /// A new id, and what its browser will bring.
    pub(super) fn new_id(&self, kind: &Kind) -> Result<(Bearer, StoreKey), Error> {
        let bearer = Bearer::new(SessionId::random(&self.inner.random)?, self.now());
        let key = kind.key(&bearer.id);
        Ok((bearer, key))
    }

    /// The header that gives a session's browser its token.
    pub(super) async fn cookie(
        &self,
        kind: &Kind,
        bearer: &Bearer,
        header: &Header,
    ) -> Result<HeaderValue, Error> {
        let token = self.inner.codec.seal(&kind.purpose, bearer.id.as_bytes()).await?;
        let left = self.span(header).end().duration_since(self.now()).unwrap_or_default();
        self.inner.cookie.set(&kind.cookie, &token, left, header.remember.is_some())
    }

    /// The header that makes a browser forget its session.
    pub(super) fn clear_cookie(&self, kind: &Kind) -> Result<HeaderValue, Error> {
        self.inner.cookie.clear(&kind.cookie)
    }
}
