//! Which name stands where: packages are `sessionful..`, and the libraries that code calls are
//! `sessions..`, because crates.io has another project under the names `sessions` and
//! `sessions-redis`. A page that says `cargo add sessions` would install that project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::pages::{read, root};

/// The published packages: name, library, folder.
pub(crate) const PUBLISHED: [(&str, &str, &str); 8] = [
    ("sessionful", "sessions", "sessions"),
    ("sessionful-aws-kms", "sessions_aws_kms", "providers/aws-kms"),
    ("sessionful-derive", "sessions_derive", "sessions-derive"),
    ("sessionful-dynamodb", "sessions_dynamodb", "providers/dynamodb"),
    ("sessionful-mysql", "sessions_mysql", "providers/mysql"),
    ("sessionful-postgres", "sessions_postgres", "providers/postgres"),
    ("sessionful-redis", "sessions_redis", "providers/redis"),
    ("sessionful-sqlite", "sessions_sqlite", "providers/sqlite"),
];

/// The pages with which somebody starts, and what they must say.
const STARTS: [&str; 3] =
    ["README.md", "sessions/src/lib.rs", "sessions/src/guide/getting_started.md"];

pub(crate) fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

pub(crate) fn is_published(package: &Value) -> bool {
    package["publish"].is_null()
}

/// The library of a package, under its name in code.
fn library(package: &Value) -> &str {
    let is_library = |target: &&Value| {
        let kinds = target["kind"].as_array().unwrap();
        kinds.iter().any(|kind| kind == "lib" || kind == "proc-macro")
    };
    package["targets"].as_array().unwrap().iter().find(is_library).unwrap()["name"]
        .as_str()
        .unwrap()
}

/// All files of the checkout whose names end so, by their paths in it.
fn files(endings: &[&str]) -> BTreeMap<String, String> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() || name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(root()).unwrap().display().to_string(), text);
            }
        }
    }
    files
}

/// What users read: pages, and the sources of what is published.
fn pages() -> BTreeMap<String, String> {
    let is_read = |path: &str| {
        path.ends_with(".md") || PUBLISHED.iter().any(|it| Path::new(path).starts_with(it.2))
    };
    files(&[".md", ".rs"]).into_iter().filter(|(path, _)| is_read(path)).collect()
}

/// What is wrong with a page's names of packages.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for line in text.lines() {
        let packages = line.split_once("cargo add ").map_or("", |(_, rest)| rest);
        // Up to the end of the code span.
        for word in packages.split('`').next().unwrap().split(' ') {
            let is_ours = word.starts_with("session") && word != "session";
            if is_ours && !PUBLISHED.iter().any(|(package, ..)| *package == word) {
                faults.push(format!("adds a package of another project: {line}"));
            }
        }
        if let Some(folder) = packages.split("../checkout/").nth(1) {
            let folder = folder.split([' ', '`']).next().unwrap();
            if !PUBLISHED.iter().any(|(.., it)| *it == folder) {
                faults.push(format!("adds a folder that is no package: {line}"));
            }
        }
        // A dependency in TOML.
        let key = line.trim_start_matches(['/', '!', ' ']).split([' ', '.']).next().unwrap();
        let value = line.split_once(" = ").map_or("", |(_, value)| value);
        let is_dependency = value.contains("version = ") || value.contains("path = ");
        if (key == "sessions" || key.starts_with("sessions-"))
            && (is_dependency || value.starts_with('"'))
            && !value.contains("package = \"sessionful")
        {
            faults.push(format!("depends on a package of another project: {line}"));
        }
        // A package under the name of its library, or of its folder.
        for (at, _) in line.match_indices("sessions-") {
            let before = line[..at].chars().next_back();
            let name = line[at..].split(|letter: char| !letter.is_alphanumeric() && letter != '-');
            let name = name.into_iter().next().unwrap();
            let is_ours = PUBLISHED.iter().any(|(_, library, _)| library.replace('_', "-") == name);
            let is_path = line[at + name.len()..].starts_with('/');
            let is_other = before.is_some_and(|it| it.is_alphanumeric() || "-_/".contains(it));
            if is_ours && !is_path && !is_other && !line.contains("belong") {
                faults.push(format!("calls a package {name}: {line}"));
            }
        }
    }
    faults
}

