//! The load: counters that many requests add to, and sessions that log in and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use rand::Rng as _;
use sessions::provider::Page;
use sessions::{Error, Session, Store};
use sessions_tests::jar::Jar;

use crate::measure::Meter;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(crate) struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    pub(crate) visits: u64,
}

/// A session that lives as long as the run.
pub(crate) struct Counter {
    pub(crate) headers: HeaderMap,
    /// The updates that were acknowledged.
    pub(crate) acknowledged: AtomicU64,
    /// Those of which nobody knows whether they took place.
    pub(crate) unknown: AtomicU64,
}

/// Makes the counters. Nothing fails yet.
pub(crate) async fn counters(store: &Store) -> Vec<Counter> {
    let mut counters = Vec::new();
    for _ in 0..COUNTERS {
        let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.visits = 1;
        let headers = Jar::of(&visitor.commit().await.unwrap()).into_headers();
        let (acknowledged, unknown) = (AtomicU64::new(1), AtomicU64::new(0));
        counters.push(Counter { headers, acknowledged, unknown });
    }
    counters
}

/// What all clients share.
pub(crate) struct Load {
    pub(crate) store: Store,
    pub(crate) counters: Arc<Vec<Counter>>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Load {
    /// One client: a request at each beat, until the run ends.
    pub(crate) async fn client(self: Arc<Self>) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !self.stop.load(Ordering::Relaxed) {
            beat.tick().await;
            let start = Instant::now();
            let (counter, dice) = {
                let mut random = rand::rng();
                (random.random_range(0..self.counters.len()), random.random_range(0..100))
            };
            let counter = &self.counters[counter];
            let done = match dice {
                0..70 => self.read(counter).await,
                70..95 => self.add(counter).await,
                _ => self.come_and_go(dice).await,
            };
            self.meter.record(start.elapsed(), done.is_ok());
        }
    }

    /// A read sees every update that was acknowledged before it.
    async fn read(&self, counter: &Counter) -> Result<(), Error> {
        let least = counter.acknowledged.load(Ordering::SeqCst);
        let mut visitor = self.store.load::<Visitor>(&counter.headers).await?;
        if visitor.visits < least {
            self.meter.wrong(format!("a read saw {} of {least} updates", visitor.visits));
        }
        let _ = visitor.commit().await?;
        Ok(())
    }

    async fn add(&self, counter: &Counter) -> Result<(), Error> {
        let mut visitor = self.store.load::<Visitor>(&counter.headers).await?;
        visitor.visits += 1;
        match commit(&mut visitor).await {
            Ok(tries) => {
                counter.acknowledged.fetch_add(1, Ordering::SeqCst);
                if tries == 1 { Ok(()) } else { Err(Error::Gone) }
            }
            Err(error) => {
                counter.unknown.fetch_add(1, Ordering::SeqCst);
                self.meter.unknown(&error);
                Err(error)
            }
        }
    }

    /// A visitor logs in, and logs out or is logged out everywhere. Then the session stays ended.
    async fn come_and_go(&self, dice: u32) -> Result<(), Error> {
        let user = rand::rng().random_range(0..OWNERS);
        let mut visitor = self.store.load::<Visitor>(&HeaderMap::new()).await?;
        visitor.user = Some(user);
        let jar = match visitor.commit().await {
            Ok(commit) => Jar::of(&commit),
            // `revoke_all` came in between.
            Err(error) if matches!(error.error(), Error::LoginUndone) => return Ok(()),
            Err(error) => return Err(error.into_error()),
        };
        drop(visitor);
        self.store.list::<Visitor>(user, Page::first(20)).await?;
        if dice < 98 {
            let mut visitor = self.store.load::<Visitor>(jar.headers()).await?;
            if visitor.is_new() {
                return Ok(());
            }
            visitor.destroy();
            match visitor.commit().await {
                Ok(_) => {}
                Err(error) if matches!(error.error(), Error::Gone) => {}
                Err(error) => return Err(error.into_error()),
            }
        } else {
            self.store.revoke_all::<Visitor>(user).await?;
        }
        if !self.store.load::<Visitor>(jar.headers()).await?.is_new() {
            self.meter.wrong("a session that ended came back".to_owned());
        }
        Ok(())
    }
}

/// Commits until it is known what became of it; returns how many tries that took.
pub(crate) async fn commit(visitor: &mut Session<Visitor>) -> Result<u32, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match visitor.commit().await {
            Ok(_) => return Ok(tries),
            Err(error) => {
                let error = error.into_error();
                if !error.is_unavailable() || tries >= MOST_TRIES {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

const COUNTERS: usize = 200;
const OWNERS: u64 = 50;
pub(crate) const CLIENTS: usize = 16;

/// A client makes a request each.
const BEAT: Duration = Duration::from_millis(10);

/// Between two tries of a commit.
const PAUSE: Duration = Duration::from_millis(20);

/// Longer than any fault lasts.
const MOST_TRIES: u32 = 1_000;
