//! One record saved: again where its answer was lost, and merged where another came first.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use tokio::time::Instant;

use super::edit::{Draft, Edit};
use super::id::StoreKey;
use super::origin::{Content, successor};
use super::queue::Turn;
use super::{Loaded, Store};
use crate::provider::{Expect, ProviderError, Record, Saved};
use crate::schema::{Header, MAX_SAVES, Stored};
use crate::{Error, event};

/// The random id of a save, kept across its retries and written into the record: a retry that
/// meets it knows that an earlier try has won although its answer was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SaveId(u64);

impl SaveId {
    pub(super) fn random() -> Self {
        Self(rand::rng().random())
    }

    /// Puts this save in front of a record's last ones.
    pub(super) fn stamp(self, header: &mut Header) {
        if header.saves.first() != Some(&self.0) {
            header.saves.insert(0, self.0);
            header.saves.truncate(MAX_SAVES);
        }
    }

    pub(super) fn is_in(self, record: &Record) -> bool {
        matches!(
            Content::parse("", &record.data),
            Ok(Content::Session(stored))
                if stored.header().is_ok_and(|header| header.saves.contains(&self.0))
        )
    }
}

/// How long a commit goes on, and how long it waits between its tries.
pub(super) struct Patience {
    deadline: Instant,
    round: u32,
    conflicts: u32,
    /// Since the provider answered last.
    failures: u32,
}

impl Patience {
    pub(super) fn new() -> Self {
        let deadline = Instant::now() + COMMIT_DEADLINE;
        Self { deadline, round: 0, conflicts: 0, failures: 0 }
    }

    /// Waits before a try after a conflict.
    pub(super) async fn after_conflict(&mut self) -> Result<(), Error> {
        if self.wait().await {
            return Ok(());
        }
        Err(too_many())
    }

    /// Whether what this conflict brought can be saved over at once: every other time.
    fn is_fresh(&mut self) -> bool {
        self.conflicts += 1;
        !self.conflicts.is_multiple_of(2) && Instant::now() < self.deadline
    }

    /// Waits before a try after a failure, but not after the first: the sooner the provider is
    /// asked, the fewer saves followed one whose answer was lost. `false` when there have been
    /// enough.
    async fn after_failure(&mut self) -> bool {
        self.failures += 1;
        match self.failures {
            1 => Instant::now() < self.deadline,
            2..MOST_FAILURES => self.wait().await,
            _ => false,
        }
    }

    async fn wait(&mut self) -> bool {
        // The ceiling doubles from 1 ms to 64 ms; the wait is random below it, so that writers
        // of one record spread out.
        let ceiling = 1_000_u64 << self.round.min(6);
        self.round += 1;
        let wait = Duration::from_micros(rand::rng().random_range(ceiling / 4..=ceiling));
        if Instant::now() + wait >= self.deadline {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }
}

/// How one save ended.
pub(super) enum Put {
    Saved,
    /// An earlier try had won, its answer was lost; the record as it stands now.
    Found(Record),
    /// An earlier try had won, its answer was lost; the session has taken a new id since.
    Moved,
    Conflict(Option<Record>),
}

/// A record as it was written, or found to be.
pub(super) struct Written {
    pub(super) record: Record,
    /// Whether it may hold other values than the handle that was committed.
    pub(super) merged: bool,
    /// As its header has it.
    pub(super) remember: Option<Duration>,
}

/// How a save over a live record ended.
pub(super) enum Over {
    Written(Box<Written>),
    /// It is saved, and the session has taken a new id since.
    Moved,
    /// The session has ended.
    Gone,
}

impl Written {
    /// Of an earlier try.
    fn found(session: &'static str, record: Record) -> Result<Box<Self>, Error> {
        let remember = Stored::parse(session, &record.data)?.summary.remember;
        Ok(Box::new(Self { record, merged: true, remember }))
    }
}

impl Put {
    /// How the save of a draft over a live record ended; `Err`: another came first, and this is
    /// what stands there.
    fn over(self, edit: &Edit, draft: Box<Written>) -> Result<Result<Over, Record>, Error> {
        Ok(Ok(match self {
            Self::Saved => Over::Written(draft),
            Self::Found(record) => Over::Written(Written::found(edit.kind.name(), record)?),
            Self::Moved => Over::Moved,
            Self::Conflict(None) => Over::Gone,
            Self::Conflict(Some(theirs)) => return Ok(Err(theirs)),
        }))
    }
}

impl Store {
    /// Saves a record, first at `now`. Where the answer is lost it tries again, and finds out
    /// whether the first try had won.
    pub(super) async fn put(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
        patience: &mut Patience,
        is_mine: impl Fn(&Record) -> bool,
    ) -> Result<Put, Error> {
        let lost = match self.inner.provider.save(record, expect, now).await {
            Ok(saved) => {
                patience.failures = 0;
                return Ok(match saved {
                    Saved::Saved => Put::Saved,
                    Saved::Conflict(theirs) => Put::Conflict(theirs),
                });
            }
            Err(error) if error.is_unavailable() => error,
            Err(error) => return Err(error.into()),
        };
        // In a box: it is rare, and takes much room.
        Box::pin(self.put_again(record, expect, lost, patience, is_mine)).await
    }

