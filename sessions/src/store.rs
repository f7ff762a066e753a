//! The store: sessions loaded from a provider and committed back under an optimistic lock.

mod abandon;
pub(crate) mod assurance;
pub(crate) mod at_limit;
mod at_rest;
pub(crate) mod base;
#[cfg(feature = "dbsc")]
mod bind;
pub(crate) mod builder;
#[cfg(feature = "cache")]
pub(crate) mod cache;
#[cfg(feature = "cache")]
mod cached;
pub(crate) mod change;
mod client_side;
pub(crate) mod core;
#[cfg(feature = "dbsc")]
pub(crate) mod device_cookie;
pub(crate) mod ended_by;
mod endings;
#[cfg(feature = "dbsc")]
mod endpoints;
mod epoch;
pub(crate) mod execute;
#[cfg(feature = "export")]
mod export;
// Only the cache asks whether what was read still holds.
#[cfg_attr(not(feature = "cache"), allow(dead_code))]
mod feed;
pub(crate) mod fence;
mod follow;
pub(crate) mod keep;
mod limit;
mod load;
pub(crate) mod owner;
pub(crate) mod patch;
pub(crate) mod plan;
#[cfg(feature = "dbsc")]
mod prove;
pub(crate) mod purge;
mod queue;
mod reported;
mod save;
mod sent;
pub(crate) mod session_type;
pub(crate) mod settings;
pub(crate) mod stats;
mod tasks;
pub(crate) mod times;
pub(crate) mod tracker;
pub(crate) mod update;
pub(crate) mod upgrade;
#[cfg(feature = "dbsc")]
mod used_challenges;
pub(crate) mod watch;
pub(crate) mod watches;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use self::builder::StoreBuilder;
use self::core::Core;
use self::fence::LoginAttempt;
use self::owner::{SessionInfo, SessionPage};
use self::update::Whose;
use self::watch::Watch;
use self::watches::SessionEnd;
use crate::codec::Codec;
use crate::commit::{Commit, CommitError};
use crate::data::{AsOwner, SessionData};
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{Page, Provider};
use crate::session::{Live, Session};
use crate::transport::Delivery;

/// Loads and commits sessions: a provider, the keys that seal cookies, and the rules of a session's
/// life.
///
/// One store serves any number of session types, each with its own cookie and record. Cloning is
/// cheap.
///
/// ```
/// use sessions::{MemoryProvider, Session, Store};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     visits: u32,
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// let store = Store::new(MemoryProvider::new());
///
/// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
/// visitor.visits += 1;
/// let commit = visitor.commit().await?;
/// assert!(commit.set_cookie().is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Store {
    core: Arc<Core>,
}

impl Store {
    /// Creates a store with the default settings, which [`StoreBuilder`] lists.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::new(MemoryProvider::new());
    /// ```
    pub fn new(provider: impl Provider) -> Self {
        // `build` only fails on bad settings, and a test builds the default ones.
        Self::builder(provider).build().expect("the default settings are consistent")
    }

