//! Helpers of the tests in this package: a browser, a server, a cookie jar without HTTP, database
//! servers, and providers that are watched, fail or wait.

pub mod browser;
pub mod events;
pub mod hooked;
pub mod jar;
pub mod process;
pub mod proxy;
pub mod racing;
pub mod server;
pub mod shop;
pub mod watched;
