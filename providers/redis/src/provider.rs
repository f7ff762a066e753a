//! The provider: each call is one command, or few.

use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use redis::{RedisError, RedisResult, Value};
use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    from_unix_millis, to_unix_millis,
};

use crate::connection::{AnyConnection, Connection, is_cluster};
use crate::error::{foreign, provider_error_on};
use crate::keys::{DEFAULT_PREFIX, Keys};
use crate::record::{expectation, text, to_record};
use crate::script::{DELETE, DISOWN, OWN, SAVE, TOUCH, send};
use crate::source::Source;

/// Keeps records in Redis. Clones share their connection.
///
/// The [crate's docs](crate) describe the keys, the cost of each call, expiry, and what can be
/// lost.
///
/// ```no_run
/// use sessions_redis::RedisProvider;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sessions::provider::ProviderError> {
/// let provider = RedisProvider::connect("redis://127.0.0.1:6379").await?;
/// let store = sessions::Store::new(provider);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisProvider<C = Connection> {
    pub(crate) connection: C,
    pub(crate) keys: Keys,
    pub(crate) feed: Source,
    timeout: Duration,
}

impl RedisProvider {
    /// Connects to a Redis server, and checks with [`create`](Self::create) that the server is
    /// suitable.
    ///
    /// The URL has the form that [`Connection::open`] describes. For a prefix other than
    /// `sessions`, or to start while Redis is down, open such a connection and pass it to
    /// [`new`](Self::new).
    ///
    /// # Errors
    /// Fails if the URL is wrong, or if the server cannot be reached, refuses the user, is too old,
    /// accepts no writes, or forbids a command.
    ///
    /// ```
    /// use sessions_redis::RedisProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let error = RedisProvider::connect("http://localhost").await.unwrap_err();
    /// assert!(!error.is_unavailable());
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, ProviderError> {
        let provider = Self::new(Connection::open(url)?);
        provider.create().await?;
        Ok(provider)
    }
}

