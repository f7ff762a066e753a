//! The guide, its copy for forges, its lists of settings and attributes, the list of examples, the
//! names of packages and what they bring, and the order of the modules.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod book;
mod defaults;
mod examples;
mod guide;
mod items;
mod names;
mod packages;
mod pages;
mod reference;
mod strata;
