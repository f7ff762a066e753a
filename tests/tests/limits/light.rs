//! `sessionful` is light: few crates, and no web framework, database or TLS by default.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The most crates that `sessionful` may build from scratch, itself included.
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
    let crates = crates(&["--package", "sessionful"]);
    println!("{} crates", crates.len());
    for expected in ["sessionful v", "sessionful-derive v", "tokio v"] {
        assert!(crates.iter().any(|name| name.starts_with(expected)), "{expected}: {crates:#?}");
    }
    assert!(crates.len() <= MOST, "{} crates: {crates:#?}", crates.len());
    assert_eq!(heavy(&crates), [""; 0]);
}

#[test]
fn what_is_heavy_would_be_noticed() {
    let with_axum = crates(&["--package", "sessionful", "--features", "axum"]);
    assert!(heavy(&with_axum).iter().any(|name| name.starts_with("axum-core v")));
    let with_sqlite = crates(&["--package", "sessionful-sqlite"]);
    assert!(heavy(&with_sqlite).iter().any(|name| name.starts_with("libsqlite3-sys v")));
    assert!(with_sqlite.len() > MOST, "{} crates", with_sqlite.len());
}

/// What `.ci/run` builds, the file that says so, and what that takes of the AWS SDK.
const BUILDS: [(&str, &str, &[&str]); 4] = [
    ("tests/run.sh", "test --locked --workspace --exclude sessions-bench --all-features", &AWS),
    ("tests/src/shop.rs", SHOP, &["aws-sdk-dynamodb", "aws-smithy-runtime"]),
    (".ci/run", "clippy --locked --workspace --all-targets --all-features", &AWS),
    (".ci/run", "doc --locked --workspace --no-deps --all-features --lib --bins --examples", &AWS),
];

const SHOP: &str =
    "build --locked --workspace --exclude sessions-bench --all-features --example shop";

/// The largest crates of the AWS SDK: those of its services, and the core that they share.
const AWS: [&str; 3] = ["aws-sdk-dynamodb", "aws-sdk-kms", "aws-smithy-runtime"];

/// The AWS SDK takes longer to compile than everything else together. Once it is built for the tests,
/// and once it is checked, for clippy and the documentation.
#[test]
fn ci_compiles_the_aws_sdk_at_most_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut compiled = BTreeSet::new();
    for (script, arguments, packages) in BUILDS {
        let text = std::fs::read_to_string(root.join(script)).unwrap();
        assert!(text.contains(&format!("cargo {arguments}")), "{script} builds something else");
        let mut words: Vec<&str> = arguments.split(' ').collect();
        match words[0] {
            "clippy" => words[0] = "check",
            "test" => words.push("--no-run"),
            _ => {}
        }
        let plan = Command::new(env!("CARGO"))
            .args(words)
            // A plan, not a build. It is a flag of nightly ones.
            .args(["--offline", "--unit-graph", "-Z", "unstable-options"])
            .envs([("RUSTC_BOOTSTRAP", "1"), ("CARGO_INCREMENTAL", "0")])
            .current_dir(root)
            .output()
            .unwrap();
        assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        for package in packages {
            let found = hashes(plan["units"].as_array().unwrap(), package);
            assert_eq!(found.len(), 1, "cargo {arguments}: {package}");
            compiled.extend(found.into_iter().map(|hash| (*package, hash)));
        }
    }
    for package in AWS {
        let times = compiled.iter().filter(|(compiled, _)| *compiled == package).count();
        assert_eq!(times, 2, "{package} is compiled {times} times");
    }
    let ui = crates(&["--package", "sessions-ui-tests", "--edges", "normal,build,dev"]);
    assert!(!ui.iter().any(|name| name.starts_with("aws-")), "trybuild builds it again: {ui:#?}");
}

/// What tells the compilations of a library apart, as far as a plan says it.
fn hashes(units: &[Value], package: &str) -> BTreeSet<u64> {
    let mut hashes = vec![None; units.len()];
    let is_wanted = |unit: &Value| {
        let is_library = unit["target"]["kind"].as_array().unwrap().contains(&"lib".into());
        let mode = unit["mode"].as_str().unwrap();
        unit["pkg_id"].as_str().unwrap().contains(&format!("#{package}@"))
            && is_library
            && ["build", "check"].contains(&mode)
    };
    let wanted = (0..units.len()).filter(|index| is_wanted(&units[*index]));
    wanted.map(|index| hash(units, index, &mut hashes)).collect()
}

fn hash(units: &[Value], index: usize, known: &mut Vec<Option<u64>>) -> u64 {
    if let Some(known) = known[index] {
        return known;
    }
    let unit = &units[index];
    let mut hasher = DefaultHasher::new();
    let mut profile = unit["profile"].clone();
    // Profiles of other names with the same settings are one.
    profile.as_object_mut().unwrap().remove("name");
    profile.to_string().hash(&mut hasher);
    for part in ["pkg_id", "target", "mode", "platform", "features"] {
        unit[part].to_string().hash(&mut hasher);
    }
    for dependency in unit["dependencies"].as_array().unwrap() {
        dependency["extern_crate_name"].to_string().hash(&mut hasher);
        let index = dependency["index"].as_u64().unwrap() as usize;
        hash(units, index, known).hash(&mut hasher);
    }
    let hash = hasher.finish();
    known[index] = Some(hash);
    hash
}
