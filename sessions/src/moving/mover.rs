//! The mover: takes one record after the other to the new database.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::databases::{ASK_AGAIN, Databases, Side, TRIES, contended};
use super::marker;
use super::stub::{Seen, frozen, gone, long_enough, outlives, placeholder};
use crate::clock::{Clock, SystemClock};
use crate::id::StoreKey;
use crate::provider::{Expect, Page, Provider, ProviderError, Record, Saved, Touched};

/// Moves the records of a [`Moving`](super::Moving) that are still in the old database.
///
/// It does nothing until [`run`](Self::run).
#[must_use = "a mover does nothing until `run`"]
pub struct Mover<'m> {
    databases: Arc<Databases>,
    per_second: u32,
    clock: Arc<dyn Clock>,
    progress: Box<dyn FnMut(&Moved) + Send + 'm>,
}

/// What a [`Mover`] has done.
///
/// ```
/// assert_eq!(sessions::moving::Moved::default().moved, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// The records that it took to the new database.
    pub moved: u64,
    /// The records that it left, because both databases have a live one of their id: somebody has
    /// written into the new database in another way. The old one counts. Delete one of the two.
    pub left: u64,
}

impl<'m> Mover<'m> {
    pub(super) fn new(databases: Arc<Databases>) -> Self {
        Self {
            databases,
            per_second: u32::MAX,
            clock: Arc::new(SystemClock),
            progress: Box::new(|_| ()),
        }
    }

    /// Sets how many records to move in a second at most; 0 counts as 1. By default there is no limit
    /// but that 16 records move at once.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, moving::Moving};
    /// # let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    /// let mover = moving.mover().per_second(500);
    /// # let _ = mover;
    /// ```
    pub fn per_second(mut self, most: u32) -> Self {
        self.per_second = most.max(1);
        self
    }

    /// Sets the clock, for tests.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, moving::Moving};
    /// # let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    /// let mover = moving.mover().clock(sessions::clock::SystemClock);
    /// # let _ = mover;
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Calls a function after each page of about 100 records.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, moving::Moving};
    /// # let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    /// let mover = moving.mover().on_progress(|so_far| println!("{} moved", so_far.moved));
    /// # let _ = mover;
    /// ```
    pub fn on_progress(mut self, hear: impl FnMut(&Moved) + Send + 'm) -> Self {
        self.progress = Box::new(hear);
        self
    }

    /// Begins the move unless it has begun, and moves records until the old database has no live one
    /// left. The store's own records, such as the key ring, move first.
    ///
    /// Cancelling it stops it between two calls, after which a later run goes on. Any number of movers
    /// may run at once. Before it looks for the last time it waits for two seconds, so that every host
    /// knows that the move has begun.
    ///
    /// # Errors
    /// Fails if a database cannot answer or does not scan. Also fails, before it has written anything
    /// but markers, if the new database is not empty and lacks this move's marker, if both are the same
    /// database, or if a mover of the other direction runs.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, moving::Moving};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let same = MemoryProvider::new();
    /// let error = Moving::new(same.clone(), same).mover().run().await.unwrap_err();
    /// assert!(error.to_string().contains("give two"));
    /// # Ok(()) }
    /// ```
    pub async fn run(mut self) -> Result<Moved, ProviderError> {
        let databases = self.databases.clone();
        let (old, new) = (&*databases.old, &*databases.new);
        let id = marker::begin(old, new, self.clock.now()).await?.id;
        marker::renew(old, id, self.clock.now()).await?;
        let began = Instant::now();
        let mut run = Run { id, renewed: began, due: began, done: Moved::default() };
        self.pass(&mut run, |record| record.id.parse::<StoreKey>().is_err()).await?;
        loop {
            // Whether every host knows that the move has begun, so that no record comes any more.
            let is_known = began.elapsed() >= ASK_AGAIN * 2;
            let before = run.done.moved;
            run.done.left = 0;
            self.pass(&mut run, |_| true).await?;
            match (run.done.moved == before, is_known) {
                (true, true) => return Ok(run.done),
                (true, false) => sleep(ASK_AGAIN * 2).await,
                (false, _) => {}
            }
        }
    }

    /// Moves the records of one scan that are `wanted`.
    async fn pass(
        &mut self,
        run: &mut Run,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<(), ProviderError> {
        let pause = Duration::from_secs(1) / self.per_second;
        let mut page = Page::first(PAGE);
        loop {
            let listed = self.databases.old.scan(page, self.clock.now()).await?;
            let wanted = |it: &Record| !marker::is_marker(it) && wanted(it);
            // Dropping it stops the tasks.
            let mut moving = JoinSet::new();
            for record in listed.records.into_iter().filter(wanted) {
                if run.renewed.elapsed() > marker::RUNS / 2 {
                    run.renewed = Instant::now();
                    marker::renew(&*self.databases.old, run.id, self.clock.now()).await?;
                }
                if moving.len() >= AT_ONCE {
                    run.note(moving.join_next().await)?;
                }
                let (databases, clock) = (self.databases.clone(), self.clock.clone());
                moving.spawn(async move { databases.move_record(record, &*clock).await });
                if self.per_second < u32::MAX {
                    // Not a burst after a slow page.
                    run.due = run.due.max(Instant::now()) + pause;
                    sleep_until(run.due).await;
                }
            }
            while let Some(fate) = moving.join_next().await {
                run.note(Some(fate))?;
            }
            (self.progress)(&run.done);
            let Some(mark) = listed.next else { return Ok(()) };
            page = Page::after(mark, PAGE);
        }
    }
}

