//! Which sessions an operator has ended all at once, and the stored form of that. Pure: no clock,
//! no provider.
//!
//! Each call of [`Store::end_all`](crate::Store::end_all) raises a number. A session carries the
//! number that its host knew when it began or its owner logged in, and has ended if that is too
//! low. A number, and not a time, so that hosts whose clocks differ agree on it.
//!
//! The record holds, big-endian:
//!
//! | field | length |
//! |---|---|
//! | version, 1 | 1 |
//! | number, floor, before | 3 x 8 |

use std::time::SystemTime;

use crate::clock::{SKEW, to_unix_millis};

const VERSION: u8 = 1;

/// The `format` of the record, for operators. Formats of sessions have a slash.
pub(super) const FORMAT: &str = "epoch";

/// Numbers and times from here on are in no record that a build has written.
const LIMIT: u64 = 1 << 53;

/// What the calls of an app have ended so far. Its beginning ends nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// The number that sessions get now. It rises with every call, and is at least the time in
    /// seconds: the first call after a record was lost is above those before.
    pub(crate) number: u64,
    /// Sessions of a lower number have ended.
    floor: u64,
    /// Sessions of a number below `number` have ended if they began before this time, in
    /// milliseconds. Zero: none have.
    before: u64,
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A newer build wrote it, so it must not be overwritten.
    Newer,
    /// No build writes such a record.
    Damaged,
}

impl Epoch {
    /// Whether a session of this number that began at this time has ended.
    pub(crate) fn has_ended(self, number: u64, began_at: SystemTime) -> bool {
        let skew = u64::try_from(SKEW.as_millis()).unwrap_or_default();
        number < self.floor
            || number < self.number
                && self.before > 0
                && to_unix_millis(began_at) < self.before.saturating_add(skew)
    }

    /// Whether `end_all` has ended the sessions of this number, whenever they began.
    pub(super) fn is_below_floor(self, number: u64) -> bool {
        number < self.floor
    }

    /// Returns what has ended here or there.
    pub(super) fn join(self, other: Self) -> Self {
        Self {
            number: self.number.max(other.number),
            floor: self.floor.max(other.floor),
            before: self.before.max(other.before),
        }
    }

    /// Whether an `end_all` led from `earlier` to here.
    pub(super) fn ended_all_after(self, earlier: Self) -> bool {
        self.floor > earlier.floor
    }

    /// Ends every session so far.
    pub(super) fn end_all(self, now: SystemTime) -> Self {
        let number = self.next(now);
        Self { number, floor: number, ..self }
    }

    /// Ends the sessions so far that began before a time.
    pub(super) fn end_before(self, time: SystemTime, now: SystemTime) -> Self {
        // Sessions that begin after this call have its number.
        let before = to_unix_millis(time.min(now));
        Self { number: self.next(now), before: self.before.max(before), ..self }
    }

    fn next(self, now: SystemTime) -> u64 {
        (self.number + 1).max(to_unix_millis(now) / 1000)
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut data = vec![VERSION];
        for field in [self.number, self.floor, self.before] {
            data.extend_from_slice(&field.to_be_bytes());
        }
        data
    }

    /// Reads a record. Accepts only what [`encode`](Self::encode) writes.
    pub(super) fn decode(data: &[u8]) -> Result<Self, Unreadable> {
        let (fields, rest) = match data.split_first() {
            Some((&VERSION, fields)) => fields.as_chunks(),
            Some((&version, _)) if version > VERSION => return Err(Unreadable::Newer),
            _ => return Err(Unreadable::Damaged),
        };
        let ([number, floor, before], []) = (fields, rest) else {
            return Err(Unreadable::Damaged);
        };
        let [number, floor, before] = [number, floor, before].map(|it| u64::from_be_bytes(*it));
        if floor > number || [number, before].iter().any(|it| *it >= LIMIT) {
            return Err(Unreadable::Damaged);
        }
        Ok(Self { number, floor, before })
    }
}

