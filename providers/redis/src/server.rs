//! The requirements on the server, and its recommended settings.

use std::time::{Duration, SystemTime};

use redis::{ErrorKind, InfoDict, ServerErrorKind, Value};
use sessions::provider::{Expect, Page, Provider as _, ProviderError, Record};

use crate::connection::{AnyConnection, is_cluster};
use crate::error::{too_old, unexpected};
use crate::keys::PROBE;
use crate::provider::RedisProvider;
use crate::script::send;

impl<C: AnyConnection> RedisProvider<C> {
    /// Checks that the server is suitable: its version, and that it lets the user run every script,
    /// with a record that expires. Any number of hosts may do so at once.
    ///
    /// There is nothing to create, because keys are created with their first record. Without this
    /// check, a problem shows at the first call that meets it.
    ///
    /// # Errors
    /// Fails if the server cannot be reached, refuses the user, is too old, accepts no writes, or
    /// forbids a command.
    ///
    /// ```no_run
    /// use sessions_redis::{Connection, RedisProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let connection = Connection::open("redis://127.0.0.1:6379")?;
    /// RedisProvider::new(connection).prefix("shop")?.create().await?;
    /// # Ok(()) }
    /// ```
    pub async fn create(&self) -> Result<(), ProviderError> {
        for info in self.limited(self.info("server")).await?.unwrap_or_default() {
            let version: Option<String> = info.get("redis_version");
            if version.as_deref().and_then(major).is_some_and(|major| major < OLDEST) {
                return Err(too_old());
            }
        }
        let now = SystemTime::now();
        let mut probe = Record::new(PROBE, 1, &b"probe"[..]);
        probe.owner = Some(PROBE.into());
        probe.expires_at = Some(now + Duration::from_secs(60));
        self.save(&probe, Expect::Any, now).await?;
        self.fetch(PROBE, now).await?;
        self.touch(PROBE, now + Duration::from_secs(61), Expect::Any, now).await?;
        self.list(PROBE, Page::first(1), now).await?;
        self.delete(PROBE, Expect::Any, now).await?;
        Ok(())
    }

    /// Returns the settings of the server that can lose sessions, as text for an operator:
    /// eviction, no append-only file, a clock that differs from this host's. The list is empty if
    /// there is no problem, and also if the user may not ask (`INFO`, `TIME`).
    ///
    /// # Errors
    /// Fails if the server cannot be reached.
    ///
    /// ```no_run
    /// use sessions_redis::RedisProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = RedisProvider::connect("redis://127.0.0.1:6379").await?;
    /// for warning in provider.warnings().await? {
    ///     eprintln!("warning: {warning}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn warnings(&self) -> Result<Vec<String>, ProviderError> {
        let mut warnings = Vec::new();
        let memory = self.limited(self.info("memory")).await?.unwrap_or_default();
        let persistence = self.limited(self.info("persistence")).await?.unwrap_or_default();
        for info in &memory {
            warnings.extend(evicts(info));
        }
        for info in &persistence {
            warnings.extend(keeps_nothing(info));
        }
        warnings.extend(self.limited(self.clock()).await?);
        warnings.sort_unstable();
        warnings.dedup();
        Ok(warnings)
    }

    /// Deletes every key under the prefix. It is for tests. It scans all keys of the server, which
    /// on a cluster blocks each node meanwhile.
    ///
    /// # Errors
    /// Fails if the server cannot answer.
    ///
    /// ```no_run
    /// use sessions_redis::RedisProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = RedisProvider::connect("redis://127.0.0.1:6379").await?;
    /// provider.prefix("test")?.clear().await?;
    /// # Ok(()) }
    /// ```
    pub async fn clear(&self) -> Result<(), ProviderError> {
        // A driver of a cluster asks all nodes for KEYS, but knows no SCAN.
        let mut cursor = Some(if is_cluster::<C>() { String::new() } else { "0".to_owned() });
        while let Some(at) = cursor {
            let mut command = redis::cmd(if at.is_empty() { "KEYS" } else { "SCAN" });
            if at.is_empty() {
                command.arg(self.keys.pattern());
            } else {
                command.arg(&at).arg("MATCH").arg(self.keys.pattern()).arg("COUNT").arg(1_000);
            }
            let found =
                send(&self.connection, &command).await.map_err(|error| self.error(error))?;
            let (next, keys): (String, Vec<Vec<u8>>) = if at.is_empty() {
                ("0".to_owned(), redis::from_redis_value(found).map_err(unexpected)?)
            } else {
                redis::from_redis_value(found).map_err(unexpected)?
            };
            // Each in a slot of its own.
            for some in keys.chunks(500) {
                futures_util::future::try_join_all(some.iter().map(async |key| {
                    let mut command = redis::cmd("UNLINK");
                    command.arg(key);
                    send(&self.connection, &command).await.map_err(|error| self.error(error))
                }))
                .await?;
            }
            cursor = Some(next).filter(|next| next != "0");
        }
        Ok(())
    }

    /// A section of what each node says about itself; `None` where the user may not ask.
    async fn info(&self, section: &str) -> Result<Option<Vec<InfoDict>>, ProviderError> {
        let mut command = redis::cmd("INFO");
        command.arg(section);
        let answer = match send(&self.connection, &command).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                return Ok(None);
            }
            answer => answer.map_err(|error| self.error(error))?,
        };
        // A cluster's driver asks each node.
        let answers = match answer {
            Value::Map(nodes) if is_cluster::<C>() => nodes.into_iter().map(|it| it.1).collect(),
            answer => vec![answer],
        };
        let parsed: Result<_, _> = answers.into_iter().map(redis::from_redis_value).collect();
        parsed.map(Some).map_err(unexpected)
    }

    async fn clock(&self) -> Result<Option<String>, ProviderError> {
        let before = SystemTime::now();
        let answer = match send(&self.connection, &redis::cmd("TIME")).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                return Ok(None);
            }
            answer => answer.map_err(|error| self.error(error))?,
        };
        let (seconds, _): (u64, u64) = redis::from_redis_value(answer).map_err(unexpected)?;
        let server = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Ok(differs(before, server))
    }
}

