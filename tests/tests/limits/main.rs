//! What a request may cost: allocations, bytes, calls of the provider, and crates to build.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod allocations;
mod allocations_actix;
mod allocations_codec;
mod bytes;
mod calls;
mod growth;
mod light;
mod watches;
