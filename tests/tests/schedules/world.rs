//! One session, where the clients meet, and a log of what reached the provider.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use http::header::HeaderMap;
use sessions::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched, async_trait,
};
use sessions::{
    DeviceBinding, MemoryProvider, Session, Store, StoreBuilder, StoreKey, clock::ManualClock,
};
use sessions_tests::device::Device;
use sessions_tests::hooked::{Faults, Hooked};
use sessions_tests::jar::Jar;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::client::{Client, headers, pair};
use crate::driver::Message;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(crate) struct Visitor {
    #[session(owner)]
    pub(crate) user: Option<u64>,
    #[session(group = "owner")]
    pub(crate) role: u8,
    #[session(merge = add)]
    pub(crate) count: u32,
    pub(crate) tags: Vec<String>,
}

impl Visitor {
    /// Counts, and leaves the client's tag.
    pub(crate) fn leave_mark(&mut self, client: usize) {
        self.count += 1;
        self.tags.push(client.to_string());
    }
}

/// What there is at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// A session that nobody owns.
    Anonymous,
    /// A session that user 1 owns.
    LoggedIn,
    /// The same, and another of user 1 on another device.
    TwoDevices,
    /// A session that user 1 has just logged in to.
    JustLoggedIn,
    /// The same, and bound to a device.
    Bound,
}

/// Where the clients meet.
#[derive(Clone)]
pub(crate) struct World {
    memory: MemoryProvider,
    clock: ManualClock,
    cookie: HeaderMap,
    key: StoreKey,
    anonymous: bool,
    /// The headers of the answer that logged user 1 in.
    offer: HeaderMap,
    device: Device,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) step: u32,
    /// The ids of sessions that were saved, and by whom first.
    pub(crate) saves: BTreeMap<String, usize>,
    /// When each client fetched the session of the start.
    pub(crate) fetched_at: BTreeMap<usize, u32>,
    pub(crate) last_fetch: BTreeMap<usize, u32>,
    pub(crate) fenced_at: Option<u32>,
    /// When the secret of the start's session was first replaced, and by whom.
    pub(crate) renewed_at: Option<(u32, usize)>,
    /// Who deleted the session of the start, and when.
    pub(crate) deleted_at: Option<(u32, usize)>,
    /// Whoever moved its expiry after its secret was replaced, with the secret from before.
    pub(crate) touched_late: BTreeSet<usize>,
}

pub(crate) const USER: u64 = 1;
pub(crate) const OTHER: u64 = 2;

impl World {
    pub(crate) async fn new(start: Start) -> Self {
        let memory = MemoryProvider::new();
        let clock = ManualClock::default();
        let store = store(Store::builder(memory.clone()), &clock);
        if matches!(start, Start::TwoDevices) {
            let mut session = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
            session.user = Some(USER);
            let _ = session.commit().await.unwrap();
        }
        let mut session = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        session.tags.push("start".to_owned());
        if !matches!(start, Start::Anonymous) {
            session.user = Some(USER);
        }
        let commit = session.commit().await.unwrap();
        let cookie = headers(&pair(commit.set_cookie().unwrap()));
        let key = session.key().unwrap().clone();
        let offer = commit.headers().collect();
        let mut device = Device::new(7);
        if matches!(start, Start::Bound) {
            let answer = device.register(&store, &offer, &mut Jar::new()).await;
            assert!(answer.is_proof(), "{answer:?}");
        }
        clock.advance(match start {
            Start::JustLoggedIn | Start::Bound => Duration::from_secs(60),
            // The next touch is due, and the login of the start is long ago.
            _ => Duration::from_secs(2 * 60 * 60),
        });
        let anonymous = matches!(start, Start::Anonymous);
        Self { memory, clock, cookie, key, anonymous, offer, device, log: Arc::default() }
    }

    /// Whether nobody owned the session at the start.
    pub(crate) fn anonymous(&self) -> bool {
        self.anonymous
    }

    pub(crate) fn offer(&self) -> &HeaderMap {
        &self.offer
    }

    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    pub(crate) fn key(&self) -> &StoreKey {
        &self.key
    }

