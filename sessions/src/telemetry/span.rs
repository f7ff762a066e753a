//! The calls of a store and its key ring: a span around each, how it ended, and how long it took.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::field::Empty;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::{Span, debug_span};

use super::emit::{emit, log_id};
use super::labels::{CallOutcome, Operation};
use super::metrics::{Tallies, Timer};
use crate::error::Error;
use crate::id::StoreKey;

/// What a call fails with.
pub(crate) trait Fault {
    fn error(&self) -> &Error;
}

impl Fault for Error {
    fn error(&self) -> &Error {
        self
    }
}

/// `of`: the session type's name, or the app's where it is the key ring.
fn span_of(call: Operation, of: &str) -> Span {
    macro_rules! session {
        ($name:literal) => {
            debug_span!(target: "sessions", $name, session = of, id = Empty, outcome = Empty)
        };
    }
    match call {
        Operation::Load => session!("session.load"),
        Operation::Commit => session!("session.commit"),
        Operation::Destroy => session!("session.destroy"),
        Operation::Update => session!("session.update"),
        Operation::Revoke => {
            debug_span!(target: "sessions", "session.revoke", id = Empty, outcome = Empty)
        }
        Operation::RevokeAll => {
            debug_span!(target: "sessions", "session.revoke_all", session = of, outcome = Empty)
        }
        Operation::List => {
            debug_span!(target: "sessions", "session.list", session = of, outcome = Empty)
        }
        Operation::Purge => debug_span!(target: "sessions", "session.purge", outcome = Empty),
        Operation::Refresh => {
            debug_span!(target: "sessions", "keys.refresh", app = of, outcome = Empty)
        }
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
    call: Operation,
    of: &'a str,
    tallies: Option<&'a Tallies>,
    work: F,
    end: fn(&T) -> (CallOutcome, Option<&StoreKey>),
) -> Observed<'a, F, T>
where
    F: Future<Output = Result<T, E>>,
    E: Fault,
{
    let about = || About { call, of, tallies, span: span_of(call, of), timer: Timer::start() };
    Observed { work, end, about: observing().then(about) }
}

pin_project! {
    /// See [`observe`]: not an async function, for that would have room for the work twice.
    pub(crate) struct Observed<'a, F, T> {
        #[pin]
        work: F,
        end: fn(&T) -> (CallOutcome, Option<&StoreKey>),
        about: Option<About<'a>>,
    }
}

struct About<'a> {
    call: Operation,
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
                Err(failed) => (CallOutcome::of(failed.error()), None),
            };
            about.tell(ended, key, result.is_ok());
        }
        polled
    }
}

impl About<'_> {
    fn tell(&self, ended: CallOutcome, key: Option<&StoreKey>, succeeded: bool) {
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
            Operation::Load if succeeded => {
                emit!(DEBUG, "session.loaded", { session = of, id, outcome }, "loaded");
            }
            Operation::Commit if succeeded => {
                emit!(DEBUG, "session.committed", { session = of, id, outcome }, "committed");
            }
            Operation::Update if succeeded => {
                emit!(DEBUG, "session.updated", { session = of, id, outcome }, "updated");
            }
            _ => {}
        }
    }
}
