//! Keys and records under a key-encryption key: wrapping, unwrapping, and authenticating a record.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::encryption::{KeyEncryption, KeyEncryptionError, MAX_BLOB, MAX_KEK_ID};
use super::flight::TIMEOUT;
use super::record;
use super::record::Stored;
use super::ring::{KeyId, MacKey, Material, Opened, Ring, RingId, RootKey, Secret, Wrapped};
use super::shared::{KeyRing, Snapshot};
use super::timed::permanent;
use crate::error::Error;
use crate::provider::ProviderError;
use crate::telemetry;

impl KeyRing {
    /// Returns the bytes of a ring to store, after wrapping keys that are not wrapped yet.
    pub(super) async fn protect(&self, ring: &mut Ring) -> Result<Vec<u8>, Error> {
        let Some(kek) = &self.config().key_encryption else { return Ok(record::encode(ring)) };
        wrap_plain(kek, ring).await?;
        let mac = match &ring.mac {
            Some(mac) => mac.clone(),
            None => {
                let secret = Arc::new(Secret::new(self.config().random.secret()?));
                let wrapped = wrap(kek, &secret, &mac_context(&ring.id)).await?;
                MacKey { wrapped, secret }
            }
        };
        ring.mac = Some(mac.clone());
        let mut data = record::encode(ring);
        let tag = authenticator(&mac.secret, &data).finalize().into_bytes();
        data.extend_from_slice(&tag);
        Ok(data)
    }

    /// Authenticates a record. Returns `None` if it was changed.
    pub(super) async fn authenticate(
        &self,
        read: Stored,
        data: &[u8],
        held: Option<&Snapshot>,
    ) -> Result<Option<Ring>, Error> {
        let Stored { id, generation, mac, keys } = read;
        let plain = Ring { id, generation, mac: None, keys };
        let (kek, mac) = match (&self.config().key_encryption, mac) {
            (None, None) => return Ok(Some(plain)),
            (None, Some(_)) => {
                return Err(Error::config(
                    "the key ring is encrypted, give this host the key_encryption too",
                ));
            }
            (Some(_), None) if self.config().plain_keys => return Ok(Some(plain)),
            (Some(_), None) => {
                return Err(Error::config(
                    "the key ring is not encrypted; call rewrap_keys() once on a codec with \
                     key_encryption and danger_plain_keys()",
                ));
            }
            (Some(kek), Some(mac)) => (kek, mac),
        };
        let known = held.and_then(|held| held.ring.mac.as_ref());
        let secret = match known.filter(|known| known.wrapped == mac.key) {
            Some(known) => known.secret.clone(),
            None => Arc::new(unwrap(kek.clone(), mac.key.clone(), mac_context(&id)).await?),
        };
        if authenticator(&secret, &data[..mac.covered]).verify_slice(&mac.tag).is_err() {
            return Ok(None);
        }
        let mac = Some(MacKey { wrapped: mac.key, secret });
        Ok(Some(Ring { mac, ..plain }))
    }

    /// Unwraps the keys that are not open yet, all at once. Keys that fail stay closed.
    pub(super) async fn unwrap_all(&self, ring: &mut Ring) {
        let Some(kek) = &self.config().key_encryption else { return };
        let mut tasks = JoinSet::new();
        for key in &ring.keys {
            if let Material::Wrapped(wrapped, Opened::Unavailable | Opened::Broken) = &key.material
            {
                let (kek, wrapped, id) = (kek.clone(), wrapped.clone(), key.id);
                let context = key_context(&ring.id, id, key.created);
                tasks.spawn(async move { (id, unwrap(kek, wrapped, context).await) });
            }
        }
        while let Some(joined) = tasks.join_next().await {
            // If the key service panics, its key stays as it was.
            let Ok((id, result)) = joined else { continue };
            let opened = match result {
                Ok(secret) => Opened::Ready(Arc::new(RootKey::new(ring.id, secret))),
                Err(error) if error.is_unavailable() => {
                    telemetry::key_unavailable(&self.config().app, id, &error);
                    Opened::Unavailable
                }
                Err(error) => {
                    telemetry::key_refused(&self.config().app, id, &error);
                    Opened::Broken
                }
            };
            for key in ring.keys.iter_mut().filter(|key| key.id == id) {
                if let Material::Wrapped(_, closed) = &mut key.material {
                    *closed = opened.clone();
                }
            }
        }
    }

