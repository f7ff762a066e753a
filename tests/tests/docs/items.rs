//! The public items of the crate `sessions`, and where docs.rs has the documentation of each. They
//! are read from the source, as rustdoc reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use syn::{Attribute, Fields, ImplItem, Item, Meta, TraitItem, Type, UseTree, Visibility};

use crate::pages::root;

/// Where docs.rs has the crate.
pub(crate) const DOCS: &str = "https://docs.rs/sessionful/latest/sessions/";

/// The items by their paths, such as `Store::list`, and their addresses below [`DOCS`].
pub(crate) struct Items(BTreeMap<String, String>);

/// The modules of a crate by their paths.
type Modules = BTreeMap<String, Module>;

struct Module {
    /// Whether others can name it.
    public: bool,
    items: Vec<Item>,
}

/// The crate's items.
pub(crate) fn items() -> &'static Items {
    static ITEMS: LazyLock<Items> = LazyLock::new(Items::read);
    &ITEMS
}

impl Items {
    fn read() -> Self {
        let mut modules = Modules::new();
        let folder = root().join("sessions/src");
        read(&mut modules, "", true, &parse(&folder.join("lib.rs")), &folder);
        let mut items = Self([(String::new(), "index.html".to_owned())].into());
        items.list(&modules, "", "");
        items
    }

    /// The address of an item, whose path is written as in a link of rustdoc, without `crate::`.
    pub(crate) fn address(&self, path: &str) -> Option<String> {
        self.0.get(path).map(|address| format!("{DOCS}{address}"))
    }

    /// Whether docs.rs will have this address.
    pub(crate) fn has(&self, address: &str) -> bool {
        address.strip_prefix(DOCS).is_some_and(|it| self.0.values().any(|known| known == it))
    }

    /// Lists what the module `of` holds as what is found at the path `at`.
    fn list(&mut self, modules: &Modules, of: &str, at: &str) {
        for item in &modules[of].items {
            match item {
                Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                    let inline = item.attrs.iter().any(|it| is_doc(it, "inline"));
                    let mut leaves = Vec::new();
                    spread(&item.tree, &mut Vec::new(), &mut leaves);
                    for (path, name) in leaves {
                        self.import(modules, of, at, &path, &name, inline);
                    }
                }
                Item::Mod(inner) if is_public(&inner.vis) && !is_hidden(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    let at = join(at, &name);
                    self.0.insert(at.clone(), format!("{}/index.html", at.replace("::", "/")));
                    self.list(modules, &join(of, &name), &at);
                }
                item => self.define(modules, of, at, item),
            }
        }
    }

    /// Lists what a `pub use` names. Rustdoc puts it there if it is nowhere else.
    fn import(
        &mut self,
        modules: &Modules,
        of: &str,
        at: &str,
        path: &[String],
        name: &str,
        inline: bool,
    ) {
        let from = match path[0].as_str() {
            "crate" => path[1..].join("::"),
            "self" => join(of, &path[1..].join("::")),
            "sessions_derive" => {
                self.0.insert(format!("derive@{name}"), format!("derive.{name}.html"));
                return;
            }
            _ => return,
        };
        if modules.contains_key(&from) {
            let at = join(at, name);
            self.0.insert(at.clone(), format!("{}/index.html", at.replace("::", "/")));
            self.list(modules, &from, &at);
            return;
        }
        let Some((module, ident)) = from.rsplit_once("::") else { return };
        let Some(module_of) = modules.get(module) else { return };
        let item = module_of.items.iter().find(|it| named(it).is_some_and(|it| it.0 == ident));
        if let Some(item) = item {
            let shown = if module_of.public && !inline { module } else { at };
            self.define(modules, module, shown, item);
            // It has the same address by the path of the import.
            let (old, new) = (join(shown, ident), join(at, name));
            let below = format!("{old}::");
            let again = self.0.iter().filter_map(|(path, address)| {
                let rest = if *path == old { Some("") } else { path.strip_prefix(&below) };
                rest.map(|rest| (join(&new, rest), address.clone()))
            });
            let again: Vec<_> = again.collect();
            self.0.extend(again);
            return;
        }
        // The module imports it from another one.
        let mut found = Vec::new();
        for item in &module_of.items {
            let Item::Use(item) = item else { continue };
            let mut leaves = Vec::new();
            spread(&item.tree, &mut Vec::new(), &mut leaves);
            found.extend(leaves.into_iter().filter(|(_, name)| name == ident));
        }
        for (path, _) in found {
            self.import(modules, module, at, &path, name, inline);
        }
    }

    /// Lists an item and what it has: methods, variants, fields.
    fn define(&mut self, modules: &Modules, of: &str, at: &str, item: &Item) {
        let Some((name, kind)) = named(item) else { return };
        let path = join(at, &name);
        let folder =
            if at.is_empty() { String::new() } else { format!("{}/", at.replace("::", "/")) };
        let address = format!("{folder}{kind}.{name}.html");
        let mut add = |member: String, fragment: &str| {
            let fragment = format!("{address}#{fragment}.{member}");
            self.0.insert(join(&path, &member), fragment);
        };
        match item {
            Item::Enum(item) => {
                for variant in &item.variants {
                    add(variant.ident.to_string(), "variant");
                }
            }
            Item::Struct(item) => {
                if let Fields::Named(fields) = &item.fields {
                    for field in fields.named.iter().filter(|it| is_public(&it.vis)) {
                        add(field.ident.as_ref().unwrap().to_string(), "structfield");
                    }
                }
            }
            Item::Trait(item) => {
                for method in &item.items {
                    let TraitItem::Fn(method) = method else { continue };
                    let fragment = if method.default.is_some() { "method" } else { "tymethod" };
                    add(method.sig.ident.to_string(), fragment);
                }
            }
            _ => {}
        }
        for (module, items) in modules {
            // Two modules may each have a type of this name.
            let twice = modules
                .iter()
                .any(|(other, it)| other != of && it.items.iter().any(|it| is_type(it, &name)));
            let first = |path: &str| path.split("::").next().unwrap().to_owned();
            if twice && first(module) != first(of) {
                continue;
            }
            for item in &items.items {
                let Item::Impl(item) = item else { continue };
                if item.trait_.is_some() || !is_of(&item.self_ty, &name) {
                    continue;
                }
                for member in &item.items {
                    match member {
                        ImplItem::Fn(it) if is_public(&it.vis) => {
                            add(it.sig.ident.to_string(), "method");
                        }
                        ImplItem::Const(it) if is_public(&it.vis) => {
                            add(it.ident.to_string(), "associatedconstant");
                        }
                        _ => {}
                    }
                }
            }
        }
        self.0.insert(path, address);
    }
}

