//! A key-encryption key of several key services, any one of which opens what was wrapped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
use super::flight::TIMEOUT;
use super::recipient_set::{self, MAX_RECIPIENTS, is_set};
use crate::crypto::xaes::KEY;
use crate::error::Error;
use crate::random::Random;

/// Encrypts the keys of the ring for several key services, its recipients, any one of which can
/// decrypt them.
///
/// Use it to survive the loss of a key service or of a region, to keep a key for recovery apart
/// from the hosts, and to move from one key service to another:
///
/// ```
/// use sessions::keys::{LocalKey, Recipients};
///
/// // Usually these are key services.
/// let (primary, other) = (LocalKey::from_bytes([1; 32]), LocalKey::from_bytes([2; 32]));
/// let keys = Recipients::new(primary).and(other);
/// # let _ = keys;
/// ```
///
/// **Wrapping** asks all recipients at once and fails if one fails, because a key that one of them
/// cannot open would be lost with the others. While a recipient is down, no new key is made, and
/// hosts seal with the current one for up to a day longer. If it stays down, remove it from the
/// set.
///
/// **Unwrapping** asks the primary first. If it fails, or has not answered after a moment (half a
/// second with two recipients), it asks the next as well, and returns the first answer. If nobody
/// answers, the error is unavailable if one of the failures was, and permanent only if all refused.
///
/// **The set is authenticated.** A recipient that is removed, added, replaced or moved in the
/// database makes the key refused. But each recipient is trusted alike: somebody who can encrypt
/// for one, and can write to the database, can store keys of their own there. Add a recipient with
/// [`and_recovery`](Self::and_recovery) if it has a public key, or if more people may encrypt for
/// it than for the others.
///
/// A key has at most 8 recipients. Their ids have at most 1013 bytes together, less one for each,
/// and the blob has at most 8 KiB: 8 recipients of AWS KMS take 700 bytes and 2.3 KB. With one
/// recipient the key is stored as that service alone stores it.
///
/// The guide says how to [change the set](crate::guide::keys_and_rotation#several-recipients), and
/// in which order to deploy.
#[must_use = "give it to `key_encryption`"]
pub struct Recipients {
    /// The primary first.
    members: Vec<Member>,
    random: Random,
}

struct Member {
    service: Arc<dyn KeyEncryption>,
    /// Whether this host asks it to unwrap.
    opens: bool,
}

impl Recipients {
    /// Creates a set of one recipient. It stores keys as `primary` alone stores them, and also
    /// opens those that were wrapped for several recipients, if `primary` is among them.
    ///
    /// ```
    /// use sessions::{MemoryProvider, codec::Codec, keys::{LocalKey, Recipients}};
    ///
    /// # fn main() -> Result<(), sessions::Error> {
    /// let keys = Recipients::new(LocalKey::from_bytes([1; 32]));
    /// let codec = Codec::builder(MemoryProvider::new()).key_encryption(keys).build()?;
    /// # let _ = codec; Ok(()) }
    /// ```
    pub fn new(primary: impl KeyEncryption) -> Self {
        let primary = Member { service: Arc::new(primary), opens: true };
        Self { members: vec![primary], random: Random::default() }
    }

    /// Adds a recipient, which is asked to unwrap after those before it.
    ///
    /// ```
    /// use sessions::keys::{LocalKey, Recipients};
    ///
    /// let [frankfurt, dublin] = [1, 2].map(|byte| LocalKey::from_bytes([byte; 32]));
    /// let keys = Recipients::new(frankfurt).and(dublin);
    /// assert_eq!(format!("{keys:?}"), "Recipients { unwrap: 2, recovery: 0 }");
    /// ```
    pub fn and(mut self, other: impl KeyEncryption) -> Self {
        self.members.push(Member { service: Arc::new(other), opens: true });
        self
    }

