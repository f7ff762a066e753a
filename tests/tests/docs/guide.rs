//! The guide's pages are where its index, the README and their own links say, and no link of the
//! repository's Markdown leads nowhere. Rustdoc checks links to items, but not to headings, and
//! nothing of other files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::items::{DOCS, items};
use crate::pages::{Page, has_heading, links, pages, prose, read, root};

#[test]
fn every_page_is_in_the_index_and_in_the_readme_in_one_order() {
    let pages: Vec<_> = pages().into_iter().map(|page| page.name).collect();
    let files = fs::read_dir(root().join("sessions/src/guide")).unwrap();
    let mut files: Vec<_> = files
        .map(|it| it.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut sorted = pages.clone();
    files.sort();
    sorted.sort();
    assert_eq!(files, sorted, "guide.rs lists what is not there, or not all that is");

    let index = read("sessions/src/guide.rs");
    let modules = index.lines().filter_map(|line| line.strip_prefix("pub mod "));
    let modules: Vec<_> = modules.map(|it| it.trim_end_matches(" {}")).collect();
    assert_eq!(modules, pages, "the modules of guide.rs are not in the order of its list");

    let readme = read("README.md");
    let (_, list) = readme.split_once("\n## Read on\n").expect("the list of the README");
    let list = list.split("\n## ").next().unwrap();
    let listed: Vec<_> = links(list)
        .filter_map(|it| it.strip_prefix("docs/")?.strip_suffix(".md"))
        .filter(|it| *it != "README")
        .collect();
    assert_eq!(listed, pages, "README.md does not list the pages in the order of guide.rs");
    let testing = pages.iter().position(|it| it == "testing_your_app").unwrap() + 1;
    assert!((3..=4).contains(&testing), "a newcomer tests early: {testing}");
}

#[test]
fn each_page_leads_to_the_next() {
    let pages = pages();
    for pair in pages.windows(2) {
        let [page, Page { name, title, .. }] = pair else { unreachable!() };
        let last = page.text.trim_end().lines().last().unwrap();
        let next = format!("Next: [{title}](crate::guide::{name})");
        assert_eq!(last, next, "the end of {}.md", page.name);
    }
    assert!(!pages.last().unwrap().text.contains("\nNext: ["));
}

#[test]
fn links_to_headings_find_them() {
    let pages = pages();
    let text = |name: &str| pages.iter().find(|it| it.name == name).map(|it| prose(&it.text));
    let mut found = 0;
    for page in &pages {
        for link in links(&prose(&page.text)) {
            let Some((target, heading)) = link.split_once('#') else { continue };
            let name = match target.strip_prefix("crate::guide::") {
                Some(other) => other,
                None if target.is_empty() => &page.name,
                None => continue,
            };
            let text = text(name).unwrap_or_else(|| panic!("{} links to {link}", page.name));
            assert!(has_heading(&text, heading), "{} links to {link}: no such heading", page.name);
            found += 1;
        }
    }
    assert!(found > 10, "{found} links were found: how they are written has changed");
}

/// What a forge shows: all Markdown but the sources of rustdoc and what tests read.
fn shown() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink()
                || name.starts_with('.')
                || ["target", "src", "fuzz"].contains(&name)
            {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                files.push(path);
            }
        }
    }
    files
}

/// Why a link of a file leads nowhere.
fn dead(file: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://docs.rs/sessions/") {
        return Some("docs.rs has the crate under the name of its package".to_owned());
    }
    if link.starts_with(DOCS) {
        return (!items().has(link)).then(|| "no item has this page".to_owned());
    }
    if link.starts_with("https://") {
        return None;
    }
    let (target, heading) = link.split_once('#').map_or((link, None), |(a, b)| (a, Some(b)));
    let path = match target {
        "" => file.to_owned(),
        _ => file.parent().unwrap().join(target),
    };
    if !path.exists() {
        return Some("no such file".to_owned());
    }
    if path.components().any(|it| it.as_os_str() == "guide") && target.ends_with(".md") {
        return Some("a forge shows the sources of rustdoc badly: link to docs/".to_owned());
    }
    let heading = heading?;
    let found = fs::read_to_string(&path).is_ok_and(|text| has_heading(&prose(&text), heading));
    (!found).then(|| "no such heading".to_owned())
}

#[test]
fn no_link_on_a_forge_is_dead() {
    let (mut found, mut broken) = (0, Vec::new());
    for file in shown() {
        let text = fs::read_to_string(&file).unwrap();
        for link in links(&prose(&text)) {
            found += 1;
            if let Some(why) = dead(&file, link) {
                broken.push(format!("{}: {link}: {why}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(found > 300, "{found} links were found: how they are written has changed");
}

#[test]
fn a_dead_link_is_found() {
    let dead = |link: &str| dead(&root().join("docs/README.md"), link);
    for link in ["caching.md", "../README.md#install", "https://example.org"] {
        assert_eq!(dead(link), None, "{link}");
    }
    assert_eq!(dead(&items().address("Store::list").unwrap()), None);
    for link in [
        "caches.md",
        "caching.md#no-such-heading",
        "../sessions/src/guide/caching.md",
        "https://docs.rs/sessions/latest/sessions/struct.Store.html",
        &format!("{DOCS}struct.Store.html#method.lists"),
    ] {
        assert!(dead(link).is_some(), "{link}");
    }
}

#[test]
fn every_block_of_code_that_is_shown_names_its_language() {
    for file in shown() {
        let text = fs::read_to_string(&file).unwrap();
        let fences = text.lines().filter(|line| line.trim_start().starts_with("```"));
        for fence in fences.step_by(2) {
            assert_ne!(fence.trim(), "```", "{}", file.display());
        }
    }
}
