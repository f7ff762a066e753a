//! What the fuzz targets of the three parsers of a device binding call.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

use super::fields::{parse_skipped, parse_text};
use super::proof::{MOST_PROOF, Proof, Refusal};
use crate::device_key::DeviceKey;

const PATH: &str = "/.sessions/dbsc/refresh";

/// Reads the input as a proof; and what it says if the right key signs it, with the header before the
/// first line's end and the claims after it.
pub fn device_proof(data: &[u8]) {
    if let Ok(proof) =
        parse_text(data, MOST_PROOF).map_err(Refusal::from).and_then(|jwt| Proof::parse(&jwt))
        && let Some(key) = proof.key
    {
        let _ = proof.verify(&key, PATH);
    }
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, claims) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encode(header), encode(claims));
    let unsigned = Proof::parse(&format!("{signed}.{}", encode(&[1; 64])));
    // Signing takes longer than everything else.
    if unsigned.is_err() || !data.len().is_multiple_of(32) {
        return;
    }
    let (key_pair, key) = signer(7);
    let signature: Signature = key_pair.sign(signed.as_bytes());
    let proof = Proof::parse(&format!("{signed}.{}", encode(&signature.to_bytes())));
    let proof = proof.expect("only its signature is another");
    let verified = proof.verify(&key, PATH);
    assert!(matches!(verified, Ok(()) | Err(Refusal::Audience)), "{verified:?}");
    assert_eq!(proof.verify(&signer(9).1, PATH), Err(Refusal::Signature));
}

fn signer(number: u8) -> (SigningKey, DeviceKey) {
    let signer = SigningKey::from_slice(&[number; 32]).expect("a number below the order");
    let point = signer.verifying_key().to_encoded_point(true);
    let key = point.as_bytes().try_into().expect("a compressed point");
    (signer, DeviceKey::from_bytes(key))
}

/// Reads the input as a string or a token.
pub fn device_text(data: &[u8]) {
    if let Ok(text) = parse_text(data, 1024) {
        assert!(!text.is_empty() && text.len() <= data.len());
        assert_eq!(parse_text(format!("\"{text}\";a").as_bytes(), 2048), Ok(text));
    }
}

/// Reads the input as the reasons that a browser gives.
pub fn device_skipped(data: &[u8]) {
    if parse_skipped(data).is_some() {
        let text = std::str::from_utf8(data).expect("fields are ASCII");
        let words = ["unreachable", "server_error", "quota_exceeded"];
        assert!(words.iter().any(|word| text.contains(word)), "{text}");
    }
}
