//! The key service under test, and calls that fail with a clear message.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::keyring::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};

/// A key service, for one property of the suite.
///
/// ```
/// use sessions::keys::LocalKey;
/// use sessions::keys::conformance::Subject;
///
/// let key = || LocalKey::from_bytes([1; 32]);
/// let subject = Subject::new(key()).with_twin(key());
/// # let _ = subject;
/// ```
pub struct Subject {
    pub(super) one: Handle,
    pub(super) two: Handle,
    pub(super) successor: Option<Handle>,
    pub(super) stranger: Option<Handle>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// Creates the subject for a service. If it has a [twin](Self::with_twin), half of the calls go
    /// to the twin.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// use sessions::keys::conformance::Subject;
    /// let subject = Subject::new(LocalKey::from_bytes([1; 32]));
    /// # let _ = subject;
    /// ```
    pub fn new(service: impl KeyEncryption) -> Self {
        let one = Handle(Arc::new(service));
        Self { two: one.clone(), one, successor: None, stranger: None, kept: Vec::new() }
    }

    /// Adds a second instance of the same service, as another host has it. The two must open what
    /// the other wrapped.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// use sessions::keys::conformance::Subject;
    /// let key = || LocalKey::from_bytes([1; 32]);
    /// let subject = Subject::new(key()).with_twin(key());
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn with_twin(mut self, twin: impl KeyEncryption) -> Self {
        self.two = Handle(Arc::new(twin));
        self
    }

    /// Adds the service as it is after its key was changed. It must open what the old key wrapped,
    /// until the ring was wrapped again.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// use sessions::keys::conformance::Subject;
    /// let key = |byte| LocalKey::from_bytes([byte; 32]);
    /// let subject = Subject::new(key(1)).with_successor(key(2).and_previous(key(1)));
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn with_successor(mut self, successor: impl KeyEncryption) -> Self {
        self.successor = Some(Handle(Arc::new(successor)));
        self
    }

    /// Adds a service of the same kind that must not open anything of this one, such as one with
    /// another key.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// use sessions::keys::conformance::Subject;
    /// let key = |byte| LocalKey::from_bytes([byte; 32]);
    /// let subject = Subject::new(key(1)).with_stranger(key(3));
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn with_stranger(mut self, stranger: impl KeyEncryption) -> Self {
        self.stranger = Some(Handle(Arc::new(stranger)));
        self
    }

    /// Keeps a value, such as a server, until the property has been checked.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// use sessions::keys::conformance::Subject;
    /// let subject = Subject::new(LocalKey::from_bytes([1; 32])).keep("until the end");
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn keep(mut self, value: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(value));
        self
    }

    /// Returns one of the two instances in turn.
    pub(super) fn handle(&self, turn: usize) -> &Handle {
        if turn.is_multiple_of(2) { &self.one } else { &self.two }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("successor", &self.successor.is_some())
            .field("stranger", &self.stranger.is_some())
            .finish_non_exhaustive()
    }
}

/// A service whose wrong answers fail the property.
#[derive(Clone)]
pub(super) struct Handle(pub(super) Arc<dyn KeyEncryption>);

impl Handle {
    pub(super) async fn wrap(&self, material: &[u8; 32], context: &[u8]) -> WrappedKey {
        match self.0.wrap(material, context).await {
            Ok(wrapped) => wrapped,
            Err(error) => panic!(
                "wrap must answer here, with a context of {} bytes, but failed: {error} ({error:?})",
                context.len()
            ),
        }
    }

    pub(super) async fn must_open(
        &self,
        wrapped: &WrappedKey,
        material: &[u8; 32],
        context: &[u8],
        what: &str,
    ) {
        match self.0.unwrap(&wrapped.kek_id, &wrapped.blob, context).await {
            Ok(found) => assert!(
                found == material,
                "{what} must unwrap to what was wrapped, but is {} other bytes",
                found.len()
            ),
            Err(error) => panic!("{what} must unwrap, but failed: {error} ({error:?})"),
        }
    }

    /// The error of what must not unwrap.
    pub(super) async fn must_refuse(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
        what: &str,
    ) -> KeyEncryptionError {
        match self.0.unwrap(kek_id, blob, context).await {
            Ok(found) => panic!("{what} must be refused, but unwrapped to {} bytes", found.len()),
            Err(error) => error,
        }
    }
}

/// 32 letters, so that a text that shows them is found. Each number has its own.
pub(super) fn material(number: u64) -> [u8; 32] {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    std::array::from_fn(|_| b'A' + u8::try_from(random.below(26)).unwrap_or(0))
}

/// Like the context of a key of the ring.
pub(super) fn context(number: u8) -> Vec<u8> {
    [&b"sessions/v1 key"[..], &[0xa7; 16], &[0, 1, number, 0x80], &[0; 7], &[number]].concat()
}

/// The same numbers in each run (xorshift): a failure can be had again.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
