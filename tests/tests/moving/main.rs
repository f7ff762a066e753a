//! Sessions move from PostgreSQL to Redis and back while clients use them and the mover is killed.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod clients;
mod traffic;
