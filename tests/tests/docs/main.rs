//! The guide and the answers of the compiler.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod guide;
mod strata;
mod ui;