impl<C: AnyConnection> RedisProvider<C> {
    /// Uses a connection of your own: a [`Connection`], or a `MultiplexedConnection`, a
    /// `ConnectionManager` or a `ClusterConnection` of the crate [`redis`].
    ///
    /// A driver that sends a save again may report a conflict of the save with itself. Of the named
    /// ones only a `ClusterConnection` does this, unless its client is built with `retries(0)`; it
    /// still follows redirections. The driver's response timeout is half a second by default.
    ///
    /// ```no_run
    /// use sessions_redis::{RedisProvider, redis};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = redis::Client::open("redis://127.0.0.1:6379")?;
    /// let manager = redis::aio::ConnectionManager::new(client).await?;
    /// let provider = RedisProvider::new(manager);
    /// provider.create().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(connection: C) -> Self {
        let keys = Keys::new(DEFAULT_PREFIX).expect("the default prefix is a plain one");
        let feed = Source::of(&connection);
        Self { connection, keys, feed, timeout: TIMEOUT }
    }

    /// Starts the keys with a prefix other than `sessions`. The prefix has 1 to 64 ASCII letters,
    /// digits, and `-`, `_`, `.`, `:`, `/`. A colon is added after it.
    ///
    /// # Errors
    /// Fails for any other prefix.
    ///
    /// ```
    /// use sessions_redis::{Connection, RedisProvider};
    ///
    /// # fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let connection = Connection::open("redis://127.0.0.1:6379")?;
    /// let provider = RedisProvider::new(connection).prefix("shop:visitors")?;
    /// assert!(provider.prefix("shop*").is_err());
    /// # Ok(()) }
    /// ```
    pub fn prefix(mut self, prefix: &str) -> Result<Self, ProviderError> {
        self.keys = Keys::new(prefix).ok_or_else(|| {
            ProviderError::permanent(format!(
                "{prefix:?} is no prefix for keys: use 1 to 64 ASCII letters, digits, and - _ . : /"
            ))
        })?;
        Ok(self)
    }

    /// Sets the timeout of a call, including all commands that it sends. The default is 5 seconds.
    /// A save that times out may have happened.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions_redis::{Connection, RedisProvider};
    ///
    /// # fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let connection = Connection::open("redis://127.0.0.1:6379")?;
    /// let provider = RedisProvider::new(connection).timeout(Duration::from_secs(1));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        tokio::time::timeout(self.timeout, call).await.unwrap_or_else(|_| {
            Err(ProviderError::unavailable(format!(
                "Redis has not answered within {:?}: it is overloaded, or cannot be reached",
                self.timeout
            )))
        })
    }

    pub(crate) fn error(&self, error: RedisError) -> ProviderError {
        provider_error_on(is_cluster::<C>(), error)
    }

    async fn read(&self, id: &str) -> Result<Option<Record>, ProviderError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.record(id)).arg(&["v", "e", "f", "o", "d"]);
        let found = send(&self.connection, &command).await.map_err(|error| self.error(error))?;
        to_record(id, found)
    }

    /// Puts an id into an owner's sets; returns until when it is held there by the server's clock.
    /// Its record may not live longer. So the sets show every live record at any time.
    async fn own(
        &self,
        owner: &str,
        id: &str,
        until: &str,
        now: &str,
    ) -> Result<String, ProviderError> {
        let keys = self.keys.owner(owner);
        let keys = [keys.ids.as_bytes(), keys.until.as_bytes()];
        let args = [id.as_bytes(), until.as_bytes(), now.as_bytes()];
        let held = OWN.run(&self.connection, &keys, &args).await;
        text(held.map_err(|error| self.error(error))?)?.ok_or_else(|| foreign("something else"))
    }

    /// Takes the id of a record that is gone out of its owner's sets, unless another save may be
    /// about to write a record of that id: then an odd number says so, or another one in the set.
    async fn disown(&self, owner: &str, id: &str, held: &str) -> RedisResult<()> {
        if !held.ends_with(['0', '2', '4', '6', '8']) {
            return Ok(());
        }
        let keys = self.keys.owner(owner);
        let keys = [keys.ids.as_bytes(), keys.until.as_bytes()];
        DISOWN.run(&self.connection, &keys, &[id.as_bytes(), held.as_bytes()]).await.map(drop)
    }

    async fn try_save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let key = self.keys.record(&record.id);
        let until = listed_until(record.expires_at, now).to_string();
        let expect_text = expectation(expect);
        let now = to_unix_millis(now).to_string();
        let version = record.version.to_string();
        let expires_at =
            record.expires_at.map(|at| to_unix_millis(at).to_string()).unwrap_or_default();
        // An update mostly keeps its owner, whose set holds the id already.
        let mut owned = matches!(expect, Expect::Version(_) | Expect::Untouched { .. });
        loop {
            let held = match &record.owner {
                Some(owner) if !owned => self.own(owner, &record.id, &until, &now).await?,
                _ => String::new(),
            };
            let mut args: Vec<&[u8]> = vec![
                now.as_bytes(),
                expect_text.as_bytes(),
                version.as_bytes(),
                expires_at.as_bytes(),
                record.format.as_bytes(),
                &record.data,
                held.as_bytes(),
            ];
            args.extend(record.owner.as_deref().map(str::as_bytes));
            let answer = SAVE.run(&self.connection, &[key.as_bytes()], &args).await;
            match answer.map_err(|error| self.error(error))? {
                Value::Int(1) => return Ok(Saved::Saved),
                Value::Int(0) => return Ok(Saved::Conflict(None)),
                Value::Int(2) if owned => owned = false,
                found => return to_record(&record.id, found).map(Saved::Conflict),
            }
        }
    }

    async fn try_touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let (key, expect) = (self.keys.record(id), expectation(expect));
        let until = listed_until(Some(expires_at), now).to_string();
        let expires_at = to_unix_millis(expires_at).to_string();
        let now = to_unix_millis(now).to_string();
        let mut owner: Option<String> = None;
        // Once more for each other owner that the record gets meanwhile.
        loop {
            let mut args: Vec<&[u8]> =
                vec![now.as_bytes(), expires_at.as_bytes(), expect.as_bytes()];
            let held;
            if let Some(owner) = &owner {
                held = self.own(owner, id, &until, &now).await?;
                args.extend([held.as_bytes(), owner.as_bytes()]);
            }
            let answer = TOUCH.run(&self.connection, &[key.as_bytes()], &args).await;
            match answer.map_err(|error| self.error(error))? {
                Value::Int(1) => return Ok(Touched::Touched),
                Value::Int(_) => return Ok(Touched::Conflict(None)),
                found @ Value::Array(_) => return to_record(id, found).map(Touched::Conflict),
                found => owner = text(found)?,
            }
        }
    }

    async fn try_delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let (key, expect) = (self.keys.record(id), expectation(expect));
        let now = to_unix_millis(now).to_string();
        let args = [now.as_bytes(), expect.as_bytes()];
        let removed = DELETE.run(&self.connection, &[key.as_bytes()], &args).await;
        let mut removed = removed.map_err(|error| self.error(error))?;
        let held = match &mut removed {
            Value::Int(0) => return Ok(Deleted::Deleted(None)),
            Value::Array(fields) if fields.len() == 6 => {
                fields.pop().map(text).transpose()?.flatten()
            }
            _ => {
                let current = to_record(id, removed)?;
                return Ok(current.map_or(Deleted::Deleted(None), Deleted::Conflict));
            }
        };
        let removed = to_record(id, removed)?;
        if let Some(owner) = removed.as_ref().and_then(|record| record.owner.as_deref())
            && let Some(held) = held
        {
            // The record is gone, whatever becomes of this; its id goes later by itself.
            let _ = self.disown(owner, id, &held).await;
        }
        Ok(Deleted::Deleted(removed))
    }

    async fn try_list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let key = self.keys.owner(owner).ids;
        let limit = page.limit as usize;
        let mut after = page.after;
        let mut listed = Listed::default();
        loop {
            // One more than is missing tells whether another page follows.
            let batch = (limit - listed.records.len()).saturating_add(1).min(LIST_BATCH);
            let start = after.as_ref().map_or_else(|| "-".to_owned(), |after| format!("({after}"));
            let mut command = redis::cmd("ZRANGE");
            command.arg(&key).arg(start).arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(batch);
            let ids = send(&self.connection, &command).await.map_err(|error| self.error(error))?;
            let ids: Vec<String> = redis::from_redis_value(ids).map_err(|error| {
                foreign("ids of another kind").with_source(RedisError::from(error))
            })?;
            let records = self.read_all(&ids).await?;
            // An id stays in the set longer than its record, or its record's owner.
            let live = records.into_iter().flatten();
            let live = live.filter(|it| it.is_live(now) && it.owner.as_deref() == Some(owner));
            for record in live {
                if listed.records.len() == limit {
                    listed.next = listed.records.last().map(|record| record.id.to_string());
                    return Ok(listed);
                }
                listed.records.push(record);
            }
            if ids.len() < batch {
                return Ok(listed);
            }
            after = ids.into_iter().next_back();
        }
    }

    async fn try_clock(&self) -> Result<SystemTime, ProviderError> {
        let answer = send(&self.connection, &redis::cmd("TIME")).await;
        let answer = redis::from_redis_value(answer.map_err(|error| self.error(error))?);
        let (secs, micros): (u64, u64) =
            answer.map_err(|error| foreign("no time").with_source(RedisError::from(error)))?;
        Ok(from_unix_millis(secs.saturating_mul(1_000).saturating_add(micros / 1_000)))
    }

    /// All at once, each with a command of its own, as they are in different slots.
    pub(crate) async fn read_all(
        &self,
        ids: &[impl AsRef<str>],
    ) -> Result<Vec<Option<Record>>, ProviderError> {
        futures_util::future::try_join_all(ids.iter().map(|id| self.read(id.as_ref()))).await
    }
}

