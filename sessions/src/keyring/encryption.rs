//! Keys that encrypt the ring's keys: a key service, or a key that the host holds.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::provider::Source;

/// Encrypts the keys of the ring before they are stored: with a key service (a KMS), or with a
/// [`LocalKey`](crate::keys::LocalKey).
///
/// With it, somebody who reads the database can neither forge nor open a token. The library calls
/// it when the ring changes and when a process starts, never for each token.
///
/// The crate `sessionful-aws-kms` implements it for AWS KMS, and [`Recipients`](crate::keys::Recipients)
/// for several key services at once. For your own, run the [suite](crate::keys::conformance).
///
/// ```
/// use sessions::keys::{KeyEncryption, KeyEncryptionError, WrappedKey};
/// use sessions::provider::async_trait;
/// # struct Client;
/// # impl Client {
/// #     async fn encrypt(&self, _: &str, data: &[u8], _: &[u8]) -> Result<Vec<u8>, std::io::Error> { Ok(data.to_vec()) }
/// #     async fn decrypt(&self, _: &str, data: &[u8], _: &[u8]) -> Result<Vec<u8>, std::io::Error> { Ok(data.to_vec()) }
/// # }
///
/// struct Kms {
///     client: Client,
///     key: String,
/// }
///
/// #[async_trait]
/// impl KeyEncryption for Kms {
///     async fn wrap(&self, material: &[u8], context: &[u8]) -> Result<WrappedKey, KeyEncryptionError> {
///         let blob = self.client.encrypt(&self.key, material, context).await;
///         let blob = blob.map_err(|e| KeyEncryptionError::unavailable("the KMS failed").with_source(e))?;
///         Ok(WrappedKey { kek_id: self.key.clone(), blob })
///     }
///
///     async fn unwrap(&self, kek_id: &str, blob: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyEncryptionError> {
///         let material = self.client.decrypt(kek_id, blob, context).await;
///         material.map_err(|e| KeyEncryptionError::unavailable("the KMS failed").with_source(e))
///     }
/// }
/// ```
#[async_trait]
pub trait KeyEncryption: Send + Sync + 'static {
    /// Encrypts `material` (32 bytes) under the current key, and authenticates `context` with it,
    /// which has at most 128 bytes of any value. The blob has at most 8 KiB, the id at most 1 KiB.
    ///
    /// # Errors
    /// Fails if the service cannot answer.
    async fn wrap(&self, material: &[u8], context: &[u8])
    -> Result<WrappedKey, KeyEncryptionError>;

    /// Decrypts a blob that `wrap` made with the same context, possibly under an earlier key.
    ///
    /// # Errors
    /// [Unavailable](KeyEncryptionError::unavailable) if the service cannot answer, or refuses for
    /// a reason that an operator can remove, such as a missing permission: the tokens of the key
    /// wait. [Permanent](KeyEncryptionError::permanent) if the blob, its key's id or the context is
    /// not what `wrap` made: the tokens of the key become invalid, and whoever has one is logged
    /// out.
    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError>;
}

#[async_trait]
impl<K: KeyEncryption + ?Sized> KeyEncryption for Arc<K> {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        (**self).wrap(material, context).await
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        (**self).unwrap(kek_id, blob, context).await
    }
}

/// The longest id of a key-encryption key, in bytes.
pub(crate) const MAX_KEK_ID: usize = 1024;
/// The longest encrypted form of a key, in bytes.
pub(crate) const MAX_BLOB: usize = 8 * 1024;

/// The encrypted form of a key, from [`KeyEncryption::wrap`].
///
/// ```
/// let wrapped = sessions::keys::WrappedKey { kek_id: "alias/sessions".into(), blob: vec![1, 2, 3] };
/// assert_eq!(wrapped.blob.len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The name of the key-encryption key, for [`KeyEncryption::unwrap`] and for operators.
    pub kek_id: String,
    /// The encrypted material.
    pub blob: Vec<u8>,
}

/// An error of a [`KeyEncryption`]: what failed, and whether a retry can help.
///
/// ```
/// use sessions::keys::KeyEncryptionError;
///
/// assert!(KeyEncryptionError::unavailable("timed out").is_unavailable());
/// assert!(!KeyEncryptionError::permanent("no such key").is_unavailable());
/// ```
#[derive(Debug)]
pub struct KeyEncryptionError {
    unavailable: bool,
    message: Cow<'static, str>,
    source: Option<Source>,
}

impl KeyEncryptionError {
    /// Creates an error for a service that is down, timed out or throttled. The key may be valid.
    /// Its tokens are [`Error::Unavailable`](crate::Error::Unavailable) until the service is back.
    ///
    /// ```
    /// let error = sessions::keys::KeyEncryptionError::unavailable("connection refused");
    /// assert_eq!(error.to_string(), "connection refused");
    /// ```
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { unavailable: true, message: message.into(), source: None }
    }

    /// Creates an error for a blob that this service did not make, or for another context: nobody
    /// can make it valid.
    ///
    /// ```
    /// let error = sessions::keys::KeyEncryptionError::permanent("the blob was changed");
    /// assert!(!error.is_unavailable());
    /// ```
    pub fn permanent(message: impl Into<Cow<'static, str>>) -> Self {
        Self { unavailable: false, message: message.into(), source: None }
    }

    /// Sets the client's error as the source.
    ///
    /// ```
    /// use std::error::Error;
    /// let error = sessions::keys::KeyEncryptionError::unavailable("the KMS failed")
    ///     .with_source(std::io::Error::other("broken pipe"));
    /// assert!(error.source().is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says more about the same failure.
    pub(super) fn reworded(mut self, message: String) -> Self {
        self.message = message.into();
        self
    }

    /// Returns whether a later retry can help.
    ///
    /// ```
    /// assert!(sessions::keys::KeyEncryptionError::unavailable("timed out").is_unavailable());
    /// ```
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }
}

impl fmt::Display for KeyEncryptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for KeyEncryptionError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
