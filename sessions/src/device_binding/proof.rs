//! The proof that a browser has its private key: a JWT that the key has signed over a challenge.
//!
//! The draft's section "DBSC proof JWT", RFC 7515 (JWS) and RFC 7518, section 3.4 (ES256).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::{EncodedPoint, PublicKey};
use serde_json::{Map, Value};

use super::fields::FieldFault;
use crate::device_key::DeviceKey;

/// A proof, read but not verified.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// The challenge that it answers.
    pub(crate) challenge: String,
    /// The public key, in the proof of a registration.
    pub(crate) key: Option<DeviceKey>,
    /// The URL that it is for. Most browsers do not write it.
    audience: Option<String>,
    signed: String,
    signature: Signature,
}

/// Why a proof, or what else a browser sent, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request has two proofs, or two identifiers.
    Twice,
    TooLarge,
    Malformed,
    /// There is none.
    Missing,
    /// It is not signed with ES256.
    Algorithm,
    /// It is another kind of JWT.
    Type,
    /// It demands an extension.
    Critical,
    /// A registration without a key, or the key is none of P-256.
    Key,
    /// The browser has sent its private key.
    PrivateKey,
    Signature,
    /// It is for another URL.
    Audience,
    /// Another site asked for it.
    CrossSite,
    /// It answers no challenge of this session.
    Challenge,
    /// It answers a challenge that is too old.
    Expired,
    /// It was used before.
    Replayed,
    /// The request's cookie names another session.
    OtherSession,
    /// The session has ended, was renewed twice, or has no owner.
    Gone,
    /// The session is bound already.
    Bound,
    /// The identifier is none of this store.
    Identifier,
    /// The record has no room for the key.
    NoRoom,
}

impl Refusal {
    /// The word of the event.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Twice => "twice",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Critical => "critical",
            Self::Key => "key",
            Self::PrivateKey => "private_key",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::CrossSite => "cross_site",
            Self::Challenge => "challenge",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::OtherSession => "other_session",
            Self::Gone => "gone",
            Self::Bound => "bound",
            Self::Identifier => "identifier",
            Self::NoRoom => "no_room",
        }
    }

    /// Whether it happens in the running of an app, so that nobody need look.
    pub(crate) fn is_usual(self) -> bool {
        matches!(self, Self::Expired | Self::Gone | Self::OtherSession)
    }
}

impl From<FieldFault> for Refusal {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Twice => Self::Twice,
            FieldFault::TooLarge => Self::TooLarge,
            FieldFault::Malformed => Self::Malformed,
        }
    }
}

impl Proof {
    /// Reads a compact JWT.
    pub(crate) fn parse(jwt: &str) -> Result<Self, Refusal> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        // A third dot would be in the claims, and base64url has none.
        let header = object(header)?;
        let claims = object(claims)?;
        let is = |name: &str, value: &str| header.get(name).and_then(Value::as_str) == Some(value);
        if !is("alg", "ES256") {
            return Err(Refusal::Algorithm);
        }
        if !is("typ", "dbsc+jwt") {
            return Err(Refusal::Type);
        }
        if header.contains_key("crit") {
            return Err(Refusal::Critical);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::Malformed)?;
        // Also refuses a signature with a zero, or of another length.
        let signature = Signature::from_slice(&signature).map_err(|_| Refusal::Signature)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let audience = match claims.get("aud") {
            None => None,
            Some(Value::String(audience)) => Some(audience.clone()),
            Some(_) => return Err(Refusal::Audience),
        };
        Ok(Self {
            challenge: text("jti").ok_or(Refusal::Challenge)?,
            key: header.get("jwk").map(key).transpose()?,
            audience,
            signed: signed.to_owned(),
            signature,
        })
    }

    /// Checks that this key has signed it, for the endpoint at `path`.
    pub(crate) fn verify(&self, key: &DeviceKey, path: &str) -> Result<(), Refusal> {
        let key = VerifyingKey::from_sec1_bytes(key.as_bytes()).map_err(|_| Refusal::Key)?;
        key.verify(self.signed.as_bytes(), &self.signature).map_err(|_| Refusal::Signature)?;
        match &self.audience {
            Some(audience) if !is_at(audience, path) => Err(Refusal::Audience),
            _ => Ok(()),
        }
    }
}

