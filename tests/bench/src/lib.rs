//! What the benchmarks share: the session they all keep, the applications they send requests to,
//! how they measure, and the report that they write.

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

pub mod apps;
pub mod load;
pub mod report;
pub mod rounds;
pub mod serve;
pub mod trips;
pub mod visitor;
