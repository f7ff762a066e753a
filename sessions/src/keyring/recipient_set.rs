//! The stored form of a key that was wrapped for several recipients.
//!
//! A random key encrypts the material, and each recipient wraps that key. The encryption of the
//! material authenticates the whole header: who the recipients are, in which order, and what each
//! of them wrapped. Whoever opens it with the help of one recipient detects that another was
//! removed, added, replaced or moved. (The header of an age file is authenticated in the same way.)
//!
//! Numbers are big-endian. `bytes` is a 16-bit length and that many bytes.
//!
//! | field | length |
//! |---|---|
//! | version, 1 | 1 |
//! | number of recipients, 2 to 8 | 1 |
//! | each: key-encryption key's id, blob | bytes + bytes |
//! | nonce | 24 |
//! | the material, encrypted | n |
//! | tag | 16 |

use std::sync::Arc;

use zeroize::{Zeroize, Zeroizing};

use super::encryption::{KeyEncryptionError, MAX_BLOB, MAX_KEK_ID, WrappedKey};
use crate::crypto::xaes::{KEY, NONCE, TAG, Xaes};

/// The most recipients of a key.
pub(super) const MAX_RECIPIENTS: usize = 8;

/// A parsed set. Nothing of it is authenticated until it is opened.
pub(super) struct Set<'b> {
    /// The id and the blob of each recipient.
    pub(super) recipients: Vec<(Arc<str>, Arc<[u8]>)>,
    header: &'b [u8],
    nonce: &'b [u8; NONCE],
    sealed: &'b [u8],
    tag: &'b [u8; TAG],
}

/// Whether the id is that of a key with several recipients.
pub(super) fn is_set(kek_id: &str) -> bool {
    kek_id.starts_with(PREFIX)
}

/// Returns the context in which a recipient wraps a set's key. It is not the context of the
/// material, so that what a recipient wrapped for a set cannot be stored as a key by itself.
pub(super) fn inner_context(context: &[u8]) -> Arc<[u8]> {
    [LABEL, b"/", context].concat().into()
}

/// Encrypts material under `key`, which the recipients have wrapped.
///
/// # Errors
/// The set is too large, or a key-encryption key is in it twice.
pub(super) fn seal(
    key: &[u8; KEY],
    nonce: &[u8; NONCE],
    recipients: &[WrappedKey],
    material: &[u8],
    context: &[u8],
) -> Result<WrappedKey, KeyEncryptionError> {
    for (at, recipient) in recipients.iter().enumerate() {
        if recipients[..at].iter().any(|other| other.kek_id == recipient.kek_id) {
            return Err(KeyEncryptionError::permanent(format!(
                "two recipients use the key {:?}, and would be lost together; give each its own",
                recipient.kek_id
            )));
        }
    }
    let kek_id = id(recipients.iter().map(|recipient| &*recipient.kek_id));
    let mut blob = vec![VERSION, u8::try_from(recipients.len()).unwrap_or(u8::MAX)];
    for recipient in recipients {
        for bytes in [recipient.kek_id.as_bytes(), &recipient.blob] {
            // A length that does not fit is far above the limit below.
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            blob.extend_from_slice(&length.to_be_bytes());
            blob.extend_from_slice(bytes);
        }
    }
    let length = blob.len() + NONCE + material.len() + TAG;
    if kek_id.len() > MAX_KEK_ID || length > MAX_BLOB {
        return Err(KeyEncryptionError::permanent(format!(
            "the recipients' ids have {} bytes of at most {MAX_KEK_ID} together, and what they \
             wrapped {length} of {MAX_BLOB}; use fewer recipients, or shorter names of keys",
            kek_id.len()
        )));
    }
    let aad = additional_data(context, &blob);
    blob.extend_from_slice(nonce);
    let at = blob.len();
    blob.extend_from_slice(material);
    let tag = Xaes::new(key).seal(nonce, &aad, &mut blob[at..]);
    blob.extend_from_slice(&tag);
    Ok(WrappedKey { kek_id, blob })
}

