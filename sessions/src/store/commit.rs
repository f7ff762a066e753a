//! A session's changes brought to the store, and what the response is to say of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;

use super::edit::Edit;
use super::id::{SessionId, StoreKey};
use super::origin::Bearer;
use super::save::{Over, Patience, Written};
use super::{Asks, Kind, Loaded, Origin, Store};
use crate::Error;
use crate::event::{self, Call, Ended, observe, observing};
use crate::schema::{self, Fields, Stored, Summary};

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

/// What is to be done for a change.
pub(crate) enum Plan {
    /// A live session that goes on.
    Save { edit: Box<Edit>, loaded: Arc<Loaded>, loaded_at: SystemTime },
    /// A live session that nobody changed.
    Keep(Arc<Kind>, Arc<Loaded>),
    /// Whatever else.
    Other(Box<Change>),
}

impl Plan {
    /// Has it carried out at `now`, later than it was made.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn put_off(&mut self, now: SystemTime) {
        if let Self::Save { edit, .. } = self {
            edit.now = now;
        }
    }

    fn kind(&self) -> &Arc<Kind> {
        match self {
            Self::Save { edit, .. } => &edit.kind,
            Self::Keep(kind, _) => kind,
            Self::Other(change) => &change.kind,
        }
    }
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
    outcome: Outcome,
    pub(crate) set_cookie: Option<HeaderValue>,
    after: After,
}

/// What the session is after a commit.
enum After {
    Origin(Origin),
    /// As it was written: read only where its handle goes on, which is rare.
    Written(Arc<Kind>, Box<Written>, Place),
}

/// Where a record was written.
pub(super) enum Place {
    /// Over what the session was loaded from.
    Same(Arc<Loaded>),
    New(Box<(StoreKey, Bearer)>),
}

impl Place {
    fn key(&self) -> &StoreKey {
        match self {
            Self::Same(loaded) => &loaded.key,
            Self::New(new) => &new.0,
        }
    }

    fn bearer(&self) -> Option<&Bearer> {
        match self {
            Self::Same(loaded) => loaded.bearer.as_ref(),
            Self::New(new) => Some(&new.1),
        }
    }
}

/// What a commit did, for a handle that goes on.
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    pub(crate) origin: Origin,
    /// The saved fields, where they may differ from the handle's.
    pub(crate) merged: Option<Fields>,
    pub(crate) set_cookie: Option<HeaderValue>,
}

impl Done {
    pub(super) fn new(outcome: Outcome, origin: Origin, set_cookie: Option<HeaderValue>) -> Self {
        Self { outcome, set_cookie, after: After::Origin(origin) }
    }

    pub(super) fn unchanged(origin: Origin, set_cookie: Option<HeaderValue>) -> Self {
        Self::new(Outcome::Unchanged, origin, set_cookie)
    }

    /// How it is told of.
    pub(super) fn told(&self) -> (Ended, Option<&StoreKey>) {
        let ended = match self.outcome {
            Outcome::Unchanged => Ended::Unchanged,
            Outcome::Saved => Ended::Saved,
            Outcome::Destroyed => Ended::Destroyed,
            Outcome::Dropped => Ended::Dropped,
        };
        let key = match &self.after {
            After::Origin(origin) => origin.key(),
            After::Written(.., place) => Some(place.key()),
        };
        (ended, key)
    }

    pub(super) fn dropped(kind: &Kind, key: StoreKey, why: &'static str) -> Self {
        event::dropped(kind.name(), &key, why);
        Self::new(Outcome::Dropped, Origin::Ended { key }, None)
    }

    /// Saved, under an id that this request's cookie does not reach any more.
    fn moved(key: StoreKey) -> Self {
        Self::new(Outcome::Saved, Origin::Ended { key }, None)
    }

    pub(super) fn saved(
        kind: Arc<Kind>,
        written: Box<Written>,
        place: Place,
        set_cookie: Option<HeaderValue>,
    ) -> Self {
        let after = After::Written(kind, written, place);
        Self { outcome: Outcome::Saved, set_cookie, after }
    }

    /// What its handle needs to go on.
    pub(crate) fn settle(self) -> Result<Settled, Error> {
        let Self { outcome, set_cookie, after } = self;
        let (origin, merged) = match after {
            After::Origin(origin) => (origin, None),
            After::Written(kind, written, place) => {
                let stored = Stored::parse(kind.name(), &written.record.data)?;
                let merged = if written.merged { Some(stored.fields(kind.table)?) } else { None };
                let (key, bearer) = (place.key().clone(), place.bearer().cloned());
                let loaded = Loaded::new(key, bearer, written.record, stored);
                (Origin::Record(Arc::new(loaded)), merged)
            }
        };
        Ok(Settled { outcome, origin, merged, set_cookie })
    }
}

impl Store {
    /// What a change takes, as far as that can be told without the provider.
    pub(crate) fn plan(&self, change: Change, now: SystemTime) -> Result<Plan, Error> {
        let Change { origin: Origin::Record(loaded), .. } = &change else {
            return Ok(Plan::Other(Box::new(change)));
        };
        if change.asks.destroy {
            return Ok(Plan::Other(Box::new(change)));
        }
        let loaded = loaded.clone();
        let Change { kind, fields, asks, loaded_at, .. } = change;
        if fields.is_none() && asks.is_empty() {
            return Ok(Plan::Keep(kind, loaded));
        }
        let base = loaded.stored.fields(kind.table)?;
        let mine = fields.unwrap_or_else(|| base.clone());
        let edit = Edit::new(kind.clone(), base, mine, loaded.owner.as_ref(), &asks, now)?;
        if edit.renew || edit.diff.changed || edit.changes_header(&loaded.stored)? {
            return Ok(Plan::Save { edit, loaded, loaded_at });
        }
        Ok(Plan::Keep(kind, loaded))
    }

