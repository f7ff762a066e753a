//! Whether a text shows a secret, in any of the forms in which a program lets one slip.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

/// What must be seen nowhere.
#[derive(Default)]
pub(crate) struct Secrets {
    /// The forms of each secret, and of parts of it, and how they show it.
    needles: HashMap<String, &'static str>,
    /// Hexadecimal digits, in lower case.
    hex: HashSet<String>,
    known: usize,
}

impl Secrets {
    /// An id or a key.
    pub(crate) fn bytes(&mut self, secret: &[u8]) {
        // Shorter ones are found by chance, and are the random part of a key's public id.
        if secret.len() < 16 {
            return;
        }
        self.known += 1;
        for part in secret.windows(6).step_by(3) {
            let mut hex = String::new();
            for byte in part {
                // Writing to a string does not fail.
                let _ = write!(hex, "{byte:02x}");
            }
            self.hex.insert(hex);
            let list: Vec<String> = part.iter().map(u8::to_string).collect();
            for by in [", ", ",", " "] {
                self.needles.insert(list.join(by), "an id or key as a list");
            }
            self.needles.insert(String::from_utf8_lossy(part).into_owned(), "an id or key");
        }
        for skip in 0..3 {
            let base64 = base64(&secret[skip..]);
            // The last digits depend on what follows.
            for at in (0..base64.len() - 12).step_by(4) {
                let part = &base64[at..at + 8];
                self.needles.insert(part.to_owned(), "an id or key in base64");
                let url = part.replace('+', "-").replace('/', "_");
                self.needles.insert(url, "an id or key in base64");
            }
        }
    }

    /// A field's value, an owner, a payload.
    pub(crate) fn word(&mut self, secret: &str) {
        self.known += 1;
        self.needles.insert(secret.to_owned(), "a value");
    }

    /// A token, or a cookie with one: also a part of it, but for the seven characters that name
    /// its version and key.
    pub(crate) fn token(&mut self, text: &str) {
        self.known += 1;
        let pair = text.split(';').next().unwrap_or_default();
        let token = pair.rsplit('=').next().unwrap_or_default();
        let mut from = 8;
        while let Some(part) = token.get(from..from + 12) {
            self.needles.insert(part.to_owned(), "a token");
            from += 4;
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known
    }

    /// The first secret that one of these texts shows: how, and the text.
    pub(crate) fn find(&self, texts: &BTreeSet<String>) -> Option<(&'static str, String)> {
        let all = texts.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let lower = all.to_lowercase();
        let text = |needle: &str| {
            let text = texts.iter().find(|it| it.to_lowercase().contains(&needle.to_lowercase()));
            text.cloned().unwrap_or_default()
        };
        for (needle, how) in &self.needles {
            if all.contains(needle) {
                return Some((how, text(needle)));
            }
        }
        // All of one length.
        let digits = lower.as_bytes().windows(12);
        let mut digits = digits.filter_map(|digits| std::str::from_utf8(digits).ok());
        let hex = digits.find(|digits| self.hex.contains(*digits))?;
        Some(("an id or key in hexadecimal", text(hex)))
    }
}

/// Without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or_default()));
        let all = a << 16 | b << 8 | c;
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(all >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

/// The positive control: each form of each kind of secret is found where it is planted.
#[test]
fn a_planted_secret_is_found_in_every_form() {
    let id: Vec<u8> = (0..16).map(|byte| byte * 13 + 7).collect();
    let token = "AQABx7d0bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_abcd";
    let mut secrets = Secrets::default();
    secrets.bytes(&id);
    secrets.word("SECRET OWNER");
    secrets.token(&format!("__Host-visitor={token}; Secure; HttpOnly"));
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    for planted in [
        format!("{id:?}"),
        format!("{:?}", &id[3..12]),
        format!("{:?}", http::HeaderValue::from_str(token).expect("ASCII")),
        hex.clone(),
        hex.to_uppercase(),
        hex[8..24].to_owned(),
        base64(&id),
        base64(&[&[1], &id[..]].concat()),
        base64(&[&[1, 2], &id[..]].concat()).replace('+', "-").replace('/', "_"),
        token.to_owned(),
        token[20..50].to_owned(),
        "owner=SECRET OWNER".to_owned(),
    ] {
        let text = format!("sessions session.loaded id=abcdefghij error={planted} in the store");
        assert!(secrets.find(&[text.clone()].into()).is_some(), "not found: {text}");
    }
    let clean = "sessions session.loaded id=abcdefghij key=0007abcd count=3 [1, 2, 3, 4, 5, 6]";
    assert_eq!(secrets.find(&[clean.to_owned()].into()), None);
}
