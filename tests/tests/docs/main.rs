//! The guide, the names of packages, and the order of the modules.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod guide;
mod names;
mod strata;
