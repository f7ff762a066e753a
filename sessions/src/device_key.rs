//! The device that a session is bound to, as its record has it.

use std::fmt;
use std::time::SystemTime;

use subtle::ConstantTimeEq as _;

/// What the record of a bound session has of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundDevice {
    pub key: DeviceKey,
    /// The random id of the registration. The proofs in cookies name it.
    pub id: BindingId,
    /// When the device was registered, in whole milliseconds.
    pub at: SystemTime,
}

/// The public key of a device: a compressed point of P-256 (SEC 1, section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceKey([u8; Self::LENGTH]);

impl DeviceKey {
    pub(crate) const LENGTH: usize = 33;

    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// The id of a registration: 128 random bits.
#[derive(Clone, Copy)]
pub struct BindingId([u8; Self::LENGTH]);

impl BindingId {
    pub(crate) const LENGTH: usize = 16;

    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl PartialEq for BindingId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for BindingId {}

impl fmt::Debug for BindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingId(..)")
    }
}
