//! Helpers of the tests in this package: a browser, a server, a cookie jar without HTTP, database
//! servers, and providers that are watched, fail or wait.

pub mod browser;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod events;
pub mod hooked;
pub mod jar;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod racing;
pub mod redis;
pub mod scripted;
pub mod server;
pub mod shop;
pub mod steps;
pub mod telemetry;
pub mod watched;