/// Whether a URL is one of this path. Its host is not compared, because a proxy may have another:
/// the challenge says which site it is from.
fn is_at(url: &str, path: &str) -> bool {
    let after = url.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
    after.is_some_and(|(_, rest)| Some(rest) == path.strip_prefix('/'))
}

fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Refusal::Malformed)
}

/// Reads a public key of P-256 (RFC 7517, and RFC 7518, section 6.2).
fn key(jwk: &Value) -> Result<DeviceKey, Refusal> {
    let jwk = jwk.as_object().ok_or(Refusal::Key)?;
    if jwk.contains_key("d") {
        return Err(Refusal::PrivateKey);
    }
    let is = |name: &str, value: &str| jwk.get(name).and_then(Value::as_str) == Some(value);
    if !is("kty", "EC") || !is("crv", "P-256") {
        return Err(Refusal::Key);
    }
    let coordinate = |name: &str| -> Result<[u8; 32], Refusal> {
        let text = jwk.get(name).and_then(Value::as_str).ok_or(Refusal::Key)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Key)?;
        bytes.try_into().map_err(|_| Refusal::Key)
    };
    let (x, y) = (coordinate("x")?, coordinate("y")?);
    let point = EncodedPoint::from_affine_coordinates(&x.into(), &y.into(), false);
    // Refuses a point that is not on the curve.
    let key = PublicKey::from_sec1_bytes(point.as_bytes()).map_err(|_| Refusal::Key)?;
    let compressed = key.to_encoded_point(true);
    compressed.as_bytes().try_into().map(DeviceKey::from_bytes).map_err(|_| Refusal::Key)
}

/// The largest proof that is read, in bytes.
pub(crate) const MOST_PROOF: usize = 4096;

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::sec1::FromEncodedPoint as _;

    use super::*;

    /// The example of RFC 7515, appendix A.3.
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    const SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0\
         dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxf\
         KTUJqPP3-Kg6NU1Q";

    fn example() -> (DeviceKey, Proof) {
        let jwk = serde_json::json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y });
        let signature = URL_SAFE_NO_PAD.decode(SIGNATURE).unwrap();
        let proof = Proof {
            challenge: String::new(),
            key: None,
            audience: None,
            signed: SIGNED.to_owned(),
            signature: Signature::from_slice(&signature).unwrap(),
        };
        (key(&jwk).unwrap(), proof)
    }

    #[test]
    fn the_example_of_the_specification_is_verified() {
        let (key, proof) = example();
        assert_eq!(proof.verify(&key, "/"), Ok(()));
        let other = Proof { signed: format!("{SIGNED}x"), ..proof.clone() };
        assert_eq!(other.verify(&key, "/"), Err(Refusal::Signature));
        // The same signature with the other square root: signers need not prefer one (SEC 1,
        // section 4.1.4), and browsers do not.
        let (r, s) = proof.signature.split_scalars();
        let flipped = Signature::from_scalars(r, -*s).unwrap();
        assert_eq!(Proof { signature: flipped, ..proof }.verify(&key, "/"), Ok(()));
    }

    #[test]
    fn a_key_is_kept_compressed() {
        let (key, _) = example();
        let point = EncodedPoint::from_bytes(key.as_bytes()).unwrap();
        let point = PublicKey::from_encoded_point(&point).unwrap().to_encoded_point(false);
        assert_eq!(URL_SAFE_NO_PAD.encode(point.x().unwrap()), X);
        assert_eq!(URL_SAFE_NO_PAD.encode(point.y().unwrap()), Y);
    }

    #[test]
    fn an_audience_is_compared_by_its_path() {
        for (url, is) in [
            ("https://shop.example/a/b", true),
            ("https://shop.example:8443/a/b", true),
            ("http://shop.example/a/b", false),
            ("https://shop.example/a/b?c", false),
            ("https://shop.example/a", false),
            ("https://shop.example", false),
            ("/a/b", false),
            ("", false),
        ] {
            assert_eq!(is_at(url, "/a/b"), is, "{url}");
        }
    }
}
