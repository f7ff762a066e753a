//! What happens to sessions.

use super::emit::{chain, emit, log_id};
use super::metrics;
use super::metrics::{Tallies, add};
use crate::error::Error;
use crate::id::StoreKey;

/// A cookie that stands for no session; the browser gets a new anonymous one.
pub(crate) fn refused_cookie(session: &'static str, reason: &'static str) {
    emit!(DEBUG, "session.refused", { session, reason }, "refused cookie");
    add(&metrics::COOKIES_REFUSED, 1, &[("session", session), ("reason", reason)]);
}

/// Two cookies of one name opened to different sessions.
pub(crate) fn ambiguous_cookies(session: &'static str) {
    emit!(
        WARN,
        "session.ambiguous",
        { session },
        "two cookies name different sessions, the first counts"
    );
}

/// The first save of a session.
pub(crate) fn created(session: &'static str, tallies: &Tallies, key: &StoreKey) {
    emit!(DEBUG, "session.created", { session, id = log_id(key) }, "created");
    tallies.count_created();
}

/// Changes that were not saved because the session had ended meanwhile.
pub(crate) fn dropped(session: &'static str, key: Option<&StoreKey>, reason: &'static str) {
    let id = key.map(log_id);
    emit!(WARN, "session.dropped", { session, id, reason }, "changes dropped");
    lost(session, reason);
}

/// Changes of a handle whose session another handle of the request had destroyed.
pub(crate) fn dropped_in_request(session: &'static str) {
    let reason = "destroyed";
    emit!(WARN, "session.dropped", { session, reason }, "changes dropped");
    lost(session, reason);
}

/// Changes that were discarded because of the response's status.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn discarded(session: &'static str, status: u16) {
    emit!(INFO, "session.discarded", { session, status }, "changes discarded");
    lost(session, "status");
}

/// What a HEAD request or a prefetch would have saved.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn not_committed(session: &'static str, reason: &'static str) {
    emit!(DEBUG, "session.not_committed", { session, reason }, "the request commits nothing");
}

/// A handle outlived its request with changes that the layer cannot save.
pub(crate) fn outlived(session: &'static str) {
    emit!(
        ERROR,
        "session.outlived",
        { session },
        "a handle with unsaved changes outlived its request, call save() on it"
    );
    lost(session, "outlived");
}

/// A handle was dropped outside a request with changes that nobody committed.
pub(crate) fn uncommitted(session: &'static str) {
    let reason = "uncommitted";
    emit!(
        WARN,
        "session.dropped",
        { session, reason },
        "a handle with unsaved changes was dropped, call commit() on it"
    );
    lost(session, reason);
}

fn lost(session: &'static str, reason: &'static str) {
    add(&metrics::DROPPED, 1, &[("session", session), ("reason", reason)]);
}

/// A save met another's that came first.
pub(crate) fn conflicted(session: &'static str, key: &StoreKey) {
    emit!(DEBUG, "session.conflicted", { session, id = log_id(key) }, "another save came first");
    add(&metrics::CONFLICTS, 1, &[("session", session)]);
}

/// A save met another's and merged with it.
pub(crate) fn merged(session: &'static str, key: &StoreKey, overwritten: &[&'static str]) {
    let id = log_id(key);
    if overwritten.is_empty() {
        emit!(DEBUG, "session.merged", { session, id }, "merged");
        add(&metrics::MERGES, 1, &[("session", session)]);
    } else {
        merged_over(session, Some(id), overwritten);
    }
}

/// Two handles of one request were merged.
pub(crate) fn merged_in_request(session: &'static str, overwritten: &[&'static str]) {
    if !overwritten.is_empty() {
        merged_over(session, None, overwritten);
    }
}

fn merged_over(session: &'static str, id: Option<&str>, overwritten: &[&'static str]) {
    let count = overwritten.len();
    emit!(
        WARN,
        "session.overwritten",
        { session, id, count, ?overwritten },
        "merged, overwriting fields"
    );
    add(&metrics::MERGES, 1, &[("session", session)]);
    for field in overwritten {
        add(&metrics::OVERWRITTEN, 1, &[("session", session), ("field", field)]);
    }
}

/// A merge that a field's policy refused; other errors of a merge are told of elsewhere.
pub(crate) fn merge_failed(session: &'static str, key: &StoreKey, error: &Error) {
    if let Error::Conflict { field, .. } = error {
        let field = &**field;
        emit!(
            INFO,
            "session.merge_refused",
            { session, id = log_id(key), field },
            "a field's policy refused to merge"
        );
        add(&metrics::MERGES_REFUSED, 1, &[("session", session), ("field", field)]);
    }
}

/// The session has a new secret.
pub(crate) fn renewed(session: &'static str, key: &StoreKey) {
    emit!(INFO, "session.renewed", { session, id = log_id(key) }, "renewed");
    add(&metrics::RENEWALS, 1, &[("session", session)]);
}

/// The session was ended by its user, by another, or to make room.
pub(crate) fn ended(session: &str, key: &StoreKey, reason: &'static str) {
    emit!(INFO, "session.ended", { session, id = log_id(key), reason }, "ended");
    add(&metrics::ENDED, 1, &[("session", session), ("reason", reason)]);
}

/// All sessions of an owner were ended.
pub(crate) fn revoked_all(session: &'static str, count: u64) {
    emit!(INFO, "session.revoked_all", { session, count }, "ended an owner's sessions");
}

