//! The cipher that seals, and what a sealed value is bound to.

pub(crate) mod purpose;
pub(crate) mod xaes;
