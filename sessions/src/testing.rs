//! A store for an app's tests. It logs a visitor in with one line, the test moves its clock, and
//! its provider fails on request.
//!
//! It works with axum, any other `tower` stack, actix-web, and without a framework, because cookies
//! are text. [The guide](crate::guide::testing_your_app) shows whole tests.

mod cookies;
mod provider;
mod schema_is;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};

pub use self::cookies::{CookieSource, cookies_after};
pub use self::provider::{Call, Calls};
pub use self::schema_is::schema_is;

use self::provider::{Control, TestProvider, own};
use crate::clock::ManualClock;
use crate::data::SessionData;
use crate::error::Error;
use crate::id::StoreKey;
use crate::memory::MemoryProvider;
use crate::provider::ProviderError;
use crate::random::Random;
use crate::session::Session;
use crate::store::Store;
use crate::store::base::{Arrival, Base};
use crate::store::builder::StoreBuilder;
use crate::store::change::Change;
use crate::store::patch::Asks;
use crate::transport::{TokenHeader, Transport};

/// A store for tests: in memory, with a clock that the test moves, and with the same "random" ids
/// and keys in every run.
///
/// ```
/// use axum::body::{Body, to_bytes};
/// use axum::http::{Request, header::COOKIE};
/// use axum::{Router, routing::get};
/// use sessions::{Session, axum::SessionLayer, testing::TestStore};
/// use tower::ServiceExt as _;
///
/// #[derive(Session, Default)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     #[session(owner)]
///     user: Option<u64>,
/// }
///
/// async fn home(visitor: Session<Visitor>) -> String {
///     format!("user {:?}", visitor.user)
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let test = TestStore::new();
/// let app = Router::new().route("/", get(home)).layer(SessionLayer::new(test.store()));
///
/// let cookie = test.cookie(&Visitor { user: Some(7) }).await;
/// let request = Request::get("/").header(COOKIE, cookie).body(Body::empty()).expect("a request");
/// let answer = app.oneshot(request).await.expect("an answer");
/// assert_eq!(to_bytes(answer.into_body(), 1_000).await.expect("a body"), "user Some(7)");
/// # }
/// ```
#[derive(Clone)]
pub struct TestStore {
    store: Store,
    clock: ManualClock,
    control: Control,
    random: Random,
}

impl TestStore {
    /// Creates a store with the default settings. The clock shows 2026-01-01T00:00:00Z.
    ///
    /// ```
    /// let test = sessions::testing::TestStore::new();
    /// assert_eq!(test.calls(), sessions::testing::Calls::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// Creates a store with your app's settings. A clock that `settings` sets is ignored.
    ///
    /// # Panics
    /// Panics if the settings cannot work, as [`StoreBuilder::build`] says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::StoreBuilder;
    /// use sessions::testing::TestStore;
    ///
    /// /// The app's settings. Its `main` uses them too.
    /// fn settings(builder: StoreBuilder) -> StoreBuilder {
    ///     builder.app("shop").idle_timeout(Duration::from_secs(15 * 60))
    /// }
    ///
    /// let test = TestStore::with(settings);
    /// # let _ = test;
    /// ```
    #[must_use]
    pub fn with(settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let (clock, control) = (ManualClock::default(), Control::default());
        let random = Random::seeded(SEED);
        let memory = MemoryProvider::new();
        let provider = TestProvider { memory, clock: clock.clone(), control: control.clone() };
        let builder = settings(Store::builder(provider)).clock(clock.clone());
        let built = builder.random(random.clone()).build();
        let store = built.unwrap_or_else(|error| panic!("the settings of a TestStore: {error}"));
        Self { store, clock, control, random }
    }

