//! The shop of the examples, as its README starts it: over HTTP and in a browser.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod account;
mod admin;
mod browser;
mod ended;
#[path = "../../../examples/shop/https.rs"]
mod https;
mod process;
#[path = "../../../examples/quickstart.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod quickstart;
mod shop;
