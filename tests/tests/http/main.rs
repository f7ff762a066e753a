//! Sessions over HTTP: on axum, on actix-web, on a plain `tower` service, and tower-sessions over our
//! providers.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod actix;
mod app;
mod axum;
mod example_api;
mod example_login;
mod example_moving;
#[cfg(feature = "postgres")]
mod example_postgres;
mod example_quickstart;
mod example_schema_change;
mod example_sealed_link;
mod example_sockets;
mod example_tower;
mod scenarios;
mod site;
mod sockets;
mod tower_sessions;
