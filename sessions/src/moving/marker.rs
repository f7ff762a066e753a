//! The markers: what each of the two databases knows of a move.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::clock::{from_unix_millis, to_unix_millis};
use crate::provider::{Expect, Page, Provider, ProviderError, Record, Saved};

use super::stub::is_stub;

/// The record that says that a database takes part in a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) role: Role,
    /// Which move.
    pub(super) id: u128,
    /// Until when a mover runs, as far as the others know. Only in the marker of the source.
    until: SystemTime,
    /// The version of the record.
    version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    From,
    To,
}

impl Marker {
    fn new(role: Role, id: u128, until: SystemTime) -> Self {
        Self { role, id, until, version: 0 }
    }

    /// # Errors
    /// If the database cannot answer, or has another record of this id.
    pub(super) async fn read(
        database: &dyn Provider,
        now: SystemTime,
    ) -> Result<Option<Self>, ProviderError> {
        let Some(record) = database.fetch(MARKER, now).await? else { return Ok(None) };
        Self::parse(&record).map(Some).ok_or_else(|| {
            ProviderError::permanent(format!(
                "the record {MARKER:?} is no marker of a move that this version understands"
            ))
        })
    }

    fn parse(record: &Record) -> Option<Self> {
        let text = std::str::from_utf8(&record.data).ok()?;
        let mut parts = text.split(' ');
        let role = match parts.next()? {
            "from" => Role::From,
            "to" => Role::To,
            _ => return None,
        };
        let id = u128::from_str_radix(parts.next()?, 16).ok()?;
        let until = from_unix_millis(parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Self { role, id, until, version: record.version })
    }

    /// Writes it over the one that was read. `None` if somebody else has written meanwhile.
    async fn write(
        mut self,
        database: &dyn Provider,
        over: Option<&Self>,
        now: SystemTime,
    ) -> Result<Option<Self>, ProviderError> {
        let version = over.map_or(0, |over| over.version);
        self.version = version + 1;
        let expect = if over.is_some() { Expect::Version(version) } else { Expect::Absent };
        let mut record = Record::new(MARKER, self.version, self.to_string());
        record.format = MARKER_FORMAT.into();
        let saved = database.save(&record, expect, now).await?;
        Ok((saved == Saved::Saved).then_some(self))
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::From => "from",
            Role::To => "to",
        };
        write!(f, "{role} {:032x} {}", self.id, to_unix_millis(self.until))
    }
}

/// Whether a record is a marker.
pub(super) fn is_marker(record: &Record) -> bool {
    *record.id == *MARKER
}

/// What to do before a move goes on.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: it has begun.
    Go,
    /// Nothing has begun: look whether the new database is empty, and mark it.
    MarkNew,
    /// Mark the old one as the source of this move.
    MarkOld(u128),
    /// Make the old one, which was the target of a move, the source.
    Turn(u128),
    /// Make the new one, which was the source of the move in the other direction, the target.
    TurnNew,
    Refuse(String),
}

/// Decides what to do, by what both databases know. Pure.
fn plan(old: Option<&Marker>, new: Option<&Marker>, now: SystemTime) -> Step {
    use Role::{From, To};
    let refuse = |text: &str| Step::Refuse(text.to_owned());
    match (old.map(|it| (it.role, it.id)), new.map(|it| (it.role, it.id))) {
        (None, None) => Step::MarkNew,
        (None, Some((To, id))) => Step::MarkOld(id),
        (Some((From, from)), Some((To, to))) if from == to => Step::Go,
        // A turn that was interrupted.
        (Some((To, _)), Some((To, id))) => Step::Turn(id),
        (Some((To, to)), Some((From, from))) if from == to => {
            match new.and_then(|it| it.until.duration_since(now).ok()).filter(|it| !it.is_zero()) {
                None => Step::TurnNew,
                Some(left) => Step::Refuse(format!(
                    "a mover of the other direction runs: stop it, and try again in {} seconds",
                    left.as_secs() + 1
                )),
            }
        }
        (Some((From, _)), None) => refuse(
            "the old database is being moved, and the new one is not the target of that move: give \
             the database that the move began with",
        ),
        (Some((To, _)), None) => {
            refuse("the old database is the target of another move: finish() that one first")
        }
        (None, Some((From, _))) => refuse("the new database is the source of another move"),
        (Some(_), Some(_)) => refuse(
            "the two databases take part in two other moves: give the two that belong together",
        ),
    }
}

