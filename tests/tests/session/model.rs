//! Random histories of browsers on hosts whose clocks differ by up to ten minutes, over a provider
//! that loses answers and fails, beside a model that says what each request must come to.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sessions::{
    Error, MemoryProvider, Page, Session, Store, StoreKey,
    clock::{Clock as _, ManualClock},
    commit::CommitError,
};
use sessions_tests::hooked::{Call, Fault, Faults, Hooked};
use sessions_tests::jar::Jar;
use tokio::runtime::Runtime;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u8>,
    #[session(group = "owner")]
    role: u32,
    #[session(merge = add)]
    points: u64,
    tags: Vec<u32>,
}

const MINUTE: Duration = Duration::from_secs(60);
const BROWSERS: usize = 3;
const USERS: u8 = 2;

/// How far each host's clock is from the first one's, in seconds.
const HOSTS: [i64; 3] = [0, -300, 300];

/// One request, or what happens between two.
#[derive(Clone, Copy, Debug)]
struct Step {
    browser: usize,
    host: usize,
    /// Which of the browser's cookies it sends: the newest, or one from before.
    back: usize,
    act: Act,
    fault: Trouble,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Write,
    Login {
        user: u8,
        attempt: bool,
    },
    ChangeRole,
    Renew,
    Leave,
    Logout,
    Read,
    Update,
    RevokeAll(u8),
    /// So many seconds pass.
    Wait(u64),
}

/// What goes wrong while a request is committed.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    Next(u32),
    LostThenNext(u32),
    LostThenDown,
    LostDelete,
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        4 => Just(Act::Write),
        5 => (0..USERS, any::<bool>()).prop_map(|(user, attempt)| Act::Login { user, attempt }),
        2 => Just(Act::ChangeRole),
        1 => Just(Act::Renew),
        1 => Just(Act::Leave),
        2 => Just(Act::Logout),
        1 => Just(Act::Read),
        2 => Just(Act::Update),
        1 => (0..USERS).prop_map(Act::RevokeAll),
        3 => (0..20 * 60_u64).prop_map(Act::Wait),
    ];
    let trouble = prop_oneof![
        4 => Just(Trouble::None),
        1 => (1..6_u32).prop_map(Trouble::Next),
        1 => (0..6_u32).prop_map(Trouble::LostThenNext),
        1 => Just(Trouble::LostThenDown),
        1 => Just(Trouble::LostDelete),
    ];
    let back = option::weighted(0.3, 1..3_usize).prop_map(Option::unwrap_or_default);
    (0..BROWSERS, 0..HOSTS.len(), back, act, trouble)
        .prop_map(|(browser, host, back, act, fault)| Step { browser, host, back, act, fault })
}

/// A session as the model has it.
#[derive(Clone, Debug)]
struct Known {
    key: StoreKey,
    alive: bool,
    user: Option<u8>,
    role: u32,
    points: u64,
    tags: BTreeSet<u32>,
    /// How often its secret was replaced, when last, and whether the owner stayed the same.
    generation: u32,
    renewed_at: SystemTime,
    kept_owner: bool,
}

/// A cookie that a browser has or had.
#[derive(Clone, Debug)]
struct Cookie {
    jar: Jar,
    /// Which session it is of, and which of its secrets it holds.
    of: Option<(usize, u32)>,
}

struct Model {
    memory: MemoryProvider,
    clock: ManualClock,
    faults: Faults,
    hosts: Vec<(Store, ManualClock)>,
    sessions: Vec<Known>,
    browsers: Vec<Vec<Cookie>>,
    /// When each user's fence was raised, by the clock of the host that did.
    fences: Vec<Option<SystemTime>>,
    tags: u32,
}

/// What a cookie stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Nothing,
    Live(usize),
    Superseded(usize),
}

/// What the handler's changes come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Saved(usize),
    Unchanged,
    Gone,
    Undone,
    Ended,
}

