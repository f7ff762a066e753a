//! The numbers of CBOR (RFC 8949): major types, single bytes, and how deep a value may nest.

/// How deep the arrays and maps of a field's value may nest.
pub(crate) const MAX_DEPTH: usize = 64;

/// How deep the calls of the types' serde code may nest. A level of a value takes up to four calls
/// for most types, for example a variant of an enum in an option.
pub(crate) const MAX_STEPS: u16 = 4 * MAX_DEPTH as u16;

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;

/// `None`, as every serde `Option` is encoded.
pub(crate) const NULL: u8 = 0xf6;

pub(crate) const BREAK: u8 = 0xff;
