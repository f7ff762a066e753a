//! The names of sessions and of their fields in a record.

use syn::LitStr;

use crate::diag::Diag;

/// Whether a string can stand in records as it is.
pub(super) fn is_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&key.len()) && key.bytes().all(allowed)
}

pub(super) fn check_key(key: &LitStr, what: &str, diag: &Diag) {
    if !is_key(&key.value()) {
        diag.error(key, format!("{what} is 1 to 64 bytes of `a` to `z`, `0` to `9` and `_`"));
    }
}