impl Model {
    fn new() -> Self {
        let (memory, clock, faults) =
            (MemoryProvider::new(), ManualClock::default(), Faults::default());
        let hosts = HOSTS.map(|ahead| {
            let seconds = Duration::from_secs(ahead.unsigned_abs());
            let now = clock.now();
            let clock = ManualClock::new(if ahead < 0 { now - seconds } else { now + seconds });
            let provider = Hooked::new(memory.clone(), faults.clone());
            (Store::builder(provider).clock(clock.clone()).build().unwrap(), clock)
        });
        let nothing = Cookie { jar: Jar::new(), of: None };
        Self {
            memory,
            clock,
            faults,
            hosts: hosts.into(),
            sessions: Vec::new(),
            browsers: vec![vec![nothing]; BROWSERS],
            fences: vec![None; usize::from(USERS)],
            tags: 0,
        }
    }

    fn standing(&self, cookie: &Cookie, now: SystemTime) -> Standing {
        let Some((at, generation)) = cookie.of else { return Standing::Nothing };
        let known = &self.sessions[at];
        let late = now.duration_since(known.renewed_at).is_ok_and(|age| age >= 12 * MINUTE);
        match known {
            known if !known.alive => Standing::Nothing,
            known if known.generation == generation => Standing::Live(at),
            _ if late => Standing::Nothing,
            _ => Standing::Superseded(at),
        }
    }

    async fn play(&mut self, step: Step) {
        let (store, clock) = self.hosts[step.host].clone();
        match step.act {
            Act::Wait(seconds) => {
                for clock in self.hosts.iter().map(|(_, clock)| clock).chain([&self.clock]) {
                    clock.advance(Duration::from_secs(seconds));
                }
                return;
            }
            Act::RevokeAll(user) => {
                self.faults.set(trouble(step.fault));
                while store.revoke_all::<Visitor>(user).await.is_err() {
                    self.faults.set(Fault::None);
                }
                self.faults.set(Fault::None);
                self.fences[usize::from(user)] = Some(clock.now());
                for known in self.sessions.iter_mut().filter(|known| known.user == Some(user)) {
                    known.alive = false;
                }
                return;
            }
            Act::Update => {
                let Some(at) = self.sessions.len().checked_sub(1 + step.back) else { return };
                self.tags += 1;
                let (key, tag) = (self.sessions[at].key.clone(), self.tags);
                self.faults.set(trouble(step.fault));
                let updated = store
                    .update_any::<Visitor, _>(&key, |visitor| {
                        visitor.points += 1;
                        visitor.tags.push(tag);
                    })
                    .await;
                self.faults.set(Fault::None);
                let plain = self.plain();
                let known = &mut self.sessions[at];
                match updated {
                    Ok(Some(())) => {
                        assert!(known.alive);
                        known.points += 1;
                        known.tags.insert(tag);
                    }
                    Ok(None) => assert!(!known.alive),
                    // It may have taken place: what is stored says whether.
                    Err(error) => {
                        assert!(error.is_unavailable());
                        let has = |visitor: &mut Visitor| visitor.tags.contains(&tag);
                        let read = plain.update_any::<Visitor, _>(&key, has).await;
                        if read.unwrap() == Some(true) {
                            known.points += 1;
                            known.tags.insert(tag);
                        }
                    }
                }
                return;
            }
            _ => {}
        }
        self.request(step, &store, &clock).await;
    }

