//! The schema of a session type: its versions, its merge, and what is read of records of other builds.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod bad_input;
mod browser;
mod deploys;
#[path = "../../../sessions/fuzz/envelope.rs"]
mod fuzz_envelope;
#[path = "../../../sessions/fuzz/shapes.rs"]
mod fuzz_shapes;
mod golden;
mod ledgers;
mod merge;
mod nested;
mod owner;
mod rolling;
mod shapes;
mod user;
mod versions;
