//! Messages that are shown once.

use std::fmt;

use rand::Rng as _;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// Messages left in one request and shown in a later one, each once: a field of a session.
///
/// It is safe beside other requests: what two push at the same time is all kept, and a message
/// that one has taken is not shown again by another that comes later. Two requests that read at
/// the very same time may both show it. A message taken in a request whose changes are discarded
/// (its response was a 5xx, say) stays.
///
/// `M` is any type with serde's traits: a `String`, or an enum of what the app has to say.
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
    /// Each with a random number: two messages of the same words are two.
    messages: Vec<(u64, M)>,
}

impl<M> Flash<M> {
    /// No message.
    ///
    /// ```
    /// use sessions::Flash;
    /// assert!(Flash::<String>::new().is_empty());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: Vec::new() }
    }

    /// Leaves a message for whoever [takes](Self::take) next.
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

    /// Takes all messages, oldest first: they are not shown again.
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

    /// The messages, oldest first, without taking them.
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

    /// How many messages wait.
    ///
    /// ```
    /// assert_eq!(sessions::Flash::<String>::new().len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none waits.
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
    /// The same messages, whenever they were pushed.
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
