//! A session store for tower-sessions over any [`Provider`], for axum-login and for apps that move
//! from tower-sessions.
//!
//! [`ProviderStore`] keeps the sessions of tower-sessions in any provider's database. With the
//! feature `tower-sessions` it is a store of tower-sessions 0.15. With the feature
//! `tower-sessions-0-14` it is a store of 0.14, which axum-login 0.18 uses.
//!
#![cfg_attr(feature = "tower-sessions", doc = "```")]
#![cfg_attr(not(feature = "tower-sessions"), doc = "```ignore")]
//! use axum::{Router, http::StatusCode, routing::get};
//! use sessions::MemoryProvider;
//! use sessions::tower_sessions::ProviderStore;
//! use tower_sessions::{Session, SessionManagerLayer};
//!
//! async fn home(session: Session) -> Result<String, StatusCode> {
//!     let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
//!     let visits = session.get::<u32>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
//!     session.insert("visits", visits).await.map_err(failed)?;
//!     Ok(format!("visit number {visits}"))
//! }
//!
//! let store = ProviderStore::new(MemoryProvider::new());
//! let app: Router = Router::new().route("/", get(home)).layer(SessionManagerLayer::new(store));
//! ```
//!
//! # What it offers, and what it does not
//!
//! - **No optimistic lock.** tower-sessions passes a whole record and no version to its store, so
//!   the store has nothing to compare. If two requests change one session at the same time, the
//!   later one overwrites everything that the earlier one saved. Types, schema versions, merging
//!   and renewals that are safe with parallel requests need a [`Session`](struct@crate::Session).
//! - **Hashed ids.** The database holds the hash of an id, as for this crate's own sessions, so
//!   somebody who reads it cannot take a session over. The data is JSON, in plaintext.
//! - **No revival.** A slow request cannot revive a session that was deleted or has expired: its
//!   changes are dropped, with an event. So this store cannot be the `Cache` of a
//!   `CachingSessionStore`, because a cache saves sessions that it has not created. It can be the
//!   store behind one.
//! - **Calls.** A load costs one call to the database, a creation one, a save two (it fetches the
//!   session first), and a deletion one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;

use crate::clock::{Clock, SKEW, SystemClock, from_unix_millis, to_unix_millis};
use crate::id::{KeyHasher, StoreKey};
use crate::provider::{Expect, Provider, ProviderError, Record, Saved};
use crate::telemetry;
use crate::telemetry::event::Events;

/// A store for tower-sessions over a provider. Clones share it.
///
/// ```
/// use sessions::MemoryProvider;
/// use sessions::tower_sessions::ProviderStore;
///
/// let store = ProviderStore::new(MemoryProvider::new()).app("shop");
/// ```
pub struct ProviderStore<P> {
    provider: Arc<P>,
    hasher: KeyHasher,
    clock: Arc<dyn Clock>,
}

type Data = HashMap<String, Value>;

/// The failure of a call. It converts into the error of both versions of tower-sessions.
enum Failure {
    Encode(String),
    Decode(String),
    Backend(String),
}

impl<P: Provider> ProviderStore<P> {
    /// Creates a store for the app "app".
    ///
    /// ```
    /// # use sessions::MemoryProvider;
    /// # use sessions::tower_sessions::ProviderStore;
    /// let store = ProviderStore::new(MemoryProvider::new());
    /// ```
    pub fn new(provider: P) -> Self {
        Self { provider: Arc::new(provider), hasher: hasher("app"), clock: Arc::new(SystemClock) }
    }

    /// Sets the name of the app. Apps of different names can share a database and do not see each
    /// other's sessions.
    ///
    /// ```
    /// # use sessions::MemoryProvider;
    /// # use sessions::tower_sessions::ProviderStore;
    /// let store = ProviderStore::new(MemoryProvider::new()).app("shop");
    /// ```
    #[must_use]
    pub fn app(mut self, name: &str) -> Self {
        self.hasher = hasher(name);
        self
    }

    /// Sets the source of time. tower-sessions sets the expiry of a session by the system's clock.
    ///
    /// ```
    /// # use sessions::MemoryProvider;
    /// # use sessions::tower_sessions::ProviderStore;
    /// let clock = sessions::clock::ManualClock::default();
    /// let store = ProviderStore::new(MemoryProvider::new()).clock(clock.clone());
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn key(&self, id: i128) -> StoreKey {
        self.hasher.key(&id.to_be_bytes())
    }

    /// Creates a record, and returns whether there was no session of this id.
    async fn create(&self, id: i128, data: &Data, expiry: SystemTime) -> Result<bool, Failure> {
        let record = record(&self.key(id), 1, data, expiry)?;
        let saved = self.provider.save(&record, Expect::Absent, self.clock.now()).await?;
        Ok(saved == Saved::Saved)
    }

