//! Every order in which movers, hosts and crashes can meet over one record, on two databases.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sessions::MemoryProvider;
use sessions::clock::ManualClock;
use sessions::moving::Moving;
use sessions::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    from_unix_millis,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What one of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Moves everything.
    Move,
    /// Moves, and dies at this call: before it, or after it took place.
    MoveUntil(usize, bool),
    /// Saves over what is there.
    Write,
    /// Reads.
    Read,
    /// Prolongs what is there.
    Touch,
    /// Ends what is there, by its version.
    End,
    /// Ends whatever is there.
    EndAny,
    /// Creates a record of an id that every host may create, such as a key ring's.
    Create,
    /// The same, on a host that does not know yet that the move has begun.
    CreateUnaware,
}

enum Message {
    Waits(usize, oneshot::Sender<()>),
    Ended(usize),
}

/// Stops before each call to either database.
#[derive(Clone)]
struct Gate {
    actor: usize,
    sender: UnboundedSender<Message>,
    /// The call at which the actor dies, and whether after it.
    dies: Option<(usize, bool)>,
    calls: Arc<Mutex<usize>>,
    /// Whether it is passed without a turn, before the actors begin.
    open: Arc<AtomicBool>,
}

impl Gate {
    fn new(actor: usize, sender: UnboundedSender<Message>, dies: Option<(usize, bool)>) -> Self {
        Self { actor, sender, dies, calls: Arc::default(), open: Arc::default() }
    }

    /// Waits for its turn. Returns whether the actor dies after the call.
    async fn pass(&self, id: &str) -> Result<bool, ProviderError> {
        // Of the marker, and of what only begins the move.
        if id.starts_with("sessions:") || self.open.load(Ordering::Acquire) {
            return Ok(false);
        }
        let (go, turn) = oneshot::channel();
        self.sender.send(Message::Waits(self.actor, go)).ok();
        turn.await.ok();
        let number = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        match self.dies {
            Some((at, after)) if number > at || number == at && !after => Err(killed()),
            Some((at, _)) => Ok(number == at),
            None => Ok(false),
        }
    }
}

fn killed() -> ProviderError {
    ProviderError::permanent("killed")
}

struct Gated {
    inner: MemoryProvider,
    gate: Gate,
}

impl Gated {
    async fn call<T>(
        &self,
        id: &str,
        call: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let dies = self.gate.pass(id).await?;
        let answer = call.await?;
        if dies { Err(killed()) } else { Ok(answer) }
    }
}

#[async_trait]
impl Provider for Gated {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.call(id, self.inner.fetch(id, now)).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.call(&record.id, self.inner.save(record, expect, now)).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.call(id, self.inner.delete(id, expect, now)).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.call(id, self.inner.touch(id, expires_at, expect, now)).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.inner.scan(page, now).await
    }
}

/// What was answered.
#[derive(Default)]
struct Log {
    /// The versions whose saves were answered.
    saved: BTreeSet<u64>,
    /// The highest version whose save was answered before a read began.
    newest: u64,
    /// Whether an end has begun, and whether it was answered.
    ending: bool,
    ended: bool,
    touched: Option<SystemTime>,
    created: Vec<usize>,
    broken: Option<String>,
}

struct World {
    old: MemoryProvider,
    new: MemoryProvider,
    clock: ManualClock,
    log: Mutex<Log>,
    /// A host that has asked before the move began, and its gate.
    unaware: Option<(Moving, Gate)>,
}

const NOW: u64 = 1_800_000_000_000;

/// A session's, that one request has created.
const SESSION: &str = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k";

/// The key ring's, that any host may create.
const RING: &str = "app:keys";

const LIVES: Duration = Duration::from_secs(3_600);

fn now() -> SystemTime {
    from_unix_millis(NOW)
}

fn session(version: u64) -> Record {
    let mut record = Record::new(SESSION, version, format!("data {version}").into_bytes());
    record.format = "visitor/1".into();
    record.expires_at = Some(now() + LIVES);
    record.owner = Some("app/visitor/7".into());
    record
}

