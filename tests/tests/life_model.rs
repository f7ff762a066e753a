//! Long random histories of several clients over the real store, beside a model that says what
//! there must be.
//!
//! Any number of requests are under way at a time; their commits come in any order, may find the
//! provider down, or lose an answer. After each step every record that was ever saved is compared
//! with the model.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use sessions::provider::{Page, Provider as _, ProviderError, async_trait};
use sessions::{Clock as _, ManualClock, MemoryProvider, Outcome, Session, Store, StoreKey};
use sessions_tests::hooked::{Call, Fault, Faults, Hook, Hooked};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    count: u32,
    tags: Vec<u32>,
}

const CLIENTS: usize = 3;
const USERS: u64 = 2;
const IDLE: Duration = Duration::from_secs(30 * 60);
const TOUCH: Duration = Duration::from_secs(60);
/// So short that many sessions come to it.
const LIFETIME: Duration = Duration::from_secs(50 * 60);
const TOMBSTONE: Duration = Duration::from_secs(60);
const FENCE: Duration = Duration::from_secs(60 * 60);

/// What a request does with its session.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Read,
    /// Counts, and leaves a tag of its own.
    Write,
    /// Takes the oldest tag away.
    Untag,
    Renew,
    Login(u64),
    /// Nobody's again, by assignment.
    Resign,
    Destroy,
}

#[derive(Clone, Debug)]
enum Step {
    /// A client's request arrives and loads its session.
    Begin {
        client: usize,
        edit: Edit,
    },
    /// A request that is under way commits. After a failure it stays under way.
    Commit {
        request: usize,
        fault: Fault,
    },
    /// It is abandoned before its commit.
    Abandon {
        request: usize,
    },
    Revoke {
        session: usize,
    },
    RevokeAll {
        user: u64,
        fault: Fault,
    },
    /// A client gets a cookie that anybody ever had.
    Steal {
        client: usize,
        cookie: usize,
    },
    Wait(Duration),
    Purge,
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => Just(Edit::Read),
        8 => Just(Edit::Write),
        2 => Just(Edit::Untag),
        2 => Just(Edit::Renew),
        4 => (0..USERS).prop_map(Edit::Login),
        1 => Just(Edit::Resign),
        1 => Just(Edit::Destroy),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Down),
        2 => (1..=3_u32).prop_map(|save| Fault::Lost(Call::Save, save)),
        1 => Just(Fault::Lost(Call::Touch, 1)),
        1 => Just(Fault::LostEach(Call::Save, 2)),
    ]
}

fn waits() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (1..2_000_u64).prop_map(Duration::from_millis),
        2 => Just(TOUCH),
        1 => Just(TOMBSTONE - Duration::from_millis(1)),
        1 => Just(IDLE / 2),
        1 => Just(IDLE + TOUCH),
        1 => Just(FENCE),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..CLIENTS, edits()).prop_map(|(client, edit)| Step::Begin { client, edit }),
        12 => (0..64_usize, faults()).prop_map(|(request, fault)| Step::Commit { request, fault }),
        1 => (0..64_usize).prop_map(|request| Step::Abandon { request }),
        1 => (0..64_usize).prop_map(|session| Step::Revoke { session }),
        1 => (0..USERS, faults()).prop_map(|(user, fault)| Step::RevokeAll { user, fault }),
        1 => (0..CLIENTS, 0..64_usize).prop_map(|(client, cookie)| Step::Steal { client, cookie }),
        4 => waits().prop_map(Step::Wait),
        1 => Just(Step::Purge),
    ]
}

/// What a session holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Data {
    user: Option<u64>,
    count: u32,
    tags: Vec<u32>,
}

impl Data {
    fn of(visitor: &Visitor) -> Self {
        Self { user: visitor.user, count: visitor.count, tags: visitor.tags.clone() }
    }
}

/// What stands under an id.
#[derive(Clone, Debug)]
enum Entry {
    Live {
        data: Data,
        created: SystemTime,
        expires: SystemTime,
    },
    /// Its session went on under another id.
    Moved {
        next: StoreKey,
        until: SystemTime,
    },
    Ended,
}