/// Marks both databases as those of this move, and returns the marker of the source.
///
/// # Errors
/// If a database cannot answer, or the move may not begin. Nothing but markers was written.
pub(super) async fn begin(
    old: &dyn Provider,
    new: &dyn Provider,
    now: SystemTime,
) -> Result<Marker, ProviderError> {
    // A move has three steps. Others may begin it at the same time.
    for _ in 0..16 {
        let (of_old, of_new) = (Marker::read(old, now).await?, Marker::read(new, now).await?);
        match plan(of_old.as_ref(), of_new.as_ref(), now) {
            Step::Go => return of_old.ok_or_else(|| ProviderError::permanent("no marker")),
            Step::MarkNew => {
                must_be_empty(new, now).await?;
                let id = rand::random();
                let marker = Marker::new(Role::To, id, SystemTime::UNIX_EPOCH);
                let Some(written) = marker.write(new, None, now).await? else { continue };
                if Marker::read(old, now).await?.is_some_and(|it| it.id == id) {
                    let expect = Expect::Version(written.version);
                    new.delete(MARKER, expect, now).await?;
                    return Err(ProviderError::permanent(
                        "the old and the new database are the same one: give two",
                    ));
                }
            }
            Step::MarkOld(id) => {
                Marker::new(Role::From, id, SystemTime::UNIX_EPOCH).write(old, None, now).await?;
            }
            Step::Turn(id) => {
                let marker = Marker::new(Role::From, id, SystemTime::UNIX_EPOCH);
                marker.write(old, of_old.as_ref(), now).await?;
            }
            Step::TurnNew => {
                let marker = Marker::new(Role::To, rand::random(), SystemTime::UNIX_EPOCH);
                marker.write(new, of_new.as_ref(), now).await?;
            }
            Step::Refuse(text) => return Err(ProviderError::permanent(text)),
        }
    }
    Err(ProviderError::unavailable("another process begins a move at the same time: try again"))
}

/// Says that a mover runs for another while.
///
/// # Errors
/// If the database cannot answer, or the move was turned back.
pub(super) async fn renew(
    old: &dyn Provider,
    id: u128,
    now: SystemTime,
) -> Result<(), ProviderError> {
    loop {
        let marker = Marker::read(old, now).await?;
        let Some(marker) = marker.filter(|it| it.role == Role::From && it.id == id) else {
            return Err(ProviderError::permanent(
                "the move was turned back or finished meanwhile, so this mover stops",
            ));
        };
        let longer = Marker::new(Role::From, id, marker.until.max(now + RUNS));
        // Otherwise another mover of the same move was faster.
        if longer.write(old, Some(&marker), now).await?.is_some() {
            return Ok(());
        }
    }
}

/// Removes the marker of the new database.
pub(super) async fn finish(
    old: &dyn Provider,
    new: &dyn Provider,
    now: SystemTime,
) -> Result<(), ProviderError> {
    let (of_old, of_new) = (Marker::read(old, now).await?, Marker::read(new, now).await?);
    match (of_old, of_new) {
        // It was finished before.
        (Some(old), None) if old.role == Role::From => Ok(()),
        (Some(old), Some(to)) if old.role == Role::From && to.id == old.id => {
            new.delete(MARKER, Expect::Version(to.version), now).await?;
            Ok(())
        }
        _ => Err(ProviderError::permanent("no move from the old to the new database has begun")),
    }
}

async fn must_be_empty(new: &dyn Provider, now: SystemTime) -> Result<(), ProviderError> {
    let mut page = Page::first(100);
    loop {
        let listed = new.scan(page, now).await?;
        if listed.records.iter().any(|record| !is_stub(record)) {
            return Err(ProviderError::permanent(
                "the new database is not empty, and no move has begun in it: give an empty table, or \
                 another prefix",
            ));
        }
        let Some(mark) = listed.next else { return Ok(()) };
        page = Page::after(mark, 100);
    }
}

/// The id of the markers' records.
const MARKER: &str = "sessions:moving";

const MARKER_FORMAT: &str = "moving:marker";

/// How long a mover counts as running after it was last heard of. It renews that at half the time.
pub(super) const RUNS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(role: Role, id: u128, until: u64) -> Marker {
        Marker { until: from_unix_millis(until), ..Marker::new(role, id, SystemTime::UNIX_EPOCH) }
    }

    #[test]
    fn every_pair_of_markers_has_one_answer() {
        use Role::{From, To};
        let now = from_unix_millis(1_000);
        let plan = |old: Option<(Role, u128)>, new: Option<(Role, u128)>, until| {
            let marker = |(role, id)| marker(role, id, until);
            plan(old.map(marker).as_ref(), new.map(marker).as_ref(), now)
        };
        let refused = |old, new| matches!(plan(old, new, 0), Step::Refuse(_));
        assert_eq!(plan(None, None, 0), Step::MarkNew);
        assert_eq!(plan(None, Some((To, 1)), 0), Step::MarkOld(1));
        assert_eq!(plan(Some((From, 1)), Some((To, 1)), 2_000), Step::Go);
        assert_eq!(plan(Some((To, 1)), Some((From, 1)), 1_000), Step::TurnNew);
        let Step::Refuse(text) = plan(Some((To, 1)), Some((From, 1)), 1_001) else { panic!() };
        assert!(text.contains("in 1 seconds"), "{text}");
        assert_eq!(plan(Some((To, 1)), Some((To, 2)), 0), Step::Turn(2));
        for (old, new) in [
            (Some((From, 1)), None),
            (Some((To, 1)), None),
            (None, Some((From, 1))),
            (Some((From, 1)), Some((To, 2))),
            (Some((From, 1)), Some((From, 1))),
            (Some((To, 1)), Some((From, 2))),
        ] {
            assert!(refused(old, new), "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let record = |data: &str| Record::new(MARKER, 3, data.to_owned());
        for role in [Role::From, Role::To] {
            let written = Marker { version: 3, ..marker(role, u128::MAX - 7, 1_700_000_000_000) };
            assert_eq!(Marker::parse(&record(&written.to_string())), Some(written));
        }
        for garbage in ["", "from", "from 1", "by 1 1", "from x 1", "from 1 x", "from 1 1 1"] {
            assert_eq!(Marker::parse(&record(garbage)), None, "{garbage}");
        }
    }
}