impl World {
    async fn new(begun: bool, acts: &[Act], sender: &UnboundedSender<Message>) -> Arc<Self> {
        let (old, new) = (MemoryProvider::new(), MemoryProvider::new());
        let clock = ManualClock::new(now());
        let mut world = Self { old, new, clock, log: Mutex::default(), unaware: None };
        if let Some(actor) = acts.iter().position(|act| *act == Act::CreateUnaware) {
            let gate = Gate::new(actor, sender.clone(), None);
            gate.open.store(true, Ordering::Release);
            let moving = world.moving(&gate);
            // It remembers for two seconds, in which the move begins, what it is told now.
            moving.save(&Record::new("another", 1, "x"), Expect::Absent, now()).await.unwrap();
            world.unaware = Some((moving, gate));
        }
        if begun {
            let moving = Moving::new(world.old.clone(), world.new.clone());
            let run = moving.mover().clock(world.clock.clone()).run();
            // Everything has moved by then, and it waits for the hosts to know.
            timeout(Duration::from_millis(1), run).await.unwrap_err();
        }
        world.old.save(&session(1), Expect::Absent, now()).await.unwrap();
        Arc::new(world)
    }

    fn moving(&self, gate: &Gate) -> Moving {
        let gated = |inner: &MemoryProvider| Gated { inner: inner.clone(), gate: gate.clone() };
        Moving::new(gated(&self.old), gated(&self.new))
    }

    fn breaks(&self, what: String) {
        self.log.lock().unwrap().broken.get_or_insert(what);
    }

    async fn act(self: Arc<Self>, actor: usize, act: Act, sender: UnboundedSender<Message>) {
        let dies = match act {
            Act::MoveUntil(at, after) => Some((at, after)),
            _ => None,
        };
        let moving = match &self.unaware {
            Some((moving, gate)) if act == Act::CreateUnaware => {
                gate.open.store(false, Ordering::Release);
                moving.clone()
            }
            _ => self.moving(&Gate::new(actor, sender.clone(), dies)),
        };
        match act {
            Act::Move | Act::MoveUntil(..) => {
                let moved = moving.mover().clock(self.clock.clone()).run().await;
                match moved {
                    Ok(moved) if moved.left > 0 => self.breaks(format!("left {}", moved.left)),
                    Err(error) if dies.is_none() => {
                        self.breaks(format!("the mover failed: {error}"));
                    }
                    _ => {}
                }
            }
            Act::Write => self.write(&moving).await,
            Act::Read => self.read(&moving).await,
            Act::Touch => self.touch(&moving).await,
            Act::End | Act::EndAny => self.end(&moving, act == Act::EndAny).await,
            Act::Create | Act::CreateUnaware => self.create(&moving, actor).await,
        }
        sender.send(Message::Ended(actor)).ok();
    }

    async fn read(&self, moving: &Moving) {
        let newest = {
            let log = self.log.lock().unwrap();
            (log.newest.max(1), log.ended)
        };
        let found = moving.fetch(SESSION, now()).await.unwrap();
        let ending = self.log.lock().unwrap().ending;
        match found {
            None if !ending => self.breaks("a live session was not found".to_owned()),
            Some(_) if newest.1 => self.breaks("an ended session was read".to_owned()),
            Some(record) if record.version < newest.0 => {
                self.breaks(format!("version {} after {}", record.version, newest.0));
            }
            Some(record)
                if record
                    != Record { expires_at: record.expires_at, ..session(record.version) } =>
            {
                self.breaks(format!("another record was read: {record:?}"));
            }
            _ => {}
        }
    }

    async fn write(&self, moving: &Moving) {
        let mut found = moving.fetch(SESSION, now()).await.unwrap();
        loop {
            let Some(record) = found else {
                if !self.log.lock().unwrap().ending {
                    self.breaks("a live session was not found".to_owned());
                }
                return;
            };
            let next = session(record.version + 1);
            let expect =
                Expect::Untouched { version: record.version, expires_at: record.expires_at };
            let next = Record { expires_at: record.expires_at, ..next };
            match moving.save(&next, expect, now()).await.unwrap() {
                Saved::Saved => {
                    let mut log = self.log.lock().unwrap();
                    let is_new = log.saved.insert(next.version);
                    log.newest = log.newest.max(next.version);
                    drop(log);
                    if !is_new {
                        self.breaks(format!("version {} was won twice", next.version));
                    }
                    return;
                }
                Saved::Conflict(theirs) => found = theirs,
            }
        }
    }

    async fn touch(&self, moving: &Moving) {
        let later = now() + 2 * LIVES;
        match moving.touch(SESSION, later, Expect::Any, now()).await.unwrap() {
            Touched::Touched => self.log.lock().unwrap().touched = Some(later),
            Touched::Conflict(_) if self.log.lock().unwrap().ending => {}
            conflict @ Touched::Conflict(_) => self.breaks(format!("{conflict:?}")),
        }
    }

