//! Clients that read, write, renew and end sessions through random hosts, and know what was answered
//! when.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use rand::Rng as _;
use sessions::{Session, Store};
use sessions_tests::browser::{Answer, Browser};
use sessions_tests::jar::Jar;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The longest that another host may serve what has ended, as the documentation of `Cache` says.
const PROMISE: Duration = Duration::from_secs(3);

/// How long a request may take before its client gives up.
const PATIENCE: Duration = Duration::from_secs(30);

const CLIENTS: u64 = 8;

/// The session type of the hosts.
#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    count: u64,
}

/// What the clients of one database know.
#[derive(Clone)]
pub(crate) struct Check(Arc<Shared>);

struct Shared {
    hosts: Vec<SocketAddr>,
    is_over: AtomicBool,
    /// While the database or a host's connection to it is disturbed, a host may fail to tell others
    /// of plain changes.
    is_disturbed: AtomicBool,
    reads: AtomicU64,
    refused: AtomicU64,
    acts: AtomicU64,
    unknown: AtomicU64,
}

/// A cookie, and since when it is dead.
#[derive(Clone)]
struct Cookie {
    jar: Jar,
    /// When the answer came that it is, and from which host.
    dead: Option<(Instant, usize)>,
}

/// A client's session.
#[derive(Default)]
struct State {
    /// The newest last.
    cookies: Vec<Cookie>,
    /// The additions that were answered: when, by which host, and how many there were then. `true`
    /// for those that the host may have told nobody of.
    added: Vec<(Instant, usize, u64, bool)>,
    /// How many may have taken place besides.
    unknown: u64,
    /// Raised by each act, and odd while one is under way.
    turn: u64,
}

impl State {
    fn count(&self) -> u64 {
        self.added.last().map_or(0, |(_, _, count, _)| *count)
    }

    /// The least that a host must count in a request that begins now.
    fn floor(&self, host: usize, now: Instant) -> u64 {
        let must = |(at, by, _, untold): &&(Instant, usize, u64, bool)| {
            *by == host || !untold && now.duration_since(*at) > PROMISE
        };
        self.added.iter().rev().find(must).map_or(0, |(_, _, count, _)| *count)
    }
}

impl Check {
    pub(crate) fn new(hosts: &[SocketAddr]) -> Self {
        Self(Arc::new(Shared {
            hosts: hosts.to_vec(),
            is_over: AtomicBool::new(false),
            is_disturbed: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            acts: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }))
    }

    /// Says that plain changes may not be told of, or are told of again.
    pub(crate) fn disturb(&self, is: bool) {
        self.0.is_disturbed.store(is, Ordering::SeqCst);
    }

