//! What a framework's layer does with a request's sessions: it begins with none, commits them once
//! the handler has answered, and tells browser and caches of it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::StatusCode;
use http::header::{
    CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE, VARY,
};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{Inner, RequestSessions, Slot, bit, fold};
use crate::error::Error;
use crate::store::Store;
use crate::store::base::Base;
use crate::store::change::{Change, Failed};
use crate::store::core::Core;
use crate::store::patch::Asks;
use crate::store::tracker::Finish;
use crate::telemetry;

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
        inner.clear();
        // A thread that is ending has no use for it.
        let _ = SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < MOST_SPARES {
                spares.push(self.inner);
            }
        });
    }

    /// Remembers a load that failed without its handler being told: its answer is not to be sent.
    #[cfg(feature = "actix")]
    pub(crate) fn hide(&self, error: Error) {
        self.inner.slots().hidden.get_or_insert(error);
    }

    /// Ends the request: what its response's status allows is committed. `None` where there is
    /// nothing to do, which costs nothing.
    pub(crate) fn finish(&self, status: StatusCode) -> Finished {
        let (mut slots, hidden) = {
            let mut slots = self.inner.slots();
            slots.closed = true;
            #[cfg(feature = "actix")]
            let hidden = slots.hidden.take();
            #[cfg(not(feature = "actix"))]
            let hidden: Option<Error> = None;
            (std::mem::take(&mut slots.slots), hidden)
        };
        if slots.is_empty() && hidden.is_none() {
            return Finished { read: false, commit: None };
        }
        // The handler's answer will not be sent.
        let status = hidden.as_ref().map_or(status, self::status);
        let store = self.inner.store();
        let now = store.now();
        let borrowed = self.inner.borrowed.load(Ordering::Relaxed);
        // Most requests only read.
        if hidden.is_none() && slots.iter().all(|slot| slot.is_quiet(store, now)) {
            return Finished { read: true, commit: None };
        }
        let mut report = Report { error: hidden, ..Report::default() };
        let mut jobs = SmallVec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            if slot.out > 0 && borrowed & bit(index) != 0 && slot.saves.is_empty() {
                telemetry::outlived(slot.session_type.name());
            }
            let todo = slot.decide(store, status, now);
            if todo == Todo::Nothing && slot.set_cookie.is_none() && slot.saves.is_empty() {
                continue;
            }
            let (session, set_cookie) = (slot.session_type.name(), slot.set_cookie.take());
            match slot.change(todo) {
                Ok(change) => {
                    let saves = std::mem::take(&mut slot.saves);
                    jobs.push(Job { session, change, set_cookie, saves });
                }
                Err(error) => report.failed(session, error, set_cookie),
            }
        }
        if jobs.is_empty() && report.is_empty() {
            return Finished { read: true, commit: None };
        }
        let commit = run(store.clone(), jobs, report);
        Finished { read: true, commit: Some(store.commits().track(commit)) }
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
    pub(crate) cookies: Cookies,
    pub(crate) error: Option<Error>,
}

impl Report {
    fn is_empty(&self) -> bool {
        self.cookies.0.is_empty() && self.error.is_none()
    }

    fn saved(&mut self, session: &'static str, set_cookie: Option<HeaderValue>) {
        self.cookies.0.extend(set_cookie.map(|cookie| (session, cookie)));
    }

    /// `earlier`: the cookie of saves that went before, which hold.
    fn failed(&mut self, session: &'static str, error: Error, earlier: Option<HeaderValue>) {
        telemetry::commit_failed(session, &error);
        self.error.get_or_insert(error);
        self.saved(session, earlier);
    }
}

