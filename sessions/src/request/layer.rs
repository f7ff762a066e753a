//! What a framework's layer does with a request's sessions: it begins with none, commits them once
//! the handler has answered, and tells browser and caches of it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::header::{CACHE_CONTROL, COOKIE, HeaderMap, HeaderValue, SET_COOKIE, VARY};
use http::{HeaderName, StatusCode};
use smallvec::SmallVec;

use super::{Inner, RequestSessions, Slot, bit, fold};
use crate::store::{Asks, Change, Finish, Plan, Store};
use crate::{Error, event};

impl RequestSessions {
    pub(crate) fn new(store: Store) -> Self {
        let spare = SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
        let mut inner = spare.unwrap_or_default();
        match Arc::get_mut(&mut inner) {
            Some(fresh) => fresh.store = Some(store),
            // No spare one has another owner; if one had, it would not be touched.
            None => inner = Arc::new(Inner { store: Some(store), ..Inner::default() }),
        }
        Self { inner }
    }

    /// Keeps the memory of an ended request for the next on this thread: most requests touch no
    /// session, and then this is most of what they cost.
    pub(crate) fn recycle(mut self) {
        let Some(inner) = Arc::get_mut(&mut self.inner) else { return };
        *inner = Inner::default();
        // A thread that is ending has no use for it.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < MOST_SPARES {
                spares.push(self.inner);
            }
        });
    }

    /// Ends the request: what its response's status allows is committed. `None` where there is
    /// nothing to do, which costs nothing.
    pub(crate) fn finish(&self, status: StatusCode) -> Finished {
        let slots = {
            let mut slots = self.inner.slots();
            slots.closed = true;
            std::mem::take(&mut slots.slots)
        };
        if slots.is_empty() {
            return Finished { read: false, commit: None };
        }
        let store = self.inner.store();
        let now = store.now();
        let borrowed = self.inner.borrowed.load(Ordering::Relaxed);
        let mut jobs: SmallVec<[Job; 1]> = SmallVec::new();
        for (index, slot) in slots.into_iter().enumerate() {
            if slot.out > 0 && borrowed & bit(index) != 0 {
                event::outlived(slot.kind.name());
            }
            jobs.extend(slot.job(store, status, now));
        }
        if jobs.is_empty() {
            return Finished { read: true, commit: None };
        }
        let worker = store.clone();
        Finished { read: true, commit: Some(store.commits().track(run(worker, jobs))) }
    }
}

/// What the end of a request leaves to do.
pub(crate) struct Finished {
    /// A session was read: caches must tell visitors apart.
    pub(crate) read: bool,
    pub(crate) commit: Option<Finish<Report>>,
}

/// What the commits of a request came to.
#[derive(Default)]
pub(crate) struct Report {
    cookies: SmallVec<[(&'static str, HeaderValue); 1]>,
    pub(crate) error: Option<Error>,
}

impl Report {
    /// Writes the cookies and what caches must know.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        for (session, cookie) in self.cookies {
            headers.append(SET_COOKIE, cookie);
            match headers.get(CACHE_CONTROL) {
                None => {
                    let private = HeaderValue::from_static("private, no-store");
                    headers.insert(CACHE_CONTROL, private);
                }
                Some(value) if names(value, "public") => event::public_response(session),
                Some(_) => {}
            }
        }
    }
}

/// Says that the response depends on the cookie.
pub(crate) fn vary(headers: &mut HeaderMap) {
    let known = |value: &HeaderValue| names(value, "cookie") || names(value, "*");
    if !headers.get_all(VARY).iter().any(known) {
        headers.append(VARY, HeaderValue::from_name(COOKIE));
    }
}

/// The status that stands for an error, and when to try again.
pub(crate) fn status(error: &Error) -> (StatusCode, Option<(HeaderName, HeaderValue)>) {
    if error.is_unavailable() {
        let retry = (http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        (StatusCode::SERVICE_UNAVAILABLE, Some(retry))
    } else if error.is_conflict() {
        (StatusCode::CONFLICT, None)
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, None)
    }
}

/// What is left to do for a session once its handler has answered.
struct Job {
    slot: Slot,
    todo: Todo,
}

enum Todo {
    Commit,
    Destroy,
    KeepAlive,
    /// But for the cookie of an earlier save.
    Nothing,
}

impl Job {
    /// What the store is to do. Encodes the values.
    fn plan(&self, store: &Store) -> Result<Option<Plan>, Error> {
        let slot = &self.slot;
        let change = match self.todo {
            Todo::Commit => fold(&slot.kind, &slot.origin, &slot.returned)?,
            Todo::Destroy => slot.change(Asks { destroy: true, ..Asks::default() }),
            Todo::KeepAlive => slot.change(Asks::default()),
            Todo::Nothing => return Ok(None),
        };
        store.plan(change).map(Some)
    }
}

impl Slot {
    /// What is left to do for this session.
    fn job(self, store: &Store, status: StatusCode, now: SystemTime) -> Option<Job> {
        let touched = self.returned.iter().any(|one| one.state().is_touched());
        let keep = store.keep().keeps(status) && !self.spoiled;
        let destroy = self.returned.iter().any(|one| one.state().asks.destroy);
        if touched && !keep && !destroy {
            event::discarded(self.kind.name(), status.as_u16());
        }
        let due = store.is_due(&self.origin, now);
        let todo = match (touched, keep || destroy) {
            (true, true) if destroy && !keep => Todo::Destroy,
            (true, true) => Todo::Commit,
            _ if due => Todo::KeepAlive,
            _ if self.set_cookie.is_some() => Todo::Nothing,
            _ => return None,
        };
        Some(Job { slot: self, todo })
    }
    fn change(&self, asks: Asks) -> Change {
        Change {
            kind: self.kind.clone(),
            origin: self.origin.clone(),
            fields: None,
            asks,
            loaded_at: self.loaded_at,
        }
    }
}

async fn run(store: Store, jobs: SmallVec<[Job; 1]>) -> Report {
    let mut report = Report::default();
    for job in jobs {
        let name = job.slot.kind.name();
        let plan = job.plan(&store);
        let earlier = job.slot.set_cookie;
        let done = match plan {
            Ok(Some(plan)) => store.carry_out(plan).await.map(|done| done.set_cookie),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let set_cookie = match done {
            Ok(set_cookie) => set_cookie.or(earlier),
            Err(error) => {
                event::commit_failed(name, &error);
                report.error = report.error.or(Some(error));
                earlier
            }
        };
        report.cookies.extend(set_cookie.map(|cookie| (name, cookie)));
    }
    report
}

/// Whether a comma-separated header has this word.
fn names(value: &HeaderValue, word: &str) -> bool {
    let mut words = value.as_bytes().split(|byte| *byte == b',');
    words.any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

thread_local! {
    static SPARES: RefCell<Vec<Arc<Inner>>> = const { RefCell::new(Vec::new()) };
}

/// About as many requests as end on a thread before as many begin.
const MOST_SPARES: usize = 64;