/// Where a request's session came from.
#[derive(Clone, Debug)]
enum From {
    Nothing,
    Record { key: StoreKey, base: Data, expires: SystemTime },
    Tombstone { key: StoreKey },
}

struct Request {
    client: usize,
    session: Session<Visitor>,
    from: From,
    mine: Data,
    edit: Edit,
    loaded: SystemTime,
}

/// What the model says of a commit.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ok(Outcome),
    Unavailable,
}

/// What must be there.
#[derive(Default)]
struct Model {
    entries: BTreeMap<StoreKey, Entry>,
    /// The session that each one descends from.
    roots: BTreeMap<StoreKey, StoreKey>,
    fences: BTreeMap<u64, SystemTime>,
    next_tag: u32,
}

impl Model {
    fn live(&self, key: &StoreKey, now: SystemTime) -> Option<(&Data, SystemTime, SystemTime)> {
        match self.entries.get(key)? {
            Entry::Live { data, created, expires } if now < *expires => {
                Some((data, *created, *expires))
            }
            _ => None,
        }
    }

    fn find(&self, cookie: Option<&StoreKey>, now: SystemTime) -> From {
        let Some(key) = cookie else { return From::Nothing };
        if let Some((data, _, expires)) = self.live(key, now) {
            return From::Record { key: key.clone(), base: data.clone(), expires };
        }
        match self.entries.get(key) {
            Some(Entry::Moved { until, .. }) if now < *until => {
                From::Tombstone { key: key.clone() }
            }
            _ => From::Nothing,
        }
    }

    fn is_fenced(&self, user: u64, loaded: SystemTime, now: SystemTime) -> bool {
        self.fences.get(&user).is_some_and(|at| *at >= loaded && now < *at + FENCE)
    }

    /// Ends a session, wherever it went.
    fn end(&mut self, key: &StoreKey) {
        let mut key = key.clone();
        while let Some(entry) = self.entries.insert(key.clone(), Entry::Ended) {
            let Entry::Moved { next, .. } = entry else { break };
            key = next;
        }
    }
}

fn expiry(created: SystemTime, now: SystemTime) -> SystemTime {
    (now + IDLE + TOUCH).min(created + LIFETIME)
}

/// My changes since `base`, made to `theirs`.
fn merge(base: &Data, mine: &Data, theirs: &Data) -> Data {
    if mine.user != base.user && base.user.is_some() {
        return mine.clone();
    }
    let mut tags = theirs.tags.clone();
    tags.retain(|tag| mine.tags.contains(tag) || !base.tags.contains(tag));
    tags.extend(mine.tags.iter().filter(|tag| !base.tags.contains(tag)));
    Data {
        user: if mine.user == base.user { theirs.user } else { mine.user },
        count: theirs.count + mine.count - base.count,
        tags,
    }
}

/// Remembers every id that was ever saved.
#[derive(Clone, Default)]
struct Ids(Arc<Mutex<BTreeSet<String>>>, Faults);

#[async_trait]
impl Hook for Ids {
    async fn before(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        self.1.before(call, id).await?;
        if call == Call::Save {
            self.0.lock().unwrap().insert(id.to_owned());
        }
        Ok(())
    }

    async fn after(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        self.1.after(call, id).await
    }
}

/// The store, and the model beside it.
struct World {
    memory: MemoryProvider,
    store: Store,
    clock: ManualClock,
    ids: Ids,
    /// Each client's cookie, and the session that it names.
    clients: Vec<(Jar, Option<StoreKey>)>,
    cookies: Vec<(Jar, StoreKey)>,
    requests: Vec<Request>,
    model: Model,
    /// How many commits ended in each way.
    seen: BTreeMap<String, u32>,
}

