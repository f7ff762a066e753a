//! The files of each crate are strata: none imports from itself by way of others, and none imports
//! through `lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Item, ItemMod, UseTree};

/// Which files import from which, by their modules' paths.
#[derive(Default)]
struct Imports(BTreeMap<String, BTreeSet<String>>);

/// The files of a crate by their modules' paths; `lib.rs` has the empty one.
fn files(source: &Path) -> BTreeMap<String, PathBuf> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![source.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let module = path.strip_prefix(source).unwrap().with_extension("");
                let parts: Vec<_> = module.iter().map(|it| it.to_str().unwrap()).collect();
                let module = if parts == ["lib"] { String::new() } else { parts.join("::") };
                files.insert(module, path);
            }
        }
    }
    files
}

fn is_for_tests(module: &ItemMod) -> bool {
    module.attrs.iter().any(|it| {
        let text = it.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        it.path().is_ident("cfg") && (text == "test" || text.starts_with("all (test"))
    })
}

/// The paths that items import, in the modules that they are written in.
fn paths(items: &[Item], module: &[String], found: &mut Vec<Vec<String>>) {
    for item in items {
        match item {
            Item::Use(item) => leaves(&item.tree, module, &mut Vec::new(), found),
            Item::Mod(inner) if !is_for_tests(inner) => {
                let Some((_, items)) = &inner.content else { continue };
                let module = [module, &[inner.ident.to_string()]].concat();
                paths(items, &module, found);
            }
            _ => {}
        }
    }
}

/// The leaves of one `use`, from the crate's root; what comes from other crates is left out.
fn leaves(
    tree: &UseTree,
    module: &[String],
    before: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    let mut leaf = |last: Option<String>| {
        let whole: Vec<String> = before.iter().cloned().chain(last).collect();
        let supers = whole.iter().take_while(|it| *it == "super").count();
        let from = match whole.first().map(String::as_str) {
            Some("crate") => whole[1..].to_vec(),
            Some("self") => [module, &whole[1..]].concat(),
            Some("super") => [&module[..module.len() - supers], &whole[supers..]].concat(),
            _ => return,
        };
        found.push(from);
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves(&path.tree, module, before, found);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => leaf(None),
        UseTree::Name(name) => leaf(Some(name.ident.to_string())),
        UseTree::Rename(rename) => leaf(Some(rename.ident.to_string())),
        UseTree::Glob(_) => leaf(Some("*".to_owned())),
        UseTree::Group(group) => {
            for tree in &group.items {
                leaves(tree, module, before, found);
            }
        }
    }
}

impl Imports {
    fn of(source: &Path) -> Self {
        let (files, mut imports) = (files(source), Self::default());
        for (module, path) in &files {
            let file = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
            let here: Vec<String> =
                module.split("::").filter(|it| !it.is_empty()).map(str::to_owned).collect();
            let mut found = Vec::new();
            paths(&file.items, &here, &mut found);
            let of = imports.0.entry(module.clone()).or_default();
            // An exported macro has no path but the root's.
            for path in found.iter().filter(|it| !it.last().is_some_and(|it| it.starts_with("__")))
            {
                // The file is the longest part of the path that is one.
                let known = (0..=path.len()).rev().map(|end| path[..end].join("::"));
                of.extend(known.into_iter().find(|it| files.contains_key(it)));
            }
            of.remove(module);
        }
        imports
    }

    /// Files of which each imports from the next, and the last from the first.
    fn circle(&self) -> Option<Vec<&str>> {
        fn visit<'i>(
            imports: &'i Imports,
            file: &'i str,
            way: &mut Vec<&'i str>,
            done: &mut BTreeSet<&'i str>,
        ) -> Option<Vec<&'i str>> {
            if let Some(at) = way.iter().position(|it| *it == file) {
                return Some(way[at..].to_vec());
            }
            if !done.insert(file) {
                return None;
            }
            way.push(file);
            let next = imports.0.get(file).into_iter().flatten();
            let circle = next.into_iter().find_map(|it| visit(imports, it, way, done));
            way.pop();
            circle
        }
        let mut done = BTreeSet::new();
        self.0.keys().find_map(|file| visit(self, file, &mut Vec::new(), &mut done))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn no_file_imports_from_itself_by_way_of_others() {
    let mut crates: Vec<_> = ["sessions", "sessions-derive"].map(|it| root().join(it)).into();
    crates.extend(fs::read_dir(root().join("providers")).unwrap().map(|it| it.unwrap().path()));
    assert!(crates.len() >= 6, "{crates:?}");
    for folder in crates {
        let imports = Imports::of(&folder.join("src"));
        assert!(!imports.0.is_empty(), "{folder:?}");
        assert_eq!(imports.circle(), None, "{folder:?}");
    }
}

#[test]
fn no_file_imports_through_the_root_of_the_crate() {
    let imports = Imports::of(&root().join("sessions/src"));
    let through: Vec<_> = imports.0.iter().filter(|(_, of)| of.contains("")).collect();
    assert!(through.is_empty(), "import from the file that defines the name: {through:?}");
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; pub use crate::a::A;");
    write("a.rs", "mod c; use self::c::C; pub struct A;");
    write("a/c.rs", "use crate::b::{self, B}; pub struct C;");
    write("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }");
    assert_eq!(Imports::of(folder.path()).circle(), None);

    write("b.rs", "mod inner { use super::super::a::{A as Other}; } pub struct B;");
    assert_eq!(Imports::of(folder.path()).circle(), Some(vec!["a", "a::c", "b"]));
    write("b.rs", "use crate::A; pub struct B;");
    assert_eq!(Imports::of(folder.path()).circle(), Some(vec!["", "a", "a::c", "b"]));
}
