//! The life of a session: what loads, saves, logins, logouts and time do to it, on any provider.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod admin;
mod assurance;
mod at_rest;
mod background;
mod bad_input;
mod cache;
mod client_side;
mod contention;
mod device_binding;
mod epoch;
mod events;
mod export;
mod fields;
mod flash;
mod handles;
mod identity;
mod limit;
mod logout;
mod model;
mod moving;
mod overwritten;
mod owner;
mod record;
mod schema_is;
mod settings;
mod stats;
mod surroundings;
mod testing_kit;
mod times;
mod unchanged;
mod watch;
