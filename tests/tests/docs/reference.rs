//! The pages that list all settings and all attributes list those that there are, with the defaults
//! that the source has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::{FnArg, GenericArgument, ImplItem, Item, PathArguments, ReturnType, Type, Visibility};

use crate::defaults::DEFAULTS;
use crate::pages::{read, root};

/// The methods that set something: public, by value, and they return what they were called on.
fn settings() -> BTreeSet<String> {
    let mut folders = vec![root().join("sessions/src")];
    folders.extend(
        fs::read_dir(root().join("providers")).unwrap().map(|it| it.unwrap().path().join("src")),
    );
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(end) if end == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    files.iter().flat_map(|file| settings_of(&fs::read_to_string(file).unwrap())).collect()
}

fn settings_of(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in syn::parse_file(source).unwrap().items {
        let Item::Impl(item) = item else { continue };
        let Type::Path(of) = &*item.self_ty else { continue };
        let of = of.path.segments.last().unwrap().ident.to_string();
        if item.trait_.is_some() || VALUES.contains(&&*of) {
            continue;
        }
        for method in &item.items {
            let ImplItem::Fn(method) = method else { continue };
            let by_value = match method.sig.inputs.first() {
                Some(FnArg::Receiver(it)) => matches!(it.kind, syn::ReceiverKind::Value),
                _ => false,
            };
            let ReturnType::Type(_, returned) = &method.sig.output else { continue };
            if matches!(method.vis, Visibility::Public(_)) && by_value && is_self(returned) {
                found.push(format!("{of}::{}", method.sig.ident));
            }
        }
    }
    found
}

/// Whether a type is `Self`, or a `Result` of it.
fn is_self(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let last = path.path.segments.last().unwrap();
    match &last.arguments {
        PathArguments::AngleBracketed(of) if last.ident == "Result" => {
            matches!(of.args.first(), Some(GenericArgument::Type(ty)) if is_self(ty))
        }
        _ => last.ident == "Self",
    }
}

/// What is built in the same way and sets nothing.
const VALUES: &[&str] = &["Device", "KeyEncryptionError", "Proof", "ProviderError", "Subject"];

/// The rows of a page's tables, as cells, each with the heading above it.
fn rows(page: &str) -> Vec<(String, Vec<String>)> {
    rows_of(&read(format!("sessions/src/guide/{page}.md")))
}

fn rows_of(text: &str) -> Vec<(String, Vec<String>)> {
    let (mut heading, mut rows) = (String::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches(['#', ' ']).to_owned();
        }
        // The head of a table is followed by a line of hyphens.
        let is_head = lines.peek().is_some_and(|next| next.starts_with("|---"));
        if line.starts_with("| ") && !is_head {
            let cells = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap();
            rows.push((heading.clone(), cells.split('|').map(|it| it.trim().to_owned()).collect()));
        }
    }
    rows
}

/// The first words in backticks.
fn word(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or_else(|| panic!("no code in {text:?}"))
}

#[test]
fn the_page_lists_every_setting_with_its_default() {
    let mut listed = BTreeMap::new();
    for (heading, cells) in rows("settings") {
        let name = word(&cells[0]);
        let name = match name.contains("::") {
            true => name.to_owned(),
            false => format!("{}::{name}", word(&heading)),
        };
        if let Some(link) = cells[0].split_once("](crate::") {
            assert!(link.1.trim_end_matches(')').ends_with(&name), "{name} links to {}", link.1);
        }
        assert!(listed.insert(name.clone(), cells[1].clone()).is_none(), "{name} is listed twice");
    }
    let there = settings();
    assert!(there.len() > 60, "{there:?}");
    let names: BTreeSet<_> = listed.keys().cloned().collect();
    let missing: Vec<_> = there.difference(&names).collect();
    let gone: Vec<_> = names.difference(&there).collect();
    assert!(missing.is_empty(), "settings.md does not list {missing:?}");
    assert!(gone.is_empty(), "settings.md lists what is no setting: {gone:?}");

    let known: BTreeSet<_> = DEFAULTS.iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(known, there, "list what sets the default in defaults.rs");
    for (name, default, file, source) in DEFAULTS {
        assert_eq!(listed[*name], *default, "the default of {name} in settings.md");
        assert!(
            has(&read(file), source),
            "{file} no longer has `{source}`, which made the default of {name} {default:?}: look up \
             the new one, and change it in settings.md and in defaults.rs"
        );
    }
}

/// Whether source code has this stretch, outside of tests and comments, however it is broken.
fn has(code: &str, stretch: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    words(&code.join("\n")).contains(&words(stretch))
}