    async fn end(&self, moving: &Moving, any: bool) {
        self.log.lock().unwrap().ending = true;
        loop {
            let expect = if any {
                Expect::Any
            } else {
                match moving.fetch(SESSION, now()).await.unwrap() {
                    Some(record) => Expect::Version(record.version),
                    None => break,
                }
            };
            match moving.delete(SESSION, expect, now()).await.unwrap() {
                Deleted::Deleted(Some(record)) if *record.format != *"visitor/1" => {
                    self.breaks(format!("a stub was returned: {record:?}"));
                    break;
                }
                Deleted::Deleted(_) => break,
                Deleted::Conflict(_) => {}
            }
        }
        self.log.lock().unwrap().ended = true;
    }

    async fn create(&self, moving: &Moving, actor: usize) {
        let mut ring = Record::new(RING, 1, format!("by {actor}").into_bytes());
        ring.format = "keyring/1".into();
        match moving.save(&ring, Expect::Absent, now()).await.unwrap() {
            Saved::Saved => self.log.lock().unwrap().created.push(actor),
            Saved::Conflict(Some(_)) => {}
            Saved::Conflict(None) => self.breaks("a conflict with nothing".to_owned()),
        }
    }

    /// What must hold when all is over, and once another mover has come to its end.
    async fn check(&self, acts: &[Act]) -> Result<(), String> {
        if let Some(broken) = self.log.lock().unwrap().broken.take() {
            return Err(broken);
        }
        let moving = Moving::new(self.old.clone(), self.new.clone());
        for _ in 0..2 {
            self.check_now(&moving, acts).await?;
            let moved = moving.mover().clock(self.clock.clone()).run().await;
            moved.map_err(|error| format!("the last mover failed: {error}"))?;
        }
        let left = self.old.scan(Page::first(100), now()).await.unwrap();
        let is_left =
            |it: &Record| !it.format.starts_with("moving:") || it.format.contains("frozen");
        if left.records.iter().any(is_left) {
            return Err(format!("left in the old database: {:?}", left.records));
        }
        self.check_now(&moving, acts).await
    }

    async fn check_now(&self, moving: &Moving, acts: &[Act]) -> Result<(), String> {
        let found = moving.fetch(SESSION, now()).await.unwrap();
        let ring = moving.fetch(RING, now()).await.unwrap();
        let log = self.log.lock().unwrap();
        match &found {
            Some(record) if log.ended => return Err(format!("it has come back: {record:?}")),
            None if !log.ending => return Err("it is gone".to_owned()),
            Some(record) if record.version != 1 + log.saved.len() as u64 => {
                return Err(format!("version {}, but saved {:?}", record.version, log.saved));
            }
            Some(record) if record.expires_at < log.touched => {
                return Err("a touch was taken back".to_owned());
            }
            _ => {}
        }
        let creators = acts.iter().filter(|act| matches!(act, Act::Create | Act::CreateUnaware));
        match (log.created.as_slice(), &ring) {
            (&[winner], Some(ring)) if ring.data == format!("by {winner}").as_bytes() => Ok(()),
            ([], None) if creators.count() == 0 => Ok(()),
            (created, ring) => Err(format!("created by {created:?}, and it is {ring:?}")),
        }
    }
}

/// Runs every schedule, and returns how many there were.
fn check(begun: bool, acts: &[Act]) -> usize {
    let (mut schedules, mut choices) = (0, Vec::<(usize, usize)>::new());
    loop {
        let order: Vec<usize> = choices.iter().map(|(chosen, _)| *chosen).collect();
        choices = check_one(begun, acts, &order);
        schedules += 1;
        while let Some((chosen, options)) = choices.pop() {
            if chosen + 1 < options {
                choices.push((chosen + 1, options));
                break;
            }
        }
        if choices.is_empty() {
            return schedules;
        }
    }
}

/// Runs some of the schedules of more actors than all orders of can be run.
fn sample(begun: bool, acts: &[Act]) -> usize {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let mut rng = StdRng::seed_from_u64(SEED.fetch_add(1, Ordering::Relaxed));
    for _ in 0..SAMPLES {
        let order: Vec<usize> = (0..64).map(|_| rng.random_range(0..acts.len())).collect();
        check_one(begun, acts, &order);
    }
    SAMPLES
}

/// Runs one schedule, and returns the choices that it took, each with how many there were.
fn check_one(begun: bool, acts: &[Act], order: &[usize]) -> Vec<(usize, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (taken, actors, broken) = runtime.block_on(run(begun, acts, order));
    assert_eq!(broken, None, "{acts:?}, begun: {begun}, in the order {actors:?}");
    taken
}

