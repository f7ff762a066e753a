//! The scenarios, by what they are about.

pub(crate) mod commits;
pub(crate) mod cookies;
pub(crate) mod errors;
pub(crate) mod layers;
pub(crate) mod owners;
pub(crate) mod rollback;
pub(crate) mod safe;
pub(crate) mod streams;
