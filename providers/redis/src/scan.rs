//! All records, a page at a time: by the server's own cursor, and on a cluster slot by slot.

use std::time::SystemTime;

use futures_util::future::try_join_all;
use sessions::provider::{Listed, Page, ProviderError};

use crate::connection::{AnyConnection, is_cluster};
use crate::error::unexpected;
use crate::provider::RedisProvider;
use crate::script::send;

/// Keys, and where the scan goes on.
struct Found {
    keys: Vec<String>,
    next: Option<String>,
}

impl<C: AnyConnection> RedisProvider<C> {
    pub(crate) async fn try_scan(
        &self,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let mut after = page.after;
        // Other keys of a large server take many steps. An empty page lets the caller's time begin
        // again.
        for _ in 0..MOST_STEPS {
            let found = if is_cluster::<C>() {
                self.slots(after.as_deref(), page.limit).await?
            } else {
                self.cursor(after.as_deref(), page.limit).await?
            };
            let prefix = self.keys.record("");
            let ids: Vec<&str> =
                found.keys.iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
            let records = self.read_all(&ids).await?.into_iter().flatten();
            let records: Vec<_> = records.filter(|record| record.is_live(now)).collect();
            after = found.next;
            if !records.is_empty() || after.is_none() {
                return Ok(Listed { records, next: after });
            }
        }
        Ok(Listed { records: Vec::new(), next: after })
    }

    /// A server's cursor names no key, so the keys of a step can only be returned all at once.
    async fn cursor(&self, after: Option<&str>, limit: u32) -> Result<Found, ProviderError> {
        let cursor: u64 = after.map_or(Ok(0), str::parse).map_err(|_| other_mark())?;
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(self.keys.records());
        command.arg("COUNT").arg(limit.clamp(1, MOST_KEYS));
        let found = send(&self.connection, &command).await.map_err(|error| self.error(error))?;
        let (next, keys): (u64, Vec<Vec<u8>>) =
            redis::from_redis_value(found).map_err(unexpected)?;
        Ok(Found { keys: self.ours(keys), next: (next != 0).then(|| next.to_string()) })
    }

    /// The records of some slots. A mark is the number of a slot, and the last key read there.
    async fn slots(&self, after: Option<&str>, limit: u32) -> Result<Found, ProviderError> {
        let limit = usize::try_from(limit.clamp(1, MOST_KEYS)).unwrap_or(usize::MAX);
        let (first, mut last) = match after {
            None => (0, None),
            Some(mark) => match mark.split_once(':') {
                None => (mark.parse().map_err(|_| other_mark())?, None),
                Some((slot, key)) => {
                    (slot.parse::<u16>().map_err(|_| other_mark())?, Some(key.to_owned()))
                }
            },
        };
        if first >= SLOTS {
            return Err(other_mark());
        }
        let at_once = u16::try_from(limit).unwrap_or(u16::MAX).clamp(16, SLOTS_AT_ONCE);
        let batch = first..SLOTS.min(first + at_once);
        let found = try_join_all(batch.clone().map(|slot| self.keys_of(slot))).await?;
        let mut keys = Vec::new();
        for (slot, mut of_slot) in batch.clone().zip(found) {
            if let Some(last) = last.take() {
                of_slot.retain(|key| *key > last);
            }
            of_slot.sort_unstable();
            let before = keys.len();
            for key in of_slot {
                if keys.len() == limit {
                    // Behind the last key of this slot, if there is one.
                    let last = keys[before..].last();
                    let next = last.map_or_else(|| slot.to_string(), |it| format!("{slot}:{it}"));
                    return Ok(Found { keys, next: Some(next) });
                }
                keys.push(key);
            }
        }
        let next = (batch.end < SLOTS).then(|| batch.end.to_string());
        Ok(Found { keys, next })
    }

    async fn keys_of(&self, slot: u16) -> Result<Vec<String>, ProviderError> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("GETKEYSINSLOT").arg(slot).arg(i32::MAX);
        let found = send(&self.connection, &command).await.map_err(|error| self.error(error))?;
        Ok(self.ours(redis::from_redis_value(found).map_err(unexpected)?))
    }

    /// The keys of records. A key that is no text is another's.
    fn ours(&self, keys: Vec<Vec<u8>>) -> Vec<String> {
        let prefix = self.keys.record("");
        let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok());
        keys.filter(|key| key.starts_with(&prefix)).collect()
    }
}

fn other_mark() -> ProviderError {
    ProviderError::permanent("this mark is not one of Redis': begin the scan again")
}

/// How many keys the server looks at in one step, during which it does nothing else.
const MOST_KEYS: u32 = 1_000;

/// How many steps without a record a call makes.
const MOST_STEPS: usize = 32;

/// The slots of a cluster.
const SLOTS: u16 = 16_384;

/// How many slots a call asks for at once.
const SLOTS_AT_ONCE: u16 = 256;
