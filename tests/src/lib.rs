//! Helpers of the tests in this package: a browser, a server, a cookie jar without HTTP, and
//! providers that are watched, fail or wait.

pub mod browser;
pub mod events;
pub mod hooked;
pub mod jar;
pub mod server;
pub mod watched;
