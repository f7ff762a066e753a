//! What happens inside, as `tracing` events of the target "sessions". None holds a secret: ids
//! appear as the first characters of their hashes.

use crate::Error;
use crate::store::StoreKey;

/// The part of a store key that is enough to find a session in a log.
pub(crate) fn log_id(key: &StoreKey) -> &str {
    key.as_str().get(..LOG_ID).unwrap_or_default()
}

/// How many characters of a store key a log shows.
const LOG_ID: usize = 10;

/// A cookie that opened to nothing; the browser gets a new anonymous session.
pub(crate) fn refused_cookie(session: &'static str) {
    tracing::debug!(target: "sessions", session, "refused cookie");
}

/// Two cookies of one name opened to different sessions.
pub(crate) fn ambiguous_cookies(session: &'static str) {
    tracing::warn!(target: "sessions", session, "two cookies name different sessions, the first counts");
}

/// Changes that were not saved because the session had ended meanwhile.
pub(crate) fn dropped(session: &'static str, key: &StoreKey, why: &'static str) {
    tracing::warn!(target: "sessions", session, id = log_id(key), why, "changes dropped");
}

/// Changes of a handle whose session another handle of the request had destroyed.
pub(crate) fn dropped_in_request(session: &'static str) {
    tracing::warn!(target: "sessions", session, why = "the request destroyed it", "changes dropped");
}

/// Changes that were discarded because of the response's status.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn discarded(session: &'static str, status: u16) {
    tracing::info!(target: "sessions", session, status, "changes discarded");
}

/// A handle outlived its request with changes that the layer cannot save.
pub(crate) fn outlived(session: &'static str) {
    tracing::error!(
        target: "sessions", session,
        "a handle with unsaved changes outlived its request, call save() on it"
    );
}

/// A save met another's and merged with it.
pub(crate) fn merged(session: &'static str, key: &StoreKey, overwritten: &[&'static str]) {
    let id = log_id(key);
    if overwritten.is_empty() {
        tracing::debug!(target: "sessions", session, id, "merged");
    } else {
        let count = overwritten.len();
        tracing::warn!(target: "sessions", session, id, count, ?overwritten, "merged, overwriting fields");
    }
}

/// Two handles of one request were merged.
pub(crate) fn merged_in_request(session: &'static str, overwritten: &[&'static str]) {
    if !overwritten.is_empty() {
        let count = overwritten.len();
        tracing::warn!(target: "sessions", session, count, ?overwritten, "merged, overwriting fields");
    }
}

/// The session has a new id.
pub(crate) fn renewed(session: &'static str, from: &StoreKey, to: &StoreKey) {
    tracing::info!(target: "sessions", session, from = log_id(from), to = log_id(to), "renewed");
}

/// The owner had more sessions than allowed; this one was the oldest.
pub(crate) fn capped(session: &'static str, key: &StoreKey) {
    tracing::info!(target: "sessions", session, id = log_id(key), "ended, its owner has too many");
}

/// Expired records were removed.
pub(crate) fn purged(records: u64) {
    tracing::debug!(target: "sessions", records, "purged");
}

/// A round of the purge task failed; the next will try again.
pub(crate) fn purge_failed(error: &Error) {
    tracing::warn!(target: "sessions", error = %chain(error), "purge failed");
}

/// The purge task has ended: the database removes expired records by itself.
pub(crate) fn purge_not_needed() {
    tracing::info!(target: "sessions", "this provider needs no purge");
}

/// A login was undone: its owner was logged out everywhere while it was under way.
pub(crate) fn fenced(session: &'static str, key: &StoreKey) {
    tracing::warn!(target: "sessions", session, id = log_id(key), "login undone by revoke_all");
}

/// A record that no browser can reach could not be removed.
pub(crate) fn discard_failed(key: &StoreKey, error: &Error) {
    tracing::debug!(target: "sessions", id = log_id(key), error = %chain(error), "left an unreachable record");
}

/// The session was ended by its user or revoked.
pub(crate) fn ended(session: &'static str, key: &StoreKey) {
    tracing::info!(target: "sessions", session, id = log_id(key), "ended");
}

/// Moving the expiry failed; the session goes on with the old one.
pub(crate) fn touch_failed(session: &'static str, key: &StoreKey, error: &Error) {
    tracing::warn!(target: "sessions", session, id = log_id(key), error = %chain(error), "touch failed");
}

/// A response could not be given its session.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn commit_failed(session: &'static str, error: &Error) {
    tracing::error!(target: "sessions", session, error = %chain(error), "commit failed");
}

/// A request could not load its session.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn load_failed(session: &'static str, error: &Error) {
    tracing::error!(target: "sessions", session, error = %chain(error), "load failed");
}

/// A record that this build cannot read was passed over for a fresh session.
pub(crate) fn reset(session: &'static str, error: &Error) {
    tracing::error!(target: "sessions", session, error = %chain(error), "unreadable session reset");
}

/// `remember` asked for more than the store grants.
pub(crate) fn remember_capped(session: &'static str, seconds: u64, granted: u64) {
    tracing::warn!(target: "sessions", session, seconds, granted, "remember capped, raise longest_remember");
}

/// A handler marked a response that sets a session cookie as public.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn public_response(session: &'static str) {
    tracing::warn!(
        target: "sessions", session,
        "a response that sets a session cookie is `Cache-Control: public`"
    );
}

/// An error with its sources, for people.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