const SAMPLES: usize = 300;

type Run = (Vec<(usize, usize)>, Vec<usize>, Option<String>);

async fn run(begun: bool, acts: &[Act], order: &[usize]) -> Run {
    let (sender, messages) = unbounded_channel();
    let world = World::new(begun, acts, &sender).await;
    let tasks: Vec<_> = acts
        .iter()
        .enumerate()
        .map(|(actor, act)| {
            let work: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(world.clone().act(actor, *act, sender.clone()));
            tokio::spawn(work)
        })
        .collect();
    let (taken, actors) = drive(acts.len(), order, messages).await;
    for task in tasks {
        task.await.expect("no actor panics");
    }
    (taken, actors, world.check(acts).await.err())
}

async fn drive(
    actors: usize,
    order: &[usize],
    mut messages: UnboundedReceiver<Message>,
) -> (Vec<(usize, usize)>, Vec<usize>) {
    let (mut taken, mut went) = (Vec::new(), Vec::new());
    let mut waiting: Vec<(usize, oneshot::Sender<()>)> = Vec::new();
    let mut ended = BTreeSet::new();
    loop {
        // A mover works on several records at once, and may wait more than once.
        loop {
            // What a killed mover left behind waits for nothing.
            waiting.retain(|(actor, _)| !ended.contains(actor));
            let known: BTreeSet<usize> = waiting.iter().map(|(actor, _)| *actor).collect();
            let message = match known.len() + ended.len() < actors {
                true => messages.recv().await,
                false => messages.try_recv().ok(),
            };
            match message {
                Some(Message::Waits(actor, go)) => waiting.push((actor, go)),
                Some(Message::Ended(actor)) => _ = ended.insert(actor),
                None => break,
            }
        }
        if waiting.is_empty() {
            return (taken, went);
        }
        waiting.sort_by_key(|(actor, _)| *actor);
        let chosen = order.get(taken.len()).copied().unwrap_or(0).min(waiting.len() - 1);
        taken.push((chosen, waiting.len()));
        let (actor, go) = waiting.remove(chosen);
        went.push(actor);
        go.send(()).ok();
    }
}

const HOSTS: [Act; 6] = [Act::Write, Act::Read, Act::Touch, Act::End, Act::EndAny, Act::Create];

#[test]
fn a_mover_beside_a_host_loses_and_revives_nothing() {
    let mut schedules = 0;
    for begun in [false, true] {
        for host in HOSTS {
            schedules += check(begun, &[Act::Move, host]);
        }
    }
    println!("a mover and a host: {schedules} schedules, no violation");
    assert!(schedules > 500, "{schedules}");
}

#[test]
fn a_mover_that_is_killed_anywhere_loses_and_revives_nothing() {
    let mut schedules = 0;
    for call in 1..=4 {
        for after in [false, true] {
            for host in HOSTS {
                schedules += check(true, &[Act::MoveUntil(call, after), host]);
            }
        }
    }
    println!("a killed mover and a host: {schedules} schedules, no violation");
    assert!(schedules > 800, "{schedules}");
}

#[test]
fn a_record_that_any_host_may_create_is_created_once() {
    let mut schedules = 0;
    for begun in [false, true] {
        schedules += check(begun, &[Act::Create, Act::Create]);
        schedules += check(begun, &[Act::Create, Act::CreateUnaware]);
        for _ in 0..3 {
            schedules += sample(begun, &[Act::CreateUnaware, Act::Create, Act::Move]);
            schedules += sample(begun, &[Act::Create, Act::Create, Act::Move, Act::Move]);
        }
        schedules += sample(begun, &[Act::Create, Act::Create, Act::Create, Act::Move]);
    }
    println!("creators: {schedules} schedules, no violation");
}

#[test]
fn movers_and_hosts_in_many_orders_lose_and_revive_nothing() {
    let mut schedules = 0;
    for (at, one) in HOSTS.iter().enumerate() {
        for other in &HOSTS[at..] {
            schedules += sample(true, &[Act::Move, *one, *other]);
            schedules += sample(false, &[Act::Move, *one, *other]);
        }
        schedules += sample(true, &[Act::Move, Act::Move, *one, Act::Write]);
        for call in 1..=4 {
            let killed = Act::MoveUntil(call, call % 2 == 0);
            schedules += sample(true, &[killed, Act::Move, *one, Act::End]);
        }
    }
    println!("movers and hosts: {schedules} schedules, no violation");
}
