//! SQLite provider of the `sessions` crate.