    /// One request of a browser.
    async fn request(&mut self, step: Step, store: &Store, clock: &ManualClock) {
        let cookies = &self.browsers[step.browser];
        let cookie = cookies[cookies.len().saturating_sub(1 + step.back)].clone();
        let attempt = match step.act {
            Act::Login { user, attempt: true } => {
                Some(store.begin_login::<Visitor>(user).await.unwrap())
            }
            _ => None,
        };
        let has_attempt = attempt.is_some();
        let now = clock.now();
        let standing = self.standing(&cookie, now);
        let mut visitor = store.load::<Visitor>(cookie.jar.headers()).await.unwrap();
        match standing {
            Standing::Live(at) => {
                let known = &self.sessions[at];
                assert_eq!(visitor.key(), Some(&known.key));
                assert_eq!((visitor.user, visitor.points), (known.user, known.points));
            }
            _ => assert!(visitor.is_new() && visitor.points == 0 && visitor.user.is_none()),
        }
        self.tags += 1;
        let tag = self.tags;
        if !matches!(step.act, Act::Read | Act::Logout | Act::Renew) {
            visitor.points += 1;
            visitor.tags.push(tag);
        }
        match step.act {
            Act::Login { user, .. } => visitor.user = Some(user),
            Act::ChangeRole => visitor.role += 1,
            Act::Renew => visitor.renew(),
            Act::Leave => visitor.user = None,
            Act::Logout => visitor.destroy(),
            _ => {}
        }
        if let Some(attempt) = attempt {
            visitor.log_in(attempt);
        }
        self.faults.set(trouble(step.fault));
        let mut jar = cookie.jar.clone();
        let mut set = false;
        let committed = loop {
            let committed = visitor.commit().await;
            self.faults.set(Fault::None);
            match committed {
                Ok(commit) => {
                    set |= jar.keep(&commit);
                    break Ok(());
                }
                Err(error) => {
                    set |= jar.keep_error(&error);
                    if !error.error().is_unavailable() {
                        break Err(error);
                    }
                }
            }
        };
        let right = self.right(step, standing, &cookie, &visitor, tag, now, has_attempt);
        self.compare(step, right, &committed);
        if set {
            let of = match right {
                Right::Saved(at) => Some((at, self.sessions[at].generation)),
                _ => None,
            };
            self.browsers[step.browser].push(Cookie { jar, of });
        }
    }

    #[track_caller]
    fn compare(&self, step: Step, right: Right, committed: &Result<(), CommitError>) {
        let is = |expected: fn(&Error) -> bool| {
            committed.as_ref().is_err_and(|error| expected(error.error()))
        };
        let fine = match right {
            Right::Saved(_) | Right::Unchanged | Right::Ended => committed.is_ok(),
            Right::Gone => is(|error| matches!(error, Error::Gone)),
            Right::Undone => is(|error| matches!(error, Error::LoginUndone)),
        };
        assert!(fine, "{step:?}: {right:?}, but {committed:?}");
    }

    /// What the request must come to; the model is brought there.
    #[allow(clippy::too_many_arguments)]
    fn right(
        &mut self,
        step: Step,
        standing: Standing,
        cookie: &Cookie,
        visitor: &Session<Visitor>,
        tag: u32,
        now: SystemTime,
        attempt: bool,
    ) -> Right {
        let key = visitor.key().cloned();
        let new = Known {
            // `None` where the login was undone.
            key: key.clone().unwrap_or_else(|| NOBODY.parse().unwrap()),
            alive: key.is_some(),
            user: None,
            role: 0,
            points: 1,
            tags: BTreeSet::from([tag]),
            generation: 0,
            renewed_at: now,
            kept_owner: true,
        };
        match (step.act, standing) {
            (Act::Read, _) => Right::Unchanged,
            (Act::Logout, Standing::Live(at)) => {
                self.sessions[at].alive = false;
                Right::Ended
            }
            (Act::Logout, _) => match cookie.of {
                // One secret ago, while the owner has been the same; however late.
                Some((at, generation)) if self.sessions[at].alive => {
                    let known = &mut self.sessions[at];
                    if known.kept_owner && known.generation == generation + 1 {
                        known.alive = false;
                        Right::Ended
                    } else {
                        Right::Gone
                    }
                }
                _ => Right::Ended,
            },
            (Act::Renew, Standing::Nothing) => Right::Unchanged,
            (Act::Login { user, .. }, Standing::Nothing | Standing::Superseded(_)) => {
                let at = self.begin(Known { user: Some(user), ..new });
                self.admitted(at, user, now, attempt)
            }
            (_, Standing::Superseded(_)) => Right::Gone,
            (act, Standing::Nothing) => {
                let role = u32::from(matches!(act, Act::ChangeRole));
                Right::Saved(self.begin(Known { role, ..new }))
            }
            (act, Standing::Live(at)) => {
                let was = self.sessions[at].clone();
                let known = &mut self.sessions[at];
                if !matches!(act, Act::Renew) {
                    known.points += 1;
                    known.tags.insert(tag);
                }
                let user = match act {
                    Act::Login { user, .. } => Some(user),
                    Act::Leave => None,
                    _ => was.user,
                };
                if was.user.is_some() && user != was.user {
                    // Another record, with the handler's value.
                    let Known { role, points, tags, .. } = std::mem::replace(known, was);
                    known.alive = false;
                    let at = self.begin(Known { user, role, points, tags, ..new });
                    return match user {
                        Some(user) => self.admitted(at, user, now, attempt),
                        None => Right::Saved(at),
                    };
                }
                known.user = user;
                known.role += u32::from(matches!(act, Act::ChangeRole));
                let proof = attempt && matches!(act, Act::Login { .. });
                let renews =
                    user != was.user || matches!(act, Act::ChangeRole | Act::Renew) || proof;
                if renews {
                    known.generation += 1;
                    known.renewed_at = now;
                    known.kept_owner = user == was.user;
                }
                match act {
                    Act::Login { user, .. } if renews => self.admitted(at, user, now, attempt),
                    _ => Right::Saved(at),
                }
            }
        }
    }

