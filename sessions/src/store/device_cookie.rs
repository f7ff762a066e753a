//! The cookie that holds the last proof of a bound session's device.

use super::settings::TypeSettings;
use crate::cookie::SetCookie;
use crate::crypto::purpose::Purpose;
use crate::device_binding::DeviceBinding;
use crate::device_binding::tokens::proof_purpose;

/// How the sessions of one type are bound, and the cookie of their proofs.
pub(crate) struct DeviceCookie {
    pub(crate) binding: DeviceBinding,
    pub(crate) cookie: SetCookie,
    pub(crate) purpose: Purpose,
}

impl DeviceCookie {
    /// Returns it for the session type of this name, unless its sessions are not bound.
    pub(crate) fn of(session: &str, settings: &TypeSettings) -> Option<Self> {
        let binding = settings.device.clone();
        if !binding.is_on() {
            return None;
        }
        let config = &settings.cookie;
        // No session type's name has a `-`.
        let cookie = config.named(config.cookie_name(&format!("{session}-bound")));
        Some(Self { purpose: proof_purpose(&cookie.name), cookie, binding })
    }
}
