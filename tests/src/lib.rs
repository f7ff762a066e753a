//! Helpers of the tests in this package: a browser, a server, and a provider that is watched.

pub mod browser;
pub mod server;
pub mod watched;
