//! Encrypts the data of records on the way to the provider. The ids, expiries, formats and owners
//! of records stay readable, because the database works with them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::fence::FENCE_FORMAT;
use crate::codec::Codec;
use crate::crypto::purpose::Purpose;
use crate::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};
use crate::schema::header::ENCRYPTED;

/// A provider whose records are sealed under the key ring, each bound to its id.
pub(super) struct AtRest {
    inner: Arc<dyn Provider>,
    codec: Codec,
    purpose: Purpose,
    /// Whether to read records from before the encryption was switched on.
    accepts_plain: bool,
}

impl AtRest {
    pub(super) fn new(inner: Arc<dyn Provider>, codec: Codec, accepts_plain: bool) -> Self {
        Self { inner, codec, purpose: Purpose::records(), accepts_plain }
    }

    async fn seal(&self, record: &Record) -> Result<Record, ProviderError> {
        // A fence holds a time and a random mark. Logins must be able to read it after every key
        // was erased.
        if *record.format == *FENCE_FORMAT {
            return Ok(record.clone());
        }
        // The id is part of the encrypted data, so one record's data is invalid in another's place.
        let mut payload = Vec::with_capacity(1 + record.id.len() + record.data.len());
        payload.push(
            u8::try_from(record.id.len())
                .map_err(|_| ProviderError::permanent("a record's id has at most 255 bytes"))?,
        );
        payload.extend_from_slice(record.id.as_bytes());
        payload.extend_from_slice(&record.data);
        let sealed = self.codec.seal_bytes(&self.purpose, &payload).await.map_err(|error| {
            ProviderError::unavailable("there is no key to encrypt records with").with_source(error)
        })?;
        let mut data = Vec::with_capacity(1 + sealed.len());
        data.push(SEALED);
        data.extend_from_slice(&sealed);
        Ok(Record { data: data.into(), ..record.clone() })
    }

    /// Data that cannot be decrypted stays as it is: it reads as a record that this build cannot
    /// read, and spoils nothing else.
    ///
    /// # Errors
    /// If the keys cannot be read now, and for a record that is not encrypted but should be.
    async fn open(&self, record: Record) -> Result<Record, ProviderError> {
        if *record.format == *FENCE_FORMAT {
            return Ok(record);
        }
        let Some((&SEALED, sealed)) = record.data.split_first() else {
            if self.accepts_plain {
                return Ok(record);
            }
            return Err(ProviderError::permanent(
                "a record is not encrypted; build the store with accept_plain_records() until \
                 those from before have expired",
            ));
        };
        let payload = match self.codec.open_bytes(&self.purpose, sealed).await {
            Ok(payload) => payload,
            Err(error) if error.is_unavailable() => {
                let text = "a record's key cannot be read now";
                return Err(ProviderError::unavailable(text).with_source(error));
            }
            Err(_) => return Ok(record),
        };
        let inside = payload.split_first().and_then(|(length, rest)| {
            let (id, data) = rest.split_at_checked(usize::from(*length))?;
            (id == record.id.as_bytes()).then_some(data)
        });
        Ok(match inside {
            Some(data) => Record { data: data.to_vec().into(), ..record },
            // Another record's data.
            None => record,
        })
    }

    async fn open_some(&self, record: Option<Record>) -> Result<Option<Record>, ProviderError> {
        match record {
            Some(record) => self.open(record).await.map(Some),
            None => Ok(None),
        }
    }

    /// One of several records: one that cannot be read may be ended all the same.
    async fn open_listed(&self, record: Record) -> Result<Record, ProviderError> {
        match self.open(record.clone()).await {
            Err(error) if !error.is_unavailable() => Ok(record),
            opened => opened,
        }
    }

    async fn open_page(&self, listed: Listed) -> Result<Listed, ProviderError> {
        let mut records = Vec::with_capacity(listed.records.len());
        for record in listed.records {
            records.push(self.open_listed(record).await?);
        }
        Ok(Listed { records, next: listed.next })
    }

    async fn saved(&self, saved: Saved) -> Result<Saved, ProviderError> {
        match saved {
            Saved::Saved => Ok(Saved::Saved),
            Saved::Conflict(theirs) => Ok(Saved::Conflict(self.open_some(theirs).await?)),
        }
    }
}

#[async_trait]
impl Provider for AtRest {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.open_some(self.inner.fetch(id, now).await?).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let sealed = self.seal(record).await?;
        self.saved(self.inner.save(&sealed, expect, now).await?).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let removed = match self.inner.delete(id, expect, now).await? {
            Deleted::Deleted(removed) => removed,
            Deleted::Conflict(record) => return Ok(Deleted::Conflict(self.open(record).await?)),
        };
        Ok(Deleted::Deleted(match removed {
            // The record is gone. Data that cannot be read is no reason to fail, because logging
            // out must always work.
            Some(record) => Some(self.open(record.clone()).await.unwrap_or(record)),
            None => None,
        }))
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        match self.inner.touch(id, expires_at, expect, now).await? {
            Touched::Touched => Ok(Touched::Touched),
            Touched::Conflict(record) => Ok(Touched::Conflict(self.open_some(record).await?)),
        }
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.open_page(self.inner.list(owner, page, now).await?).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.open_page(self.inner.scan(page, now).await?).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        self.inner.purge(expired_before, limit).await
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        self.inner.clock().await
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let mut records = Vec::with_capacity(ids.len());
        for record in self.inner.fetch_many(ids, now).await? {
            records.push(self.open_listed(record).await?);
        }
        Ok(records)
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        self.inner.changes(listener).await
    }

    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let sealed = self.seal(record).await?;
        self.saved(self.inner.save_and_announce(&sealed, expect, now).await?).await
    }

    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        self.inner.announce(ids).await
    }
}

/// The first byte of encrypted data.
const SEALED: u8 = ENCRYPTED;

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use super::*;
    use crate::memory::MemoryProvider;
    use crate::provider::conformance::{Subject, suite};

    suite!(async || {
        let memory = MemoryProvider::new();
        // The keys are elsewhere, because the suite expects an empty database.
        let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build();
        let codec = codec.expect("a name and plain keys are all it needs");
        let host = || AtRest::new(Arc::new(memory.clone()), codec.clone(), false);
        Subject::new(host()).with_twin(host())
    });
}
