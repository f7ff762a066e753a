//! PostgreSQL provider of the sessions crate: one statement a call.

mod connections;
mod error;
mod provider;
mod sql;
mod statement;

pub use crate::provider::PostgresProvider;
pub use sqlx;
