//! A provider behind an `Arc` is a provider.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};

#[async_trait]
impl<P: Provider + ?Sized> Provider for Arc<P> {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        (**self).fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        (**self).save(record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        (**self).delete(id, expect, now).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        (**self).touch(id, expires_at, expect, now).await
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        (**self).list(owner, page, now).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        (**self).scan(page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        (**self).purge(expired_before, limit).await
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        (**self).clock().await
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        (**self).fetch_many(ids, now).await
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        (**self).changes(listener).await
    }

    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        (**self).save_and_announce(record, expect, now).await
    }

    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        (**self).announce(ids).await
    }
}
