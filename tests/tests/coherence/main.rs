//! Several hosts with a cache on one database, as processes of their own, while their connections are
//! cut, stalled and lost and the database is restarted: no host serves what has ended for longer than
//! the documentation says, no live session is refused, and no update is lost.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod check;
mod hosts;
mod postgres;
mod redis;
