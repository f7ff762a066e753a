//! What happens to tokens, and to the keys that seal them.

use std::fmt::Display;

use super::emit::{chain, emit};
use super::labels::TokenRefusal;
use super::metrics;
use super::metrics::{Refusals, add, set};
use crate::error::Error;

/// A token that did not open. Callers see one kind of invalid.
pub(crate) fn token_refused(app: &str, purpose: &str, refused: TokenRefusal, refusals: &Refusals) {
    let reason = refused.word();
    emit!(DEBUG, "token.refused", { app, purpose, reason }, "a token was refused");
    refusals.count(refused);
}

/// A token opened, and its payload is no value of the type that was asked for. The decoder's
/// words are left out: they quote the value.
pub(crate) fn token_mistyped<T>(app: &str, purpose: &str) {
    let expected = std::any::type_name::<T>();
    emit!(
        WARN,
        "token.mistyped",
        { app, purpose, expected },
        "a token holds a value of another type"
    );
}

/// A key was made and stored; it seals from `activate` on, in seconds.
pub(crate) fn key_created(app: &str, key: impl Display, activate: u64) {
    emit!(INFO, "key.created", { app, %key, activate }, "a key was created");
    add(&metrics::KEYS_CREATED, 1, &[("app", app)]);
}

/// The key service cannot be reached; it is asked again.
pub(crate) fn key_unavailable(app: &str, key: impl Display, error: &Error) {
    let error = chain(error);
    emit!(WARN, "key.unavailable", { app, %key, %error }, "a key could not be unwrapped");
    add(&metrics::KEYS_CLOSED, 1, &[("app", app), ("outcome", "unavailable")]);
}

/// The key service refuses a key.
pub(crate) fn key_refused(app: &str, key: impl Display, error: &Error) {
    let error = chain(error);
    emit!(
        ERROR,
        "key.refused",
        { app, %key, %error },
        "a key cannot be unwrapped, its tokens are invalid"
    );
    add(&metrics::KEYS_CLOSED, 1, &[("app", app), ("outcome", "refused")]);
}

/// This host knows what the key ring's record says, at this time in milliseconds.
pub(crate) fn keys_read(app: &str, generation: u64, count: usize, at: u64) {
    emit!(DEBUG, "keys.read", { app, generation, count }, "the key ring was read");
    #[allow(clippy::cast_precision_loss)] // Milliseconds of this age fit.
    set(&metrics::RING_READ, at as f64 / 1000.0, &[("app", app)]);
}

/// `rotate_now` has erased every older key.
pub(crate) fn keys_erased(app: &str) {
    emit!(WARN, "keys.erased", { app }, "every key was erased, the tokens so far are invalid");
}

/// `rewrap_keys` has wrapped every key anew.
pub(crate) fn keys_rewrapped(app: &str) {
    emit!(INFO, "keys.rewrapped", { app }, "every key was wrapped anew");
}

/// A refresh failed.
pub(crate) fn keys_failed(app: &str, error: &Error) {
    let unavailable = error.is_unavailable();
    let error = chain(error);
    if unavailable {
        emit!(WARN, "keys.unavailable", { app, %error }, "the key ring could not be refreshed");
    } else {
        emit!(ERROR, "keys.unusable", { app, %error }, "the key ring cannot be used");
    }
}

pub(crate) fn keys_missing(app: &str) {
    emit!(ERROR, "keys.missing", { app }, "the key ring's record is missing, it is written again");
    repaired(app, "missing");
}

pub(crate) fn keys_damaged(app: &str) {
    emit!(ERROR, "keys.damaged", { app }, "the key ring's record is damaged, it is written again");
    repaired(app, "damaged");
}

pub(crate) fn keys_joined(app: &str) {
    emit!(
        WARN,
        "keys.joined",
        { app },
        "the key ring's record is older than this host's, they are joined"
    );
    repaired(app, "older");
}

pub(crate) fn keys_replaced(app: &str) {
    emit!(
        ERROR,
        "keys.replaced",
        { app },
        "the key ring was replaced by another, the tokens of the old one are invalid now"
    );
    repaired(app, "replaced");
}

fn repaired(app: &str, reason: &'static str) {
    add(&metrics::RING_REPAIRS, 1, &[("app", app), ("reason", reason)]);
}

/// Everybody's sessions so far were ended, or those from before a time.
pub(crate) fn epoch_raised(app: &str, number: u64) {
    emit!(WARN, "epoch.raised", { app, number }, "everybody's older sessions were ended");
}

/// The epoch cannot be read; this host goes on with what it knows.
pub(crate) fn epoch_failed(app: &str, error: &Error) {
    let unavailable = error.is_unavailable();
    let error = chain(error);
    if unavailable {
        emit!(WARN, "epoch.unavailable", { app, %error }, "the epoch could not be read");
    } else {
        emit!(ERROR, "epoch.unusable", { app, %error }, "the epoch's record cannot be used");
    }
}

/// The epoch's record was lost, damaged or older than what this host knows, and is written again.
pub(crate) fn epoch_repaired(app: &str, reason: &'static str) {
    emit!(ERROR, "epoch.repaired", { app, reason }, "the epoch's record was written again");
}
