//! What happens to sessions.

use super::emit::{chain, emit, log_id};
use super::event::{Event, Events};
use super::metrics;
use super::metrics::{Tallies, add};
use crate::error::Error;
use crate::id::StoreKey;

impl Events {
    /// A cookie that stands for no session; the browser gets a new anonymous one.
    pub(crate) fn refused_cookie(&self, session: &'static str, reason: &'static str) {
        emit!(DEBUG, "session.refused", { session, reason }, "refused cookie");
        add(&metrics::COOKIES_REFUSED, 1, &[("session", session), ("reason", reason)]);
        self.tell(Event::new("session.refused").with_session(session).with_reason(reason));
    }

    /// Two cookies of one name opened to different sessions.
    pub(crate) fn ambiguous_cookies(&self, session: &'static str) {
        emit!(
            WARN,
            "session.ambiguous",
            { session },
            "two cookies name different sessions, the first counts"
        );
        self.tell(Event::new("session.ambiguous").with_session(session));
    }

    /// The first save of a session.
    pub(crate) fn created(&self, session: &'static str, tallies: &Tallies, key: &StoreKey) {
        emit!(DEBUG, "session.created", { session, id = log_id(key) }, "created");
        tallies.count_created();
        self.tell(Event::new("session.created").with_session(session).with_key(key));
    }

    /// Changes that were not saved because the session had ended meanwhile.
    pub(crate) fn dropped(
        &self,
        session: &'static str,
        key: Option<&StoreKey>,
        reason: &'static str,
    ) {
        let id = key.map(log_id);
        emit!(WARN, "session.dropped", { session, id, reason }, "changes dropped");
        lost(session, reason);
        self.tell(
            Event::new("session.dropped")
                .with_session(session)
                .with_maybe_key(key)
                .with_reason(reason),
        );
    }

    /// Changes of a handle whose session another handle of the request had destroyed.
    pub(crate) fn dropped_in_request(&self, session: &'static str) {
        let reason = "destroyed";
        emit!(WARN, "session.dropped", { session, reason }, "changes dropped");
        lost(session, reason);
        self.tell(Event::new("session.dropped").with_session(session).with_reason(reason));
    }