fn parse(file: &Path) -> Vec<Item> {
    syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap().items
}

/// Reads the modules that `items` declare; the files of `module` are in `folder`.
fn read(modules: &mut Modules, module: &str, public: bool, items: &[Item], folder: &Path) {
    for item in items {
        let Item::Mod(inner) = item else { continue };
        if inner.attrs.iter().any(is_test) || has_path(&inner.attrs) {
            continue;
        }
        let name = inner.ident.to_string();
        let (path, below) = (join(module, &name), folder.join(&name));
        let public = public && is_public(&inner.vis);
        match &inner.content {
            Some((_, items)) => read(modules, &path, public, items, &below),
            None => {
                let file: PathBuf = folder.join(format!("{name}.rs"));
                read(modules, &path, public, &parse(&file), &below);
            }
        }
    }
    modules.insert(module.to_owned(), Module { public, items: items.to_vec() });
}

fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", _) => name.to_owned(),
        (_, "") => path.to_owned(),
        _ => format!("{path}::{name}"),
    }
}

/// The name and the kind of an item, as the name of its page has it.
fn named(item: &Item) -> Option<(String, &'static str)> {
    let (vis, attrs, ident, kind) = match item {
        Item::Struct(it) => (&it.vis, &it.attrs, &it.ident, "struct"),
        Item::Enum(it) => (&it.vis, &it.attrs, &it.ident, "enum"),
        Item::Trait(it) => (&it.vis, &it.attrs, &it.ident, "trait"),
        Item::Fn(it) => (&it.vis, &it.attrs, &it.sig.ident, "fn"),
        Item::Const(it) => (&it.vis, &it.attrs, &it.ident, "constant"),
        Item::Type(it) => (&it.vis, &it.attrs, &it.ident, "type"),
        _ => return None,
    };
    (is_public(vis) && !is_hidden(attrs)).then(|| (ident.to_string(), kind))
}

fn is_type(item: &Item, ident: &str) -> bool {
    match item {
        Item::Struct(it) => it.ident == ident,
        Item::Enum(it) => it.ident == ident,
        _ => false,
    }
}

fn is_of(ty: &Type, ident: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|it| it.ident == ident))
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

fn is_doc(attr: &Attribute, word: &str) -> bool {
    let Meta::List(list) = &attr.meta else { return false };
    list.path.is_ident("doc") && list.tokens.to_string() == word
}

fn is_hidden(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|it| is_doc(it, "hidden"))
}

fn is_test(attr: &Attribute) -> bool {
    let Meta::List(list) = &attr.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

/// Only what is hidden lies elsewhere than its name says.
fn has_path(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|it| it.path().is_ident("path"))
}

/// The paths that a `use` names, each with the name that it gives.
fn spread(tree: &UseTree, before: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            spread(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push(([&before[..], std::slice::from_ref(&name)].concat(), name));
        }
        UseTree::Rename(name) => {
            let path = [&before[..], &[name.ident.to_string()]].concat();
            leaves.push((path, name.rename.to_string()));
        }
        UseTree::Glob(_) => {}
        UseTree::Group(group) => {
            for tree in &group.items {
                spread(tree, before, leaves);
            }
        }
    }
}

#[test]
fn an_items_address_is_that_of_its_page() {
    let items = items();
    for (path, address) in [
        ("", "index.html"),
        ("Store::list", "struct.Store.html#method.list"),
        ("Session", "struct.Session.html"),
        ("derive@Session", "derive.Session.html"),
        ("Error::Gone", "enum.Error.html#variant.Gone"),
        ("axum", "axum/index.html"),
        ("axum::SessionLayer", "tower/struct.SessionLayer.html"),
        ("actix::OrNew", "actix/struct.OrNew.html"),
        ("commit::KeepChanges", "commit/enum.KeepChanges.html"),
        ("provider::Provider::save", "provider/trait.Provider.html#tymethod.save"),
        ("provider::Provider::changes", "provider/trait.Provider.html#method.changes"),
        ("keys::conformance", "keys/conformance/index.html"),
        ("keys::LocalKey::from_bytes", "keys/struct.LocalKey.html#method.from_bytes"),
    ] {
        let address = format!("{DOCS}{address}");
        assert_eq!(items.address(path).as_deref(), Some(&*address), "{path}");
        assert!(items.has(&address));
    }
    for path in ["Store::core", "store", "Store::lists", "SessionLayer"] {
        assert_eq!(items.address(path), None, "{path}");
    }
}
