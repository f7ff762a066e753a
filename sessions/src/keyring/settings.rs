//! The times that govern a ring.

use std::time::Duration;

use super::ring::MAX_KEYS;
use crate::error::Error;

/// Times in seconds. The names are those of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How old a token may be.
    pub(crate) max_age: u64,
    /// How long a key seals before its successor does.
    pub(crate) sealing: u64,
    /// How long after its retirement a key may still seal, when there is no successor.
    pub(crate) grace: u64,
    /// The largest difference between two hosts' clocks.
    pub(crate) skew: u64,
    /// How long before its activation a key is published at least.
    pub(crate) propagation: u64,
    /// How often the record is read.
    pub(crate) refresh: u64,
    /// How long before a key's retirement this host creates its successor: the propagation time and
    /// up to half an hour at random, so that hosts do not all try at once.
    pub(crate) lead: u64,
    /// Whether an unknown key id makes this host read the record. Only a test disables it.
    pub(crate) look_for_unknown: bool,
}

impl Settings {
    /// Checks that these settings work together. `random` is below `HALF`.
    ///
    /// # Errors
    /// `Error::Config`; the text says what to write instead.
    pub(crate) fn new(max_age: Duration, rotation: Duration, random: u64) -> Result<Self, Error> {
        let settings = Self {
            max_age: max_age.as_secs(),
            sealing: rotation.as_secs(),
            grace: 24 * HOUR,
            skew: 10 * 60,
            propagation: HOUR,
            refresh: 5 * 60,
            lead: HOUR + random % HALF,
            look_for_unknown: true,
        };
        let shortest = 4 * settings.propagation;
        if settings.max_age == 0 {
            return Err(Error::config("max_age is below one second, set a longer one"));
        }
        if settings.sealing < shortest {
            return Err(Error::config(format!(
                "key_rotation is below {} hours, in which a new key cannot reach every host \
                 in time; set a longer one",
                shortest / HOUR
            )));
        }
        if settings.keys_needed() > MAX_KEYS as u128 {
            // The ring holds up to 60 whole periods beside the spare keys.
            let outlive = u128::from(settings.max_age)
                + u128::from(settings.grace)
                + u128::from(settings.skew);
            let least = outlive.div_ceil(MAX_KEYS as u128 - SPARE_KEYS - 1);
            return Err(Error::config(format!(
                "max_age needs more than {MAX_KEYS} keys at this key_rotation; set a \
                 key_rotation of at least {} hours, or a shorter max_age",
                least.div_ceil(u128::from(HOUR))
            )));
        }
        Ok(settings)
    }

    /// How long after its retirement a key is needed.
    pub(crate) fn outlive(&self) -> u64 {
        self.max_age.saturating_add(self.grace).saturating_add(self.skew)
    }

    fn keys_needed(&self) -> u128 {
        let sealing = u128::from(self.sealing);
        let total =
            sealing + u128::from(self.max_age) + u128::from(self.grace) + u128::from(self.skew);
        total.div_ceil(sealing) + SPARE_KEYS
    }
}

const HOUR: u64 = 3600;
const HALF: u64 = HOUR / 2;
/// Room for a successor, an emergency rotation, and rings that were merged.
const SPARE_KEYS: u128 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * HOUR;

    fn text(max_age: u64, rotation: u64) -> String {
        let settings =
            Settings::new(Duration::from_secs(max_age), Duration::from_secs(rotation), 0);
        settings.map_or_else(|error| error.to_string(), |_| "fine".to_owned())
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_what_to_write_instead() {
        assert_eq!(text(30 * DAY, 7 * DAY), "fine");
        assert!(text(0, 7 * DAY).contains("max_age"));
        assert_eq!(text(DAY, 4 * HOUR), "fine");
        assert!(text(DAY, 4 * HOUR - 1).contains("below 4 hours"));
        assert!(text(365 * DAY, DAY).contains("at least 149 hours"));
        assert_eq!(text(365 * DAY, 149 * HOUR), "fine");
        assert!(text(u64::MAX, u64::MAX) == "fine" && text(u64::MAX, 7 * DAY).contains("max_age"));
    }
}
