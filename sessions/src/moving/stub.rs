//! What a move leaves in the place of a record.

use std::time::{Duration, SystemTime};

use crate::provider::{Bytes, Record, from_unix_millis};

/// What a database holds of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Live(Record),
    /// The record has left for the other database. `record` is as it was; it may be put over the
    /// placeholder of this version there, once.
    Frozen {
        placeholder: u64,
        record: Record,
    },
    /// Room for a record that is about to come from the other database. Nobody reads it.
    Placeholder {
        version: u64,
        expires_at: Option<SystemTime>,
    },
    /// No record may be created here any more, because they are created in the other database.
    Gone {
        version: u64,
    },
}

impl Seen {
    pub(super) fn of(record: Option<Record>) -> Self {
        let Some(record) = record else { return Self::Nothing };
        let (version, expires_at) = (record.version, record.expires_at);
        match record.format.strip_prefix(STUB) {
            None => Self::Live(record),
            Some(PLACEHOLDER) => Self::Placeholder { version, expires_at },
            Some(kind) => match kind.strip_prefix(FROZEN).and_then(|rest| rest.split_once(':')) {
                Some((before, format)) if let Ok(before) = before.parse() => {
                    let format = format.to_owned().into();
                    let record = Record { version: before, format, ..record };
                    Self::Frozen { placeholder: version, record }
                }
                _ => Self::Gone { version },
            },
        }
    }
}

/// Returns whether it is not a record of the store's.
pub(super) fn is_stub(record: &Record) -> bool {
    record.format.starts_with(STUB)
}

/// Makes room for a record. It outlives the record as long as nobody touches the record for a day,
/// because a placeholder that is gone means that the record has ended.
pub(super) fn placeholder(record: &Record) -> Record {
    Record {
        id: record.id.clone(),
        version: any_version(),
        expires_at: record.expires_at.map(longer),
        format: format!("{STUB}{PLACEHOLDER}").into(),
        data: Bytes::new(),
        owner: None,
    }
}

/// Returns a record as it stays behind. Its owner stays, so that the owner's list leads to it.
pub(super) fn frozen(record: &Record, placeholder: u64) -> Record {
    Record {
        version: placeholder,
        format: format!("{STUB}{FROZEN}{}:{}", record.version, record.format).into(),
        ..record.clone()
    }
}

/// Forbids that a record of this id is created.
pub(super) fn gone(record: &Record, now: SystemTime) -> Record {
    Record {
        id: record.id.clone(),
        version: any_version(),
        expires_at: Some(longer(now)),
        format: format!("{STUB}gone").into(),
        data: Bytes::new(),
        owner: None,
    }
}

/// Whether a placeholder that expires then will outlive the record.
pub(super) fn outlives(placeholder: Option<SystemTime>, record: &Record) -> bool {
    placeholder.is_none_or(|placeholder| {
        placeholder >= record.expires_at.map_or_else(last, |at| longer(at) - SLACK / 2)
    })
}

/// Until when a placeholder is touched that would not outlive the record.
pub(super) fn long_enough(record: &Record) -> SystemTime {
    record.expires_at.map_or_else(last, longer)
}

fn longer(at: SystemTime) -> SystemTime {
    at.checked_add(SLACK).unwrap_or(at)
}

/// The end of the year 9999, beyond which providers keep no time.
fn last() -> SystemTime {
    from_unix_millis(253_402_300_799_999)
}

/// A version that no other placeholder has. Stores count from 1, so no record has it either.
fn any_version() -> u64 {
    rand::random::<u64>() | 1 << 63
}

/// What the format of every stub begins with. That of a session begins with a name.
const STUB: &str = "moving:";
const PLACEHOLDER: &str = "placeholder";
const FROZEN: &str = "frozen:";
/// More than clocks are apart and a move of one record takes.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_record_thaws_as_it_was() {
        let mut record = Record::new("a", 7, &b"data"[..]);
        record.owner = Some("app/visitor/7".into());
        for format in ["visitor/1", "", "a:b:c", "frozen:1:x"] {
            record.format = format.into();
            let stored = frozen(&record, 1 << 63);
            assert!(is_stub(&stored) && stored.owner == record.owner, "{stored:?}");
            let seen = Seen::of(Some(stored));
            assert_eq!(seen, Seen::Frozen { placeholder: 1 << 63, record: record.clone() });
        }
    }

    #[test]
    fn stubs_are_told_apart() {
        let mut record = Record::new("a", 7, &b"data"[..]);
        record.expires_at = Some(from_unix_millis(1_000));
        let room = placeholder(&record);
        assert!(outlives(room.expires_at, &record) && !outlives(record.expires_at, &record));
        assert!(matches!(Seen::of(Some(room)), Seen::Placeholder { .. }));
        let gone = gone(&record, from_unix_millis(1_000));
        assert_eq!(Seen::of(Some(gone.clone())), Seen::Gone { version: gone.version });
        assert_eq!(Seen::of(Some(record.clone())), Seen::Live(record.clone()));
        assert_eq!(Seen::of(None), Seen::Nothing);
        assert!(outlives(Some(long_enough(&record)), &record));
        record.expires_at = None;
        assert_eq!(placeholder(&record).expires_at, None);
        assert!(outlives(Some(long_enough(&record)), &record));
    }
}
