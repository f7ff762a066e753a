//! The two tasks that tell a store of other hosts' changes: one follows the provider's feed, one
//! asks the database about watched sessions.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::core::Core;
use super::feed::Feed;
use super::save::key_of;
use super::tasks::{Running, unless_closed};
use super::watches::{SHARDS, Seen, Watches};
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{ChangeListener, Notice, Provider, ProviderError, Record};
use crate::schema::stored::Stored;

impl Core {
    /// Follows the provider's feed of changes, if no task does yet.
    pub(super) fn follow(self: &Arc<Self>) {
        let Some((running, runtime)) = Running::begin(&self.tasks.follows) else { return };
        let follower = Follower {
            core: Arc::downgrade(self),
            provider: self.provider.clone(),
            feed: self.feed.clone(),
            line: 0,
            _running: running,
        };
        runtime.spawn(follower.run(self.closing.subscribe()));
    }

    /// Polls the watched sessions, if no task does yet.
    pub(super) fn poll_watches(self: &Arc<Self>) {
        let Some((running, runtime)) = Running::begin(&self.tasks.polls) else { return };
        let poller = Poller {
            core: Arc::downgrade(self),
            watches: self.watches.clone(),
            interval: self.watch_interval,
            _running: running,
        };
        runtime.spawn(poller.run(self.closing.subscribe()));
    }

    /// Takes note of what the feed tells.
    fn hear(&self, line: u64, notice: Notice<'_>) {
        if !self.feed.hear(line, &notice) {
            return;
        }
        match notice {
            // An end is not believed either: whoever can write to a feed cannot close sockets so.
            Notice::Changed(id) | Notice::Ended(id) => {
                if let Ok(key) = id.parse() {
                    self.forget(&key);
                    self.watches.queue(&key);
                }
            }
            Notice::Began | Notice::Gap => self.watches.missed(),
            Notice::Proved(_) => {}
        }
    }

    #[cfg_attr(not(feature = "cache"), allow(clippy::unused_self))]
    fn forget(&self, _key: &StoreKey) {
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            cache.forget(_key);
        }
    }

    /// Tells the watchers of this host what it has saved.
    pub(super) fn watched_save(&self, record: &Record) {
        if self.watches.is_empty() {
            return;
        }
        if let Some(key) = key_of(record) {
            self.watches.see(&key, &self.seen(record), None, self.now());
        }
    }

    /// Has the watchers of a session told that this host has removed its record. Whoever knows why
    /// tells them first.
    pub(super) fn watched_end(&self, id: &str) {
        if !self.watches.is_empty()
            && let Ok(key) = id.parse()
        {
            self.watches.queue(&key);
        }
    }

    /// Asks about watched sessions.
    async fn ask_about(&self, keys: &[StoreKey]) -> Result<(), Error> {
        self.epochs.read_if_old().await?;
        let now = self.now();
        let ids: Vec<_> = keys.iter().map(StoreKey::as_str).collect();
        let records = self.provider.fetch_many(&ids, now).await?;
        for key in keys {
            let record = records.iter().find(|record| *record.id == *key.as_str());
            self.found(key, record, now);
        }
        Ok(())
    }

    /// Tells watchers what is stored of their session.
    pub(super) fn found(&self, key: &StoreKey, record: Option<&Record>, now: SystemTime) {
        let seen = record.map_or(Seen::Gone, |record| self.seen(record));
        if !matches!(seen, Seen::Live { .. }) {
            self.forget(key);
        }
        self.watches.see(key, &seen, self.endings.of(key), now);
    }

    pub(super) fn seen(&self, record: &Record) -> Seen {
        if self.is_ended_record(record) {
            return Seen::EndedAll;
        }
        // A record that this build cannot read goes on: a newer build has saved it.
        let secret = Stored::parse("", &record.data).ok().and_then(|it| it.summary.secret);
        Seen::Live { secret, version: record.version, expires_at: record.expires_at }
    }
}

/// The task that follows the feed.
struct Follower {
    core: Weak<Core>,
    provider: Arc<dyn Provider>,
    feed: Arc<Feed>,
    line: u64,
    _running: Running,
}

impl Follower {
    async fn run(mut self, mut closing: watch::Receiver<bool>) {
        if unless_closed(&mut closing, self.follow()).await.is_some() {
            // Nothing is ever told. The task stays, so that no other begins.
            let _ = closing.wait_for(|closed| *closed).await;
        }
    }