    /// Starts building a store with settings of your own.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::builder(MemoryProvider::new()).app("shop").build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn builder(provider: impl Provider) -> StoreBuilder {
        StoreBuilder::new(provider)
    }

    /// Loads the session that a request's `Cookie` headers name, or a new one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the provider is down: never an empty session in place of a
    /// real one. [`Error::NewerSchema`] or [`Error::Decode`] for a record that this build cannot
    /// read; it stays as it was. [`Error::Misuse`] when the store has another type of the same name.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert!(visitor.is_new());
    /// # Ok(()) }
    /// ```
    pub async fn load<T: SessionData>(&self, headers: &HeaderMap) -> Result<Session<T>, Error> {
        let session_type = self.core.session_type::<T>()?;
        Ok(Session::new(Live::find(&self.core, &session_type, headers, false).await?, None))
    }

    /// As [`load`](Self::load), but a record that this build cannot read counts as none: for
    /// logging in and out, which must work after a deploy was rolled back.
    ///
    /// The record stays as it was until the new session is saved or destroyed. Then it ends, too.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the provider is down. [`Error::Misuse`] when the store has
    /// another type of the same name.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let mut visitor = store.load_or_new::<Visitor>(&http::HeaderMap::new()).await?;
    /// // The password was right.
    /// visitor.user = Some(7);
    /// assert!(visitor.commit().await?.set_cookie().is_some());
    /// # Ok(()) }
    /// ```
    pub async fn load_or_new<T: SessionData>(
        &self,
        headers: &HeaderMap,
    ) -> Result<Session<T>, Error> {
        let session_type = self.core.session_type::<T>()?;
        Ok(Session::new(Live::find(&self.core, &session_type, headers, true).await?, None))
    }

    /// Ends the session that a request's cookies stand for, without reading it: logging out works
    /// although the record holds what this build cannot read. The response must carry the cookie
    /// that the commit sets.
    ///
    /// A handler that has a [`Session`](struct@Session) calls its [`destroy`](Session::destroy)
    /// instead.
    ///
    /// # Errors
    /// - [`Error::Unavailable`] if the provider is down. The session may still be live.
    /// - [`Error::Gone`] if the cookie is from before a login or a renewal, and so may not end the
    ///   session. The error's [`set_cookie`](CommitError::set_cookie) clears it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let commit = store.destroy::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(commit.outcome(), Outcome::Destroyed);
    /// assert!(commit.set_cookie().is_none(), "there was no cookie to clear");
    /// # Ok(()) }
    /// ```
    pub async fn destroy<T: SessionData>(
        &self,
        headers: &HeaderMap,
    ) -> Result<Commit, CommitError> {
        let session_type = self.core.session_type::<T>()?;
        let result = self.core.destroy_unread(&session_type, headers).await;
        let headers = |delivery: Option<Delivery>| {
            delivery.map(|it| session_type.headers(it)).unwrap_or_default()
        };
        match result {
            Ok(done) => Ok(Commit::new(done.outcome, headers(done.delivery))),
            Err(failed) => {
                Err(CommitError { error: failed.error, headers: headers(failed.delivery) })
            }
        }
    }

    /// Begins a login. Call it before the password is checked, and pass the attempt to
    /// [`Session::log_in`](crate::Session::log_in) if the password is correct. It costs one fetch.
    ///
    /// [`revoke_all`](Self::revoke_all) then undoes this login exactly if it is called after this
    /// call, independent of the hosts' clocks.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails. [`Error::Misuse`] for a
    /// client-side store.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// let attempt = store.begin_login::<Visitor>(7).await?;
    /// // Check the password here.
    /// visitor.user = Some(7);
    /// visitor.log_in(attempt);
    /// let _ = visitor.commit().await?;
    /// # Ok(()) }
    /// ```
    pub async fn begin_login<T: SessionData>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
    ) -> Result<LoginAttempt, Error> {
        self.core.begin_login::<T>(&owner.name()).await
    }

    /// Lists the live sessions of an owner, a page at a time.
    ///
    /// It omits a session whose record this build cannot read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails, or keeps no list.
    /// [`Error::Misuse`] for a client-side store.
    ///
    /// ```
    /// use sessions::{Page, Session};
    /// # use sessions::{MemoryProvider, Store};
    ///
    /// #[derive(Session)]
    /// #[session(name = "visitor", version = 1)]
    /// struct Visitor {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// let page = store.list::<Visitor>(7, Page::first(20)).await?;
    /// assert!(page.items.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn list<T: SessionData>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
        page: Page,
    ) -> Result<SessionPage, Error> {
        self.core.list::<T>(&owner.name(), page).await
    }

    /// Lists as [`list`](Self::list) does, and shows each session with its data: `show` makes an item
    /// of both. The data is `None` if this build cannot read it. Returns the items and the next page.
    ///
    /// # Errors
    /// The errors of [`list`](Self::list).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// visitor.visits = 3;
    /// let _ = visitor.commit().await?;
    ///
    /// let page = Page::first(20);
    /// let show = |info: sessions::SessionInfo, visitor: Option<Visitor>| {
    ///     (info.key, visitor.map(|visitor| visitor.visits))
    /// };
    /// let (items, next) = store.list_with(7, page, show).await?;
    /// assert_eq!((items[0].1, next), (Some(3), None));
    /// # Ok(()) }
    /// ```
    pub async fn list_with<T: SessionData, R: Send>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
        page: Page,
        mut show: impl FnMut(SessionInfo, Option<T>) -> R + Send,
    ) -> Result<(Vec<R>, Option<Page>), Error> {
        self.core.list_with(&owner.name(), page, |info, data| show(info, data())).await
    }

    /// Ends the session of this key if it belongs to this owner. Returns whether there was one.
    ///
    /// Other hosts refuse the session from then on; those with a [cache](crate::guide::caching) at
    /// the latest 3 seconds after this has answered, or 5 with a provider that tells of no changes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails. [`Error::Misuse`] for a
    /// client-side store.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    ///
    /// let key = visitor.key().expect("it was saved");
    /// assert!(!store.revoke::<Visitor>(8, key).await?, "another's");
    /// assert!(store.revoke::<Visitor>(7, key).await?);
    /// # Ok(()) }
    /// ```
    pub async fn revoke<T: SessionData>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
        key: &StoreKey,
    ) -> Result<bool, Error> {
        self.core.revoke::<T>(&owner.name(), key).await
    }

    /// Ends the session of this key, no matter who owns it. It is for operators; an app that lets
    /// users end their own sessions calls [`revoke`](Self::revoke). Returns whether there was a
    /// live session.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails. [`Error::Misuse`] for a
    /// client-side store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// let key = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse()?;
    /// assert!(!store.revoke_any(&key).await?);
    /// # Ok(()) }
    /// ```
    pub async fn revoke_any(&self, key: &StoreKey) -> Result<bool, Error> {
        self.core.revoke_any(key).await
    }

    /// Ends all sessions of this session's owner except this one: "log out my other devices".
    /// Returns how many it ended: 0 if the session has no owner.
    ///
    /// # Errors
    /// The errors of [`revoke_all`](Self::revoke_all).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    /// assert_eq!(store.revoke_others(&visitor).await?, 0);
    /// # Ok(()) }
    /// ```
    // Not an async function, because its future would hold the session, whose type need not be
    // `Sync`.
    pub fn revoke_others<'s, T: SessionData>(
        &'s self,
        session: &Session<T>,
    ) -> impl Future<Output = Result<u64, Error>> + Send + use<'s, T> {
        let (owner, key) = (session.owner_name(), session.key().cloned());
        async move {
            let (owner, key) = (owner?, key);
            self.core.revoke_others::<T>(owner.as_deref().zip(key.as_ref())).await
        }
    }

    /// Ends all sessions of an owner: "log out everywhere". Returns how many it ended.
    ///
    /// It also undoes the logins of this owner that are under way. With
    /// [`begin_login`](Self::begin_login) these are exactly the logins that began before this call.
    /// Without it, the clocks of the two hosts decide: a login is undone if its session was loaded
    /// before this call began, as far as the clocks agree. Change the password first, then call
    /// this.
    ///
    /// Other hosts refuse the sessions from then on; those with a [cache](crate::guide::caching) at
    /// the latest 3 seconds after this has answered, or 5 with a provider that tells of no changes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails. Some sessions may have
    /// ended then. [`Error::Misuse`] for a client-side store.
    ///
    /// ```
    /// use sessions::Session;
    /// # use sessions::{MemoryProvider, Store};
    ///
    /// #[derive(Session)]
    /// #[session(name = "visitor", version = 1)]
    /// struct Visitor {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// let ended = store.revoke_all::<Visitor>(7).await?;
    /// assert_eq!(ended, 0);
    /// # Ok(()) }
    /// ```
    pub async fn revoke_all<T: SessionData>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
    ) -> Result<u64, Error> {
        self.core.revoke_all::<T>(&owner.name()).await
    }

    /// Ends the sessions of an owner that one credential opened or that it was last used in, as when
    /// a passkey is lost. Returns how many it ended. [`Proof::credential`](crate::Proof::credential)
    /// names the credential.
    ///
    /// It also undoes the logins with this credential that are under way, as
    /// [`revoke_all`](Self::revoke_all) does. Remove the credential first, then call this. If it is
    /// called for more than 16 credentials of one owner within an hour, every login of that owner
    /// that is under way is undone too, and has to be repeated.
    ///
    /// # Errors
    /// The errors of [`revoke_all`](Self::revoke_all).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// use sessions::Proof;
    ///
    /// visitor.user = Some(7);
    /// visitor.authenticated(Proof::new("hwk").credential("passkey-17"));
    /// let _ = visitor.commit().await?;
    /// assert_eq!(store.revoke_credential::<Visitor>(7, "passkey-17").await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn revoke_credential<T: SessionData>(
        &self,
        owner: impl AsOwner<T::Owner> + Send,
        credential: &str,
    ) -> Result<u64, Error> {
        self.core.revoke_credential::<T>(&owner.name(), credential).await
    }

    /// Changes the session of this key if it belongs to this owner, without a request of its
    /// visitor: from a background job, a webhook, or a page of the app. For the session of an
    /// anonymous visitor, pass `None::<u64>` as `owner`.
    ///
    /// Returns what `change` returned, or `None` if there is no live session of this key or it
    /// belongs to somebody else. If another request saves the session in the meantime, `change`
    /// runs again on the newer value. The session keeps its secret, and the change does not count
    /// as activity: the session still ends when it would have ended.
    ///
    /// A save whose answer was lost is applied once. A second call applies the change a second
    /// time.
    ///
    /// # Errors
    /// The errors of [`Session::commit`](crate::Session::commit). [`Error::Misuse`] if the key
    /// names a session of another type, or if `change` assigns the owner: only a visitor's own
    /// request can log them in.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    ///
    /// // Later, in a job that kept the key:
    /// let key = visitor.key().expect("it was saved").clone();
    /// let add = |visitor: &mut Visitor| visitor.notices.push("your order left".to_owned());
    /// assert!(store.update::<Visitor, _>(Some(7), &key, add).await?.is_some());
    /// assert!(store.update::<Visitor, _>(Some(8), &key, add).await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn update<T: SessionData, R: Send>(
        &self,
        owner: Option<impl AsOwner<T::Owner> + Send>,
        key: &StoreKey,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<Option<R>, Error> {
        let owner = owner.map(|owner| owner.name());
        self.core.update(Whose::Of(owner.as_deref()), key, &mut change).await
    }

    /// Changes the session of this key, no matter who owns it. It is for operators. Otherwise it
    /// behaves as [`update`](Self::update).
    ///
    /// # Errors
    /// The errors of [`update`](Self::update).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.notices.push("hello".to_owned());
    /// let _ = visitor.commit().await?;
    ///
    /// let key = visitor.key().expect("it was saved").clone();
    /// let count = |visitor: &mut Visitor| visitor.notices.len();
    /// assert_eq!(store.update_any::<Visitor, _>(&key, count).await?, Some(1));
    /// # Ok(()) }
    /// ```
    pub async fn update_any<T: SessionData, R: Send>(
        &self,
        key: &StoreKey,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<Option<R>, Error> {
        self.core.update(Whose::Anybodys, key, &mut change).await
    }

    /// Removes at most `limit` records that expired more than ten minutes ago, which is the largest
    /// difference between two hosts' clocks. Returns how many it removed. The earlier of this host's
    /// clock and the database's decides.
    ///
    /// An expired session cannot be read even if it is not purged; purging frees its space.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the provider is down. [`Error::Provider`] if it does not purge,
    /// because its database removes expired records itself. [`Error::Misuse`] for a client-side
    /// store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// assert_eq!(store.purge_expired(1_000).await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn purge_expired(&self, limit: u32) -> Result<u64, Error> {
        self.core.purge_expired(limit).await
    }

    /// Purges about once in each `interval` until [`shutdown`](Self::shutdown). Each wait is up to
    /// a tenth shorter or longer, so that hosts spread out. A failure is an event, and the next
    /// round tries again. Spawn it:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// let purge = tokio::spawn(store.purge_task(Duration::from_secs(10 * 60)));
    ///
    /// // When the server has stopped:
    /// store.shutdown().await;
    /// purge.await.expect("it ends by itself");
    /// # }
    /// ```
    pub fn purge_task(&self, interval: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.core.clone().purge_task(interval)
    }

    /// Returns a future that resolves when the session of a key ends. Unlike
    /// [`Session::ended`](crate::Session::ended) it does not resolve when the session only gets
    /// another secret. See [`Watch`] for how soon it resolves. If there is no such session, it
    /// resolves soon. In a client-side store it has resolved already.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// use sessions::{EndedBy, SessionEnd};
    ///
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// let key = visitor.key().expect("it was saved").clone();
    /// let watch = store.watch(&key);
    ///
    /// store.revoke_any(&key).await?;
    /// assert_eq!(watch.await, SessionEnd::Ended { by: Some(EndedBy::Revoke) });
    /// # Ok(()) }
    /// ```
    pub fn watch(&self, key: &StoreKey) -> Watch {
        if self.core.is_client_side() {
            return self.core.watch_of_none(SessionEnd::Ended { by: None });
        }
        self.core.watch(key.clone(), None, 0, None)
    }

    /// Waits until all running commits have ended. Call it after the server has stopped and before
    /// the process ends.
    ///
    /// A commit that has begun continues even if the client disconnects; this waits for such
    /// commits too. It also ends [`purge_task`](Self::purge_task).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// store.shutdown().await;
    /// # }
    /// ```
    pub async fn shutdown(&self) {
        // The purge task ends too.
        self.core.closing.send_replace(true);
        self.core.commits.wait().await;
    }

    /// Returns the codec that seals this store's cookies. Use it to rotate the keys in an
    /// emergency, or to seal links under the same key ring.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// // The keys have leaked: every cookie is refused from now on.
    /// store.codec().rotate_now().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn codec(&self) -> &Codec {
        &self.core.codec
    }

    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn into_core(self) -> Arc<Core> {
        self.core
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The time of the store's clock: for an app's own times, so that a test which moves the
    /// store's clock moves them too.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # use sessions::{MemoryProvider, Store, clock::ManualClock};
    /// # fn main() -> Result<(), sessions::Error> {
    /// let clock = ManualClock::default();
    /// let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    /// let ordered_at = store.now();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(store.now(), ordered_at + Duration::from_secs(60));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.core.now()
    }
}

impl StoreBuilder {
    /// Builds the store. It reads and writes nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work together; the text says why.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{Error, MemoryProvider, Store};
    ///
    /// let idle = Duration::from_secs(365 * 24 * 60 * 60);
    /// let refused = Store::builder(MemoryProvider::new()).idle_timeout(idle).build();
    /// assert!(matches!(refused, Err(Error::Config(text)) if text.contains("raise `lifetime`")));
    /// ```
    pub fn build(self) -> Result<Store, Error> {
        Ok(Store { core: Arc::new(self.core()?) })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}