    /// Adds a recipient for recovery: every key is wrapped for it, and this host never asks it to
    /// unwrap one.
    ///
    /// The host needs only the right to encrypt, such as a public key, so whoever controls the host
    /// gains nothing from it. After the loss of the other recipients, a program that can decrypt
    /// for it opens the ring, with `Recipients::new(new_primary).and(recovery)`, and moves it to
    /// the new primary with [`rewrap_keys`](crate::codec::Codec::rewrap_keys).
    ///
    /// ```
    /// use sessions::keys::{LocalKey, Recipients};
    ///
    /// # let [kms, recovery] = [1, 2].map(|byte| LocalKey::from_bytes([byte; 32]));
    /// let keys = Recipients::new(kms).and_recovery(recovery);
    /// assert_eq!(format!("{keys:?}"), "Recipients { unwrap: 1, recovery: 1 }");
    /// ```
    pub fn and_recovery(mut self, recovery: impl KeyEncryption) -> Self {
        self.members.push(Member { service: Arc::new(recovery), opens: false });
        self
    }

    /// Fails on settings that cannot work, which the builders above have no way to say.
    fn check(&self) -> Result<(), KeyEncryptionError> {
        if self.members.len() > MAX_RECIPIENTS {
            return Err(KeyEncryptionError::permanent(format!(
                "{} recipients are set, at most {MAX_RECIPIENTS} are possible",
                self.members.len()
            )));
        }
        if Handle::try_current().is_err() {
            return Err(KeyEncryptionError::permanent(
                "recipients are asked in tasks, call this inside a tokio runtime",
            ));
        }
        Ok(())
    }

    fn openers(&self) -> impl Iterator<Item = (usize, &Arc<dyn KeyEncryption>)> {
        let members = self.members.iter().enumerate();
        members.filter(|(_, member)| member.opens).map(|(at, member)| (at, &member.service))
    }

    /// Has every recipient wrap `key`, all at once.
    async fn wrap_for_all(
        &self,
        key: &Arc<Zeroizing<[u8; KEY]>>,
        context: &Arc<[u8]>,
    ) -> Result<Vec<WrappedKey>, KeyEncryptionError> {
        let count = self.members.len();
        let mut tasks = JoinSet::new();
        for (at, member) in self.members.iter().enumerate() {
            let (service, key, context) = (member.service.clone(), key.clone(), context.clone());
            tasks.spawn(
                async move { (at, timeout(PATIENCE, service.wrap(&key[..], &context)).await) },
            );
        }
        let mut wrapped = vec![None; count];
        while let Some(joined) = tasks.join_next().await {
            let (at, error) = match joined {
                Ok((at, Ok(Ok(one)))) => {
                    wrapped[at] = Some(one);
                    continue;
                }
                Ok((at, Ok(Err(error)))) => (at, error),
                Ok((at, Err(_))) => (at, slow()),
                Err(_) => return Err(panicked()),
            };
            let text = format!("recipient {} of {count} did not wrap the key: {error}", at + 1);
            return Err(error.reworded(text));
        }
        // Each task has ended with a wrapped key.
        Ok(wrapped.into_iter().flatten().collect())
    }
}

#[async_trait]
impl KeyEncryption for Recipients {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        self.check()?;
        if let [only] = &self.members[..] {
            return only.service.wrap(material, context).await;
        }
        let key = Arc::new(Zeroizing::new(self.random.secret().map_err(no_random)?));
        let nonce = self.random.secret().map_err(no_random)?;
        let inner = recipient_set::inner_context(context);
        let wrapped = self.wrap_for_all(&key, &inner).await?;
        recipient_set::seal(&key, &nonce, &wrapped, material, context)
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        self.check()?;
        if !is_set(kek_id) {
            // One of the recipients alone wrapped it, before there were several.
            let (kek, blob) = (Arc::<str>::from(kek_id), Arc::<[u8]>::from(blob));
            let attempts = self.openers().map(|(recipient, service)| Attempt {
                recipient,
                service: service.clone(),
                kek: kek.clone(),
                blob: blob.clone(),
            });
            let mut material = ask(attempts.collect(), context.into()).await?;
            return Ok(std::mem::take(&mut *material));
        }
        let set = recipient_set::parse(kek_id, blob)?;
        let attempt = |recipient, service: &Arc<dyn KeyEncryption>, at: usize| {
            let (kek, blob) = set.recipients[at].clone();
            Attempt { recipient, service: service.clone(), kek, blob }
        };
        // A set that was wrapped by these recipients has them in this order. Otherwise nothing
        // tells which blob is whose: the trait does not say which ids a service knows.
        let in_place = self.openers().filter(|(at, _)| *at < set.recipients.len());
        let mut attempts: Vec<_> = in_place.map(|(at, service)| attempt(at, service, at)).collect();
        for (recipient, service) in self.openers() {
            let others = (0..set.recipients.len()).filter(|at| *at != recipient);
            attempts.extend(others.map(|at| attempt(recipient, service, at)));
        }
        let key = ask(attempts, recipient_set::inner_context(context)).await?;
        set.open(&key, context)
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwrap = self.openers().count();
        f.debug_struct("Recipients")
            .field("unwrap", &unwrap)
            .field("recovery", &(self.members.len() - unwrap))
            .finish()
    }
}