    /// Replaces every key's material with its opened form, so that publishing the ring wraps it
    /// again.
    pub(super) fn unwrapped(&self, ring: &mut Ring) -> Result<(), Error> {
        if self.config().key_encryption.is_none() {
            return Err(Error::config("there is nothing to wrap keys with, set key_encryption"));
        }
        for key in &mut ring.keys {
            if key.is_unavailable() {
                return Err(Error::unavailable("a key could not be unwrapped, try again later"));
            }
            if let Some(root) = key.root().cloned() {
                key.material = Material::Plain(root);
            }
        }
        // Publishing the ring makes a new one, and wraps plaintext keys.
        ring.mac = None;
        Ok(())
    }
}

/// Wraps the keys that are stored in plaintext, or are new.
async fn wrap_plain(kek: &Arc<dyn KeyEncryption>, ring: &mut Ring) -> Result<(), Error> {
    for key in &mut ring.keys {
        if let Material::Plain(root) = &key.material {
            let context = key_context(&ring.id, key.id, key.created);
            let wrapped = wrap(kek, root.secret(), &context).await?;
            key.material = Material::Wrapped(wrapped, Opened::Ready(root.clone()));
        }
    }
    Ok(())
}

async fn wrap(
    kek: &Arc<dyn KeyEncryption>,
    secret: &Secret,
    context: &[u8],
) -> Result<Wrapped, Error> {
    let wrapped = match tokio::time::timeout(TIMEOUT, kek.wrap(secret.bytes(), context)).await {
        Ok(Ok(wrapped)) => wrapped,
        Ok(Err(error)) => return Err(of_service(error)),
        Err(_) => return Err(Error::unavailable("the key service did not answer in time")),
    };
    if wrapped.kek_id.len() > MAX_KEK_ID || wrapped.blob.len() > MAX_BLOB {
        return Err(permanent("the key service made a wrapped key that is too long"));
    }
    Ok(Wrapped { kek: wrapped.kek_id.into(), blob: wrapped.blob.into() })
}

async fn unwrap(
    kek: Arc<dyn KeyEncryption>,
    wrapped: Wrapped,
    context: Vec<u8>,
) -> Result<Secret, Error> {
    let call = kek.unwrap(&wrapped.kek, &wrapped.blob, &context);
    let material = match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(material)) => Zeroizing::new(material),
        Ok(Err(error)) => return Err(of_service(error)),
        Err(_) => return Err(Error::unavailable("the key service did not answer in time")),
    };
    let bytes = <[u8; 32]>::try_from(&**material);
    bytes
        .map(Secret::new)
        .map_err(|_| permanent("the key service returned a key of another length"))
}

/// Returns the context that binds a wrapped key to its place, so that it cannot replace another.
fn key_context(ring: &RingId, id: KeyId, created: u64) -> Vec<u8> {
    [&b"sessions/v1 key"[..], ring, &id.to_bytes(), &created.to_be_bytes()].concat()
}

fn mac_context(ring: &RingId) -> Vec<u8> {
    [&b"sessions/v1 mac"[..], ring].concat()
}

fn authenticator(secret: &Secret, data: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret.bytes())
        .expect("HMAC takes a key of any length")
        .chain_update(data)
}

fn of_service(error: KeyEncryptionError) -> Error {
    if error.is_unavailable() {
        Error::unavailable(error)
    } else {
        Error::Provider(ProviderError::permanent("the key service refused").with_source(error))
    }
}
