//! What each published package brings to crates.io and docs.rs: its manifest, and a README that needs
//! no other file. And what the forge runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::items::{DOCS, items};
use crate::names::{PUBLISHED, is_published, packages};
use crate::pages::{links, prose, read};

fn published() -> Vec<Value> {
    packages().into_iter().filter(is_published).collect()
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

/// The features that a user may switch on.
fn features(package: &Value) -> BTreeSet<&str> {
    let names = package["features"].as_object().unwrap().keys().map(String::as_str);
    names.filter(|name| !["default", "fuzzing"].contains(name)).collect()
}

/// A file of a package.
fn file(package: &Value, path: &str) -> String {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    fs::read_to_string(manifest.with_file_name(path)).unwrap()
}

/// What is wrong with a link of a page that crates.io shows.
fn fault(link: &str) -> Option<String> {
    let is_licence = ["LICENSE-APACHE", "LICENSE-MIT"].contains(&link);
    let is_package = link
        .strip_prefix("https://docs.rs/")
        .is_some_and(|page| PUBLISHED.iter().any(|(name, ..)| *name == page));
    let leads = is_licence || is_package || items().has(link);
    (!leads).then(|| format!("leads neither to a page of docs.rs nor to a licence: {link}"))
}

#[test]
fn each_manifest_has_what_the_registry_and_docs_rs_show() {
    for package in published() {
        let name = package["name"].as_str().unwrap();
        assert!(package["description"].as_str().is_some_and(|it| it.len() > 20), "{name}");
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        assert_eq!(package["readme"], "README.md", "{name}");
        assert!(package["rust_version"].is_string(), "{name}");
        let keywords = strings(&package["keywords"]);
        // The registry's limits.
        assert!((1..=5).contains(&keywords.len()), "{name}: {keywords:?}");
        assert!(keywords.iter().all(|it| it.len() <= 20), "{name}: {keywords:?}");
        // Some of those that the registry knows.
        let known = BTreeSet::from(["authentication", "cryptography", "web-programming"]);
        let categories = strings(&package["categories"]);
        assert!(!categories.is_empty() && categories.is_subset(&known), "{name}: {categories:?}");

        let docs_rs = &package["metadata"]["docs"]["rs"];
        assert_eq!(docs_rs["rustdoc-args"], serde_json::json!(["--cfg", "docsrs"]), "{name}");
        let features = features(&package);
        if !features.is_empty() {
            let is_whole = docs_rs["all-features"] == true;
            assert!(is_whole || strings(&docs_rs["features"]) == features, "{name}: {docs_rs}");
            let shows = file(&package, "src/lib.rs").contains("cfg_attr(docsrs, feature(doc_cfg))");
            assert!(shows, "{name}: the documentation does not say which feature an item needs");
        }
    }
}

#[test]
fn each_readme_stands_alone() {
    for package in published() {
        let name = package["name"].as_str().unwrap();
        let readme = file(&package, "README.md");
        let faults: Vec<_> = links(&prose(&readme)).filter_map(fault).collect();
        assert_eq!(faults, [""; 0], "{name}");

        assert!(readme.contains(&format!("]({DOCS}guide/")), "{name}");
        assert!(readme.contains("\n## Limits\n"), "{name}");
        // Nobody installs the derive.
        let installed = if name == "sessionful-derive" { "sessionful" } else { name };
        assert!(readme.contains(&format!("\ncargo add {installed}")), "{name}");
        assert!(readme.contains("\n```rust"), "{name}");
        for feature in features(&package) {
            assert!(readme.contains(&format!("\n| `{feature}`")), "{name}: {feature}");
        }
        // Its examples are doctests: of the package, or here where that cannot be.
        let include = "#[doc = include_str!(\"../README.md\")]";
        let here = "#[doc = include_str!(\"../../sessions-derive/README.md\")]";
        let is_compiled = match name {
            "sessionful-derive" => read("tests/src/lib.rs").contains(here),
            _ => file(&package, "src/lib.rs").contains(include),
        };
        assert!(is_compiled, "{name}");
    }
    let root = "#[doc = include_str!(\"../../README.md\")]";
    assert!(read("tests/src/lib.rs").contains(root), "the README of the repository");
}

#[test]
fn a_link_that_is_dead_outside_of_a_checkout_is_noticed() {
    for wrong in [
        "CHANGELOG.md",
        "sessions/src/guide/getting_started.md",
        "https://docs.rs/sessions",
        "https://docs.rs/sessionful/latest/sessionful/guide/",
        "https://docs.rs/sessionful/latest/sessions/guide/no_such_page/index.html",
    ] {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
}

/// What the forge runs is what `.ci/run` runs here, with the same compiler, and with no action that
/// can change under its name.
#[test]
fn the_workflow_is_pinned_and_runs_what_runs_here() {
    let workflow = read(".github/workflows/ci.yml");
    assert!(workflow.contains("run: .ci/run\n"));
    assert!(workflow.contains("permissions:\n  contents: read\n"));
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(workflow.contains(&format!("container: rust:{channel}-")), "{channel}");
    let actions: Vec<_> = workflow.split("uses: ").skip(1).collect();
    assert!(!actions.is_empty());
    for action in actions {
        let commit = action.split('@').nth(1).unwrap().split_whitespace().next().unwrap();
        assert_eq!(commit.len(), 40, "{action}");
        assert!(commit.bytes().all(|it| it.is_ascii_hexdigit()), "{action}");
    }
}
