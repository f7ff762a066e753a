//! Tells listeners of changes after the statement that made them: one announcement at a time, which
//! gathers what was changed during the one before.
//!
//! A statement that notifies holds a lock of the whole server until its commit is on the disk. So
//! notices do not travel with the changes, which would wait for each other, but together.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sessions::provider::ProviderError;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::notice::{self, Told};

/// Sends notices to the database.
pub(crate) trait Teller: Clone + Send + Sync + 'static {
    /// Sends them in one statement.
    fn tell(&self, notices: &[&str]) -> impl Future<Output = Result<(), ProviderError>> + Send;

    /// By when a statement that begins now has ended.
    fn end(&self) -> Instant;
}

/// What is to be announced. Clones of a provider share it.
#[derive(Default)]
pub(crate) struct Announcer {
    state: Mutex<State>,
    /// Nothing is under way any more.
    quiet: Notify,
}

#[derive(Default)]
struct State {
    waiting: Queue,
    /// What an announcement failed to tell. It is told after one that succeeds.
    kept: Queue,
    /// How many calls may still have something to announce.
    calls: usize,
    round: Option<Running>,
    rounds: u64,
}

#[derive(Clone, Copy)]
struct Running {
    number: u64,
    /// The runtime does not run the task any more if it is not done by then.
    end: Instant,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    ids: usize,
}

/// What one call announces.
struct Job {
    told: Vec<Told>,
    /// `None` if nobody waits.
    done: Option<oneshot::Sender<Result<(), Arc<ProviderError>>>>,
}

/// Why listeners may not have been told.
#[derive(Debug)]
pub(crate) enum Untold {
    Failed(Arc<ProviderError>),
    TooLate,
    TooMany,
    /// The runtimes of the tasks that should tell have ended.
    Abandoned,
}

impl Announcer {
    /// Announces, and waits until that has ended.
    pub(crate) async fn announce(
        self: &Arc<Self>,
        teller: &impl Teller,
        told: impl Fn() -> Vec<Told>,
        end: Instant,
    ) -> Result<(), Untold> {
        for _ in 0..RUNTIMES {
            let (done, answer) = oneshot::channel();
            if !self.push(teller, Job { told: told(), done: Some(done) }) {
                return Err(Untold::TooMany);
            }
            match timeout_at(end, answer).await {
                Ok(Ok(told)) => return told.map_err(Untold::Failed),
                // The task ended with its runtime, which need not be this one.
                Ok(Err(_)) => {}
                Err(_) => return Err(Untold::TooLate),
            }
        }
        Err(Untold::Abandoned)
    }

    /// A call that is going to change this record.
    pub(crate) fn change<'c, T: Teller>(
        self: &'c Arc<Self>,
        teller: &'c T,
        id: &'c str,
    ) -> Change<'c, T> {
        self.state().calls += 1;
        Change { announcer: self, teller, id, open: false }
    }

    /// Waits until every call has announced what it changed.
    pub(crate) async fn quiet(&self, end: Instant) {
        let quiet = async {
            loop {
                let mut notified = std::pin::pin!(self.quiet.notified());
                notified.as_mut().enable();
                if self.state().is_quiet() {
                    return;
                }
                notified.await;
            }
        };
        // What is not told by then is told by nobody.
        let _ = timeout_at(end, quiet).await;
    }

    /// Returns `false` for a job that finds no room.
    fn push(self: &Arc<Self>, teller: &impl Teller, job: Job) -> bool {
        let mut state = self.state();
        let fits = state.waiting.push(job, MOST_WAITING);
        if state.round.is_some_and(|round| Instant::now() < round.end) {
            return fits;
        }
        // Outside a runtime no task can run: the next call inside one takes it along.
        let Ok(runtime) = Handle::try_current() else { return fits };
        state.rounds += 1;
        let number = state.rounds;
        state.round = Some(Running { number, end: teller.end() });
        drop(state);
        let round =
            Round { announcer: self.clone(), teller: teller.clone(), number, jobs: Vec::new() };
        runtime.spawn(round.run());
        fits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_quiet(&self) -> bool {
        self.calls == 0 && self.round.is_none() && self.waiting.jobs.is_empty()
    }

    fn keep(&mut self, told: Vec<Told>) {
        self.kept.push(Job { told, done: None }, MOST_KEPT);
    }
}

impl Queue {
    fn push(&mut self, job: Job, most: usize) -> bool {
        let ids = self.ids + job.told.len();
        let fits = ids <= most || self.jobs.is_empty();
        if fits {
            self.ids = ids;
            self.jobs.push_back(job);
        }
        fits
    }

    /// Takes what one statement announces.
    fn take(&mut self) -> Vec<Job> {
        let (mut jobs, mut ids) = (Vec::new(), 0);
        while let Some(job) = self.jobs.pop_front_if(|job| {
            // The server may refuse it, and the others with it.
            let alone = job.is_odd() || jobs.last().is_some_and(Job::is_odd);
            jobs.is_empty() || !alone && ids + job.told.len() <= MOST_AT_ONCE
        }) {
            ids += job.told.len();
            jobs.push(job);
        }
        self.ids -= ids;
        jobs
    }
}