    /// Returns the store, for the app's layer or its handlers. Cloning is cheap.
    ///
    /// ```
    /// use sessions::testing::TestStore;
    ///
    /// let test = TestStore::new();
    /// let layer = sessions::axum::SessionLayer::new(test.store());
    /// # let _: sessions::axum::SessionLayer = layer;
    /// ```
    #[must_use]
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Returns the store's clock. It moves when the test moves it, and by a millisecond when
    /// [`revoke_all`](Store::revoke_all) is called, so that a login right after it counts as later.
    ///
    /// ```
    /// use sessions::{clock::Clock, testing::TestStore};
    ///
    /// let test = TestStore::new();
    /// assert_eq!(test.clock().now(), sessions::clock::ManualClock::default().now());
    /// ```
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Moves the store's clock forwards.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    ///
    /// let test = TestStore::new();
    /// let cookie = test.cookie(&Visitor { user: Some(7) }).await;
    /// test.advance(Duration::from_secs(8 * 24 * 60 * 60));
    /// assert!(test.read::<Visitor>(&cookie).await.is_none(), "idle for longer than 7 days");
    /// # }
    /// ```
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Saves a session with this `value`, and returns the `Cookie` header of its visitor's
    /// requests. A value with an owner is a visitor who is logged in.
    ///
    /// # Panics
    /// Panics if `value` equals the value of a new visitor, because such a visitor has no record
    /// and no cookie. Also panics if `value` cannot be saved.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let test = TestStore::new();
    /// let cookie = test.cookie(&Visitor { user: Some(7) }).await;
    /// assert!(cookie.starts_with("__Host-visitor="));
    /// # }
    /// ```
    pub async fn cookie<T: SessionData>(&self, value: &T) -> String {
        let text = self.first_token(value, false).await;
        text.split(';').next().unwrap_or_default().to_owned()
    }

    /// Saves a session with this `value` whose client carries its token in a header, and returns the
    /// token: `sess_...`. A request sends it as `Authorization: Bearer sess_...`, or in the store's
    /// [`token_header`](crate::StoreBuilder::token_header).
    ///
    /// # Panics
    /// Panics as [`cookie`](Self::cookie) does, and if the session type has no
    /// [`Transport`] for headers.
    ///
    /// ```
    /// use sessions::{Session, Transport, testing::TestStore};
    ///
    /// #[derive(Session, Default)]
    /// #[session(name = "visitor", version = 1)]
    /// struct Visitor {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let test = TestStore::with(|store| store.transport(Transport::Header));
    /// let token = test.token(&Visitor { user: Some(7) }).await;
    /// assert!(token.starts_with("sess_"));
    /// # }
    /// ```
    pub async fn token<T: SessionData>(&self, value: &T) -> String {
        self.first_token(value, true).await
    }

    /// Saves a session. Returns the value of the header that gives its client the token.
    async fn first_token<T: SessionData>(&self, value: &T, header: bool) -> String {
        let name = T::SCHEMA.name;
        let saved = own(async {
            let session_type = self.store.core().session_type::<T>()?;
            let carrier = session_type.carrier(&HeaderMap::new());
            let refused = match header {
                true => session_type.transport == Transport::Cookie,
                false => session_type.transport == Transport::Header,
            };
            if refused {
                return Err(Error::misuse(format!(
                    "its transport is {:?}; call the other one of cookie() and token()",
                    session_type.transport
                )));
            }
            let change = Change {
                session_type,
                base: Base::Absent { arrival: Arrival::New, carrier, by: None },
                ancestor: None,
                fields: Some(value.fields()?),
                asks: Asks { header, ..Asks::default() },
                loaded_at: self.store.now(),
                unsettled: None,
                secrets: None,
            };
            self.store.core().commit(change).await.map_err(|failed| failed.error)
        });
        let done = saved.await.unwrap_or_else(|error| {
            panic!("session `{name}` cannot be saved: {}", crate::telemetry::emit::chain(&error))
        });
        let Some(delivery) = done.delivery else {
            let what = if header { "token" } else { "cookie" };
            panic!(
                "this value of session `{name}` is that of a new visitor, who has no {what}; \
                 send a request without one"
            )
        };
        String::from_utf8_lossy(delivery.value.as_bytes()).into_owned()
    }

