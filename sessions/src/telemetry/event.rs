//! What an app may listen to: the words of the events of sessions.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::id::StoreKey;

/// Something that happened to a session on this host, as
/// [`StoreBuilder::on_event`](crate::StoreBuilder::on_event) is told of it.
///
/// It has the name and the words of the `tracing` event, which the guide's page
/// [observability](crate::guide::observability) lists.
///
/// ```
/// use sessions::Event;
///
/// fn is_logout(event: &Event<'_>) -> bool {
///     event.name() == "session.ended" && event.reason() == Some("destroyed")
/// }
/// # let _ = is_logout;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Event<'e> {
    name: &'static str,
    session: Option<&'e str>,
    key: Option<&'e StoreKey>,
    reason: Option<&'static str>,
    error: Option<&'e Error>,
}

impl<'e> Event<'e> {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, session: None, key: None, reason: None, error: None }
    }

    pub(super) fn with_session(self, session: &'e str) -> Self {
        Self { session: Some(session), ..self }
    }

    pub(super) fn with_key(self, key: &'e StoreKey) -> Self {
        self.with_maybe_key(Some(key))
    }

    pub(super) fn with_maybe_key(self, key: Option<&'e StoreKey>) -> Self {
        Self { key, ..self }
    }

    pub(super) fn with_reason(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub(super) fn with_error(self, error: &'e Error) -> Self {
        Self { error: Some(error), ..self }
    }

    /// Returns the name, such as "session.ended".
    ///
    /// ```
    /// # fn log(event: &sessions::Event<'_>) {
    /// println!("{}", event.name());
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the name of the session type, where the event is about one.
    ///
    /// ```
    /// # fn log(event: &sessions::Event<'_>) {
    /// println!("{}", event.session_type().unwrap_or("any"));
    /// # }
    /// ```
    #[must_use]
    pub fn session_type(&self) -> Option<&'e str> {
        self.session
    }

    /// Returns the key of the session, where the event is about one.
    ///
    /// ```
    /// # fn log(event: &sessions::Event<'_>) {
    /// if let Some(key) = event.key() {
    ///     println!("{key}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&'e StoreKey> {
        self.key
    }

    /// Returns why it happened, in one word, where the event has a `reason`.
    ///
    /// ```
    /// # fn log(event: &sessions::Event<'_>) {
    /// println!("{}", event.reason().unwrap_or("-"));
    /// # }
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Returns the error, where the event has one.
    ///
    /// ```
    /// # fn log(event: &sessions::Event<'_>) {
    /// if let Some(error) = event.error() {
    ///     println!("{error}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&'e Error> {
        self.error
    }
}

/// Who is told of a store's events besides `tracing`. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Events(Option<Arc<Hear>>);

type Hear = dyn Fn(&Event<'_>) + Send + Sync;

impl Events {
    pub(crate) fn to(hear: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    pub(super) fn tell(&self, event: Event<'_>) {
        if let Some(hear) = &self.0 {
            hear(&event);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.0.is_some()).finish()
    }
}