impl Job {
    /// Whether the server may refuse an id: it is no record's, or not in the database's encoding.
    fn is_odd(&self) -> bool {
        self.told
            .iter()
            .any(|told| !told.id.is_ascii() || told.id.contains('\0') || !notice::is_id(&told.id))
    }
}

/// The task that announces. When its runtime ends, the next call begins another.
struct Round<T: Teller> {
    announcer: Arc<Announcer>,
    teller: T,
    number: u64,
    /// What is on its way.
    jobs: Vec<Job>,
}

impl<T: Teller> Round<T> {
    async fn run(mut self) {
        let mut failed = false;
        while self.take(failed) {
            let notices = notice::gather(self.jobs.iter().flat_map(|job| &job.told));
            let notices: Vec<&str> = notices.iter().map(String::as_str).collect();
            let sent = if notices.is_empty() { Ok(()) } else { self.teller.tell(&notices).await };
            failed = sent.is_err();
            self.settle(sent);
        }
    }

    /// Takes what is announced next. Returns `false` if that is nothing.
    fn take(&mut self, failed: bool) -> bool {
        let mut state = self.announcer.state();
        // Another may have begun because this one seemed to stand still.
        let Some(round) = state.round.filter(|round| round.number == self.number) else {
            return false;
        };
        self.jobs = state.waiting.take();
        // What has failed is not tried over and over.
        if self.jobs.is_empty() && !failed {
            self.jobs = state.kept.take();
        }
        let goes_on = !self.jobs.is_empty();
        state.round = goes_on.then(|| Running { end: self.teller.end(), ..round });
        if state.is_quiet() {
            self.announcer.quiet.notify_waiters();
        }
        goes_on
    }

    fn settle(&mut self, sent: Result<(), ProviderError>) {
        let sent = sent.map_err(Arc::new);
        // Also what somebody waits for, who may give up.
        let keeps = sent.as_ref().is_err_and(|error| error.is_unavailable());
        for job in std::mem::take(&mut self.jobs) {
            if keeps {
                self.announcer.state().keep(job.told);
            }
            if let Some(done) = job.done {
                // The call may have been cancelled.
                let _ = done.send(sent.clone());
            }
        }
    }
}

impl<T: Teller> Drop for Round<T> {
    fn drop(&mut self) {
        let mut abandoned = std::mem::take(&mut self.jobs);
        let mut state = self.announcer.state();
        if state.round.is_some_and(|round| round.number == self.number) {
            state.round = None;
            state.waiting.ids = 0;
            abandoned.extend(std::mem::take(&mut state.waiting.jobs));
        }
        let mut waiters = Vec::new();
        for job in abandoned {
            state.keep(job.told);
            waiters.push(job.done);
        }
        if state.is_quiet() {
            self.announcer.quiet.notify_waiters();
        }
        drop(state);
        // Each begins another task, in its own runtime.
        drop(waiters);
    }
}

/// A call under way that changes a record. If it ends after it has begun to and before it has told,
/// the record is announced and nobody waits: the call failed, or its runtime ended.
pub(crate) struct Change<'c, T: Teller> {
    announcer: &'c Arc<Announcer>,
    teller: &'c T,
    id: &'c str,
    open: bool,
}

impl<T: Teller> Change<'_, T> {
    /// From now on the record may change.
    pub(crate) fn begin(&mut self) {
        self.open = true;
    }

    /// Tells what became of the record.
    pub(crate) async fn tell(mut self, ended: bool, end: Instant) -> Result<(), Untold> {
        // The first poll, which follows at once, hands the record over.
        self.open = false;
        let told = || vec![Told { id: self.id.into(), ended }];
        self.announcer.announce(self.teller, told, end).await
    }

    /// The record is as it was.
    pub(crate) fn did_nothing(mut self) {
        self.open = false;
    }
}

impl<T: Teller> Drop for Change<'_, T> {
    fn drop(&mut self) {
        if self.open {
            let told = vec![Told { id: self.id.into(), ended: false }];
            self.announcer.push(self.teller, Job { told, done: None });
        }
        let mut state = self.announcer.state();
        state.calls -= 1;
        if state.is_quiet() {
            self.announcer.quiet.notify_waiters();
        }
    }
}

/// How many ids one statement announces, unless one call has more.
const MOST_AT_ONCE: usize = 1_000;

/// How many ids wait at most, while the database does not answer.
const MOST_WAITING: usize = 100_000;

/// How many ids that could not be announced are kept.
const MOST_KEPT: usize = 10_000;

/// How many tasks that end with their runtimes a call waits for.
const RUNTIMES: u32 = 3;

#[cfg(test)]
mod tests;