    /// Reads the session that a response's `Set-Cookie` or token header, a request's `Cookie` header
    /// or a token names, as it is stored now. Returns `None` if it names no live session.
    ///
    /// A response sets a cookie only if the session is new or was renewed, as after a login. If the
    /// session only changed, read what the request's cookie names. [`cookies_after`] combines both.
    ///
    /// # Panics
    /// Panics if the session cannot be read.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let test = TestStore::new();
    /// let cookie = test.cookie(&Visitor { user: Some(7) }).await;
    /// let visitor = test.read::<Visitor>(&cookie).await.expect("a live session");
    /// assert_eq!(visitor.user, Some(7));
    /// # }
    /// ```
    pub async fn read<T: SessionData>(
        &self,
        cookies: &(impl CookieSource + ?Sized),
    ) -> Option<Session<T>> {
        let text = cookies_after("", cookies);
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(COOKIE, value);
        }
        if let Ok(session_type) = self.store.core().session_type::<T>()
            && session_type.transport != Transport::Cookie
        {
            let TokenHeader { request, response } = &session_type.token_header;
            let token = self::cookies::sealed::CookieSource::token(cookies, response.as_str());
            let scheme = if *request == AUTHORIZATION { "Bearer " } else { "" };
            let value = token.and_then(|it| HeaderValue::try_from(format!("{scheme}{it}")).ok());
            headers.extend(value.map(|value| (request.clone(), value)));
        }
        let session = own(self.store.load::<T>(&headers)).await.unwrap_or_else(|error| {
            let name = T::SCHEMA.name;
            panic!("session `{name}` cannot be read: {}", crate::telemetry::emit::chain(&error))
        });
        Some(session).filter(|session| !session.is_new())
    }

    /// Returns the number of the provider's calls since the last call of this method. It does not
    /// count the calls of this kit and those for the key ring.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// use sessions::testing::Calls;
    ///
    /// let test = TestStore::new();
    /// let visitor = test.store().load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(test.calls(), Calls::default(), "without a cookie nothing is read");
    /// # let _ = visitor; Ok(()) }
    /// ```
    pub fn calls(&self) -> Calls {
        self.control.take_calls()
    }

    /// Makes the provider fail like a database that is down, or work again. The calls of this kit
    /// still work.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let test = TestStore::new();
    /// test.set_down(true);
    /// let error = test.store().revoke_all::<Visitor>(7).await.unwrap_err();
    /// assert!(error.is_unavailable());
    /// # }
    /// ```
    pub fn set_down(&self, down: bool) {
        self.control.set_down(down);
    }

    /// Makes the provider's next call of this kind fail, and only that one.
    ///
    /// As in production, a commit retries a save or a read that is unavailable. Only a permanent
    /// error, or three errors in a row, make the commit fail.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// use sessions::provider::{Page, ProviderError};
    /// use sessions::testing::Call;
    ///
    /// let (test, page) = (TestStore::new(), || Page::first(10));
    /// test.fail_next(Call::List, ProviderError::unavailable("connection refused"));
    /// assert!(test.store().list::<Visitor>(7, page()).await.is_err());
    /// assert!(test.store().list::<Visitor>(7, page()).await.is_ok());
    /// # Ok(()) }
    /// ```
    pub fn fail_next(&self, call: Call, error: ProviderError) {
        self.control.fail_next(call, error);
    }

    /// Makes the next save of a stored session conflict: another request saves `change` right
    /// before it. The field's policy then decides whether the save is merged or fails.
    ///
    /// ```
    /// # use sessions::{Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(merge = add)] visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let test = TestStore::new();
    /// let cookie = test.cookie(&Visitor { visits: 1 }).await;
    /// test.conflict::<Visitor>(|visitor| visitor.visits += 10);
    ///
    /// // A handler's request does the same.
    /// let mut visitor = test.read::<Visitor>(&cookie).await.expect("a live session");
    /// visitor.visits += 1;
    /// let _ = visitor.commit().await?;
    ///
    /// assert_eq!(visitor.visits, 12);
    /// # Ok(()) }
    /// ```
    pub fn conflict<T: SessionData>(&self, change: impl FnMut(&mut T) + Send + 'static) {
        self.before_save(async move |store: Store, key| {
            let changed = store.update_any::<T, ()>(&key, change).await;
            if let Err(error) = changed {
                panic!(
                    "the other request's change failed: {}",
                    crate::telemetry::emit::chain(&error)
                );
            }
        });
    }

    /// Runs `other` right before the next save of a stored session, for example to end the session
    /// like a logout in another tab, or to read it.
    ///
    /// ```
    /// # use sessions::{Error, Session, testing::TestStore};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(merge = add)] visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let test = TestStore::new();
    /// let cookie = test.cookie(&Visitor { visits: 1 }).await;
    /// test.before_save(|store, key| async move {
    ///     store.revoke_any(&key).await.expect("it can be ended");
    /// });
    ///
    /// let mut visitor = test.read::<Visitor>(&cookie).await.expect("a live session");
    /// visitor.visits += 1;
    /// assert!(matches!(visitor.save().await, Err(Error::Gone)));
    /// # Ok(()) }
    /// ```
    pub fn before_save<F, R>(&self, other: F)
    where
        F: FnOnce(Store, StoreKey) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let store = self.store();
        self.control.before_save(Box::new(move |key| Box::pin(other(store, key))));
    }

    /// Returns the ids and keys that were drawn so far. The library's own tests check that they
    /// appear nowhere else.
    #[doc(hidden)]
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        self.random.drawn()
    }
}

impl Default for TestStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore")
            .field("store", &self.store)
            .field("clock", &self.clock)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

const SEED: u64 = 1;
