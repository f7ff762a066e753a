//! The guide's pages are where its index, the README and their own links say. Rustdoc checks links
//! to items, but not to headings, and nothing of the README.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages by name, without their examples.
fn pages() -> BTreeMap<String, String> {
    let files = fs::read_dir(root().join("sessions/src/guide")).unwrap();
    let page = |file: fs::DirEntry| {
        let name = file.path().file_stem().unwrap().to_str().unwrap().to_owned();
        (name, prose(&fs::read_to_string(file.path()).unwrap()))
    };
    files.map(|file| page(file.unwrap())).collect()
}

fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The targets of all links, with their line breaks.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap())
}

/// The anchor that rustdoc gives a heading.
fn anchor(heading: &str) -> String {
    let keep = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    };
    heading.chars().filter_map(keep).collect()
}

fn has_heading(page: &str, wanted: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.into_iter().any(|line| anchor(line.trim_start_matches(['#', ' '])) == wanted)
}

#[test]
fn every_page_is_in_the_index_and_in_the_readme() {
    let (index, readme) = (read("sessions/src/guide.rs"), read("README.md"));
    let pages = pages();
    assert!(pages.len() >= 9);
    for name in pages.keys() {
        assert!(index.contains(&format!("]({name}): ")), "guide.rs does not list {name}");
        assert!(
            index.contains(&format!("pub mod {name} {{}}")),
            "guide.rs does not include {name}"
        );
        let file = format!("](sessions/src/guide/{name}.md)");
        assert!(readme.contains(&file), "README.md does not list {name}");
    }
}

#[test]
fn links_to_headings_find_them() {
    let pages = pages();
    let mut found = 0;
    for (name, text) in &pages {
        for link in links(text) {
            let Some((target, heading)) = link.split_once('#') else { continue };
            let page = match target.strip_prefix("crate::guide::") {
                Some(other) => pages.get(other),
                None if target.is_empty() => Some(text),
                // An item's heading.
                None => continue,
            };
            let page = page.unwrap_or_else(|| panic!("{name} links to a missing page: {link}"));
            assert!(has_heading(page, heading), "{name} links to a missing heading: {link}");
            found += 1;
        }
    }
    assert!(found > 10, "{found} links were found: how they are written has changed");
}

#[test]
fn links_to_files_find_them() {
    let files = ["README.md", "COMPARE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
    let mut found = 0;
    for file in files {
        let text = prose(&read(file));
        for link in links(&text).filter(|link| !link.starts_with("http") && !link.starts_with('#'))
        {
            let target = link.split('#').next().unwrap();
            assert!(root().join(target).exists(), "{file} links to a missing file: {link}");
            found += 1;
        }
    }
    assert!(found > 10, "{found} links were found: how they are written has changed");
}