    /// Changes that were discarded because of the response's status.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn discarded(&self, session: &'static str, status: u16) {
        emit!(INFO, "session.discarded", { session, status }, "changes discarded");
        lost(session, "status");
        self.tell(Event::new("session.discarded").with_session(session));
    }

    /// What a HEAD request or a prefetch would have saved.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn not_committed(&self, session: &'static str, reason: &'static str) {
        emit!(DEBUG, "session.not_committed", { session, reason }, "the request commits nothing");
        self.tell(Event::new("session.not_committed").with_session(session).with_reason(reason));
    }

    /// A handle outlived its request with changes that the layer cannot save.
    pub(crate) fn outlived(&self, session: &'static str) {
        emit!(
            ERROR,
            "session.outlived",
            { session },
            "a handle with unsaved changes outlived its request, call save() on it"
        );
        lost(session, "outlived");
        self.tell(Event::new("session.outlived").with_session(session));
    }

    /// A handle was dropped outside a request with changes that nobody committed.
    pub(crate) fn uncommitted(&self, session: &'static str) {
        let reason = "uncommitted";
        emit!(
            WARN,
            "session.dropped",
            { session, reason },
            "a handle with unsaved changes was dropped, call commit() on it"
        );
        lost(session, reason);
        self.tell(Event::new("session.dropped").with_session(session).with_reason(reason));
    }

    /// A save met another's that came first.
    pub(crate) fn conflicted(&self, session: &'static str, key: &StoreKey) {
        emit!(DEBUG, "session.conflicted", { session, id = log_id(key) }, "another save came first");
        add(&metrics::CONFLICTS, 1, &[("session", session)]);
        self.tell(Event::new("session.conflicted").with_session(session).with_key(key));
    }

    /// A save met another's and merged with it.
    pub(crate) fn merged(
        &self,
        session: &'static str,
        key: &StoreKey,
        overwritten: &[&'static str],
    ) {
        if overwritten.is_empty() {
            emit!(DEBUG, "session.merged", { session, id = log_id(key) }, "merged");
            add(&metrics::MERGES, 1, &[("session", session)]);
            self.tell(Event::new("session.merged").with_session(session).with_key(key));
        } else {
            self.merged_over(session, Some(key), overwritten);
        }
    }

    /// Two handles of one request were merged.
    pub(crate) fn merged_in_request(&self, session: &'static str, overwritten: &[&'static str]) {
        if !overwritten.is_empty() {
            self.merged_over(session, None, overwritten);
        }
    }

    fn merged_over(
        &self,
        session: &'static str,
        key: Option<&StoreKey>,
        overwritten: &[&'static str],
    ) {
        let (id, count) = (key.map(log_id), overwritten.len());
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
        self.tell(Event::new("session.overwritten").with_session(session).with_maybe_key(key));
    }

    /// A merge that a field's policy refused; other errors of a merge are told of elsewhere.
    pub(crate) fn merge_failed(&self, session: &'static str, key: &StoreKey, error: &Error) {
        if let Error::Conflict { field, .. } = error {
            let field = &**field;
            emit!(
                INFO,
                "session.merge_refused",
                { session, id = log_id(key), field },
                "a field's policy refused to merge"
            );
            add(&metrics::MERGES_REFUSED, 1, &[("session", session), ("field", field)]);
            let event = Event::new("session.merge_refused").with_session(session).with_key(key);
            self.tell(event.with_error(error));
        }
    }

    /// The session has a new secret.
    pub(crate) fn renewed(&self, session: &'static str, key: &StoreKey) {
        emit!(INFO, "session.renewed", { session, id = log_id(key) }, "renewed");
        add(&metrics::RENEWALS, 1, &[("session", session)]);
        self.tell(Event::new("session.renewed").with_session(session).with_key(key));
    }

    /// The session was ended by its user, by another, or to make room.
    pub(crate) fn ended(&self, session: &str, key: &StoreKey, reason: &'static str) {
        emit!(INFO, "session.ended", { session, id = log_id(key), reason }, "ended");
        add(&metrics::ENDED, 1, &[("session", session), ("reason", reason)]);
        self.tell(
            Event::new("session.ended").with_session(session).with_key(key).with_reason(reason),
        );
    }

    /// All sessions of an owner were ended.
    pub(crate) fn revoked_all(&self, session: &'static str, count: u64) {
        emit!(INFO, "session.revoked_all", { session, count }, "ended an owner's sessions");
        self.tell(Event::new("session.revoked_all").with_session(session));
    }

    /// A login was undone: its owner was logged out everywhere while it was under way, or has too many
    /// other sessions.
    pub(crate) fn login_undone(&self, session: &'static str, key: &StoreKey, reason: &'static str) {
        emit!(WARN, "session.login_undone", { session, id = log_id(key), reason }, "login undone");
        self.tell(
            Event::new("session.login_undone")
                .with_session(session)
                .with_key(key)
                .with_reason(reason),
        );
    }

    /// A login was refused before it was saved: it took longer than its attempt is good for, or
    /// everybody's sessions were ended after it began.
    pub(crate) fn login_refused(&self, session: &'static str, reason: &'static str) {
        emit!(WARN, "session.login_undone", { session, reason }, "login undone");
        self.tell(Event::new("session.login_undone").with_session(session).with_reason(reason));
    }

    /// A cookie from before a renewal came long after it: an answer was lost, or the cookie was stolen.
    pub(crate) fn superseded(&self, session: &'static str, key: &StoreKey) {
        let reason = "superseded_long_ago";
        emit!(
            WARN,
            "session.refused",
            { session, id = log_id(key), reason },
            "a cookie from before a renewal came long after it"
        );
        add(&metrics::COOKIES_REFUSED, 1, &[("session", session), ("reason", reason)]);
        self.tell(
            Event::new("session.refused").with_session(session).with_key(key).with_reason(reason),
        );
    }

    /// The expiry was moved.
    pub(crate) fn touched(&self, session: &'static str, key: &StoreKey) {
        emit!(DEBUG, "session.touched", { session, id = log_id(key) }, "touched");
        add(&metrics::TOUCHES, 1, &[("session", session), ("outcome", "saved")]);
        self.tell(Event::new("session.touched").with_session(session).with_key(key));
    }

    /// Moving the expiry failed; the session goes on with the old one.
    pub(crate) fn touch_failed(&self, session: &'static str, key: &StoreKey, error: &Error) {
        let id = log_id(key);
        emit!(WARN, "session.touch_failed", { session, id, error = %chain(error) }, "touch failed");
        add(&metrics::TOUCHES, 1, &[("session", session), ("outcome", "failed")]);
        self.tell(
            Event::new("session.touch_failed")
                .with_session(session)
                .with_key(key)
                .with_error(error),
        );
    }

    /// A record that no browser can reach could not be removed.
    pub(crate) fn discard_failed(&self, key: &StoreKey, error: &Error) {
        let id = log_id(key);
        emit!(
            WARN,
            "session.left_behind",
            { id, error = %chain(error) },
            "a session that no browser has is still there, trying again"
        );
        self.tell(Event::new("session.left_behind").with_key(key).with_error(error));
    }

    /// A response could not be given its session.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn commit_failed(&self, session: &'static str, error: &Error) {
        // A refused merge, a login that was undone and a logout with a cookie from before a login are
        // told of already, and in the running of an app they happen.
        if error.is_conflict()
            || matches!(error, Error::Gone | Error::LoginUndone | Error::TooManySessions { .. })
        {
            emit!(WARN, "session.commit_failed", { session, error = %chain(error) }, "commit failed");
        } else {
            emit!(ERROR, "session.commit_failed", { session, error = %chain(error) }, "commit failed");
        }
        self.tell(Event::new("session.commit_failed").with_session(session).with_error(error));
    }

    /// A request could not load its session.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn load_failed(&self, session: &'static str, error: &Error) {
        if error.is_not_authenticated() {
            // The visitor is asked to log in: nothing failed.
            return;
        }
        emit!(ERROR, "session.load_failed", { session, error = %chain(error) }, "load failed");
        self.tell(Event::new("session.load_failed").with_session(session).with_error(error));
    }

    /// A record that this build cannot read was passed over for a fresh session.
    pub(crate) fn reset(&self, session: &'static str, error: &Error) {
        emit!(ERROR, "session.reset", { session, error = %chain(error) }, "unreadable session reset");
        self.tell(Event::new("session.reset").with_session(session).with_error(error));
    }

    /// A record's owner field is not who the record is filed under: nobody's session.
    pub(crate) fn misfiled(&self, session: &'static str, key: &StoreKey) {
        emit!(
            ERROR,
            "session.misfiled",
            { session, id = log_id(key) },
            "the owner field is not who the record is filed under, read as logged out"
        );
        self.tell(Event::new("session.misfiled").with_session(session).with_key(key));
    }

    /// `remember` asked for more than the store grants.
    pub(crate) fn remember_capped(&self, session: &'static str, seconds: u64, granted: u64) {
        emit!(
            WARN,
            "session.remember_capped",
            { session, seconds, granted },
            "remember capped, raise longest_remember"
        );
        self.tell(Event::new("session.remember_capped").with_session(session));
    }

    /// A shared cache could have kept a response with a session cookie, as its handler had it.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn public_response(&self, session: &'static str) {
        emit!(
            WARN,
            "session.public_response",
            { session },
            "a response with a session cookie was made private against its handler's cache headers"
        );
        self.tell(Event::new("session.public_response").with_session(session));
    }

    /// Expired records were removed.
    pub(crate) fn purged(&self, count: u64) {
        emit!(DEBUG, "session.purged", { count }, "purged");
        add(&metrics::PURGED, count, &[]);
        self.tell(Event::new("session.purged"));
    }

    /// A round of the purge task failed; the next will try again.
    pub(crate) fn purge_failed(&self, error: &Error) {
        emit!(WARN, "session.purge_failed", { error = %chain(error) }, "purge failed");
        add(&metrics::PURGES_FAILED, 1, &[]);
        self.tell(Event::new("session.purge_failed").with_error(error));
    }

    /// The provider tells of changes no more, until it is connected again.
    pub(crate) fn feed_lost(&self, error: &Error) {
        emit!(
            WARN,
            "session.feed_lost",
            { error = %chain(error) },
            "the provider tells of no changes, trying again"
        );
        add(&metrics::FEEDS_LOST, 1, &[]);
        self.tell(Event::new("session.feed_lost").with_error(error));
    }

    /// The database could not be asked about watched sessions.
    pub(crate) fn watch_failed(&self, error: &Error) {
        emit!(
            WARN,
            "session.watch_failed",
            { error = %chain(error) },
            "asking about watched sessions failed, trying again"
        );
        self.tell(Event::new("session.watch_failed").with_error(error));
    }

    /// Other hosts could not be told of saves. They see them when their caches' entries are too old.
    #[cfg(feature = "cache")]
    pub(crate) fn announce_failed(&self, count: usize, error: &Error) {
        emit!(
            WARN,
            "session.announce_failed",
            { count, error = %chain(error) },
            "telling other hosts of saves failed"
        );
        self.tell(Event::new("session.announce_failed").with_error(error));
    }

    /// The purge task has ended: the database removes expired records by itself.
    pub(crate) fn purge_not_needed(&self) {
        emit!(INFO, "session.purge_not_needed", {}, "this provider needs no purge");
        self.tell(Event::new("session.purge_not_needed"));
    }
}

fn lost(session: &'static str, reason: &'static str) {
    add(&metrics::DROPPED, 1, &[("session", session), ("reason", reason)]);
}

/// A load asked the database in spite of the cache.
#[cfg(feature = "cache")]
pub(crate) fn cache_missed(session: &'static str) {
    add(&metrics::CACHE_MISSES, 1, &[("session", session)]);
}