/// Whether a time is further ahead of this host's clock than another host's clock may be.
pub(super) fn is_ahead(time: SystemTime, now: SystemTime) -> bool {
    time.duration_since(now).is_ok_and(|ahead| ahead > SKEW)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NONE: Epoch = Epoch { number: 0, floor: 0, before: 0 };

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_has_ended_at_first() {
        assert!(!NONE.has_ended(0, at(0)));
        assert_eq!(Epoch::default(), NONE);
    }

    #[test]
    fn all_of_a_lower_number_end_whenever_they_began() {
        let epoch = NONE.end_all(at(5_000));
        assert_eq!(epoch.number, 5_000);
        assert!(epoch.has_ended(0, at(0)) && epoch.has_ended(4_999, at(1 << 40)));
        assert!(!epoch.has_ended(5_000, at(0)));
        // In the same second, and with a clock that was set back.
        assert_eq!(epoch.end_all(at(5_000)).number, 5_001);
        assert_eq!(epoch.end_all(at(1)).number, 5_001);
    }

    #[test]
    fn those_before_a_time_end_with_ten_minutes_for_the_clocks() {
        let epoch = NONE.end_before(at(10_000), at(50_000));
        assert!(epoch.has_ended(0, at(0)) && epoch.has_ended(0, at(10_599)));
        assert!(!epoch.has_ended(0, at(10_600)));
        assert!(!epoch.has_ended(50_000, at(0)), "it began after the call");
        // What ended stays so.
        let later = epoch.end_before(at(5_000), at(60_000));
        assert!(later.has_ended(0, at(10_599)) && !later.has_ended(60_000, at(0)));
        let all = epoch.end_all(at(60_000));
        assert!(all.has_ended(50_000, at(59_999)) && !all.has_ended(60_000, at(10)));
    }

    #[test]
    fn a_time_to_come_counts_as_now() {
        assert_eq!(NONE.end_before(at(900), at(500)), NONE.end_before(at(500), at(500)));
        assert!(!is_ahead(at(1_100), at(500)) && is_ahead(at(1_101), at(500)));
        let never = NONE.end_before(at(0), at(500));
        assert!(!never.has_ended(0, at(0)), "nothing began before 1970");
    }

    #[test]
    fn a_join_ends_what_either_has_ended() {
        let (all, some) = (NONE.end_all(at(100)), NONE.end_before(at(5_000), at(9_000)));
        let joined = all.join(some);
        assert_eq!(joined, some.join(all));
        assert!(joined.has_ended(99, at(1 << 40)) && joined.has_ended(100, at(5_000)));
        assert!(!joined.has_ended(9_000, at(0)));
        assert!(all.ended_all_after(NONE) && !NONE.ended_all_after(all));
        assert!(!some.ended_all_after(NONE));
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_nothing_else_is() {
        let epoch = NONE.end_all(at(7)).end_before(at(8), at(9));
        let data = epoch.encode();
        assert_eq!(data.len(), 25);
        assert_eq!(Epoch::decode(&data), Ok(epoch));
        for end in 0..data.len() {
            assert_eq!(Epoch::decode(&data[..end]), Err(Unreadable::Damaged), "{end}");
        }
        assert_eq!(Epoch::decode(&[&data[..], &[0]].concat()), Err(Unreadable::Damaged));
        let with = |at: usize, byte: u8| {
            let mut data = data.clone();
            data[at] = byte;
            Epoch::decode(&data)
        };
        assert_eq!(with(0, 2), Err(Unreadable::Newer));
        assert_eq!(with(0, 0), Err(Unreadable::Damaged));
        assert_eq!(with(1, 1), Err(Unreadable::Damaged), "a number to come");
        assert_eq!(with(15, 1), Err(Unreadable::Damaged), "a floor above the number");
        assert_eq!(with(17, 1), Err(Unreadable::Damaged), "a time to come");
    }
}
