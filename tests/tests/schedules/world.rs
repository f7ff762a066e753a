//! One session, the clients that work on it, and what must hold when they are done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::header::{COOKIE, HeaderMap, HeaderValue};
use sessions::provider::{
    Expect, Listed, Page, Provider, ProviderError, Record, Saved, async_trait,
};
use sessions::{Clock as _, ManualClock, MemoryProvider, Outcome, Session, Store, StoreKey};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::driver::Message;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    count: u32,
    tags: Vec<String>,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Makes user 1 the owner, counts, and leaves its tag.
    Login,
    /// Counts, and leaves its tag.
    Write,
    /// Destroys the session that its cookie names.
    Logout,
    /// Ends the session that there was at the start, by its key.
    Revoke,
    /// Ends all sessions of user 1.
    RevokeAll,
    /// Lets the idle timeout pass.
    Expire,
    /// A write whose save takes place although its answer is lost.
    LostWrite,
    /// A login that loses the answer to this save.
    LostLogin { save: u32 },
}

/// What there is at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// A session that nobody owns.
    Anonymous,
    /// A session that user 1 owns.
    LoggedIn,
}

/// What a client came to.
pub(crate) struct End {
    /// It found the session that there was at the start, live.
    found: bool,
    /// How its commit ended; `None` where it has none or it failed.
    outcome: Option<Outcome>,
    /// The cookie that its response set.
    cookie: Option<String>,
}

/// Where the clients meet.
#[derive(Clone)]
pub(crate) struct World {
    memory: MemoryProvider,
    clock: ManualClock,
    cookie: HeaderMap,
    key: StoreKey,
    naive: bool,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    step: u32,
    /// Who saved a record of this id, and when.
    saves: BTreeMap<String, usize>,
    fetched_at: BTreeMap<usize, u32>,
    fenced_at: Option<u32>,
}

const USER: u64 = 1;

impl World {
    pub(crate) async fn new(start: Start, naive: bool) -> Self {
        let memory = MemoryProvider::new();
        let clock = ManualClock::default();
        let store = Store::builder(memory.clone()).clock(clock.clone()).build().unwrap();
        let mut session = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        session.tags.push("start".to_owned());
        if matches!(start, Start::LoggedIn) {
            session.user = Some(USER);
        }
        let commit = session.commit().await.unwrap();
        let cookie = pair(commit.set_cookie().unwrap());
        let cookie = HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).unwrap())]);
        let key = session.key().unwrap().clone();
        Self { memory, clock, cookie, key, naive, log: Arc::default() }
    }

    /// Time passes between any two calls.
    pub(crate) fn tick(&self) {
        self.clock.advance(Duration::from_millis(1));
        self.log.lock().unwrap().step += 1;
    }

    /// A host of its own that does one thing.
    pub(crate) fn client(
        &self,
        client: usize,
        action: Action,
        driver: UnboundedSender<Message>,
    ) -> impl Future<Output = End> + Send + use<> {
        let lose = match action {
            Action::LostWrite => Some(1),
            Action::LostLogin { save } => Some(save),
            _ => None,
        };
        let gate = Gate { client, driver: driver.clone() };
        let provider = Stepped { world: self.clone(), gate, lose: Mutex::new(lose) };
        let world = self.clone();
        async move {
            let end = world.act(client, action, provider).await;
            driver.send(Message::Ended).expect("the driver listens");
            end
        }
    }

    async fn act(&self, client: usize, action: Action, provider: Stepped) -> End {
        let mut end = End { found: false, outcome: None, cookie: None };
        if action == Action::Expire {
            provider.gate.pass().await;
            self.clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
            return end;
        }
        let store = Store::builder(provider).clock(self.clock.clone()).build().unwrap();
        match action {
            Action::Revoke => {
                store.revoke_any(&self.key).await.expect("nothing fails");
                return end;
            }
            Action::RevokeAll => {
                store.revoke_all::<Visitor>(USER).await.expect("nothing fails");
                return end;
            }
            _ => {}
        }
        let mut session = store.load::<Visitor>(&self.cookie).await.expect("nothing fails");
        end.found = session.key() == Some(&self.key);
        match action {
            Action::Logout => session.destroy(),
            Action::Login | Action::LostLogin { .. } => session.user = Some(USER),
            _ => {}
        }
        session.count += 1;
        session.tags.push(client.to_string());
        if let Ok(commit) = session.commit().await {
            end.outcome = Some(commit.outcome());
            end.cookie = commit.set_cookie().map(pair);
        }
        end
    }

    /// What must hold whatever happened.
    pub(crate) async fn check(&self, clients: &[Action], ends: &[End]) -> Result<(), String> {
        let now = self.clock.now();
        let (saves, fetched_at, fenced_at) = {
            let log = self.log.lock().unwrap();
            (log.saves.clone(), log.fetched_at.clone(), log.fenced_at)
        };
        // What came from the session at the start: itself, and what was saved by who found it.
        let mut live = Vec::new();
        let descends = saves.iter().filter(|(_, client)| ends[**client].found);
        let ids = descends.map(|(id, _)| id.as_str()).chain([self.key.as_str()]);
        for id in std::collections::BTreeSet::from_iter(ids) {
            let record = self.memory.fetch(id, now).await.expect("memory does not fail");
            live.extend(record.filter(|record| record.format.starts_with("visitor/")));
        }
        if live.len() > 1 {
            return Err(format!("{} live sessions from one cookie", live.len()));
        }
        let ends_it = |action| matches!(action, Action::Logout | Action::Revoke | Action::Expire);
        if clients.iter().any(|action| ends_it(*action)) && !live.is_empty() {
            return Err("what was ended is alive".to_owned());
        }
        if clients.contains(&Action::RevokeAll) {
            for record in &live {
                let client = saves.get(&*record.id).copied();
                let loaded = client.and_then(|client| fetched_at.get(&client));
                if record.owner.is_some() && loaded.is_none_or(|loaded| Some(*loaded) < fenced_at) {
                    return Err("a session survived revoke_all".to_owned());
                }
            }
        }
        let Some(record) = live.first() else { return Ok(()) };
        self.check_content(record, ends).await
    }

    /// Nothing that was saved is lost or there twice, and who logged in has a cookie that works.
    async fn check_content(&self, record: &Record, ends: &[End]) -> Result<(), String> {
        let store = Store::builder(self.memory.clone()).clock(self.clock.clone()).build().unwrap();
        let key: StoreKey = record.id.parse().expect("a session's id");
        let mut content = None;
        let cookies = ends.iter().filter_map(|end| end.cookie.clone());
        let cookies = cookies
            .map(|pair| HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(pair).unwrap())]));
        for cookie in cookies.chain([self.cookie.clone()]) {
            let session = store.load::<Visitor>(&cookie).await.expect("memory does not fail");
            if session.key() == Some(&key) {
                content = Some((session.count, session.tags.clone()));
            }
        }
        let Some((count, mut tags)) = content else {
            return Err("no browser has the cookie of the live session".to_owned());
        };
        let mut expected = vec!["start".to_owned()];
        for (client, end) in ends.iter().enumerate() {
            if end.found && end.outcome == Some(Outcome::Saved) {
                expected.push(client.to_string());
            }
        }
        tags.sort();
        expected.sort();
        if tags != expected {
            return Err(format!("tags {tags:?} instead of {expected:?}"));
        }
        if count as usize != expected.len() - 1 {
            return Err(format!("counted {count} instead of {}", expected.len() - 1));
        }
        Ok(())
    }
}