    pub(crate) fn cookie(&self) -> &HeaderMap {
        &self.cookie
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub(crate) fn last_fetch(&self, client: usize) -> u32 {
        self.log().last_fetch.get(&client).copied().unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> &MemoryProvider {
        &self.memory
    }

    pub(crate) fn now(&self) -> SystemTime {
        sessions::clock::Clock::now(&self.clock)
    }

    /// A store that no client and no driver sees.
    pub(crate) fn plain(&self) -> Store {
        store(Store::builder(self.memory.clone()), &self.clock)
    }

    /// A client's own host.
    pub(crate) fn host(
        &self,
        at: usize,
        client: Client,
        driver: UnboundedSender<Message>,
    ) -> (Store, Faults) {
        let faults = Faults::of_changes();
        let gate = Gate { client: at, driver };
        // A call that does not take place meets nobody: the faults come before the gate.
        let provider = Hooked::new(Stepped { world: self.clone(), gate }, faults.clone());
        let mut builder = Store::builder(provider);
        if let Some(cap) = client.cap {
            builder = builder.max_sessions_per_owner(cap);
        }
        (store(builder, &self.clock), faults)
    }

    /// Time passes between any two calls.
    pub(crate) fn tick(&self) {
        self.clock.advance(Duration::from_millis(1));
        self.log().step += 1;
    }

    /// Lets the idle timeout pass, once the driver lets it.
    pub(crate) async fn expire(&self, store: &Store) {
        // A call that stops at the gate.
        let _ = store.begin_login::<Visitor>(USER).await;
        self.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
    }

    /// Whether the cookie of the start still opens the session.
    async fn opens(&self) -> bool {
        let session = self.plain().load::<Visitor>(&self.cookie).await.unwrap();
        session.key() == Some(&self.key)
    }
}

fn store(builder: StoreBuilder, clock: &ManualClock) -> Store {
    builder.clock(clock.clone()).device_binding(DeviceBinding::offer()).build().unwrap()
}

struct Gate {
    client: usize,
    driver: UnboundedSender<Message>,
}

impl Gate {
    async fn pass(&self) {
        let (go, gate) = oneshot::channel();
        self.driver.send(Message::Waits(self.client, go)).expect("the driver listens");
        gate.await.expect("the driver lets everybody through");
    }
}

/// The shared memory as one client sees it.
struct Stepped {
    world: World,
    gate: Gate,
}

impl Stepped {
    async fn pass(&self, id: &str) {
        if !(id.ends_with(":keys") || id.ends_with(":epoch")) {
            self.gate.pass().await;
        }
    }
}

#[async_trait]
impl Provider for Stepped {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.pass(id).await;
        {
            let mut log = self.world.log();
            let (step, client) = (log.step, self.gate.client);
            log.last_fetch.insert(client, step);
            if id == self.world.key.as_str() {
                log.fetched_at.entry(client).or_insert(step);
            }
        }
        self.world.memory.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        if record.id.ends_with(":keys") || record.id.ends_with(":epoch") {
            return self.world.memory.save(record, expect, now).await;
        }
        self.pass(&record.id).await;
        let saved = self.world.memory.save(record, expect, now).await?;
        if saved != Saved::Saved {
            return Ok(saved);
        }
        let is_start = *record.id == *self.world.key.as_str();
        let renewed = is_start && !self.world.opens().await;
        {
            let mut log = self.world.log();
            let (step, client) = (log.step, self.gate.client);
            if record.format == "fence" {
                log.fenced_at.get_or_insert(step);
            } else if !is_start {
                log.saves.insert(record.id.to_string(), client);
            }
            if renewed {
                log.renewed_at.get_or_insert((step, client));
            }
        }
        Ok(saved)
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.pass(id).await;
        let deleted = self.world.memory.delete(id, expect, now).await?;
        if id == self.world.key.as_str() && matches!(deleted, Deleted::Deleted(Some(_))) {
            let mut log = self.world.log();
            let (step, client) = (log.step, self.gate.client);
            log.deleted_at.get_or_insert((step, client));
        }
        Ok(deleted)
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.pass(id).await;
        let touched = self.world.memory.touch(id, expires_at, expect, now).await?;
        let mut log = self.world.log();
        if touched == Touched::Touched && log.renewed_at.is_some() {
            log.touched_late.insert(self.gate.client);
        }
        Ok(touched)
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.pass(owner).await;
        self.world.memory.list(owner, page, now).await
    }
}
