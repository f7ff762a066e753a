//! The calls of a store and its key ring: a span around each, how it ended, and how long it took.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::field::Empty;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::{Span, debug_span};

use super::{log_id, tell};
use super::meter::{Tallies, Timer};
use crate::error::Error;
use crate::id::StoreKey;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Load,
    Commit,
    Destroy,
    Update,
    Revoke,
    RevokeAll,
    List,
    Purge,
    Refresh,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The session was there.
    Live,
    /// There is no session yet, or none any more.
    New,
    /// The session has ended, or a login or a renewal has superseded its cookie.
    Gone,
    Unchanged,
    Saved,
    Destroyed,
    Dropped,
    /// What has no other outcome.
    Done,
    Unavailable,
    Conflict,
    Unreadable,
    Failed,
}

impl Call {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) const ALL: [Self; 9] = [
        Self::Load,
        Self::Commit,
        Self::Destroy,
        Self::Update,
        Self::Revoke,
        Self::RevokeAll,
        Self::List,
        Self::Purge,
        Self::Refresh,
    ];

    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Commit => "commit",
            Self::Destroy => "destroy",
            Self::Update => "update",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke_all",
            Self::List => "list",
            Self::Purge => "purge",
            Self::Refresh => "refresh",
        }
    }

    /// `of`: the session type's name, or the app's where it is the key ring.
    fn span(self, of: &str) -> Span {
        macro_rules! session {
            ($name:literal) => {
                debug_span!(target: "sessions", $name, session = of, id = Empty, outcome = Empty)
            };
        }
        match self {
            Self::Load => session!("session.load"),
            Self::Commit => session!("session.commit"),
            Self::Destroy => session!("session.destroy"),
            Self::Update => session!("session.update"),
            Self::Revoke => {
                debug_span!(target: "sessions", "session.revoke", id = Empty, outcome = Empty)
            }
            Self::RevokeAll => {
                debug_span!(target: "sessions", "session.revoke_all", session = of, outcome = Empty)
            }
            Self::List => {
                debug_span!(target: "sessions", "session.list", session = of, outcome = Empty)
            }
            Self::Purge => debug_span!(target: "sessions", "session.purge", outcome = Empty),
            Self::Refresh => {
                debug_span!(target: "sessions", "keys.refresh", app = of, outcome = Empty)
            }
        }
    }
}

impl Ended {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) const ALL: [Self; 12] = [
        Self::Live,
        Self::New,
        Self::Gone,
        Self::Unchanged,
        Self::Saved,
        Self::Destroyed,
        Self::Dropped,
        Self::Done,
        Self::Unavailable,
        Self::Conflict,
        Self::Unreadable,
        Self::Failed,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Unchanged => "unchanged",
            Self::Saved => "saved",
            Self::Destroyed => "destroyed",
            Self::Dropped => "dropped",
            Self::Done => "done",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    fn of(error: &Error) -> Self {
        if matches!(error, Error::Gone | Error::LoginUndone) {
            Self::Dropped
        } else if error.is_unreadable() {
            Self::Unreadable
        } else if error.is_unavailable() {
            Self::Unavailable
        } else if error.is_conflict() {
            Self::Conflict
        } else {
            Self::Failed
        }
    }
}

/// What a call fails with.
pub(crate) trait Fault {
    fn error(&self) -> &Error;
}

impl Fault for Error {
    fn error(&self) -> &Error {
        self
    }
}

/// Whether anybody wants to know of calls: else they are not looked at at all.
fn observing() -> bool {
    cfg!(feature = "metrics")
        || LevelFilter::DEBUG <= STATIC_MAX_LEVEL && LevelFilter::DEBUG <= LevelFilter::current()
}

/// Does a call's work in its span, and tells how it ended: `end` says so of a success, with the
/// key of the session that it was about.
///
/// `of`: the session type's name, or the app's where it is the key ring.
pub(crate) fn observe<'a, F, T, E>(
    call: Call,
    of: &'a str,
    tallies: Option<&'a Tallies>,
    work: F,
    end: fn(&T) -> (Ended, Option<&StoreKey>),
) -> Observed<'a, F, T>
where
    F: Future<Output = Result<T, E>>,
    E: Fault,
{
    let about = || About { call, of, tallies, span: call.span(of), timer: Timer::start() };
    Observed { work, end, about: observing().then(about) }
}

pin_project! {
    /// See [`observe`]: not an async function, for that would have room for the work twice.
    pub(crate) struct Observed<'a, F, T> {
        #[pin]
        work: F,
        end: fn(&T) -> (Ended, Option<&StoreKey>),
        about: Option<About<'a>>,
    }
}

struct About<'a> {
    call: Call,
    of: &'a str,
    tallies: Option<&'a Tallies>,
    span: Span,
    timer: Timer,
}

impl<F, T, E> Future for Observed<'_, F, T>
where
    F: Future<Output = Result<T, E>>,
    E: Fault,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(about) = this.about else { return this.work.poll(context) };
        let polled = about.span.in_scope(|| this.work.poll(context));
        // By reference: results are large.
        if let Poll::Ready(result) = &polled {
            let (ended, key) = match result {
                Ok(value) => (this.end)(value),
                Err(failed) => (Ended::of(failed.error()), None),
            };
            about.tell(ended, key, result.is_ok());
        }
        polled
    }
}

impl About<'_> {
    fn tell(&self, ended: Ended, key: Option<&StoreKey>, succeeded: bool) {
        let Self { call, of, tallies, span, timer } = self;
        let (outcome, id) = (ended.word(), key.map(log_id));
        if !span.is_disabled() {
            span.record("outcome", outcome);
            span.record("id", id);
        }
        timer.stop(*call, ended);
        if let Some(tallies) = tallies {
            tallies.count(*call, ended);
        }
        let _entered = span.enter();
        match call {
            Call::Load if succeeded => {
                tell!(DEBUG, "session.loaded", { session = of, id, outcome }, "loaded");
            }
            Call::Commit if succeeded => {
                tell!(DEBUG, "session.committed", { session = of, id, outcome }, "committed");
            }
            Call::Update if succeeded => {
                tell!(DEBUG, "session.updated", { session = of, id, outcome }, "updated");
            }
            _ => {}
        }
    }
}