/// The cookies of a response, each with its session type's name.
#[derive(Clone, Default)]
pub(crate) struct Cookies(SmallVec<[(&'static str, HeaderValue); 1]>);

impl Cookies {
    #[cfg(feature = "actix")]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes them and what caches must know.
    pub(crate) fn write(self, headers: &mut impl ResponseHeaders) {
        for (session, cookie) in self.0 {
            headers.append(&SET_COOKIE, cookie);
            if headers.none(&CACHE_CONTROL) {
                headers.append_text(&CACHE_CONTROL, "private, no-store");
            } else if headers.any(&CACHE_CONTROL, |value| names(value, "public")) {
                telemetry::public_response(session);
            }
        }
    }
}

/// A response's headers, as its framework has them.
pub(crate) trait ResponseHeaders {
    /// Whether a value of this header is as `is` says.
    fn any(&self, name: &HeaderName, is: impl Fn(&[u8]) -> bool) -> bool;

    fn none(&self, name: &HeaderName) -> bool {
        !self.any(name, |_| true)
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue);

    /// The same of a value that needs no copy.
    fn append_text(&mut self, name: &HeaderName, value: &'static str);
}

impl ResponseHeaders for HeaderMap {
    fn any(&self, name: &HeaderName, is: impl Fn(&[u8]) -> bool) -> bool {
        self.get_all(name).iter().any(|value| is(value.as_bytes()))
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn append_text(&mut self, name: &HeaderName, value: &'static str) {
        self.append(name, HeaderValue::from_static(value));
    }
}

/// Says that the response depends on the cookie.
pub(crate) fn vary(headers: &mut impl ResponseHeaders) {
    if !headers.any(&VARY, |value| names(value, "cookie") || names(value, "*")) {
        headers.append_text(&VARY, "cookie");
    }
}

/// The status that stands for an error.
pub(crate) fn status(error: &Error) -> StatusCode {
    if error.is_unavailable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else if error.is_conflict() || matches!(error, Error::Gone | Error::LoginUndone) {
        StatusCode::CONFLICT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

/// Adds what the response to an error lacks: when to try again, and that no cache may keep it.
pub(crate) fn complete(error: &Error, headers: &mut impl ResponseHeaders) {
    if error.is_unavailable() && headers.none(&RETRY_AFTER) {
        headers.append_text(&RETRY_AFTER, "1");
    }
    if headers.none(&CACHE_CONTROL) {
        headers.append_text(&CACHE_CONTROL, "no-store");
    }
}

/// What a visitor is told of an error: no more than the status says, a reason is for the log.
pub(crate) fn text(error: &Error) -> &'static str {
    match status(error) {
        _ if matches!(error, Error::LoginUndone) => "the login was undone, log in again",
        _ if matches!(error, Error::Gone) => "the session has ended or was renewed, try again",
        StatusCode::SERVICE_UNAVAILABLE => "sessions are unavailable, try again",
        StatusCode::CONFLICT => "another request changed the same thing, try again",
        _ => "the session failed",
    }
}

/// What is left to do for a session once its handler has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Todo {
    Commit,
    Destroy,
    KeepAlive,
    /// But for the cookie of an earlier save.
    Nothing,
}

impl Slot {
    /// Whether there is nothing to do for it, nor to say of it.
    fn is_quiet(&self, store: &Core, now: SystemTime) -> bool {
        self.out == 0
            && self.set_cookie.is_none()
            && self.saves.is_empty()
            && self.returned.iter().all(|one| !one.state().is_touched())
            && !store.is_due(&self.base, now)
    }

    /// What is left to do for this session.
    fn decide(&self, store: &Core, status: StatusCode, now: SystemTime) -> Todo {
        let touched = self.returned.iter().any(|one| one.state().is_touched());
        let keep = store.keep().keeps(status) && !self.spoiled;
        let destroy = self.returned.iter().any(|one| one.state().asks.destroy);
        if touched && !keep && !destroy {
            telemetry::discarded(self.session_type.name(), status.as_u16());
        }
        match (touched, keep || destroy) {
            (true, true) if destroy && !keep => Todo::Destroy,
            (true, true) => Todo::Commit,
            _ if store.is_due(&self.base, now) => Todo::KeepAlive,
            _ => Todo::Nothing,
        }
    }

    /// What the store is to do. Encodes the values.
    fn change(&mut self, todo: Todo) -> Result<Option<Change>, Error> {
        let asks = match todo {
            Todo::Commit => {
                return fold(&self.session_type, &self.base, &mut self.returned).map(Some);
            }
            Todo::Destroy => Asks { destroy: true, ..Asks::default() },
            Todo::KeepAlive => Asks::default(),
            Todo::Nothing => return Ok(None),
        };
        // What is discarded has to be settled all the same before the session is ended.
        let unsettled = self.returned.iter_mut().find(|one| one.state().is_unsettled());
        let settled = match (unsettled, todo) {
            (Some(one), Todo::Destroy) => Some(one.change()?),
            _ => None,
        };
        let (base, unsettled) = match settled {
            Some(change) => (change.base, change.unsettled),
            None => (self.base.clone(), None),
        };
        Ok(Some(Change {
            session_type: self.session_type.clone(),
            base,
            ancestor: None,
            fields: None,
            asks,
            loaded_at: self.loaded_at,
            unsettled,
        }))
    }
}

/// A session's part of what is left to do.
struct Job {
    session: &'static str,
    change: Option<Change>,
    set_cookie: Option<HeaderValue>,
    /// Saves in the middle of the request, which may go on.
    saves: SmallVec<[oneshot::Receiver<Option<HeaderValue>>; 1]>,
}

// Not an async function, for that would have room for its arguments twice.
#[allow(clippy::manual_async_fn)]
fn run(
    store: Arc<Core>,
    mut jobs: SmallVec<[Job; 1]>,
    mut report: Report,
) -> impl Future<Output = Report> {
    async move {
        for Job { session, change, set_cookie: earlier, saves } in &mut jobs {
            for save in saves.drain(..) {
                // A save that was dropped before it began sends nothing.
                if let Ok(Some(cookie)) = save.await {
                    *earlier = Some(cookie);
                }
            }
            let Some(change) = change.take() else {
                report.saved(session, earlier.take());
                continue;
            };
            let key = change.base.key().cloned();
            match store.commit(change).await {
                Ok(done) => report.saved(session, done.set_cookie.or(earlier.take())),
                Err(failed) => {
                    let Failed { error, set_cookie, destroying, base, .. } = *failed;
                    let cookie = set_cookie.or(earlier.take());
                    if matches!(error, Error::Gone) && !destroying {
                        // It ended beside this request, as by a logout: that is no error.
                        let reason = match base {
                            Base::Superseded(_) => "superseded",
                            _ => "ended",
                        };
                        telemetry::dropped(session, key.as_ref(), reason);
                        report.saved(session, cookie);
                    } else {
                        report.failed(session, error, cookie);
                    }
                }
            }
        }
        report
    }
}

/// Whether a comma-separated header has this word.
fn names(value: &[u8], word: &str) -> bool {
    let mut words = value.split(|byte| *byte == b',');
    words.any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

thread_local! {
    static SPARES: RefCell<Vec<Arc<Inner>>> = const { RefCell::new(Vec::new()) };
}

/// About as many requests as end on a thread before as many begin.
const MOST_SPARES: usize = 64;

#[cfg(all(test, feature = "derive"))]
mod tests {
    use super::*;
    use crate::MemoryProvider;

    /// It is allocated for each write, and moved.
    #[test]
    fn the_future_of_a_requests_commits_is_small() {
        let store = Store::new(MemoryProvider::new()).core().clone();
        let commit = size_of_val(&run(store, SmallVec::new(), Report::default()));
        assert!(commit <= 5_000, "{commit} bytes");
    }
}
