//! The README's table of examples is whole and says what each needs to be built, and each has a test.

use std::fs;

use crate::pages::{read, root};

/// The examples by name, with the path that the README links.
fn examples() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("examples")).unwrap().map(|file| file.unwrap().path());
    let mut examples = Vec::new();
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let links = match path.extension().is_some_and(|extension| extension == "rs") {
            true if name == "lib" => continue,
            true => vec![format!("examples/{name}.rs")],
            false => ["README.md", "main.rs"].map(|file| format!("examples/{name}/{file}")).into(),
        };
        if let Some(link) = links.into_iter().find(|link| root().join(link).is_file()) {
            examples.push((name, link));
        }
    }
    examples
}

/// What the manifest says of the example of this name.
fn target<'m>(manifest: &'m str, name: &str) -> Option<&'m str> {
    let line = format!("name = \"{name}\"");
    manifest.split("[[example]]").find(|target| target.lines().any(|it| it == line))
}

#[test]
fn the_readme_lists_every_example_with_the_feature_or_package_that_it_needs() {
    let (readme, manifest) = (read("README.md"), read("examples/Cargo.toml"));
    let examples = examples();
    assert!(examples.len() >= 13, "{examples:?}");
    for (name, link) in examples {
        let listed = format!("[{name}]({link})");
        let (_, after) = readme.split_once(&listed).unwrap_or_else(|| panic!("no {listed}"));
        let own = root().join(format!("examples/{name}/Cargo.toml")).is_file();
        let needs = match target(&manifest, &name) {
            None if own => format!(" (package `sessions-example-{name}`)"),
            None => panic!("{name} is no target of a package"),
            Some(target) => {
                let feature = target.split_once("required-features = [\"");
                let feature = feature.and_then(|(_, rest)| rest.split('"').next());
                feature.map_or_else(String::new, |feature| format!(" (feature `{feature}`)"))
            }
        };
        assert!(after.starts_with(&needs), "the README says of {name} something else than{needs}");
    }
}

/// An example is included by a test by its path, has tests of its own, or is a package with tests.
#[test]
fn every_example_has_a_test() {
    let manifest = read("examples/Cargo.toml");
    let mut tests = String::new();
    for folder in ["http", "shop"] {
        for file in fs::read_dir(root().join("tests/tests").join(folder)).unwrap() {
            tests += &fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        }
    }
    for (name, link) in examples() {
        let included = tests.contains(&format!("#[path = \"../../../examples/{name}.rs\"]"));
        let own = target(&manifest, &name).is_some_and(|it| it.contains("\ntest = true\n"));
        let package = root().join(format!("examples/{name}/test.rs")).is_file();
        assert!(included || own || package, "no test runs {link}");
    }
}