    fn begin(&mut self, known: Known) -> usize {
        self.sessions.push(known);
        self.sessions.len() - 1
    }

    /// Whether a login that was saved stands.
    fn admitted(&mut self, at: usize, user: u8, now: SystemTime, attempt: bool) -> Right {
        let fence = self.fences[usize::from(user)].filter(|raised| *raised + 60 * MINUTE > now);
        if !attempt && fence.is_some_and(|raised| raised >= now) {
            self.sessions[at].alive = false;
            return Right::Undone;
        }
        Right::Saved(at)
    }

    fn plain(&self) -> Store {
        Store::builder(self.memory.clone()).clock(self.clock.clone()).build().unwrap()
    }

    /// All that is stored is as the model has it.
    async fn check(&self) {
        let plain = self.plain();
        for known in &self.sessions {
            let read = |visitor: &mut Visitor| {
                let tags: BTreeSet<u32> = visitor.tags.iter().copied().collect();
                assert_eq!(tags.len(), visitor.tags.len(), "a tag is there twice");
                (visitor.user, visitor.role, visitor.points, tags)
            };
            let stored = plain.update_any::<Visitor, _>(&known.key, read).await.unwrap();
            let right = (known.user, known.role, known.points, known.tags.clone());
            assert_eq!(stored, known.alive.then_some(right), "{known:?}");
        }
        for user in 0..USERS {
            let listed = plain.list::<Visitor>(user, Page::first(500)).await.unwrap();
            let listed: BTreeSet<_> = listed.items.into_iter().map(|item| item.key).collect();
            let mine = self.sessions.iter().filter(|it| it.alive && it.user == Some(user));
            let right: BTreeSet<_> = mine.map(|known| known.key.clone()).collect();
            assert_eq!(listed, right, "user {user}");
        }
    }
}

fn trouble(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::None => Fault::None,
        Trouble::Next(calls) => Fault::Next(calls),
        Trouble::LostThenNext(calls) => Fault::LostThenNext(Call::Save, calls),
        Trouble::LostThenDown => Fault::LostThenDown(Call::Save),
        Trouble::LostDelete => Fault::Lost(Call::Delete, 1),
    }
}

/// The key of a session that was never answered.
const NOBODY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn histories_on_hosts_whose_clocks_differ_come_to_what_the_model_says() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    proptest!(config, |(steps in vec(step(), 1..60))| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        let runtime: Runtime = runtime.unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            for step in &steps {
                model.play(*step).await;
                model.check().await;
            }
        });
    });
}

const CASES: u32 = 400;
