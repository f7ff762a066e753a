//! What the commands do with the sessions of one type, without its name in their own types.

use std::marker::PhantomData;

use async_trait::async_trait;

use crate::data::SessionData;
use crate::error::Error;
use crate::provider::Page;
use crate::store::Store;
use crate::store::owner::SessionPage;
use crate::store::upgrade::Upgraded;

/// Hears how far an upgrade is.
pub(super) type Progress<'p> = Box<dyn FnMut(&Upgraded) + Send + 'p>;

/// A session type.
#[async_trait]
pub(super) trait OfType: Send + Sync {
    fn name(&self) -> &'static str;

    async fn list(&self, store: &Store, owner: &str, page: Page) -> Result<SessionPage, Error>;

    async fn revoke_all(&self, store: &Store, owner: &str) -> Result<u64, Error>;

    async fn export(&self, store: &Store, owner: &str) -> Result<String, Error>;

    async fn upgrade(
        &self,
        store: &Store,
        per_second: u32,
        refile: bool,
        progress: Progress<'_>,
    ) -> Result<Upgraded, Error>;
}

pub(super) struct Typed<T>(pub(super) PhantomData<fn() -> T>);

#[async_trait]
impl<T: SessionData> OfType for Typed<T> {
    fn name(&self) -> &'static str {
        T::SCHEMA.name
    }

    async fn list(&self, store: &Store, owner: &str, page: Page) -> Result<SessionPage, Error> {
        store.core().list::<T>(owner, page).await
    }

    async fn revoke_all(&self, store: &Store, owner: &str) -> Result<u64, Error> {
        store.core().revoke_all::<T>(owner).await
    }

    async fn export(&self, store: &Store, owner: &str) -> Result<String, Error> {
        store.core().export::<T>(owner).await
    }

    async fn upgrade(
        &self,
        store: &Store,
        per_second: u32,
        refile: bool,
        progress: Progress<'_>,
    ) -> Result<Upgraded, Error> {
        let mut upgrade = store.upgrade::<T>().per_second(per_second).on_progress(progress);
        if refile {
            upgrade = upgrade.refile_owners();
        }
        upgrade.run().await
    }
}
