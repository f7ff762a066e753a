//! What happens to sessions that are bound to a device.

use super::emit::{chain, emit, log_id};
use super::event::{Event, Events};
use super::metrics;
use super::metrics::add;
use crate::error::Error;
use crate::id::StoreKey;

impl Events {
    pub(crate) fn device_registered(&self, session: &str, key: &StoreKey) {
        emit!(INFO, "device.registered", { session, id = log_id(key) }, "bound to a device");
        add(&metrics::DEVICE_PROOFS, 1, &[("session", session), ("outcome", "registered")]);
        self.tell(Event::new("device.registered").with_session(session).with_key(key));
    }

    pub(crate) fn device_refreshed(&self, session: &str, key: &StoreKey) {
        emit!(DEBUG, "device.refreshed", { session, id = log_id(key) }, "proved the device");
        add(&metrics::DEVICE_PROOFS, 1, &[("session", session), ("outcome", "refreshed")]);
        self.tell(Event::new("device.refreshed").with_session(session).with_key(key));
    }

    /// `about`: the session, where the proof names one. `usual`: nobody need look.
    pub(crate) fn device_refused(
        &self,
        about: Option<(&str, &StoreKey)>,
        reason: &'static str,
        usual: bool,
    ) {
        let session = about.map_or("", |(session, _)| session);
        let id = about.map(|(_, key)| log_id(key));
        if usual {
            emit!(DEBUG, "device.refused", { session, id, reason }, "refused a device's proof");
        } else {
            emit!(WARN, "device.refused", { session, id, reason }, "refused a device's proof");
        }
        let labels = [("session", session), ("outcome", "refused")];
        add(&metrics::DEVICE_PROOFS, 1, &labels);
        let event = Event::new("device.refused").with_reason(reason);
        self.tell(match about {
            Some((session, key)) => event.with_session(session).with_key(key),
            None => event,
        });
    }

    pub(crate) fn device_unproven(
        &self,
        session: &str,
        key: &StoreKey,
        reason: &'static str,
        policy: &'static str,
    ) {
        let id = log_id(key);
        emit!(
            WARN,
            "device.unproven",
            { session, id, reason, policy },
            "a bound session's cookie came without a proof of its device"
        );
        let labels = [("session", session), ("reason", reason), ("policy", policy)];
        add(&metrics::DEVICE_UNPROVEN, 1, &labels);
        self.tell(
            Event::new("device.unproven").with_session(session).with_key(key).with_reason(reason),
        );
    }

    pub(crate) fn device_failed(&self, session: &str, error: &Error) {
        emit!(
            ERROR,
            "device.failed",
            { session, error = %chain(error) },
            "a device could not be registered or proved"
        );
        add(&metrics::DEVICE_PROOFS, 1, &[("session", session), ("outcome", "failed")]);
        self.tell(Event::new("device.failed").with_session(session).with_error(error));
    }
}