    /// Runs clients beside `faults`, until that is over and what it did can be noticed no more. `store`
    /// has no cache: it shows what is stored.
    pub(crate) async fn run(&self, store: &Store, faults: impl Future<Output = ()>) {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let state = Arc::new(Mutex::new(State::default()));
            clients.spawn(self.clone().acts(number, state.clone(), store.clone()));
            clients.spawn(self.clone().reads(state));
        }
        tokio::select! {
            () = faults => {}
            // The first failure ends the test.
            Some(ended) = clients.join_next() => match ended {
                Err(error) => std::panic::resume_unwind(error.into_panic()),
                Ok(()) => panic!("a client ended early"),
            },
        }
        self.0.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = clients.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let shared = &self.0;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (reads, refused) = (count(&shared.reads), count(&shared.refused));
        let (acts, unknown) = (count(&shared.acts), count(&shared.unknown));
        println!(
            "{reads} reads, {refused} of dead cookies refused; {acts} acts, {unknown} unanswered"
        );
        assert!(reads > 1_000 && refused > 100 && acts > 200, "it did too little");
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::SeqCst)
    }

    /// One of the hosts, and a browser at it with these cookies.
    fn visit(&self, jar: &Jar) -> (usize, Browser) {
        let host = rand::rng().random_range(0..self.0.hosts.len());
        let mut browser = Browser::new(self.0.hosts[host]);
        browser.jar = jar.clone();
        (host, browser)
    }

    /// One of a session's cookies, the turn, and the least that each host must count.
    fn pick(&self, state: &State) -> Option<(Cookie, u64, Vec<u64>)> {
        let last = state.cookies.len().checked_sub(1)?;
        let at = if rand::random_ratio(1, 3) { rand::rng().random_range(0..=last) } else { last };
        let now = Instant::now();
        let floors = (0..self.0.hosts.len()).map(|host| state.floor(host, now)).collect();
        Some((state.cookies[at].clone(), state.turn, floors))
    }

    /// Reads a session with its cookies, also with dead ones, and checks the answer.
    async fn reads(self, state: Arc<Mutex<State>>) {
        while !self.is_over() {
            let picked = self.pick(&state.lock().unwrap());
            let Some((cookie, turn, floors)) = picked else {
                tokio::task::yield_now().await;
                continue;
            };
            let (host, mut browser) = self.visit(&cookie.jar);
            let began = Instant::now();
            let Ok(Some(answer)) = timeout(PATIENCE, browser.try_get("/read")).await else {
                continue;
            };
            if answer.status != StatusCode::OK {
                continue;
            }
            self.0.reads.fetch_add(1, Ordering::Relaxed);
            let count = answer.body.parse::<u64>().ok();
            if let Some((dead, by)) = cookie.dead {
                let late = began.duration_since(dead);
                assert!(
                    count.is_none() || late <= PROMISE && by != host,
                    "host {host} served a session {late:?} after host {by} had answered that it ended"
                );
                self.0.refused.fetch_add(u64::from(count.is_none()), Ordering::Relaxed);
                continue;
            }
            let is_same = state.lock().unwrap().turn == turn && turn % 2 == 0;
            assert!(count.is_some() || !is_same, "host {host} refused a live session");
            if let Some(count) = count {
                let floor = floors[host];
                assert!(count >= floor, "host {host} counts {count} where {floor} were answered");
            }
        }
    }

    /// Changes a session, ends it, and begins the next.
    async fn acts(self, number: u64, state: Arc<Mutex<State>>, store: Store) {
        while !self.is_over() {
            {
                let mut state = state.lock().unwrap();
                // An odd turn stays so until the next session has begun.
                *state = State { turn: state.turn | 1, ..State::default() };
            }
            let (_, mut browser) = self.visit(&Jar::new());
            let login = format!("/login/{number}");
            let Some(answer) = self.act(&mut browser, &login).await else { continue };
            if answer.status != StatusCode::OK || browser.jar.is_empty() {
                continue;
            }
            {
                let mut state = state.lock().unwrap();
                state.cookies = vec![Cookie { jar: browser.jar, dead: None }];
                state.turn += 1;
            }
            while !self.is_over() && self.act_once(&state).await {}
            self.compare(&state, &store).await;
        }
    }

    /// Sends one request that changes something.
    async fn act(&self, browser: &mut Browser, path: &str) -> Option<Answer> {
        self.0.acts.fetch_add(1, Ordering::Relaxed);
        let answer = timeout(PATIENCE, browser.try_post(path)).await.ok().flatten();
        let answer = answer.filter(|answer| !answer.status.is_server_error());
        self.0.unknown.fetch_add(u64::from(answer.is_none()), Ordering::Relaxed);
        answer
    }

    /// One act. Returns `false` once the session has ended, or nobody knows.
    async fn act_once(&self, state: &Mutex<State>) -> bool {
        let jar = {
            let mut state = state.lock().unwrap();
            state.turn += 1;
            state.cookies.last().unwrap().jar.clone()
        };
        let (host, mut browser) = self.visit(&jar);
        let kind = rand::rng().random_range(0..200);
        let goes_on = match kind {
            0..90 => self.add(state, host, &mut browser).await,
            90..120 => self.renew(state, host, &mut browser).await,
            120..122 => self.end(state, host, &mut browser, "/logout").await,
            122..124 => match timeout(PATIENCE, browser.try_get("/key")).await {
                Ok(Some(key)) if key.body.len() == 43 => {
                    let (host, mut other) = self.visit(&Jar::new());
                    self.end(state, host, &mut other, &format!("/revoke/{}", key.body)).await
                }
                _ => true,
            },
            // Time for the other hosts' caches.
            _ => {
                for _ in 0..20 {
                    let _ = timeout(PATIENCE, browser.try_get("/read")).await;
                }
                true
            }
        };
        if goes_on {
            state.lock().unwrap().turn += 1;
        }
        goes_on
    }

    async fn add(&self, state: &Mutex<State>, host: usize, browser: &mut Browser) -> bool {
        let untold = || self.0.is_disturbed.load(Ordering::SeqCst);
        let was_disturbed = untold();
        let answer = self.act(browser, "/add").await;
        let mut state = state.lock().unwrap();
        match answer {
            Some(answer) if answer.status == StatusCode::OK => {
                let count = state.count() + 1;
                state.added.push((Instant::now(), host, count, was_disturbed || untold()));
                state.cookies.last_mut().unwrap().jar = browser.jar.clone();
                true
            }
            Some(answer) => {
                panic!("host {host} refused a live session's change: {}", answer.status)
            }
            None => {
                state.unknown += 1;
                true
            }
        }
    }

    async fn renew(&self, state: &Mutex<State>, host: usize, browser: &mut Browser) -> bool {
        match self.act(browser, "/renew").await {
            Some(answer) if answer.status == StatusCode::OK => {
                let mut state = state.lock().unwrap();
                state.cookies.last_mut().unwrap().dead = Some((Instant::now(), host));
                state.cookies.push(Cookie { jar: browser.jar.clone(), dead: None });
                true
            }
            Some(answer) => panic!("host {host} refused to renew a session: {}", answer.status),
            None => false,
        }
    }

    /// Ends the session, and looks for a while that it stays so.
    async fn end(
        &self,
        state: &Mutex<State>,
        host: usize,
        browser: &mut Browser,
        path: &str,
    ) -> bool {
        let Some(answer) = self.act(browser, path).await else { return false };
        assert_eq!(answer.status, StatusCode::OK, "host {host}: {}", answer.body);
        let ended = Instant::now();
        {
            let mut state = state.lock().unwrap();
            state.cookies.last_mut().unwrap().dead = Some((ended, host));
        }
        // The readers go on with it.
        tokio::time::sleep_until((ended + PROMISE + Duration::from_millis(500)).into()).await;
        false
    }

    /// Compares what is stored with what was answered.
    async fn compare(&self, state: &Mutex<State>, store: &Store) {
        let (cookie, answered, unknown) = {
            let state = state.lock().unwrap();
            (state.cookies.last().unwrap().clone(), state.count(), state.unknown)
        };
        if cookie.dead.is_some() {
            return;
        }
        let Ok(visitor) = store.load::<Visitor>(cookie.jar.headers()).await else { return };
        // A renewal that was not answered may have taken this cookie's place.
        if !visitor.is_new() {
            let stored = visitor.count;
            assert!(
                (answered..=answered + unknown).contains(&stored),
                "{stored} are stored of {answered} that were answered and {unknown} that were not"
            );
        }
    }
}