    /// Carries out what a request did to one session.
    // Not an async function, for that would have room for its arguments twice.
    #[allow(clippy::manual_async_fn)]
    pub(crate) fn carry_out(&self, plan: Plan) -> impl Future<Output = Result<Done, Error>> {
        async move {
            let kind = observing().then(|| plan.kind().clone());
            // Pinned here: whatever holds it is moved with it.
            let work = pin!(self.carry_out_now(plan));
            let Some(kind) = kind else { return work.await };
            observe(Call::Commit, kind.name(), Some(&kind.tallies), work, Done::told).await
        }
    }

    #[allow(clippy::manual_async_fn)] // As above.
    fn carry_out_now(&self, plan: Plan) -> impl Future<Output = Result<Done, Error>> {
        // All but the usual in boxes: this future is moved with what it has room for.
        async move {
            match plan {
                Plan::Save { edit, loaded, loaded_at } if edit.renew => {
                    Box::pin(self.renew(&edit, &loaded, loaded_at)).await
                }
                Plan::Save { edit, loaded, .. } => self.update_record(&edit, loaded).await,
                Plan::Keep(kind, loaded) => Box::pin(self.keep_alive(&kind, loaded)).await,
                Plan::Other(change) => Box::pin(self.carry_out_other(*change)).await,
            }
        }
    }

    async fn carry_out_other(&self, change: Change) -> Result<Done, Error> {
        if change.asks.destroy {
            return self.destroy_origin(&change.kind, change.origin).await;
        }
        if self.is_client_side() {
            return self.carry_out_sealed(change).await;
        }
        match change.origin {
            Origin::New { cookie } => self.create(change, cookie).await,
            // A plan says what becomes of a record, and only a client-side store makes the other.
            Origin::Record(_) | Origin::Client(_) => Ok(Done::unchanged(change.origin, None)),
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
        Ok(schema::diff(change.kind.table, &base, &mut mine.clone())?.changed)
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
        let set_cookie = self.cookie(&edit.kind, &bearer, &draft.header.summary).await?;
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
        event::created(edit.kind.name(), &edit.kind.tallies, &key);
        let place = Place::New(Box::new((key, bearer)));
        Ok(Done::saved(edit.kind, written, place, Some(set_cookie)))
    }

    /// A live session that goes on under its id.
    async fn update_record(&self, edit: &Edit, loaded: Arc<Loaded>) -> Result<Done, Error> {
        let kind = &edit.kind;
        let written = match self.put_over(&loaded, edit).await? {
            Over::Written(written) => written,
            Over::Moved => return Ok(Done::moved(loaded.key.clone())),
            Over::Gone => {
                return Ok(Done::dropped(kind, loaded.key.clone(), "ended"));
            }
        };
        let persistence = loaded.stored.summary.remember.is_some();
        let set_cookie = match &loaded.bearer {
            Some(bearer) if bearer.seal.reissue || persistence != written.remember.is_some() => {
                let stored = Stored::parse(kind.name(), &written.record.data)?;
                Some(Box::pin(self.cookie(kind, bearer, &stored.summary)).await?)
            }
            _ => None,
        };
        Ok(Done::saved(kind.clone(), written, Place::Same(loaded), set_cookie))
    }

    /// Nothing changed: moves the expiry where that is due, and gives an old token's bearer a
    /// new one.
    async fn keep_alive(&self, kind: &Kind, mut loaded: Arc<Loaded>) -> Result<Done, Error> {
        let now = self.now();
        if let Some(expiry) = self.touch_due(&loaded, now) {
            match self.inner.provider.touch(loaded.key.as_str(), expiry, now).await {
                Ok(true) => {
                    event::touched(kind.name(), &loaded.key);
                    Arc::make_mut(&mut loaded).expires_at = Some(expiry);
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
                Some(self.cookie(kind, bearer, &loaded.stored.summary).await?)
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
        summary: &Summary,
    ) -> Result<HeaderValue, Error> {
        let token = self.inner.codec.seal(&kind.purpose, &*bearer.id.to_bytes()).await?;
        let left = self.span(summary).end().duration_since(self.now()).unwrap_or_default();
        kind.cookie.set(&token, left, summary.remember.is_some())
    }
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::{MemoryProvider, Session};

    #[derive(crate::Session)]
    #[session(name = "visitor", version = 1, crate = crate)]
    struct Visitor {
        visits: u32,
    }

    fn size<F: Future>(_: &F) -> usize {
        size_of::<F>()
    }

    /// They are moved whole several times, and allocated: above a kilobyte both take long.
    #[test]
    fn the_futures_of_a_request_are_small() {
        let store = Store::new(MemoryProvider::new());
        let headers = HeaderMap::new();
        let load = size(&store.load::<Visitor>(&headers));
        assert!(load <= 400, "{load} bytes to load");
        let change = Change {
            kind: store.kind::<Visitor>().unwrap(),
            origin: Origin::New { cookie: false },
            fields: None,
            asks: Asks::default(),
            loaded_at: store.now(),
        };
        let commit = size(&store.carry_out(Plan::Other(Box::new(change))));
        assert!(commit <= 600, "{commit} bytes to commit");
        let _ = |visitor: Session<Visitor>| visitor.visits;
    }
}