    /// Follows one connection after the other. Returns if the provider tells of no changes.
    async fn follow(&mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let Some(clock) = self.core.upgrade().map(|core| core.clock.clone()) else { return };
            self.line = self.feed.follow();
            let (core, line) = (self.core.clone(), self.line);
            let listener = ChangeListener::with_clock(clock, move |notice| {
                if let Some(core) = core.upgrade() {
                    core.hear(line, notice);
                }
            });
            let error = match self.provider.changes(listener).await {
                Err(error) => error,
                Ok(never) => match never {},
            };
            if self.feed.has_proved() {
                wait = FIRST_WAIT;
            }
            if error.is_unsupported() {
                self.feed.is_unsupported(self.line);
                return;
            }
            if !error.is_unavailable() {
                // Somebody has to mend it.
                wait = wait.max(PERMANENT_WAIT);
            }
            self.lost(error);
            pause(&mut wait).await;
        }
    }

    fn lost(&self, error: ProviderError) {
        self.feed.lose(self.line);
        if let Some(core) = self.core.upgrade() {
            core.events.feed_lost(&Error::from(error));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Nobody hears of changes any more. What tells of none goes on to.
        self.feed.lose(self.line);
    }
}

/// The task that polls.
struct Poller {
    core: Weak<Core>,
    watches: Arc<Watches>,
    interval: Duration,
    _running: Running,
}

impl Poller {
    async fn run(self, mut closing: watch::Receiver<bool>) {
        unless_closed(&mut closing, self.poll()).await;
    }

    /// Asks about one part of the watched sessions after the other, so that each is asked about once
    /// in an interval, and at once about those of which something was told.
    async fn poll(&self) {
        let mut shard = rand::rng().random_range(0..SHARDS);
        // One more, so that the last of them is not late when all are a little.
        let step = self.interval / u32::try_from(SHARDS + 1).unwrap_or(u32::MAX);
        let mut next = Instant::now() + step.mul_f64(rand::rng().random_range(0.0..=1.0));
        let (mut wait, mut all_after) = (FIRST_WAIT, Instant::now());
        loop {
            // Whatever is told in the meantime, each part has its turn.
            let is_told = timeout_at(next, self.watches.queued.notified());
            if Instant::now() >= next || is_told.await.is_err() {
                let Some(core) = self.core.upgrade() else { return };
                // What takes longer than a step delays the others, and does not pile up.
                next = (next + step).max(Instant::now());
                shard += 1;
                self.watches.queue_shard(shard);
                self.watches.queue_expired(core.now());
            }
            let began = Instant::now();
            let asks_all = began >= all_after && self.watches.take_missed();
            if asks_all {
                self.watches.queue_all();
            }
            let is_down = !self.ask(next).await;
            if asks_all {
                // A feed that names nothing may lose this to itself for a fifth of the time.
                all_after = Instant::now() + 4 * began.elapsed();
            }
            if is_down {
                pause(&mut wait).await;
            } else {
                wait = FIRST_WAIT;
            }
        }
    }

    /// Asks about what is queued, until another part is due. Returns whether the database answers.
    async fn ask(&self, until: Instant) -> bool {
        loop {
            let keys = self.watches.take(AT_ONCE);
            let Some(core) = self.core.upgrade().filter(|_| !keys.is_empty()) else { return true };
            let Err(error) = core.ask_about(&keys).await else {
                if Instant::now() >= until {
                    return true;
                }
                continue;
            };
            core.events.watch_failed(&error);
            if error.is_unavailable() {
                keys.iter().for_each(|key| self.watches.queue(key));
                return false;
            }
            // One record that cannot be read must not hide the others. It has its next turn.
            for key in &keys {
                if let Err(error) = core.ask_about(std::slice::from_ref(key)).await
                    && error.is_unavailable()
                {
                    return false;
                }
            }
        }
    }
}

/// Waits before a try after a failure, so that hosts spread out.
async fn pause(wait: &mut Duration) {
    let jittered = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
    *wait = (2 * *wait).min(LAST_WAIT.max(*wait));
    sleep(jittered).await;
}

/// About how many sessions one call asks.
const AT_ONCE: usize = 100;

/// How long to wait after a failure that lasts until somebody mends it, at least.
const PERMANENT_WAIT: Duration = Duration::from_secs(60);

/// How long to wait after the first failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(10);