/// A login was undone: its owner was logged out everywhere while it was under way, or has too many
/// other sessions.
pub(crate) fn login_undone(session: &'static str, key: &StoreKey, reason: &'static str) {
    emit!(WARN, "session.login_undone", { session, id = log_id(key), reason }, "login undone");
}

/// A login was refused before it was saved: it took longer than its attempt is good for, or
/// everybody's sessions were ended after it began.
pub(crate) fn login_refused(session: &'static str, reason: &'static str) {
    emit!(WARN, "session.login_undone", { session, reason }, "login undone");
}

/// A cookie from before a renewal came long after it: an answer was lost, or the cookie was stolen.
pub(crate) fn superseded(session: &'static str, key: &StoreKey) {
    let reason = "superseded_long_ago";
    emit!(
        WARN,
        "session.refused",
        { session, id = log_id(key), reason },
        "a cookie from before a renewal came long after it"
    );
    add(&metrics::COOKIES_REFUSED, 1, &[("session", session), ("reason", reason)]);
}

/// The expiry was moved.
pub(crate) fn touched(session: &'static str, key: &StoreKey) {
    emit!(DEBUG, "session.touched", { session, id = log_id(key) }, "touched");
    add(&metrics::TOUCHES, 1, &[("session", session), ("outcome", "saved")]);
}

/// Moving the expiry failed; the session goes on with the old one.
pub(crate) fn touch_failed(session: &'static str, key: &StoreKey, error: &Error) {
    let id = log_id(key);
    emit!(WARN, "session.touch_failed", { session, id, error = %chain(error) }, "touch failed");
    add(&metrics::TOUCHES, 1, &[("session", session), ("outcome", "failed")]);
}

/// A record that no browser can reach could not be removed.
pub(crate) fn discard_failed(key: &StoreKey, error: &Error) {
    let id = log_id(key);
    emit!(
        WARN,
        "session.left_behind",
        { id, error = %chain(error) },
        "a session that no browser has is still there, trying again"
    );
}

/// A response could not be given its session.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn commit_failed(session: &'static str, error: &Error) {
    // A refused merge, a login that was undone and a logout with a cookie from before a login are
    // told of already, and in the running of an app they happen.
    if error.is_conflict()
        || matches!(error, Error::Gone | Error::LoginUndone | Error::TooManySessions { .. })
    {
        emit!(WARN, "session.commit_failed", { session, error = %chain(error) }, "commit failed");
    } else {
        emit!(ERROR, "session.commit_failed", { session, error = %chain(error) }, "commit failed");
    }
}

/// A request could not load its session.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn load_failed(session: &'static str, error: &Error) {
    if error.is_not_authenticated() {
        // The visitor is asked to log in: nothing failed.
        return;
    }
    emit!(ERROR, "session.load_failed", { session, error = %chain(error) }, "load failed");
}

/// A record that this build cannot read was passed over for a fresh session.
pub(crate) fn reset(session: &'static str, error: &Error) {
    emit!(ERROR, "session.reset", { session, error = %chain(error) }, "unreadable session reset");
}

/// A record's owner field is not who the record is filed under: nobody's session.
pub(crate) fn misfiled(session: &'static str, key: &StoreKey) {
    emit!(
        ERROR,
        "session.misfiled",
        { session, id = log_id(key) },
        "the owner field is not who the record is filed under, read as logged out"
    );
}

/// `remember` asked for more than the store grants.
pub(crate) fn remember_capped(session: &'static str, seconds: u64, granted: u64) {
    emit!(
        WARN,
        "session.remember_capped",
        { session, seconds, granted },
        "remember capped, raise longest_remember"
    );
}

/// A shared cache could have kept a response with a session cookie, as its handler had it.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn public_response(session: &'static str) {
    emit!(
        WARN,
        "session.public_response",
        { session },
        "a response with a session cookie was made private against its handler's cache headers"
    );
}

/// Expired records were removed.
pub(crate) fn purged(count: u64) {
    emit!(DEBUG, "session.purged", { count }, "purged");
    add(&metrics::PURGED, count, &[]);
}

/// A round of the purge task failed; the next will try again.
pub(crate) fn purge_failed(error: &Error) {
    emit!(WARN, "session.purge_failed", { error = %chain(error) }, "purge failed");
    add(&metrics::PURGES_FAILED, 1, &[]);
}

/// The provider tells of changes no more, until it is connected again.
pub(crate) fn feed_lost(error: &Error) {
    emit!(
        WARN,
        "session.feed_lost",
        { error = %chain(error) },
        "the provider tells of no changes, trying again"
    );
    add(&metrics::FEEDS_LOST, 1, &[]);
}

/// A load asked the database in spite of the cache.
#[cfg(feature = "cache")]
pub(crate) fn cache_missed(session: &'static str) {
    add(&metrics::CACHE_MISSES, 1, &[("session", session)]);
}

/// The database could not be asked about watched sessions.
pub(crate) fn watch_failed(error: &Error) {
    emit!(
        WARN,
        "session.watch_failed",
        { error = %chain(error) },
        "asking about watched sessions failed, trying again"
    );
}

/// Other hosts could not be told of saves. They see them when their caches' entries are too old.
#[cfg(feature = "cache")]
pub(crate) fn announce_failed(count: usize, error: &Error) {
    emit!(
        WARN,
        "session.announce_failed",
        { count, error = %chain(error) },
        "telling other hosts of saves failed"
    );
}

/// The purge task has ended: the database removes expired records by itself.
pub(crate) fn purge_not_needed() {
    emit!(INFO, "session.purge_not_needed", {}, "this provider needs no purge");
}
