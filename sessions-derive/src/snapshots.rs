//! The generated code of three structs, committed for a reader to review.
//!
//! After a change that is meant, run with `SNAPSHOTS=write` and read the difference.

use std::path::Path;
use std::{env, fs};

/// The struct of `snapshots/<name>.rs` and what `snapshots/<name>.expanded.rs` should be made of
/// it.
fn check(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let source = fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
    let expanded = crate::derive(&syn::parse_str(&source).unwrap());
    let expanded = prettyplease::unparse(&syn::parse2(expanded).unwrap());
    let path = folder.join(format!("{name}.expanded.rs"));
    if env::var_os("SNAPSHOTS").is_some_and(|value| value == "write") {
        fs::write(&path, &expanded).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(expanded == committed, "{} is not what is generated now:\n{expanded}", path.display());
}

#[test]
fn a_first_version_is_short() {
    check("first_version");
}

#[test]
fn three_versions_are_read_straight_to_the_newest_shape() {
    check("three_versions");
}

#[test]
fn the_first_of_two_deploys_writes_the_older_version() {
    check("first_of_two_deploys");
}
