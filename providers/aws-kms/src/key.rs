//! A key of AWS KMS as a key-encryption key.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use sessions::keys::{KeyEncryption, KeyEncryptionError, WrappedKey};

use crate::arn::KeyArn;
use crate::error::{GARBLED, key_error, swapped};

/// A symmetric key of AWS KMS, which encrypts the keys of the ring. Cheap to clone.
///
/// The [crate's documentation](crate) has the permissions, and what each error means.
///
/// ```
/// use sessions::{Error, MemoryProvider, Store};
/// use sessions_aws_kms::{KmsKey, aws_sdk_kms::Client};
///
/// fn store(client: Client) -> Result<Store, Error> {
///     let key = KmsKey::new(client, "alias/sessions").app("shop");
///     Store::builder(MemoryProvider::new()).app("shop").key_encryption(key).build()
/// }
/// # let _ = store;
/// ```
#[derive(Clone)]
pub struct KmsKey {
    client: Client,
    key_id: Arc<str>,
    app: Option<Arc<str>>,
}

impl KmsKey {
    /// Creates a key from the id of a KMS key, its ARN, `alias/` and a name, or the ARN of an alias.
    /// It makes no request.
    ///
    /// ```
    /// use sessions_aws_kms::{KmsKey, aws_sdk_kms::Client};
    ///
    /// fn key(client: Client) -> KmsKey {
    ///     KmsKey::new(client, "alias/sessions")
    /// }
    /// # let _ = key;
    /// ```
    #[must_use]
    pub fn new(client: Client, key_id: &str) -> Self {
        Self { client, key_id: key_id.into(), app: None }
    }

    /// Adds the entry `app` to the encryption context, so that a
    /// [policy](crate#permissions) can allow the use of the KMS key for one app.
    ///
    /// What was encrypted with another name, or without one, is not decrypted. To change the name,
    /// use [`Recipients`](sessions::keys::Recipients) of both.
    ///
    /// ```
    /// use sessions_aws_kms::{KmsKey, aws_sdk_kms::Client};
    ///
    /// fn key(client: Client) -> KmsKey {
    ///     KmsKey::new(client, "alias/sessions").app("shop")
    /// }
    /// # let _ = key;
    /// ```
    #[must_use]
    pub fn app(mut self, name: &str) -> Self {
        self.app = Some(name.into());
        self
    }

    /// The encryption context, which is text.
    fn encryption_context(&self, context: &[u8]) -> HashMap<String, String> {
        let mut value = String::from("0x");
        for byte in context {
            // A string takes whatever is written.
            let _ = write!(value, "{byte:02x}");
        }
        let app = self.app.as_ref().map(|app| ("app".to_owned(), app.to_string()));
        app.into_iter().chain([("sessions".to_owned(), value)]).collect()
    }

    /// The key to decrypt with: the one that encrypted, or its replica in this region.
    fn decrypting_key(&self, kek_id: &str) -> Result<String, KeyEncryptionError> {
        let Some(arn) = KeyArn::parse(kek_id) else {
            return Err(if kek_id.starts_with("recipients:") {
                KeyEncryptionError::unavailable(
                    "a key was wrapped for several recipients, give this host Recipients::new() of \
                     its KmsKey",
                )
            } else {
                KeyEncryptionError::permanent(format!(
                    "a key was wrapped by {kek_id:?}, which is not the ARN of a KMS key; give this \
                     host the key service that it is of"
                ))
            });
        };
        // The request goes to the client's region.
        let region = self.client.config().region();
        let replica = region.and_then(|region| arn.in_region(region.as_ref()));
        Ok(replica.unwrap_or_else(|| kek_id.to_owned()))
    }
}

#[async_trait]
impl KeyEncryption for KmsKey {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        let request = self.client.encrypt().key_id(&*self.key_id).plaintext(Blob::new(material));
        let request = request.set_encryption_context(Some(self.encryption_context(context)));
        let answer = request.send().await.map_err(|error| key_error(&self.key_id, error))?;
        match (answer.key_id, answer.ciphertext_blob) {
            // Else a later unwrap could not tell which key it is of.
            (Some(arn), Some(blob)) if KeyArn::parse(&arn).is_some() => {
                Ok(WrappedKey { kek_id: arn, blob: blob.into_inner() })
            }
            _ => Err(KeyEncryptionError::unavailable(GARBLED)),
        }
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        let key_id = self.decrypting_key(kek_id)?;
        let request = self.client.decrypt().key_id(&key_id).ciphertext_blob(Blob::new(blob));
        let request = request.set_encryption_context(Some(self.encryption_context(context)));
        let answer = request.send().await.map_err(|error| key_error(&key_id, error))?;
        match (answer.key_id, answer.plaintext) {
            (Some(used), Some(material)) if used == key_id => Ok(material.into_inner()),
            // KMS refuses that itself, and what stands in for it may not.
            (Some(_), Some(_)) => Err(swapped(&key_id)),
            _ => Err(KeyEncryptionError::unavailable(GARBLED)),
        }
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_id, app, .. } = self;
        f.debug_struct("KmsKey").field("key_id", key_id).field("app", app).finish_non_exhaustive()
    }
}