#[test]
fn a_default_in_a_comment_or_a_test_is_none() {
    assert!(has("fn a() {\n    b:\n        1,\n}", "b: 1,"));
    assert!(!has("// b: 1,", "b: 1,"));
    assert!(!has("#[cfg(test)]\nmod tests {\n b: 1,", "b: 1,"));
    let code = "impl A { pub fn a(mut self) -> Self {} pub fn b(&self) -> Self {} fn c(self) -> Self {} \
                pub fn d(self) -> Result<Self, E> {} pub fn e(self) -> B {} } \
                impl Proof { pub fn f(self) -> Self {} }";
    assert_eq!(settings_of(code), ["A::a", "A::d"]);
}

/// The names that a function of the macro's parser matches: `"name" => ..`.
fn arms(source: &str, function: &str) -> BTreeSet<String> {
    let (_, rest) = source.split_once(&format!("fn {function}(")).expect("the function");
    let body = rest.split("\n}\n").next().unwrap();
    let arms = body.lines().map(str::trim).filter(|line| line.starts_with('"'));
    let names = arms.filter_map(|line| line.split_once(" =>")).flat_map(|(names, _)| {
        names.split(" | ").map(|it| it.trim_matches('"').to_owned()).collect::<Vec<_>>()
    });
    names.collect()
}

/// The names in the first cells of the tables below a heading, without what they take.
fn names(heading: &str) -> BTreeSet<String> {
    let rows = rows("attributes");
    let cells = rows.iter().filter(|row| row.0 == heading).map(|row| word(&row.1[0]));
    cells.map(|cell| cell.split([' ', '(']).next().unwrap().to_owned()).collect()
}

/// The words in backticks of a text.
fn words(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_lists_every_attribute() {
    let parser = read("sessions-derive/src/parse.rs");
    let with = |more: &[&str], of: &str| {
        let arms = arms(&parser, of);
        arms.into_iter().chain(more.iter().map(|it| (*it).to_owned())).collect::<BTreeSet<_>>()
    };
    // Both take the converters, whose names another function knows.
    let (_, rest) = parser.split_once("impl Convert {").expect("the converters");
    let converters = rest.lines().map(str::trim).filter(|it| it.starts_with('"'));
    let converters: Vec<_> = converters.map(|it| it.split('"').nth(1).unwrap()).collect();
    assert_eq!(converters.len(), 4, "{converters:?}");

    assert_eq!(names("On the struct"), with(&[], "container"));
    assert_eq!(names("On a field"), with(&converters, "field_attrs"));
    let inner: BTreeMap<_, _> = rows("attributes")
        .into_iter()
        .filter(|row| row.0 == "In parentheses")
        .map(|(_, cells)| (word(&cells[0]).split('(').next().unwrap().to_owned(), words(&cells[1])))
        .collect();
    assert_eq!(inner["removed"], with(&[], "removed"));
    assert_eq!(inner["was"], with(&converters, "was"));
    assert_eq!(inner["group"], with(&[], "group_policy"));
    assert!(parser.contains("if with != \"with\""));
    assert_eq!(inner["merge"], BTreeSet::from(["with".to_owned()]));
    assert_eq!(inner.len(), 4, "{inner:?}");

    let policies = read("sessions-derive/src/validate/merge.rs");
    let (_, rest) = policies.split_once("const POLICIES").expect("the policies");
    let rest = rest.split("];").next().unwrap();
    let policies = rest.split("(\"").skip(1).map(|it| it.split('"').next().unwrap().to_owned());
    let page = read("sessions/src/guide/attributes.md");
    let (_, section) = page.split_once("\n# Policies\n").expect("the section");
    assert_eq!(words(section.split(". [").next().unwrap()), policies.collect());
}

#[test]
fn an_attribute_is_found_in_the_parser() {
    let source = "fn was(a: B) -> C {\n    match it {\n        \"a\" => 1,\n        \"b\" | \"c\" => 2,\n        \
                  name => 3,\n    }\n}\n\nfn other() {\n    \"d\" => 4,\n}\n";
    assert_eq!(arms(source, "was"), ["a", "b", "c"].map(str::to_owned).into());
    assert!(Path::new(&root()).join("sessions-derive/src/parse.rs").is_file());
}

#[test]
fn the_readme_compares_as_the_whole_comparison_does() {
    let whole = rows_of(&read("COMPARE.md"));
    let readme = rows_of(&read("README.md"));
    let rows = readme.iter().filter(|row| row.0 == "Comparison");
    let mut found = 0;
    for (_, cells) in rows {
        let row = whole.iter().find(|(_, other)| other[0] == cells[0]);
        let (_, row) = row.unwrap_or_else(|| panic!("COMPARE.md has no row {:?}", cells[0]));
        assert_eq!(cells[..], row[..4], "README.md and COMPARE.md");
        found += 1;
    }
    assert!(found >= 8, "{found} rows");
    for (heading, cells) in whole {
        assert_eq!(cells.len(), 7, "{heading}: {cells:?}");
    }
}