impl World {
    fn new() -> Self {
        let (memory, clock, ids) = (MemoryProvider::new(), ManualClock::default(), Ids::default());
        let store = Store::builder(Hooked::new(memory.clone(), ids.clone()))
            .clock(clock.clone())
            .idle_timeout(IDLE)
            .touch_interval(TOUCH)
            .lifetime(LIFETIME)
            .build()
            .unwrap();
        Self {
            memory,
            store,
            clock,
            ids,
            clients: vec![(Jar::new(), None); CLIENTS],
            cookies: Vec::new(),
            requests: Vec::new(),
            model: Model::default(),
            seen: BTreeMap::new(),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Begin { client, edit } => self.begin(*client, *edit).await?,
            Step::Commit { request, fault } if !self.requests.is_empty() => {
                let request = request % self.requests.len();
                self.commit(request, *fault).await?;
            }
            Step::Abandon { request } if !self.requests.is_empty() => {
                self.requests.remove(request % self.requests.len());
            }
            Step::Revoke { session } if !self.model.entries.is_empty() => {
                let session = session % self.model.entries.len();
                let key = self.model.entries.keys().nth(session).unwrap().clone();
                self.store.revoke_any(&key).await.unwrap();
                self.end_now(&key).await;
            }
            Step::RevokeAll { user, fault } => self.revoke_all(*user, *fault).await?,
            Step::Steal { client, cookie } if !self.cookies.is_empty() => {
                let (jar, key) = self.cookies[cookie % self.cookies.len()].clone();
                self.clients[*client] = (jar, Some(key));
            }
            Step::Wait(time) => self.clock.advance(*time),
            Step::Purge => {
                self.memory.purge(self.clock.now(), 1_000).await.unwrap();
            }
            Step::Commit { .. }
            | Step::Abandon { .. }
            | Step::Revoke { .. }
            | Step::Steal { .. } => {}
        }
        self.check().await
    }

