//! What a request's bound session needs besides its cookie: a recent proof of its device.

use std::sync::Arc;
use std::time::SystemTime;

use super::base::{Base, Loaded};
use super::core::Core;
use super::device_cookie::DeviceCookie;
use super::load::MOST_COOKIES;
use super::session_type::SessionType;
use crate::clock::is_within;
use crate::cookie;
use crate::device_binding::fields::{SKIPPED, Skipped};
use crate::device_binding::tokens::{Challenge, Named, challenge_purpose};
use crate::device_binding::{LEEWAY, Policy, answer};
use crate::device_key::{BindingId, BoundDevice};
use crate::error::Error;
use crate::id::StoreKey;
use crate::schema::header::Summary;
use crate::transport::{Delivery, RequestHeaders, Transport};

/// Why a request counts as unproven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unproven {
    Missing,
    /// The proof is too old.
    Expired,
    /// The proof is none of this session's.
    Foreign,
    /// The browser says why it sends none.
    Skipped(Skipped),
}

impl Unproven {
    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
            Self::Skipped(Skipped::Unreachable) => "skipped_unreachable",
            Self::Skipped(Skipped::ServerError) => "skipped_server_error",
            Self::Skipped(Skipped::QuotaExceeded) => "skipped_quota_exceeded",
        }
    }
}

impl Core {
    /// Returns what a bound session counts as: unproven, if the request has no recent proof. Costs no
    /// call of the provider.
    pub(super) async fn unless_unproven(
        &self,
        session_type: &SessionType,
        headers: &impl RequestHeaders,
        base: Base,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let (Base::Live(loaded), Some(device)) = (&base, &session_type.device) else {
            return Ok(base);
        };
        let found = self.find_proof(device, headers, loaded, now).await?;
        let Some(unproven) = found else { return Ok(base) };
        let policy = device.binding.policy();
        let (name, reason) = (session_type.name(), unproven.reason());
        self.events.device_unproven(name, &loaded.key, reason, policy.name());
        Ok(if policy == Policy::Enforce { Base::Unproven(loaded.clone()) } else { base })
    }

    async fn find_proof(
        &self,
        device: &DeviceCookie,
        headers: &impl RequestHeaders,
        loaded: &Arc<Loaded>,
        now: SystemTime,
    ) -> Result<Option<Unproven>, Error> {
        let Some(bound) = loaded.stored.header()?.bound else { return Ok(None) };
        let mut unproven = Unproven::Missing;
        for token in cookie::values(headers, &device.cookie.name).take(MOST_COOKIES) {
            match self.codec.open_short(&device.purpose, token, binding_id).await {
                Ok((id, seal)) if id == bound.id => {
                    let age = device.binding.cookie_age() + LEEWAY;
                    if is_within(seal.issued_at, age, now) {
                        return Ok(None);
                    }
                    unproven = Unproven::Expired;
                }
                Err(error) if error.is_unavailable() => return Err(error),
                _ => unproven = Unproven::Foreign,
            }
        }
        if is_new(&bound, device, now) {
            return Ok(None);
        }
        let skipped = Skipped::of(headers.all(&SKIPPED));
        Ok(Some(match skipped {
            Some(skipped) if unproven == Unproven::Missing => Unproven::Skipped(skipped),
            _ => unproven,
        }))
    }

    /// Adds to the answer of a login the offer to bind its session, unless it is bound. `summary` is
    /// the record's.
    pub(super) fn offer_binding(
        &self,
        session_type: &SessionType,
        key: &StoreKey,
        summary: &Summary,
        delivery: &mut Delivery,
    ) {
        let Some(device) = &session_type.device else { return };
        let Some(secret) = summary.secret.filter(|_| !summary.is_bound) else { return };
        if delivery.transport != Transport::Cookie {
            return;
        }
        let named = Named { session: session_type.name().to_owned(), key: key.clone() };
        let challenge = Challenge::register(named, secret).to_bytes();
        // The key that has just sealed the token is in memory.
        let sealed = self.codec.seal_now(&challenge_purpose(), &challenge);
        match sealed.and_then(|challenge| answer::offer(&device.binding, &challenge)) {
            Ok(offer) => delivery.offer = Some(Box::new(offer)),
            // The login has taken place. Its session stays unbound.
            Err(error) => self.events.device_failed(session_type.name(), &error),
        }
    }
}

impl SessionType {
    /// Whether a request for this session needs a proof of its device.
    pub(super) fn demands_proof(&self, base: &Base) -> bool {
        let is_bound = matches!(base, Base::Live(loaded) if loaded.stored.summary.is_bound);
        let policy = self.device.as_ref().map(|device| device.binding.policy());
        is_bound && matches!(policy, Some(Policy::Observe | Policy::Enforce))
    }
}

/// The payload of a proof's cookie.
fn binding_id(payload: &[u8]) -> Option<BindingId> {
    Some(BindingId::from_bytes(payload.try_into().ok()?))
}

/// Whether the session was bound so recently that the answer may still be on its way.
fn is_new(bound: &BoundDevice, device: &DeviceCookie, now: SystemTime) -> bool {
    match now.duration_since(bound.at) {
        Ok(age) => age <= device.binding.grace_time(),
        // Another host's clock is a little ahead.
        Err(ahead) => ahead.duration() <= LEEWAY,
    }
}