#[test]
fn each_published_package_and_its_library_have_their_names() {
    let packages = packages();
    let path = |package: &Value| {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().canonicalize().unwrap();
        let folder = folder.strip_prefix(root().canonicalize().unwrap()).unwrap().to_owned();
        folder.display().to_string()
    };
    let published: BTreeSet<_> = packages
        .iter()
        .filter(|package| is_published(package))
        .map(|it| (it["name"].as_str().unwrap(), library(it), path(it)))
        .collect();
    let expected = PUBLISHED.map(|(name, library, path)| (name, library, path.to_owned()));
    assert_eq!(published, BTreeSet::from(expected));

    let script = read("tests/hygiene.sh");
    let list = script.split_once("PUBLISHED=(").unwrap().1.split_once(')').unwrap().0;
    let list: Vec<_> = list.split_whitespace().collect();
    assert_eq!(list[..2], ["sessionful-derive", "sessionful"], "the others depend on these");
    let listed: BTreeSet<_> = list.into_iter().collect();
    assert_eq!(listed, BTreeSet::from(PUBLISHED.map(|(name, ..)| name)), "tests/hygiene.sh");
}

#[test]
fn no_page_installs_another_projects_package() {
    let pages = pages();
    let mut adds = 0;
    for (path, text) in &pages {
        assert_eq!(faults(text), [""; 0], "{path}");
        adds += text.matches("cargo add sessionful").count();
    }
    assert!(adds >= 10, "{adds} lines were found: how they are written has changed");
    for path in STARTS {
        let words: Vec<_> = pages[path].split_whitespace().filter(|it| *it != "//!").collect();
        let text = words.join(" ");
        assert!(text.contains("cargo add sessionful --features axum"), "{path}");
        assert!(text.contains("code calls the library `sessions`: on crates.io"), "{path}");
    }
    for (package, library, folder) in PUBLISHED {
        let readme = read(format!("{folder}/README.md"));
        assert!(readme.starts_with(&format!("# {package}\n")), "{folder}/README.md");
        // Nobody calls the derive by its own name.
        let library = if library == "sessions_derive" { "sessions" } else { library };
        assert!(readme.contains(&format!("`{library}`")), "{folder}/README.md: {library}");
    }
}

#[test]
fn a_wrong_name_on_a_page_is_noticed() {
    for wrong in [
        "cargo add sessions --features axum",
        "//! `cargo add sessions-redis`",
        "cargo add --features axum sessions",
        "cargo add sessionful-mongodb",
        "cargo add --path ../checkout/providers/mongodb",
        "sessions = \"0.1\"",
        "//! sessions-redis = \"0.1\"",
        "sessions = { version = \"0.1\", features = [\"testing\"] }",
        "enable a feature of sessions-mysql, and go on",
        "| `sessions-postgres` | in a table |",
    ] {
        assert!(!faults(wrong).is_empty(), "{wrong}");
    }
    for right in [
        "cargo add sessionful-redis --features cluster",
        "See `cargo add sessionful`, and sessions-derive/src",
        "cargo add --path ../checkout/sessions --features axum",
        "sessions = { package = \"sessionful\", version = \"0.1\" }",
        "let sessions = TestStore::new();",
        "tower-sessions = \"0.15\", and tower-sessions-redis-store",
        "use sessions_postgres::PostgresProvider;",
    ] {
        assert_eq!(faults(right), [""; 0], "{right}");
    }
}

/// A command for a package that is not here fails at whoever tries it.
#[test]
fn the_commands_of_pages_and_scripts_name_packages_that_are_here() {
    let packages = packages();
    let names: BTreeSet<_> = packages.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let mut found = 0;
    for (path, text) in files(&[".md", ".sh", ".rs", "run"]) {
        for line in text.lines().filter(|line| line.contains("cargo ")) {
            let words: Vec<_> = line.split([' ', '`']).collect();
            for pair in
                words.windows(2).filter(|pair| ["-p", "--package", "--exclude"].contains(&pair[0]))
            {
                // A variable's value is one of `PUBLISHED`.
                if !pair[1].starts_with(['"', '$']) {
                    assert!(names.contains(pair[1]), "{path}: {line}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 20, "{found} commands were found: how they are written has changed");
}
