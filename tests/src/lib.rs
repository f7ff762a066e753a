//! Helpers of the tests in this package: a browser, a cookie jar, a server, database servers, and a
//! provider that is watched, fails or waits.

pub mod browser;
pub mod device;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod events;
pub mod fed;
pub mod feed;
pub mod hooked;
pub mod jar;
#[cfg(feature = "aws-kms")]
pub mod kms;
pub mod mysql;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod racing;
pub mod redis;
pub mod scripted;
pub mod sentinel;
pub mod server;
pub mod shop;
pub mod steps;
pub mod telemetry;

/// Compiles the examples of the repository's README, which no package holds.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the example of the derive's README: that package cannot depend on `sessions`.
#[cfg(doctest)]
#[doc = include_str!("../../sessions-derive/README.md")]
struct DeriveReadme;
