//! PostgreSQL provider of the sessions crate: one statement a call.