    async fn begin(&mut self, client: usize, edit: Edit) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let (jar, cookie) = &self.clients[client];
        let mut session = self.store.load::<Visitor>(jar.headers()).await.unwrap();
        let from = self.model.find(cookie.as_ref(), now);
        let base = match &from {
            From::Record { key, base, expires } => {
                prop_assert_eq!(session.key(), Some(key));
                prop_assert_eq!(session.expires_at(), Some(*expires));
                base.clone()
            }
            From::Nothing | From::Tombstone { .. } => {
                prop_assert!(session.is_new(), "an ended or unknown session was found");
                Data::default()
            }
        };
        prop_assert_eq!(&Data::of(&session), &base);
        match edit {
            Edit::Read => {}
            Edit::Write => {
                session.count += 1;
                session.tags.push(self.model.next_tag);
                self.model.next_tag += 1;
            }
            Edit::Untag => {
                session.tags.drain(..base.tags.len().min(1));
            }
            Edit::Renew => session.renew(),
            Edit::Login(user) => session.user = Some(user),
            Edit::Resign => session.user = None,
            Edit::Destroy => session.destroy(),
        }
        let mine = Data::of(&session);
        self.requests.push(Request { client, session, from, mine, edit, loaded: now });
        Ok(())
    }

    async fn commit(&mut self, index: usize, fault: Fault) -> Result<(), TestCaseError> {
        let request = &mut self.requests[index];
        self.ids.1.set(fault);
        let committed = request.session.commit().await;
        self.ids.1.set(Fault::None);
        let verdict = match &committed {
            Ok(commit) => Verdict::Ok(commit.outcome()),
            Err(error) if error.is_unavailable() => Verdict::Unavailable,
            Err(error) => return Err(TestCaseError::fail(format!("{error}"))),
        };
        *self.seen.entry(format!("{verdict:?}")).or_default() += 1;
        let key = request.session.key().cloned();
        let expected = self.expect(index, fault, key.as_ref()).await?;
        prop_assert_eq!(&verdict, &expected);
        let Ok(commit) = committed else { return Ok(()) };

        let request = self.requests.swap_remove(index);
        let client = &mut self.clients[request.client];
        if client.0.keep(&commit) {
            client.1 = None;
            if verdict == Verdict::Ok(Outcome::Saved) {
                let key = key.expect("what is saved has a key");
                client.1 = Some(key.clone());
                self.cookies.push((client.0.clone(), key));
            }
        } else {
            // A response without a cookie leaves the client's as it is.
            let new_id = matches!(&request.from, From::Record { key: from, .. } if Some(from) != key.as_ref());
            prop_assert!(
                !new_id || verdict != Verdict::Ok(Outcome::Saved),
                "saved without a cookie"
            );
        }
        if verdict == Verdict::Ok(Outcome::Saved) {
            let stored = Data::of(&request.session);
            let (data, ..) =
                self.model.live(request.session.key().unwrap(), self.clock.now()).unwrap();
            prop_assert_eq!(&stored, data, "the handle shows what is stored");
        }
        Ok(())
    }

    /// What a commit must come to; `to` is the session's key after it.
    async fn expect(
        &mut self,
        index: usize,
        fault: Fault,
        to: Option<&StoreKey>,
    ) -> Result<Verdict, TestCaseError> {
        let Request { from, mine, edit, loaded, .. } = &self.requests[index];
        let (from, mine, edit, loaded) = (from.clone(), mine.clone(), *edit, *loaded);
        let now = self.clock.now();
        let down = fault == Fault::Down;
        let base = match &from {
            From::Record { base, .. } => base.clone(),
            From::Nothing | From::Tombstone { .. } => Data::default(),
        };
        if let Edit::Destroy = edit {
            return Ok(match from {
                From::Nothing => Verdict::Ok(Outcome::Destroyed),
                _ if down => Verdict::Unavailable,
                From::Record { key, .. } | From::Tombstone { key } => {
                    self.end_now(&key).await;
                    Verdict::Ok(Outcome::Destroyed)
                }
            });
        }
        let changed = mine != base;
        match from {
            From::Tombstone { .. } if changed => Ok(Verdict::Ok(Outcome::Dropped)),
            From::Tombstone { .. } => Ok(Verdict::Ok(Outcome::Unchanged)),
            From::Nothing if !changed => Ok(Verdict::Ok(Outcome::Unchanged)),
            From::Nothing if down => Ok(Verdict::Unavailable),
            From::Nothing => {
                if mine.user.is_some_and(|user| self.model.is_fenced(user, loaded, now)) {
                    return Ok(Verdict::Ok(Outcome::Dropped));
                }
                self.add(to, None, mine, now, now)?;
                Ok(Verdict::Ok(Outcome::Saved))
            }
            From::Record { key, expires, .. } => {
                let new_id = matches!(edit, Edit::Renew) || mine.user != base.user;
                if !changed && !new_id {
                    self.touch(&key, expires, now, fault);
                    return Ok(Verdict::Ok(Outcome::Unchanged));
                }
                if down {
                    return Ok(Verdict::Unavailable);
                }
                let login = mine.user.filter(|_| mine.user != base.user);
                if login.is_some_and(|user| self.model.is_fenced(user, loaded, now)) {
                    return Ok(Verdict::Ok(Outcome::Dropped));
                }
                let Some((theirs, created, _)) = self.model.live(&key, now) else {
                    return Ok(Verdict::Ok(Outcome::Dropped));
                };
                let data = merge(&base, &mine, theirs);
                let created = if mine.user == base.user { created } else { now };
                if new_id {
                    self.add(to, Some(&key), data, created, now)?;
                    let next = to.unwrap().clone();
                    let moved = Entry::Moved { next, until: now + TOMBSTONE };
                    self.model.entries.insert(key, moved);
                } else {
                    let expires = expiry(created, now);
                    self.model.entries.insert(key, Entry::Live { data, created, expires });
                }
                Ok(Verdict::Ok(Outcome::Saved))
            }
        }
    }

    /// A session under an id that nobody has heard of before.
    fn add(
        &mut self,
        key: Option<&StoreKey>,
        from: Option<&StoreKey>,
        data: Data,
        created: SystemTime,
        now: SystemTime,
    ) -> Result<(), TestCaseError> {
        let Some(key) = key else { return Err(TestCaseError::fail("not saved")) };
        let expires = expiry(created, now);
        let entry = Entry::Live { data, created, expires };
        let known = self.model.entries.insert(key.clone(), entry);
        prop_assert!(known.is_none(), "an id was adopted");
        let root = from.map_or(key, |from| &self.model.roots[from]).clone();
        self.model.roots.insert(key.clone(), root);
        Ok(())
    }

    /// The end of a request that changed nothing.
    fn touch(&mut self, key: &StoreKey, loaded: SystemTime, now: SystemTime, fault: Fault) {
        let Some(Entry::Live { created, expires, .. }) = self.model.entries.get_mut(key) else {
            return;
        };
        // What is due is decided by what was loaded.
        let due = expiry(*created, now);
        let gains = due.duration_since(loaded).is_ok_and(|gain| gain >= TOUCH);
        if gains && fault != Fault::Down && now < *expires {
            *expires = due.max(*expires);
        }
    }

    /// Ends a session in the model. A tombstone whose time has passed may have been removed, and
    /// then it leads nowhere any more.
    async fn end_now(&mut self, key: &StoreKey) {
        let now = self.clock.now();
        let mut at = key.clone();
        while let Some(Entry::Moved { next, until }) = self.model.entries.get(&at) {
            let next = next.clone();
            let lost = now >= *until && self.is_stored(&next).await;
            self.model.entries.insert(at, Entry::Ended);
            if lost {
                return;
            }
            at = next;
        }
        self.model.end(&at);
    }

    async fn is_stored(&self, key: &StoreKey) -> bool {
        self.memory.fetch(key.as_str(), self.clock.now()).await.unwrap().is_some()
    }

    async fn revoke_all(&mut self, user: u64, fault: Fault) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        self.ids.1.set(fault);
        let ended = self.store.revoke_all::<Visitor>(user).await;
        self.ids.1.set(Fault::None);
        if fault == Fault::Down {
            prop_assert!(ended.is_err_and(|error| error.is_unavailable()));
            return Ok(());
        }
        let owned = |entry: &Entry| matches!(entry, Entry::Live { data, expires, .. } if data.user == Some(user) && now < *expires);
        let mut count = 0;
        for entry in self.model.entries.values_mut().filter(|entry| owned(entry)) {
            *entry = Entry::Ended;
            count += 1;
        }
        self.model.fences.insert(user, now);
        prop_assert_eq!(ended.unwrap(), count);
        Ok(())
    }

    /// Everything that was ever saved is as the model has it.
    async fn check(&self) -> Result<(), TestCaseError> {
        let now = self.clock.now();
        let ids = self.ids.0.lock().unwrap().clone();
        let mut families: BTreeMap<&StoreKey, u32> = BTreeMap::new();
        let mut owned = BTreeMap::<u64, u64>::new();
        for id in &ids {
            let record = self.memory.fetch(id, now).await.unwrap();
            let key: StoreKey = id.parse().unwrap();
            let is_session =
                record.as_ref().is_some_and(|record| record.format.starts_with("visitor/"));
            let live = self.model.live(&key, now);
            prop_assert_eq!(is_session, live.is_some(), "live in the store, and in the model");
            let Some((data, _, expires)) = live else { continue };
            let record = record.unwrap();
            prop_assert_eq!(record.expires_at, Some(expires));
            let owner = data.user.map(|user| format!("app/visitor/{user}"));
            prop_assert_eq!(record.owner.as_deref(), owner.as_deref());
            *families.entry(&self.model.roots[&key]).or_default() += 1;
            if let Some(user) = data.user {
                *owned.entry(user).or_default() += 1;
            }
        }
        prop_assert!(families.values().all(|live| *live == 1), "two sessions from one cookie");
        for user in 0..USERS {
            let listed = self.store.list::<Visitor>(user, Page::first(1_000)).await.unwrap();
            let expected = owned.get(&user).copied().unwrap_or_default();
            prop_assert_eq!(listed.items.len() as u64, expected);
        }
        Ok(())
    }
}

fn run(steps: &[Step], seen: &Mutex<BTreeMap<String, u32>>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        for step in steps {
            world.step(step).await?;
        }
        for (outcome, count) in world.seen {
            *seen.lock().unwrap().entry(outcome).or_default() += count;
        }
        Ok(())
    })
}

#[test]
fn random_histories_are_as_the_model_says() {
    let seen = Mutex::default();
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let histories = prop::collection::vec(steps(), 20..200);
    runner.run(&histories, |steps| run(&steps, &seen)).unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.into_inner().unwrap();
    println!("{seen:?}");
    for outcome in ["Ok(Saved)", "Ok(Unchanged)", "Ok(Destroyed)", "Ok(Dropped)", "Unavailable"] {
        assert!(seen.get(outcome).is_some_and(|count| *count > 100), "{outcome} is rare: {seen:?}");
    }
}