    async fn save(&self, id: i128, data: &Data, expiry: SystemTime) -> Result<(), Failure> {
        let key = self.key(id);
        let now = self.clock.now();
        let mut current = self.provider.fetch(key.as_str(), now).await?;
        // A save that loses a race retries over the winner, because in tower-sessions the last save
        // wins.
        while let Some(Record { version, .. }) = current {
            let record = record(&key, version.saturating_add(1), data, expiry)?;
            match self.provider.save(&record, Expect::Version(version), now).await? {
                Saved::Saved => return Ok(()),
                Saved::Conflict(winner) => current = winner,
            }
        }
        Events::default().dropped(NAME, Some(&key), "ended");
        Ok(())
    }

    async fn load(&self, id: i128) -> Result<Option<(Data, SystemTime)>, Failure> {
        let record = self.provider.fetch(self.key(id).as_str(), self.clock.now()).await?;
        let Some(Record { data, expires_at: Some(expiry), .. }) = record else { return Ok(None) };
        let data = serde_json::from_slice(&data);
        Ok(Some((data.map_err(|error| Failure::Decode(error.to_string()))?, expiry)))
    }

    async fn delete(&self, id: i128) -> Result<(), Failure> {
        self.provider.delete(self.key(id).as_str(), Expect::Any, self.clock.now()).await?;
        Ok(())
    }

    /// Removes expired records in batches, until no expired record is left.
    async fn delete_expired(&self) -> Result<(), Failure> {
        let before = self.clock.now().checked_sub(SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        loop {
            match self.provider.purge(before, BATCH).await {
                Ok(purged) if purged < u64::from(BATCH) => return Ok(()),
                Ok(_) => tokio::task::yield_now().await,
                // The database removes expired records itself.
                Err(error) if error.is_unsupported() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Keeps the error and its sources as text, because tower-sessions keeps only a text.
impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Backend(telemetry::emit::chain(&error))
    }
}

impl<P> Clone for ProviderStore<P> {
    fn clone(&self) -> Self {
        Self {
            provider: self.provider.clone(),
            hasher: self.hasher.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl<P> fmt::Debug for ProviderStore<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderStore").finish_non_exhaustive()
    }
}

fn hasher(app: &str) -> KeyHasher {
    KeyHasher::new(NAME, app, "")
}

fn record(
    key: &StoreKey,
    version: u64,
    data: &Data,
    expiry: SystemTime,
) -> Result<Record, Failure> {
    let data = serde_json::to_vec(data).map_err(|error| Failure::Encode(error.to_string()))?;
    let mut record = Record::new(key.shared(), version, Bytes::from(data));
    record.expires_at = Some(from_unix_millis(to_unix_millis(expiry)));
    record.format = FORMAT.into();
    Ok(record)
}

const NAME: &str = "tower-sessions";

const FORMAT: &str = "tower-sessions/1";

/// The maximum number of records that one call removes.
const BATCH: u32 = 1_000;

/// Implements the traits of one version of tower-sessions.
macro_rules! implement {
    ($core:ident, $feature:literal) => {
        #[cfg(feature = $feature)]
        const _: () = {
            use $core::session::{Id, Record};
            use $core::session_store::{Error, Result};
            use $core::{ExpiredDeletion, SessionStore};

            use crate::provider::async_trait;

            impl From<Failure> for Error {
                fn from(failure: Failure) -> Self {
                    match failure {
                        Failure::Encode(text) => Self::Encode(text),
                        Failure::Decode(text) => Self::Decode(text),
                        Failure::Backend(text) => Self::Backend(text),
                    }
                }
            }

            #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
            #[async_trait]
            impl<P: Provider> SessionStore for ProviderStore<P> {
                async fn create(&self, record: &mut Record) -> Result<()> {
                    let expiry = record.expiry_date.into();
                    while !self.create(record.id.0, &record.data, expiry).await? {
                        record.id = Id::default();
                    }
                    Ok(())
                }

                async fn save(&self, record: &Record) -> Result<()> {
                    let expiry = record.expiry_date.into();
                    Ok(self.save(record.id.0, &record.data, expiry).await?)
                }

                async fn load(&self, id: &Id) -> Result<Option<Record>> {
                    let loaded = self.load(id.0).await?;
                    Ok(loaded.map(|(data, expiry)| Record {
                        id: *id,
                        data,
                        expiry_date: expiry.into(),
                    }))
                }

                async fn delete(&self, id: &Id) -> Result<()> {
                    Ok(self.delete(id.0).await?)
                }
            }

            #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
            #[async_trait]
            impl<P: Provider> ExpiredDeletion for ProviderStore<P> {
                async fn delete_expired(&self) -> Result<()> {
                    Ok(self.delete_expired().await?)
                }
            }
        };
    };
}

implement!(tower_sessions_core, "tower-sessions");
implement!(tower_sessions_core_0_14, "tower-sessions-0-14");
