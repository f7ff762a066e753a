//! What a commit is given, and what it comes to: the two ends of [`execute`](super::execute).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::base::{Base, Bearer, Loaded};
use super::patch::Asks;
use super::save::SavedRecord;
use super::sent::Sends;
use super::session_type::SessionType;
use super::watches::OwnSecrets;
use crate::error::Error;
use crate::id::StoreKey;
use crate::schema::fields::Fields;
use crate::schema::stored::Stored;
use crate::telemetry::labels::CallOutcome;
use crate::telemetry::span::Fault;
use crate::transport::Delivery;

/// One session's part of a request, without its type.
pub(crate) struct Change {
    pub(crate) session_type: Arc<SessionType>,
    pub(crate) base: Base,
    /// What the handle's value came from, where that is not what the base's record holds.
    pub(crate) ancestor: Option<Fields>,
    /// The value as it is now; `None` when nobody could have changed it.
    pub(crate) fields: Option<Fields>,
    pub(crate) asks: Asks,
    /// When the session was loaded: a login is undone by a later `revoke_all`.
    pub(crate) loaded_at: SystemTime,
    pub(crate) unsettled: Option<Box<Unsettled>>,
    /// Where the secrets that the commit draws are noted, for the handle's watches.
    pub(crate) secrets: Option<Arc<OwnSecrets>>,
}

impl Change {
    /// A commit that has nothing to save, and moves the expiry if that is due.
    pub(super) fn of_nothing(
        session_type: Arc<SessionType>,
        base: Base,
        loaded_at: SystemTime,
    ) -> Self {
        Self {
            session_type,
            base,
            ancestor: None,
            fields: None,
            asks: Asks::default(),
            loaded_at,
            unsettled: None,
            secrets: None,
        }
    }
}

/// The outcome of a commit.
///
/// ```
/// use sessions::{MemoryProvider, Session, Store, commit::Outcome};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// let store = Store::new(MemoryProvider::new());
/// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
/// assert_eq!(visitor.commit().await?.outcome(), Outcome::Unchanged);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing had changed, and nothing was saved.
    Unchanged,
    /// The changes are saved. If other requests saved first, they are merged with theirs.
    Saved,
    /// The session was destroyed, as its handler requested.
    Destroyed,
}

/// What a commit came to.
pub(crate) struct Committed {
    pub(crate) outcome: Outcome,
    pub(crate) delivery: Option<Delivery>,
    pub(super) next: NextBase,
}

/// What the session is after a commit.
pub(super) enum NextBase {
    Base(Base),
    /// As it was written: read only where its handle goes on, which is rare.
    Saved(Arc<SessionType>, Box<(SavedRecord, StoreKey, Option<Bearer>)>),
}

/// What a commit came to, for a handle that goes on.
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    pub(crate) base: Base,
    /// The saved fields, where they may differ from the handle's.
    pub(crate) merged: Option<Fields>,
    pub(crate) delivery: Option<Delivery>,
}

/// A commit that failed, and what its handle goes on with.
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// What the response must carry all the same.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) base: Base,
    pub(crate) ancestor: Option<Fields>,
    pub(crate) unsettled: Option<Box<Unsettled>>,
    /// The handler asked for the end of the session, and it goes on.
    pub(crate) destroying: bool,
}

impl Committed {
    pub(super) fn new(outcome: Outcome, base: Base, delivery: Option<Delivery>) -> Self {
        Self { outcome, delivery, next: NextBase::Base(base) }
    }

    pub(super) fn unchanged(base: Base, delivery: Option<Delivery>) -> Self {
        Self::new(Outcome::Unchanged, base, delivery)
    }

    /// How it is reported.
    pub(super) fn report(&self) -> (CallOutcome, Option<&StoreKey>) {
        let ended = match self.outcome {
            Outcome::Unchanged => CallOutcome::Unchanged,
            Outcome::Saved => CallOutcome::Saved,
            Outcome::Destroyed => CallOutcome::Destroyed,
        };
        let key = match &self.next {
            NextBase::Base(base) => base.key(),
            NextBase::Saved(_, written) => Some(&written.1),
        };
        (ended, key)
    }

    /// What its handle needs to go on.
    pub(crate) fn settle(self) -> Result<Settled, Error> {
        let Self { outcome, delivery, next } = self;
        let (base, merged) = match next {
            NextBase::Base(base) => (base, None),
            NextBase::Saved(session_type, written) => {
                let (SavedRecord { record, merged }, key, bearer) = *written;
                let stored = Stored::parse(session_type.name(), &record.data)?;
                let merged = if merged { Some(stored.fields(session_type.table)?) } else { None };
                (Base::Live(Arc::new(Loaded::new(key, bearer, record, stored))), merged)
            }
        };
        Ok(Settled { outcome, base, merged, delivery })
    }
}

impl Fault for Box<Failed> {
    fn error(&self) -> &Error {
        &self.error
    }
}

/// The open ends of a handle's earlier commits.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// A commit that continues although its caller dropped the future.
    pub(super) in_flight: Option<InFlight>,
    pub(super) sends: Sends,
    /// Whether the deletion of the last owner's record may have happened.
    pub(super) ending: bool,
    /// Whether it can no longer be known what happened.
    pub(super) unknown: bool,
}

impl Unsettled {
    /// Creates the state of a commit that has just begun.
    pub(crate) fn in_flight(in_flight: InFlight) -> Box<Self> {
        Box::new(Self { in_flight: Some(in_flight), ..Self::default() })
    }

    /// Returns the result of the running commit, if it has ended.
    pub(crate) fn take_result(&mut self) -> Option<Result<Committed, Box<Failed>>> {
        self.in_flight.as_mut()?.result.try_recv().ok()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.is_none() && self.sends.is_empty() && !self.ending && !self.unknown
    }
}

/// A running commit, and the handle as it was when the commit began.
pub(crate) struct InFlight {
    pub(crate) result: oneshot::Receiver<Result<Committed, Box<Failed>>>,
    pub(crate) base: Base,
    pub(crate) ancestor: Option<Fields>,
    pub(crate) fields: Option<Fields>,
    pub(crate) asks: Asks,
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("base", &self.base).finish_non_exhaustive()
    }
}
