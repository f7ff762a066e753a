//! The limits on the size of a record.

use std::borrow::Cow;

use super::malformed::Malformed;
use crate::authentication::Proof;
use crate::error::Error;

/// The default limit on the size of a record that is written. Every request reads its record whole,
/// and the time of a merge grows with its length.
pub const RECORD_LIMIT: usize = 64 << 10;

/// The limit on the size of a record that is read, and the highest limit that a store can set.
pub const MAX_RECORD: usize = 16 << 20;

/// How many bytes a session's label may have.
pub const MAX_LABEL: usize = 256;

/// How many bytes the method of a proof may have.
const MAX_METHOD: usize = 64;

/// How many bytes the name of the person acted for may have.
pub(crate) const MAX_OWNER: usize = 255;

/// How many bytes the credential of a proof may have.
const MAX_CREDENTIAL: usize = 255;

/// Checks the length of a label, which often comes from a request; `session` names the type for
/// errors.
///
/// # Errors
/// [`Error::Encode`] if the label is longer than [`MAX_LABEL`].
pub fn check_label(session: &'static str, label: &str) -> Result<(), Error> {
    if label.len() <= MAX_LABEL {
        return Ok(());
    }
    let length = label.len();
    let text = format!("{length} bytes are above the limit of {MAX_LABEL}: shorten the label");
    Err(Error::Encode {
        session: Cow::Borrowed(session),
        field: Cow::Borrowed("label"),
        source: text.into(),
    })
}

/// Checks the lengths of a proof; `session` names the type for errors.
///
/// # Errors
/// [`Error::Encode`] if the method is longer than 64 bytes, or the credential than 255.
pub(crate) fn check_proof(session: &'static str, proof: &Proof) -> Result<(), Error> {
    let credential = proof.credential.as_deref().unwrap_or_default();
    for (field, text, limit) in
        [("method", &*proof.method, MAX_METHOD), ("credential", credential, MAX_CREDENTIAL)]
    {
        check_length(session, field, text, limit)?;
    }
    Ok(())
}

/// Checks the length of a text of the header; `session` names the type for errors.
///
/// # Errors
/// [`Error::Encode`] if it is longer than the limit, in bytes.
pub(crate) fn check_length(
    session: &'static str,
    field: &'static str,
    text: &str,
    limit: usize,
) -> Result<(), Error> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(Error::Encode {
        session: Cow::Borrowed(session),
        field: Cow::Borrowed(field),
        source: too_long(text.len(), limit).into(),
    })
}

pub(super) fn too_long(length: usize, limit: usize) -> Malformed {
    format!("{length} bytes are above the limit of {limit}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_a_bound() {
        assert!(check_label("visitor", &"x".repeat(MAX_LABEL)).is_ok());
        let error = check_label("visitor", &"ü".repeat(MAX_LABEL)).unwrap_err();
        let Error::Encode { session, field, source } = error else { panic!("{error}") };
        assert_eq!((&*session, &*field), ("visitor", "label"));
        assert_eq!(source.to_string(), "512 bytes are above the limit of 256: shorten the label");
    }
}