impl<C> fmt::Debug for RedisProvider<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisProvider")
            .field("prefix", &self.keys.prefix())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: AnyConnection> Provider for RedisProvider<C> {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        let found = self.limited(self.read(id)).await?;
        Ok(found.filter(|record| record.is_live(now)))
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.limited(self.try_save(record, expect, now)).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.limited(self.try_delete(id, expect, now)).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.limited(self.try_touch(id, expires_at, expect, now)).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.limited(self.try_scan(page, now)).await
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.limited(self.try_list(owner, page, now)).await
    }

    // `purge` stays unsupported, because Redis removes expired records itself.

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        self.limited(self.try_clock()).await.map(Some)
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let found = self.limited(self.read_all(ids)).await?;
        Ok(found.into_iter().flatten().filter(|record| record.is_live(now)).collect())
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        self.follow(listener).await
    }
}

/// Until when an owner's set is to hold the id of a record that expires then: half as long again,
/// so that not every touch and save must prolong it.
fn listed_until(expires_at: Option<SystemTime>, now: SystemTime) -> u64 {
    let Some(expires_at) = expires_at.map(to_unix_millis) else { return NEVER };
    let lives = expires_at.saturating_sub(to_unix_millis(now));
    expires_at.saturating_add(lives / 2).min(NEVER)
}

/// Near the 2^53 up to which a score, and a number in a script, is exact; the scripts take all from
/// here on for never.
const NEVER: u64 = 9_007_199_254_740_000;

const TIMEOUT: Duration = Duration::from_secs(5);

/// How many records a listing reads at once.
const LIST_BATCH: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_listed_for_longer_than_its_record_lives() {
        let at = from_unix_millis;
        assert_eq!(listed_until(Some(at(1_000_000)), at(0)), 1_500_000);
        assert_eq!(listed_until(Some(at(1_000)), at(900)), 1_050);
        assert_eq!(listed_until(Some(at(1_000)), at(2_000)), 1_000);
        assert_eq!(listed_until(None, at(0)), NEVER);
        assert!(listed_until(Some(at(u64::MAX)), at(0)) <= NEVER);
    }
}
