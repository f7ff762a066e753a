//! Messages that are shown once.

use std::fmt;

use rand::Rng as _;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// A list of messages that one request adds and a later request shows, each once. It is a field of
/// a session.
///
/// It is safe with concurrent requests. If two requests push at the same time, all messages are
/// kept. A message that one request has taken is not shown by a later request. Two requests that
/// read at exactly the same time may both show it. A message stays if the request that took it
/// discards its changes, for example because it answered with a 5xx.
///
/// `M` is any type with serde's traits: a `String`, or an enum of the app's messages.
///
/// ```
/// use sessions::{Flash, Session};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     notices: Flash<String>,
/// }
///
/// fn save_settings(mut visitor: Session<Visitor>) {
///     visitor.notices.push("saved".to_owned());
/// }
///
/// fn page(mut visitor: Session<Visitor>) -> String {
///     visitor.notices.take().join("\n")
/// }
/// # let _ = (save_settings, page);
/// ```
#[derive(Clone)]
pub struct Flash<M> {
    /// The messages, each with a random number, so two messages with the same text are distinct.
    messages: Vec<(u64, M)>,
}

impl<M> Flash<M> {
    /// Creates an empty list of messages.
    ///
    /// ```
    /// use sessions::Flash;
    /// assert!(Flash::<String>::new().is_empty());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: Vec::new() }
    }

    /// Adds a message for the next call of [`take`](Self::take).
    ///
    /// ```
    /// use sessions::Flash;
    ///
    /// let mut notices = Flash::new();
    /// notices.push("saved");
    /// assert_eq!(notices.len(), 1);
    /// ```
    pub fn push(&mut self, message: M) {
        self.messages.push((rand::rng().random(), message));
    }

    /// Removes and returns all messages, oldest first. They are not shown again.
    ///
    /// ```
    /// use sessions::Flash;
    ///
    /// let mut notices = Flash::new();
    /// notices.push("saved");
    /// assert_eq!(notices.take(), ["saved"]);
    /// assert_eq!(notices.take(), [""; 0]);
    /// ```
    #[must_use = "the messages are gone from the session"]
    pub fn take(&mut self) -> Vec<M> {
        self.messages.drain(..).map(|(_, message)| message).collect()
    }

    /// Returns the messages, oldest first, without removing them.
    ///
    /// ```
    /// use sessions::Flash;
    ///
    /// let mut notices = Flash::new();
    /// notices.push("saved");
    /// assert_eq!(notices.peek().collect::<Vec<_>>(), [&"saved"]);
    /// assert_eq!(notices.len(), 1);
    /// ```
    pub fn peek(&self) -> impl Iterator<Item = &M> {
        self.messages.iter().map(|(_, message)| message)
    }

    /// Returns the number of messages.
    ///
    /// ```
    /// assert_eq!(sessions::Flash::<String>::new().len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns whether there is no message.
    ///
    /// ```
    /// assert!(sessions::Flash::<String>::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

impl<M> Default for Flash<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: PartialEq> PartialEq for Flash<M> {
    /// Two lists are equal if they hold the same messages, even if they were pushed separately.
    fn eq(&self, other: &Self) -> bool {
        self.peek().eq(other.peek())
    }
}

impl<M: fmt::Debug> fmt::Debug for Flash<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.peek()).finish()
    }
}

impl<M: Serialize> Serialize for Flash<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.messages.serialize(serializer)
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Flash<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|messages| Self { messages })
    }
}