/// Reads what [`seal`] made, and nothing else.
///
/// # Errors
/// Permanent unless a newer build has made it.
pub(super) fn parse<'b>(kek_id: &str, blob: &'b [u8]) -> Result<Set<'b>, KeyEncryptionError> {
    match blob.first() {
        Some(&VERSION) => {}
        // Not permanent: that would log out whoever has a token of this key.
        Some(&version) if version > VERSION => {
            return Err(KeyEncryptionError::unavailable(
                "a newer build wrapped a key for its recipients, finish the deploy",
            ));
        }
        _ => return Err(changed()),
    }
    let set = read(blob).ok_or_else(changed)?;
    if id(set.recipients.iter().map(|(id, _)| &**id)) != kek_id {
        return Err(changed());
    }
    Ok(set)
}

fn read(blob: &[u8]) -> Option<Set<'_>> {
    let (&[_, count], mut rest) = blob.split_first_chunk()?;
    if !(2..=MAX_RECIPIENTS).contains(&usize::from(count)) {
        return None;
    }
    let mut bytes = || {
        let (length, after) = rest.split_first_chunk()?;
        let (taken, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some(taken)
    };
    let mut recipients = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let id = std::str::from_utf8(bytes()?).ok()?;
        recipients.push((id.into(), bytes()?.into()));
    }
    let header = &blob[..blob.len() - rest.len()];
    let (nonce, rest) = rest.split_first_chunk()?;
    let (sealed, tag) = rest.split_last_chunk()?;
    Some(Set { recipients, header, nonce, sealed, tag })
}

impl Set<'_> {
    /// Decrypts the material with the key that a recipient unwrapped.
    ///
    /// # Errors
    /// Permanent: something of the set is not what was sealed.
    pub(super) fn open(&self, key: &[u8], context: &[u8]) -> Result<Vec<u8>, KeyEncryptionError> {
        let key = Zeroizing::new(<[u8; KEY]>::try_from(key).map_err(|_| {
            KeyEncryptionError::permanent("a recipient returned a key of another length")
        })?);
        let aad = additional_data(context, self.header);
        let mut material = self.sealed.to_vec();
        if Xaes::new(&key).open(self.nonce, &aad, &mut material, self.tag) {
            Ok(material)
        } else {
            material.zeroize();
            Err(changed())
        }
    }
}

/// For the fuzz target: what nobody has sealed is read or not, and never opened.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn probe(blob: &[u8]) {
    if let Some(set) = read(blob) {
        let kek_id = id(set.recipients.iter().map(|(id, _)| &**id));
        assert!(blob[0] != VERSION || parse(&kek_id, blob).is_ok());
        assert!(set.open(&[0; KEY], b"").is_err());
    }
}

/// The length of the context makes two different pairs two different texts.
fn additional_data(context: &[u8], header: &[u8]) -> Vec<u8> {
    [LABEL, &(context.len() as u64).to_be_bytes(), context, header].concat()
}

fn id<'i>(ids: impl Iterator<Item = &'i str>) -> String {
    format!("{PREFIX}{}", ids.collect::<Vec<_>>().join(","))
}

fn changed() -> KeyEncryptionError {
    KeyEncryptionError::permanent(
        "a key or its recipients were changed in the database: one was removed, added, replaced \
         or moved; restore the record of the keys",
    )
}

