//! The layout of a token.
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 1 | version: 1 is XAES-256-GCM |
//! | 1 | 4 | key id, big-endian |
//! | 5 | 24 | nonce |
//! | 29 | 5 | sealed: issue time in seconds |
//! | 34 | n | sealed: payload |
//! | 34 + n | 16 | tag |
//!
//! The version and the key id are authenticated as additional data. The whole is base64url
//! without padding (RFC 4648, section 5).

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::xaes::{NONCE, TAG, Xaes};
use crate::keyring::ring::KeyId;

/// How many bytes a token has besides its payload, before base64.
pub(crate) const OVERHEAD: usize = PAYLOAD + TAG;
/// The longest token that is read, in characters.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;
/// The longest payload that fits a token.
pub(crate) const MAX_PAYLOAD: usize = MAX_TOKEN / 4 * 3 - OVERHEAD;

const VERSION: u8 = 1;
/// The length of the plaintext part.
const HEADER: usize = 1 + 4;
const SEALED: usize = HEADER + NONCE;
const PAYLOAD: usize = SEALED + TIME;
const TIME: usize = 5;
/// The last second that a token can name: the year 36812.
const LAST_SECOND: u64 = (1 << (8 * TIME)) - 1;

/// The error for a text that [`encode`] does not produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Writes a token over `buffer`, which has room for exactly the payload and the overhead.
pub(crate) fn seal(
    buffer: &mut [u8],
    xaes: &Xaes,
    key: KeyId,
    nonce: &[u8; NONCE],
    issued_at: u64,
    payload: &[u8],
) {
    debug_assert_eq!(buffer.len(), payload.len() + OVERHEAD);
    buffer[0] = VERSION;
    buffer[1..HEADER].copy_from_slice(&key.to_bytes());
    buffer[HEADER..SEALED].copy_from_slice(nonce);
    let issued_at = issued_at.min(LAST_SECOND).to_be_bytes();
    buffer[SEALED..PAYLOAD].copy_from_slice(&issued_at[8 - TIME..]);
    let tag_at = PAYLOAD + payload.len();
    buffer[PAYLOAD..tag_at].copy_from_slice(payload);
    let (front, tag) = buffer.split_at_mut(tag_at);
    let (clear, sealed) = front.split_at_mut(SEALED);
    tag.copy_from_slice(&xaes.seal(nonce, &clear[..HEADER], sealed));
}

/// Returns the text of a token.
pub(crate) fn encode(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(token)
}

/// Returns the bytes of a token's text, in the front of `buffer`, and the key id that it names.
/// Refuses every text that [`encode`] does not produce.
pub(crate) fn decode<'b>(
    text: &[u8],
    buffer: &'b mut [u8],
) -> Result<(KeyId, &'b mut [u8]), Malformed> {
    if text.len() > MAX_TOKEN {
        return Err(Malformed);
    }
    // It fails if the buffer is too short: the caller sealed no payload of that length.
    let length = URL_SAFE_NO_PAD.decode_slice(text, buffer).map_err(|_| Malformed)?;
    read(&mut buffer[..length])
}

/// Returns the key id that a token's bytes name.
pub(crate) fn read(token: &mut [u8]) -> Result<(KeyId, &mut [u8]), Malformed> {
    if token.len() < OVERHEAD {
        return Err(Malformed);
    }
    if token[0] != VERSION {
        return Err(Malformed);
    }
    // The length was checked above.
    let key = KeyId::from_bytes([token[1], token[2], token[3], token[4]]);
    Ok((key, token))
}

/// Decrypts a decoded token in place. Returns the second of its issue and the range of its payload,
/// or `None` if this key did not seal it or it was changed.
pub(crate) fn open(token: &mut [u8], xaes: &Xaes) -> Option<(u64, Range<usize>)> {
    if token.len() < OVERHEAD {
        return None;
    }
    let tag_at = token.len() - TAG;
    if !decrypt(token, tag_at, xaes) {
        return None;
    }
    let issued_at = &token[SEALED..PAYLOAD];
    let issued_at = issued_at.iter().fold(0, |time, byte| time << 8 | u64::from(*byte));
    Some((issued_at, PAYLOAD..tag_at))
}

