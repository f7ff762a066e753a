//! Load on real servers over sockets: the bench `load`.

pub mod client;
pub mod target;
pub mod usage;
pub mod wrk;