impl fmt::Debug for Mover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mover").field("per_second", &self.per_second).finish_non_exhaustive()
    }
}

/// A mover at work.
struct Run {
    id: u128,
    /// When the others were told last that it runs.
    renewed: Instant,
    /// When the next record may move.
    due: Instant,
    done: Moved,
}

impl Run {
    fn note(&mut self, fate: Option<Outcome>) -> Result<(), ProviderError> {
        match fate {
            Some(Ok(fate)) => match fate? {
                Fate::Moved => self.done.moved += 1,
                Fate::Left => self.done.left += 1,
                Fate::Nothing => {}
            },
            Some(Err(error)) => {
                let text = "the move of a record was stopped";
                return Err(ProviderError::unavailable(text).with_source(error));
            }
            None => {}
        }
        Ok(())
    }
}

/// How a task that moves a record ended.
type Outcome = Result<Result<Fate, ProviderError>, JoinError>;

/// What became of a record of the old database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Moved,
    Left,
    /// It was no live record, or is none any more.
    Nothing,
}

impl Databases {
    /// Moves one record, of which the old database had this.
    async fn move_record(&self, record: Record, clock: &dyn Clock) -> Result<Fate, ProviderError> {
        let id = record.id.clone();
        let mut seen = Seen::of(Some(record));
        for _ in 0..TRIES {
            let now = clock.now();
            let record = match seen {
                Seen::Live(record) => record,
                Seen::Frozen { placeholder, record } => {
                    self.fill(Side::New, placeholder, &record, now).await?;
                    let over = Expect::Version(placeholder);
                    if id.parse::<StoreKey>().is_ok() {
                        self.old.delete(&id, over, now).await?;
                    } else {
                        // Any host may create it, also one that has looked before it moved.
                        self.old.save(&gone(&record, now), over, now).await?;
                    }
                    return Ok(Fate::Moved);
                }
                Seen::Nothing | Seen::Placeholder { .. } | Seen::Gone { .. } => {
                    return Ok(Fate::Nothing);
                }
            };
            let room = match self.make_room(&record, now).await? {
                Room::Made(version) => version,
                Room::Taken => return Ok(Fate::Left),
                Room::Again => {
                    seen = self.look(Side::Old, &id, now).await?;
                    continue;
                }
            };
            let Record { version, expires_at, .. } = record;
            let expect = Expect::Untouched { version, expires_at };
            seen = match self.old.save(&frozen(&record, room), expect, now).await? {
                Saved::Saved => Seen::Frozen { placeholder: room, record },
                Saved::Conflict(current) => Seen::of(current),
            };
        }
        Err(contended())
    }

    /// Puts a placeholder for a record into the new database, or takes the one that is there.
    async fn make_room(&self, record: &Record, now: SystemTime) -> Result<Room, ProviderError> {
        let room = placeholder(record);
        let current = match self.new.save(&room, Expect::Absent, now).await? {
            Saved::Saved => return Ok(Room::Made(room.version)),
            Saved::Conflict(current) => current,
        };
        Ok(match Seen::of(current) {
            Seen::Nothing => Room::Again,
            Seen::Live(_) => match self.look(Side::Old, &record.id, now).await? {
                // Another mover was faster.
                Seen::Live(old) if old == *record => Room::Taken,
                _ => Room::Again,
            },
            Seen::Placeholder { version, expires_at } if outlives(expires_at, record) => {
                Room::Made(version)
            }
            // Not another placeholder in its place: the record may be frozen by now, and name this one.
            Seen::Placeholder { version, .. } => {
                let (until, over) = (long_enough(record), Expect::Version(version));
                match self.new.touch(&record.id, until, over, now).await? {
                    Touched::Touched => Room::Made(version),
                    Touched::Conflict(_) => Room::Again,
                }
            }
            Seen::Gone { version } => {
                self.new.delete(&record.id, Expect::Version(version), now).await?;
                Room::Again
            }
            // Left behind by a move in the other direction, whose record is in the old database.
            Seen::Frozen { placeholder, record: other } => {
                self.fill(Side::Old, placeholder, &other, now).await?;
                self.new.delete(&record.id, Expect::Version(placeholder), now).await?;
                Room::Again
            }
        })
    }
}

enum Room {
    /// A placeholder of this version is there.
    Made(u64),
    /// A live record is there.
    Taken,
    /// Look at the old database again.
    Again,
}

/// # Errors
/// If the database has live records besides the marker.
pub(super) async fn must_be_left(old: &dyn Provider, now: SystemTime) -> Result<(), ProviderError> {
    let mut page = Page::first(PAGE);
    loop {
        let listed = old.scan(page, now).await?;
        let left =
            listed.records.into_iter().filter(|record| !marker::is_marker(record)).any(|record| {
                matches!(Seen::of(Some(record)), Seen::Live(_) | Seen::Frozen { .. })
            });
        if left {
            return Err(ProviderError::permanent(
                "the old database still has records: run the mover to its end first",
            ));
        }
        let Some(mark) = listed.next else { return Ok(()) };
        page = Page::after(mark, PAGE);
    }
}

/// How many records are read at once.
const PAGE: u32 = 100;

/// How many records move at the same time.
const AT_ONCE: usize = 16;
