//! The contract of a provider: the suite that each provider runs, which finds what is wrong, and a
//! model that each is compared with. Each database's own folder runs the suite on it.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod memory;
mod model;
mod moving;
mod wrong;
