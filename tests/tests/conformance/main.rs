//! The contract of a provider and that of a key service: the suites that each of them runs, which
//! find what is wrong, and a model that each provider is compared with. Each database's and each key
//! service's own folder runs its suite.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod key_services;
mod memory;
mod model;
mod moving;
mod wrong;
mod wrong_key_services;
mod wrong_provider;
