//! `sessions` is light: few crates, and no web framework, database or TLS by default.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The most crates that `sessions` may build from scratch, itself included.
const MOST: usize = 70;

/// What the names of crates begin with that are web frameworks, databases, or TLS.
const HEAVY: &str = "actix aws- axum diesel h2 hyper libsqlite3 mongodb mysql native-tls openssl \
                     poem postgres redis ring rocket rusqlite rustls salvo sea- sqlx tide tower \
                     warp webpki";

/// The crates that are compiled to build a package: "name vX.Y.Z".
fn crates(arguments: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let lines = String::from_utf8(tree.stdout).unwrap();
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    lines.lines().filter(|line| !line.is_empty()).map(name).collect()
}

fn heavy(crates: &BTreeSet<String>) -> Vec<&str> {
    let is_heavy = |name: &&str| HEAVY.split(' ').any(|heavy| name.starts_with(heavy));
    crates.iter().map(String::as_str).filter(is_heavy).collect()
}

#[test]
fn by_default_it_builds_few_crates_and_none_that_is_heavy() {
    let crates = crates(&["--package", "sessions"]);
    println!("{} crates", crates.len());
    for expected in ["sessions v", "sessions-derive v", "tokio v"] {
        assert!(crates.iter().any(|name| name.starts_with(expected)), "{expected}: {crates:#?}");
    }
    assert!(crates.len() <= MOST, "{} crates: {crates:#?}", crates.len());
    assert_eq!(heavy(&crates), [""; 0]);
}

#[test]
fn what_is_heavy_would_be_noticed() {
    let with_axum = crates(&["--package", "sessions", "--features", "axum"]);
    assert!(heavy(&with_axum).iter().any(|name| name.starts_with("axum-core v")));
    let with_sqlite = crates(&["--package", "sessions-sqlite"]);
    assert!(heavy(&with_sqlite).iter().any(|name| name.starts_with("libsqlite3-sys v")));
    assert!(with_sqlite.len() > MOST, "{} crates", with_sqlite.len());
}