fn pair(cookie: &HeaderValue) -> String {
    cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
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
    /// Which save loses its answer, counted down.
    lose: Mutex<Option<u32>>,
}

impl Stepped {
    async fn pass(&self, id: &str) {
        if !id.ends_with(":keys") {
            self.gate.pass().await;
        }
    }

    fn loses(&self) -> bool {
        let mut lose = self.lose.lock().unwrap();
        *lose = lose.map(|left| left.saturating_sub(1));
        if *lose == Some(0) {
            *lose = None;
            return true;
        }
        false
    }
}

#[async_trait]
impl Provider for Stepped {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.pass(id).await;
        if id == self.world.key.as_str() {
            let mut log = self.world.log.lock().unwrap();
            let step = log.step;
            log.fetched_at.entry(self.gate.client).or_insert(step);
        }
        self.world.memory.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.pass(&record.id).await;
        let memory = &self.world.memory;
        let saved = if self.world.naive && record.format == "tombstone" {
            memory.delete(&record.id).await?;
            Saved::Saved
        } else {
            memory.save(record, expect, now).await?
        };
        if saved == Saved::Saved && !record.id.ends_with(":keys") {
            let mut log = self.world.log.lock().unwrap();
            if record.format == "fence" {
                log.fenced_at = Some(log.step);
            } else if *record.id != *self.world.key.as_str() {
                log.saves.insert(record.id.to_string(), self.gate.client);
            }
            drop(log);
            if self.loses() {
                return Err(ProviderError::unavailable("the answer was lost"));
            }
        }
        Ok(saved)
    }

    async fn delete(&self, id: &str) -> Result<Option<Record>, ProviderError> {
        self.pass(id).await;
        self.world.memory.delete(id).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        now: SystemTime,
    ) -> Result<bool, ProviderError> {
        self.pass(id).await;
        self.world.memory.touch(id, expires_at, now).await
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
