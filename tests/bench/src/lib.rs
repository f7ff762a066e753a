//! Benchmarks of the sessions crates beside their peers.