fn evicts(info: &InfoDict) -> Option<String> {
    let policy: String = info.get("maxmemory_policy")?;
    let limit: u64 = info.get("maxmemory")?;
    (limit > 0 && policy != "noeviction").then(|| {
        format!(
            "Redis evicts keys when it is full (maxmemory-policy {policy}), which ends sessions \
             and can lose the keys that open cookies: set it to noeviction"
        )
    })
}

fn keeps_nothing(info: &InfoDict) -> Option<String> {
    let append_only: u64 = info.get("aof_enabled")?;
    (append_only == 0).then(|| {
        "Redis writes no append-only file, so a crash takes back all since its last snapshot: set \
         appendonly yes"
            .to_owned()
    })
}

fn differs(here: SystemTime, server: SystemTime) -> Option<String> {
    let apart = here.duration_since(server).unwrap_or_else(|error| error.duration());
    (apart > APART).then(|| {
        format!(
            "the clocks of Redis and this host are {} seconds apart, and sessions end by the one \
             that is ahead: synchronize them",
            apart.as_secs()
        )
    })
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// The oldest major version that runs the scripts.
const OLDEST: u32 = 7;

/// How far two clocks may be apart before it is told.
const APART: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(major("7.0.15"), Some(7));
        assert_eq!(major("255.255.255"), Some(255));
        assert_eq!(major("unstable"), None);
    }

    #[test]
    fn warnings_are_for_settings_that_lose_sessions() {
        let info = |text| InfoDict::new(text);
        let evicting = info("maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n");
        assert!(evicts(&evicting).unwrap().contains("allkeys-lru"));
        assert_eq!(evicts(&info("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n")), None);
        assert_eq!(evicts(&info("maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n")), None);
        assert!(keeps_nothing(&info("aof_enabled:0\r\n")).unwrap().contains("appendonly yes"));
        assert_eq!(keeps_nothing(&info("aof_enabled:1\r\n")), None);
        assert_eq!(keeps_nothing(&info("")), None);
        let now = SystemTime::now();
        assert_eq!(differs(now, now - Duration::from_secs(60)), None);
        assert!(differs(now, now - Duration::from_secs(61)).unwrap().contains("61 seconds"));
        assert!(differs(now, now + Duration::from_secs(90)).unwrap().contains("90 seconds"));
    }
}