const VERSION: u8 = 1;
const LABEL: &[u8] = b"sessions/v1 recipients";
/// How the id of a set begins, for operators to read.
const PREFIX: &str = "recipients:";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_OF_SET: [u8; KEY] = [5; KEY];

    fn recipient(name: &str, length: usize) -> WrappedKey {
        WrappedKey { kek_id: name.to_owned(), blob: vec![7; length] }
    }

    fn sealed(recipients: &[WrappedKey]) -> Result<WrappedKey, KeyEncryptionError> {
        seal(&KEY_OF_SET, &[6; NONCE], recipients, &[9; 32], b"context")
    }

    fn open(wrapped: &WrappedKey, context: &[u8]) -> Result<Vec<u8>, KeyEncryptionError> {
        parse(&wrapped.kek_id, &wrapped.blob)?.open(&KEY_OF_SET, context)
    }

    #[test]
    fn the_bytes_of_a_set_are_pinned() {
        let wrapped = sealed(&[recipient("a", 3), recipient("bc", 1)]).unwrap();
        assert_eq!(wrapped.kek_id, "recipients:a,bc");
        let header = [1, 2, 0, 1, b'a', 0, 3, 7, 7, 7, 0, 2, b'b', b'c', 0, 1, 7];
        assert_eq!(wrapped.blob[..header.len()], header);
        assert_eq!(wrapped.blob[header.len()..][..NONCE], [6; NONCE]);
        let mut aad = b"sessions/v1 recipients\0\0\0\0\0\0\0\x07context".to_vec();
        aad.extend(header);
        let mut material = [9; 32];
        let tag = Xaes::new(&KEY_OF_SET).seal(&[6; NONCE], &aad, &mut material);
        assert_eq!(wrapped.blob[header.len() + NONCE..], [&material[..], &tag].concat());
        assert_eq!(&*inner_context(b"context"), b"sessions/v1 recipients/context");
        assert_eq!(open(&wrapped, b"context").unwrap(), [9; 32]);
    }

    #[test]
    fn every_change_of_the_bytes_is_refused() {
        let wrapped = sealed(&[recipient("a", 3), recipient("bc", 1)]).unwrap();
        let refused = |blob: Vec<u8>| {
            let error = open(&WrappedKey { blob, ..wrapped.clone() }, b"context").unwrap_err();
            error.to_string()
        };
        for at in 0..wrapped.blob.len() {
            for bit in 0..8 {
                let mut blob = wrapped.blob.clone();
                blob[at] ^= 1 << bit;
                let newer = at == 0 && blob[0] > 1;
                let text = if newer { "finish the deploy" } else { "changed in the database" };
                assert!(refused(blob).contains(text), "byte {at}");
            }
            assert!(refused(wrapped.blob[..at].to_vec()).contains("changed in the database"));
        }
        refused([&wrapped.blob[..], &[0]].concat());
        assert!(open(&wrapped, b"other").is_err());
        for kek_id in ["recipients:bc,a", "recipients:a", "recipients:a,bc,", "recipients:"] {
            let renamed = WrappedKey { kek_id: kek_id.into(), ..wrapped.clone() };
            assert!(open(&renamed, b"context").is_err(), "{kek_id}");
        }
        let key = parse(&wrapped.kek_id, &wrapped.blob).unwrap().open(&[5; 31], b"context");
        assert!(key.unwrap_err().to_string().contains("another length"));
    }

    #[test]
    fn no_recipient_is_removed_added_replaced_or_moved() {
        let [a, b, c] = [recipient("a", 60), recipient("b", 60), recipient("c", 60)];
        let wrapped = sealed(&[a.clone(), b.clone()]).unwrap();
        let rest = &wrapped.blob[wrapped.blob.len() - NONCE - 32 - TAG..];
        // As somebody would who knows the format: the id and the header agree.
        let with = |recipients: &[WrappedKey]| {
            let other = sealed(recipients).unwrap();
            let header = &other.blob[..other.blob.len() - rest.len()];
            WrappedKey { blob: [header, rest].concat(), kek_id: other.kek_id }
        };
        assert!(open(&with(&[a.clone(), b.clone()]), b"context").is_ok());
        let replaced = WrappedKey { blob: vec![8; 60], ..b.clone() };
        for recipients in [
            vec![a.clone(), b.clone(), c.clone()],
            vec![b.clone(), a.clone()],
            vec![a.clone(), c.clone()],
            vec![a.clone(), replaced],
            vec![a.clone()],
            vec![],
        ] {
            let error = open(&with(&recipients), b"context").unwrap_err();
            assert!(!error.is_unavailable() && error.to_string().contains("removed"), "{error}");
        }
    }

    #[test]
    fn a_set_that_does_not_fit_and_a_key_given_twice_say_so() {
        let text = |recipients: &[WrappedKey]| sealed(recipients).unwrap_err().to_string();
        let eight = |length| -> Vec<_> {
            (0..8).map(|at| recipient(&format!("key-{at:0>76}"), length)).collect()
        };
        // Names as long as those of AWS KMS, and blobs as long as those of a 4096-bit RSA key.
        let wrapped = sealed(&eight(512)).unwrap();
        assert!(wrapped.kek_id.len() < 700 && wrapped.blob.len() < 5_000);
        assert!(open(&wrapped, b"context").is_ok());
        assert!(text(&eight(1024)).contains("and what they wrapped 8938 of 8192; use fewer"));
        let long = [recipient(&"x".repeat(600), 9), recipient(&"y".repeat(600), 9)];
        assert!(text(&long).contains("ids have 1212 bytes of at most 1024"));
        assert!(text(&[recipient("x", 9), recipient("y", 100_000)]).contains("100"));
        let twice = [recipient("x", 9), recipient("y", 9), recipient("x", 8)];
        assert!(text(&twice).contains(r#"use the key "x""#));
    }
}
