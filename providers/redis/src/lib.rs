//! Redis provider of the sessions crate.
