//! What happens to tokens, and to the keys that seal them.

use std::fmt::Display;

use super::meter::{self, Refusals, Refused, add, set};
use super::{chain, tell};
use crate::Error;

/// A token that did not open. Callers see one kind of invalid.
pub(crate) fn token_refused(app: &str, purpose: &str, refused: Refused, refusals: &Refusals) {
    let reason = refused.word();
    tell!(DEBUG, "token.refused", { app, purpose, reason }, "a token was refused");
    refusals.count(refused);
}

/// A token opened, and its payload is no value of the type that was asked for. The decoder's
/// words are left out: they quote the value.
pub(crate) fn token_mistyped<T>(app: &str, purpose: &str) {
    let expected = std::any::type_name::<T>();
    tell!(
        WARN,
        "token.mistyped",
        { app, purpose, expected },
        "a token holds a value of another type"
    );
}

/// A key was made and stored; it seals from `activate` on, in seconds.
pub(crate) fn key_created(app: &str, key: impl Display, activate: u64) {
    tell!(INFO, "key.created", { app, %key, activate }, "a key was created");
    add(&meter::KEYS_CREATED, 1, &[("app", app)]);
}

/// The key service cannot be reached; it is asked again.
pub(crate) fn key_unavailable(app: &str, key: impl Display, error: &Error) {
    let error = chain(error);
    tell!(WARN, "key.unavailable", { app, %key, %error }, "a key could not be unwrapped");
    add(&meter::KEYS_CLOSED, 1, &[("app", app), ("outcome", "unavailable")]);
}

/// The key service refuses a key.
pub(crate) fn key_refused(app: &str, key: impl Display, error: &Error) {
    let error = chain(error);
    tell!(
        ERROR,
        "key.refused",
        { app, %key, %error },
        "a key cannot be unwrapped, its tokens are invalid"
    );
    add(&meter::KEYS_CLOSED, 1, &[("app", app), ("outcome", "refused")]);
}

/// This host knows what the key ring's record says, at this time in milliseconds.
pub(crate) fn keys_read(app: &str, generation: u64, count: usize, at: u64) {
    tell!(DEBUG, "keys.read", { app, generation, count }, "the key ring was read");
    #[allow(clippy::cast_precision_loss)] // Milliseconds of this age fit.
    set(&meter::RING_READ, at as f64 / 1000.0, &[("app", app)]);
}

/// `rotate_now` has erased every older key.
pub(crate) fn keys_erased(app: &str) {
    tell!(WARN, "keys.erased", { app }, "every key was erased, the tokens so far are invalid");
}

/// `rewrap_keys` has wrapped every key anew.
pub(crate) fn keys_rewrapped(app: &str) {
    tell!(INFO, "keys.rewrapped", { app }, "every key was encrypted again");
}

/// A refresh failed.
pub(crate) fn keys_failed(app: &str, error: &Error) {
    let unavailable = error.is_unavailable();
    let error = chain(error);
    if unavailable {
        tell!(WARN, "keys.unavailable", { app, %error }, "the key ring could not be refreshed");
    } else {
        tell!(ERROR, "keys.unusable", { app, %error }, "the key ring cannot be used");
    }
}

pub(crate) fn keys_missing(app: &str) {
    tell!(ERROR, "keys.missing", { app }, "the key ring's record is missing, it is written again");
    repaired(app, "missing");
}

pub(crate) fn keys_damaged(app: &str) {
    tell!(ERROR, "keys.damaged", { app }, "the key ring's record is damaged, it is written again");
    repaired(app, "damaged");
}

pub(crate) fn keys_joined(app: &str) {
    tell!(
        WARN,
        "keys.joined",
        { app },
        "the key ring's record is older than this host's, they are joined"
    );
    repaired(app, "older");
}

pub(crate) fn keys_replaced(app: &str) {
    tell!(
        ERROR,
        "keys.replaced",
        { app },
        "the key ring was replaced by another, the tokens of the old one are invalid now"
    );
    repaired(app, "replaced");
}

fn repaired(app: &str, reason: &'static str) {
    add(&meter::RING_REPAIRS, 1, &[("app", app), ("reason", reason)]);
}