/// A call of a recipient.
struct Attempt {
    recipient: usize,
    service: Arc<dyn KeyEncryption>,
    kek: Arc<str>,
    blob: Arc<[u8]>,
}

/// Makes one attempt after the other, the next one when the last has failed or is slow, and returns
/// the first answer.
async fn ask(
    attempts: Vec<Attempt>,
    context: Arc<[u8]>,
) -> Result<Zeroizing<Vec<u8>>, KeyEncryptionError> {
    let deadline = Instant::now() + PATIENCE;
    let mut recipients: Vec<_> = attempts.iter().map(|attempt| attempt.recipient).collect();
    recipients.sort_unstable();
    recipients.dedup();
    let head_start = HEAD_START / u32::try_from(recipients.len().max(1)).unwrap_or(u32::MAX);
    let mut attempts = attempts.into_iter();
    let mut tasks = JoinSet::new();
    let mut running = Vec::new();
    let mut failures = Vec::new();
    loop {
        if let Some(Attempt { recipient, service, kek, blob }) = attempts.next() {
            let context = context.clone();
            let task = tasks.spawn(async move {
                service.unwrap(&kek, &blob, &context).await.map(Zeroizing::new)
            });
            running.push((task.id(), recipient));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = if attempts.len() > 0 { head_start.min(left) } else { left };
        let (task, error) = match timeout(wait, tasks.join_next_with_id()).await {
            Ok(Some(Ok((_, Ok(material))))) => return Ok(material),
            Ok(Some(Ok((task, Err(error))))) => (task, error),
            Ok(Some(Err(error))) => (error.id(), panicked()),
            Ok(None) => break,
            // The last one has had its start: time for the next.
            Err(_) if attempts.len() > 0 && !left.is_zero() => continue,
            Err(_) => {
                failures.extend(running.into_iter().map(|(_, recipient)| (recipient, slow())));
                break;
            }
        };
        if let Some(at) = running.iter().position(|(id, _)| *id == task) {
            failures.push((running.swap_remove(at).1, error));
        }
    }
    Err(refused(failures))
}

/// The error when no recipient answered.
fn refused(failures: Vec<(usize, KeyEncryptionError)>) -> KeyEncryptionError {
    // Of each recipient the failure that may pass, or else the first.
    let mut kept: Vec<(usize, KeyEncryptionError)> = Vec::new();
    for (recipient, error) in failures {
        match kept.iter_mut().find(|(known, _)| *known == recipient) {
            None => kept.push((recipient, error)),
            Some((_, known)) if error.is_unavailable() && !known.is_unavailable() => *known = error,
            Some(_) => {}
        }
    }
    let texts: Vec<_> = kept
        .iter()
        .map(|(recipient, error)| format!("recipient {}: {error}", recipient + 1))
        .collect();
    let text = format!("no recipient unwrapped the key: {}", texts.join("; "));
    // One that may pass decides.
    let at = kept.iter().position(|(_, error)| error.is_unavailable()).unwrap_or(0);
    if at < kept.len() {
        kept.swap_remove(at).1.reworded(text)
    } else {
        KeyEncryptionError::permanent("this host asks no recipient to unwrap a key")
    }
}

fn slow() -> KeyEncryptionError {
    KeyEncryptionError::unavailable("the key service did not answer in time")
}

fn panicked() -> KeyEncryptionError {
    KeyEncryptionError::unavailable("the key service panicked")
}

fn no_random(error: Error) -> KeyEncryptionError {
    KeyEncryptionError::unavailable("the operating system returned no random bytes")
        .with_source(error)
}

/// How long one call waits in all: a little less than the ring waits for it, so that the error says
/// which recipient is slow.
const PATIENCE: Duration = TIMEOUT.saturating_sub(Duration::from_millis(200));
/// How long the others are waited for, together, before the last recipient is asked too.
const HEAD_START: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::local_key::LocalKey;
    use super::*;

    /// Answers after a while.
    struct Slow(LocalKey, Duration);

    #[async_trait]
    impl KeyEncryption for Slow {
        async fn wrap(
            &self,
            material: &[u8],
            context: &[u8],
        ) -> Result<WrappedKey, KeyEncryptionError> {
            tokio::time::sleep(self.1).await;
            self.0.wrap(material, context).await
        }

        async fn unwrap(
            &self,
            kek_id: &str,
            blob: &[u8],
            context: &[u8],
        ) -> Result<Vec<u8>, KeyEncryptionError> {
            tokio::time::sleep(self.1).await;
            self.0.unwrap(kek_id, blob, context).await
        }
    }

    fn slow(byte: u8, millis: u64) -> Slow {
        Slow(LocalKey::from_bytes([byte; 32]), Duration::from_millis(millis))
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_asked_to_wrap_at_once() {
        let start = Instant::now();
        let all = Recipients::new(slow(1, 900)).and(slow(2, 800)).and_recovery(slow(3, 1000));
        all.wrap(&[9; 32], b"c").await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 1000);
        let late = Recipients::new(slow(1, 900)).and(slow(2, 1900));
        let error = late.wrap(&[9; 32], b"c").await.unwrap_err();
        assert!(error.is_unavailable());
        assert_eq!(
            error.to_string(),
            "recipient 2 of 2 did not wrap the key: the key service did not answer in time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_asked_when_one_is_slow_and_the_first_answer_counts() {
        let set = |first, second| Recipients::new(slow(1, first)).and(slow(2, second));
        let wrapped = set(0, 0).wrap(&[9; 32], b"c").await.unwrap();
        for (first, second, took) in [
            (0, 0, 0),
            (499, 0, 499),
            (600, 0, 500),
            (600, 50, 550),
            (600, 200, 600),
            (1700, 1700, 1700),
        ] {
            let start = Instant::now();
            let opened = set(first, second).unwrap(&wrapped.kek_id, &wrapped.blob, b"c").await;
            assert_eq!(opened.unwrap(), [9; 32]);
            assert_eq!(start.elapsed().as_millis(), took, "{first} {second}");
        }
        let start = Instant::now();
        let opened = set(1900, 9000).unwrap(&wrapped.kek_id, &wrapped.blob, b"c").await;
        assert!(opened.unwrap_err().is_unavailable());
        assert_eq!(
            start.elapsed(),
            PATIENCE,
            "before the ring gives up, so that the error names both"
        );
    }

    #[tokio::test]
    async fn what_a_recipient_wrapped_for_a_set_is_not_a_key_by_itself() {
        let key = |byte| LocalKey::from_bytes([byte; 32]);
        let all = Recipients::new(key(1)).and(key(2));
        let wrapped = all.wrap(&[9; 32], b"context").await.unwrap();
        let set = recipient_set::parse(&wrapped.kek_id, &wrapped.blob).unwrap();
        for (id, blob) in &set.recipients {
            assert!(all.unwrap(id, blob, b"context").await.is_err());
            for byte in [1, 2] {
                assert!(key(byte).unwrap(id, blob, b"context").await.is_err());
            }
        }
    }
}