fn decrypt(token: &mut [u8], tag_at: usize, xaes: &Xaes) -> bool {
    let (front, tag) = token.split_at_mut(tag_at);
    let (clear, sealed) = front.split_at_mut(SEALED);
    let (Ok(nonce), Ok(tag)) = (clear[HEADER..].try_into(), (&*tag).try_into()) else {
        return false;
    };
    xaes.open(nonce, &clear[..HEADER], sealed, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyId = KeyId::from_bytes([0, 7, 0xab, 0xcd]);

    fn sealed(payload: &[u8]) -> (Xaes, String) {
        let xaes = Xaes::new(&[9; 32]);
        let mut buffer = vec![0; payload.len() + OVERHEAD];
        seal(&mut buffer, &xaes, KEY, &[5; NONCE], 1_767_225_600, payload);
        (xaes, encode(&buffer))
    }

    #[test]
    fn the_bytes_of_a_token_are_pinned() {
        let (xaes, text) = sealed(b"0123456789abcdef");
        assert_eq!(text.len(), 88);
        assert_eq!(text, PINNED);
        let mut buffer = [0; 128];
        let (key, token) = decode(text.as_bytes(), &mut buffer).unwrap();
        assert_eq!(key, KEY);
        assert_eq!(token[0], 1);
        assert_eq!(token[1..5], [0, 7, 0xab, 0xcd]);
        assert_eq!(token[5..29], [5; 24]);
        let (issued_at, payload) = open(token, &xaes).unwrap();
        assert_eq!(issued_at, 1_767_225_600);
        assert_eq!(&token[payload], b"0123456789abcdef");
    }

    const PINNED: &str =
        "AQAHq80FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQWsbw4Mzr0Fdp72n-2GKi-UPLtqnsXHwtqKmAy9EkodCqwehW9X";

    #[test]
    fn texts_that_encode_does_not_make_are_refused() {
        // 17 bytes of payload leave four slack bits in the last character.
        let (_, text) = sealed(&[0; 17]);
        let mut buffer = vec![0; MAX_TOKEN];
        assert!(decode(text.as_bytes(), &mut buffer).is_ok());
        let slack = {
            let mut bytes = text.clone().into_bytes();
            let last = bytes.last_mut().unwrap();
            *last = if *last == b'_' { b'-' } else { *last + 1 };
            String::from_utf8(bytes).unwrap()
        };
        let with_plus = format!("{}+", &text[..text.len() - 1]);
        for other in [
            format!("{text}="),
            format!("{text}\n"),
            format!(" {text}"),
            text[..text.len() - 1].to_owned(),
            text[..60].to_owned(),
            String::new(),
            format!("B{}", &text[1..]),
            "A".repeat(MAX_TOKEN + 1),
            slack,
            with_plus,
        ] {
            assert!(decode(other.as_bytes(), &mut buffer).is_err(), "{other}");
        }
    }

    #[test]
    fn the_longest_payload_makes_the_longest_token() {
        let (xaes, text) = sealed(&[1; MAX_PAYLOAD]);
        assert_eq!(text.len(), MAX_TOKEN);
        let mut buffer = vec![0; MAX_TOKEN];
        let (_, token) = decode(text.as_bytes(), &mut buffer).unwrap();
        assert!(open(token, &xaes).is_some());
    }

    #[test]
    fn times_beyond_forty_bits_saturate() {
        let xaes = Xaes::new(&[9; 32]);
        let mut buffer = [0; OVERHEAD];
        seal(&mut buffer, &xaes, KEY, &[5; NONCE], u64::MAX, b"");
        assert_eq!(open(&mut buffer, &xaes).unwrap().0, LAST_SECOND);
    }
}