    /// Saves a record whose first try ended with `lost`.
    async fn put_again(
        &self,
        record: &Record,
        expect: Expect,
        mut lost: ProviderError,
        patience: &mut Patience,
        is_mine: impl Fn(&Record) -> bool,
    ) -> Result<Put, Error> {
        loop {
            if !patience.after_failure().await {
                return Err(lost.into());
            }
            let answer = self.inner.provider.save(record, expect, self.now()).await;
            if answer.is_ok() {
                patience.failures = 0;
            }
            match answer {
                Ok(Saved::Saved) => return Ok(Put::Saved),
                Ok(Saved::Conflict(None)) => return Ok(Put::Conflict(None)),
                Ok(Saved::Conflict(Some(theirs))) => {
                    if is_mine(&theirs) {
                        return Ok(Put::Found(theirs));
                    }
                    if self.moved_on(&theirs, &is_mine).await? {
                        return Ok(Put::Moved);
                    }
                    // My mark may have been pushed out by later saves.
                    let before = record.version.saturating_sub(1);
                    if theirs.version > before.saturating_add(MAX_SAVES as u64) {
                        return Err(Error::unavailable(
                            "the answer to a save was lost, and so many followed that nobody can \
                             tell whether it took place",
                        ));
                    }
                    return Ok(Put::Conflict(Some(theirs)));
                }
                Err(error) if error.is_unavailable() => lost = error,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What to merge with after a conflict that brought `theirs`; `None` if the session is gone.
    ///
    /// The commits of this host that meet on a session take turns. What a conflict brought is the
    /// newest only at once: after a wait it asks again. Saving over something stale would fail, and
    /// if that answer were lost, nobody could tell that it failed.
    pub(super) async fn newest<'s>(
        &'s self,
        theirs: Record,
        patience: &mut Patience,
        turn: &mut Option<Turn<'s>>,
    ) -> Result<Option<Record>, Error> {
        if turn.is_none() {
            *turn = self.inner.queues.try_turn(&theirs.id);
            if turn.is_some() {
                return Ok(Some(theirs));
            }
            *turn = self.inner.queues.turn(&theirs.id, patience.deadline).await;
            if turn.is_none() {
                return Err(too_many());
            }
        } else if patience.is_fresh() {
            return Ok(Some(theirs));
        } else {
            patience.after_conflict().await?;
        }
        loop {
            match self.inner.provider.fetch(&theirs.id, self.now()).await {
                Ok(record) => return Ok(record),
                Err(error) if error.is_unavailable() && patience.after_failure().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a tombstone stands for a session that took my save along to its new id.
    async fn moved_on(
        &self,
        stone: &Record,
        is_mine: impl Fn(&Record) -> bool,
    ) -> Result<bool, Error> {
        let Some(next) = successor(stone) else { return Ok(false) };
        let record = self.inner.provider.fetch(next.as_str(), self.now()).await?;
        Ok(record.is_some_and(|record| is_mine(&record)))
    }

    /// Saves an edit over the live record that it was loaded from, and merges with whoever came
    /// first.
    pub(super) async fn put_over(&self, loaded: &Loaded, edit: &Edit) -> Result<Over, Error> {
        let mut patience = Patience::new();
        let save = SaveId::random();
        let draft = self.draft(&loaded.id, loaded.version, save, edit.over(loaded)?, edit.now)?;
        let expect = Expect::Version(loaded.version);
        let is_mine = |record: &Record| save.is_in(record);
        let put = self.put(&draft.record, expect, edit.now, &mut patience, is_mine).await?;
        let theirs = match put.over(edit, draft)? {
            Ok(over) => return Ok(over),
            Err(theirs) => theirs,
        };
        // In a box: it is rare, and takes much room.
        Box::pin(self.put_onto(loaded, edit, save, theirs, &mut patience)).await
    }

    /// Merges an edit with `theirs` and saves it, until nobody comes first.
    async fn put_onto(
        &self,
        loaded: &Loaded,
        edit: &Edit,
        save: SaveId,
        mut theirs: Record,
        patience: &mut Patience,
    ) -> Result<Over, Error> {
        let mut turn = None;
        loop {
            event::conflicted(edit.kind.name(), &loaded.key);
            let newest = self.newest(theirs, patience, &mut turn).await?;
            let Some(newest) = newest else { return Ok(Over::Gone) };
            let Content::Session(stored) = Content::parse(edit.kind.name(), &newest.data)? else {
                return Ok(Over::Gone);
            };
            let draft = edit.onto(&loaded.key, &stored, newest.owner)?;
            let now = self.now();
            let draft = self.draft(&loaded.id, newest.version, save, draft, now)?;
            let expect = Expect::Version(newest.version);
            let put = self.put(&draft.record, expect, now, patience, |it| save.is_in(it)).await?;
            match put.over(edit, draft)? {
                Ok(over) => return Ok(over),
                Err(next) => theirs = next,
            }
        }
    }

    /// Saves a draft as the record of an id that nobody else can know: a new one where `version`
    /// is zero, else over that version. `None`: the record was there and is gone.
    pub(super) async fn put_copy(
        &self,
        key: &StoreKey,
        version: u64,
        edit: &Edit,
        draft: Draft<'_>,
        patience: &mut Patience,
    ) -> Result<Option<Box<Written>>, Error> {
        let save = SaveId::random();
        let now = self.now();
        let draft = self.draft(&key.shared(), version, save, draft, now)?;
        let expect = if version == 0 { Expect::Absent } else { Expect::Version(version) };
        match self.put(&draft.record, expect, now, patience, |it| save.is_in(it)).await? {
            Put::Saved => Ok(Some(draft)),
            Put::Found(record) => Written::found(edit.kind.name(), record).map(Some),
            Put::Conflict(None) | Put::Moved => Ok(None),
            // Only who lists the owner's sessions can know it; a merge would count my changes
            // twice, for what stands there holds them.
            Put::Conflict(Some(_)) => {
                Err(Error::unavailable("a session was changed while it took its new id"))
            }
        }
    }

    /// The record that is to follow `version`.
    fn draft(
        &self,
        id: &Arc<str>,
        version: u64,
        save: SaveId,
        mut draft: Draft<'_>,
        now: SystemTime,
    ) -> Result<Box<Written>, Error> {
        save.stamp(&mut draft.header);
        Ok(Box::new(Written {
            record: self.record(id, version + 1, &draft, now)?,
            merged: matches!(draft.fields, Cow::Owned(_)),
            remember: draft.header.summary.remember,
        }))
    }

    pub(super) fn record(
        &self,
        id: &Arc<str>,
        version: u64,
        draft: &Draft<'_>,
        now: SystemTime,
    ) -> Result<Record, Error> {
        Ok(Record {
            id: id.clone(),
            version,
            expires_at: Some(self.span(&draft.header.summary).expiry(now)),
            format: draft.fields.format(),
            data: draft.fields.to_data(&draft.header)?,
            owner: draft.owner.clone(),
        })
    }
}

fn too_many() -> Error {
    Error::unavailable("too many requests changed the session at the same time")
}

/// After this long a commit gives up.
const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// A provider that fails so often in a row is down.
const MOST_FAILURES: u32 = 3;
