//! The attributes as they are written, with their spans. What they mean together is decided in
//! `validate`.

mod foreign;
mod items;

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Expr, Field, Fields, Ident, Lit, LitInt, LitStr, Path, Token,
    Type,
};

use self::items::{
    each_attribute, each_item, equals, flag, once, parenthesized, rest, string, unknown, value,
};
use crate::diag::{Diag, closest};

/// A struct with its attributes.
pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) container: Container,
    pub(crate) fields: Vec<InputField>,
}

/// The attributes of the struct itself.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<Version>,
    pub(crate) oldest: Option<Version>,
    pub(crate) compat: Option<Version>,
    pub(crate) write: Option<Version>,
    pub(crate) unchanged: Vec<Version>,
    pub(crate) changed: Vec<Changed>,
    pub(crate) removed: Vec<Removed>,
    pub(crate) groups: Vec<GroupPolicy>,
    pub(crate) merge: Option<Merge>,
    pub(crate) root: Option<Path>,
    pub(crate) tried: Tried,
}

/// A field with its attributes.
pub(crate) struct InputField {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) attrs: FieldAttrs,
}

#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) key: Option<LitStr>,
    pub(crate) since: Option<Version>,
    pub(crate) default: Option<Expr>,
    pub(crate) was: Vec<Was>,
    pub(crate) from: Option<From>,
    pub(crate) convert: Convert,
    pub(crate) skip: Option<Span>,
    pub(crate) owner: Option<Span>,
    pub(crate) group: Option<LitStr>,
    pub(crate) merge: Option<Merge>,
    pub(crate) ordered: Option<Span>,
}

/// A version number and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Version {
    pub(crate) number: u16,
    pub(crate) span: Span,
}

/// `was(..)`: how the field differed before a version.
pub(crate) struct Was {
    pub(crate) span: Span,
    pub(crate) before: Option<Version>,
    pub(crate) name: Option<LitStr>,
    pub(crate) ty: Option<Type>,
    pub(crate) convert: Convert,
    pub(crate) tried: Tried,
}

/// `from(a, b)`: the removed fields that this one is made from.
pub(crate) struct From {
    pub(crate) span: Span,
    pub(crate) names: Vec<Ident>,
}

/// The converters in either direction, each infallible or not.
#[derive(Default)]
pub(crate) struct Convert {
    pub(crate) with: Option<Converter>,
    pub(crate) try_with: Option<Converter>,
    pub(crate) back: Option<Converter>,
    pub(crate) try_back: Option<Converter>,
}

/// The path of a converter function, and the key it was given by.
pub(crate) struct Converter {
    pub(crate) key: Ident,
    pub(crate) path: Path,
}

/// `removed(name: Type, ..)`: a field of the past.
pub(crate) struct Removed {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) since: Option<Version>,
    pub(crate) before: Option<Version>,
    pub(crate) default: Option<Expr>,
    pub(crate) was: Vec<Was>,
    pub(crate) from: Option<From>,
    pub(crate) convert: Convert,
    pub(crate) tried: Tried,
}

/// The settings that somebody tried to give, also where they were misspelt or could not be read:
/// that they are missing is then no second mistake.
#[derive(Default)]
pub(crate) struct Tried(Vec<String>);

impl Tried {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|tried| tried == key)
    }

    fn note(&mut self, key: &Ident, known: &[&str]) {
        let name = key.to_string();
        let meant = closest(&name, known.iter().copied()).map(str::to_owned);
        self.0.push(meant.unwrap_or(name));
    }
}

/// `changed(field, 3)` on the container: the type inside a field changed.
pub(crate) struct Changed {
    pub(crate) field: Ident,
    pub(crate) version: Version,
}

/// `group("name", merge = mine)` on the container.
pub(crate) struct GroupPolicy {
    pub(crate) name: LitStr,
    pub(crate) merge: Option<Merge>,
}

/// A merge policy.
pub(crate) enum Merge {
    Named(Ident),
    With(Path),
}

impl Merge {
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Named(name) => name.span(),
            Self::With(path) => path.span(),
        }
    }
}

const CONTAINER_KEYS: &[&str] = &[
    "name",
    "version",
    "removed",
    "unchanged",
    "changed",
    "oldest",
    "compat",
    "write",
    "group",
    "merge",
    "crate",
];

const FIELD_KEYS: &[&str] = &[
    "key", "since", "default", "was", "from", "with", "try_with", "back", "try_back", "skip",
    "owner", "group", "merge", "ordered",
];

const WAS_KEYS: &[&str] = &["before", "name", "ty", "with", "try_with", "back", "try_back"];
const REMOVED_KEYS: &[&str] = &["since", "before", "default", "was", "from", "with", "try_with"];

/// Reads a struct and its attributes. `None` where there is no struct with named fields to go on
/// with.
pub(crate) fn parse(input: &DeriveInput, diag: &Diag) -> Option<Input> {
    let container = container(&input.attrs, diag);
    let fields = named_fields(input, diag)?;
    let fields = fields.iter().filter_map(|field| {
        let ident = field.ident.clone()?;
        Some(InputField { ident, ty: field.ty.clone(), attrs: field_attrs(field, diag) })
    });
    Some(Input { ident: input.ident.clone(), container, fields: fields.collect() })
}

fn named_fields<'a>(
    input: &'a DeriveInput,
    diag: &Diag,
) -> Option<&'a syn::punctuated::Punctuated<Field, Token![,]>> {
    const INSTEAD: &str = "a session is a struct with named fields";
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(&fields.named),
            Fields::Unnamed(_) => {
                let text = format!("{INSTEAD}: give each field of this tuple struct a name");
                diag.error(data.struct_token, text);
                None
            }
            Fields::Unit => {
                let text = format!(
                    "{INSTEAD}: write `struct {} {{}}`, and its fields between the braces",
                    input.ident
                );
                diag.error(data.struct_token, text);
                None
            }
        },
        Data::Enum(data) => {
            let text = format!("{INSTEAD}: put this enum into a field of one");
            diag.error(data.enum_token, text);
            None
        }
        Data::Union(data) => {
            diag.error(data.union_token, format!("{INSTEAD}, not a union"));
            None
        }
    }
}

fn container(attrs: &[Attribute], diag: &Diag) -> Container {
    let mut container = Container::default();
    each_attribute(attrs, diag, &mut |key, input| {
        let c = &mut container;
        c.tried.note(key, CONTAINER_KEYS);
        match key.to_string().as_str() {
            "name" => once(&mut c.name, key, string(key, input)?, diag),
            "version" => once(&mut c.version, key, value(key, input)?, diag),
            "oldest" => once(&mut c.oldest, key, value(key, input)?, diag),
            "compat" => once(&mut c.compat, key, value(key, input)?, diag),
            "write" => once(&mut c.write, key, value(key, input)?, diag),
            "unchanged" => {
                let versions = parenthesized(key, input, "unchanged(2)", |content| {
                    content.parse_terminated(Version::parse, Token![,])
                })?;
                c.unchanged.extend(versions);
            }
            "changed" => c.changed.push(changed(key, input)?),
            "removed" => c.removed.push(removed(key, input, diag)?),
            "group" => c.groups.push(group_policy(key, input, diag)?),
            "merge" => once(&mut c.merge, key, merge(key, input)?, diag),
            "crate" => {
                equals(key, input, "crate = path::to::sessions")?;
                once(&mut c.root, key, input.call(Path::parse_mod_style)?, diag);
            }
            name if FIELD_KEYS.contains(&name) => {
                return Err(syn::Error::new(
                    key.span(),
                    format!("`{name}` belongs on a field: write it above the field it is about"),
                ));
            }
            name => return Err(unknown(key, name, "on the struct", CONTAINER_KEYS)),
        }
        Ok(())
    });
    container
}

fn field_attrs(field: &Field, diag: &Diag) -> FieldAttrs {
    let mut attrs = FieldAttrs::default();
    each_attribute(&field.attrs, diag, &mut |key, input| {
        let a = &mut attrs;
        match key.to_string().as_str() {
            "key" => once(&mut a.key, key, string(key, input)?, diag),
            "since" => once(&mut a.since, key, value(key, input)?, diag),
            "default" => {
                equals(key, input, "default = an_expression")?;
                once(&mut a.default, key, input.parse()?, diag);
            }
            "was" => a.was.push(was(key, input, diag)?),
            "from" => once(&mut a.from, key, from(key, input)?, diag),
            "skip" => once(&mut a.skip, key, flag(key, input)?, diag),
            "owner" => once(&mut a.owner, key, flag(key, input)?, diag),
            "ordered" => once(&mut a.ordered, key, flag(key, input)?, diag),
            "group" => once(&mut a.group, key, string(key, input)?, diag),
            "merge" => once(&mut a.merge, key, merge(key, input)?, diag),
            name if a.convert.slot(name).is_some() => a.convert.parse(key, input, diag)?,
            name if CONTAINER_KEYS.contains(&name) => {
                return Err(syn::Error::new(
                    key.span(),
                    format!("`{name}` belongs on the struct: write it above `struct`"),
                ));
            }
            name => {
                return Err(match foreign::word(name) {
                    Some(instead) => {
                        let text = format!("`{name}` is not known on a field: {instead}");
                        syn::Error::new(key.span(), text)
                    }
                    None => unknown(key, name, "on a field", FIELD_KEYS),
                });
            }
        }
        Ok(())
    });
    foreign::serde(field, &attrs, diag);
    attrs
}

fn from(key: &Ident, input: ParseStream<'_>) -> syn::Result<From> {
    let names = parenthesized(key, input, "from(first, second)", |content| {
        content.parse_terminated(Ident::parse_any, Token![,])
    })?;
    Ok(From { span: key.span(), names: names.into_iter().collect() })
}

fn was(key: &Ident, input: ParseStream<'_>, diag: &Diag) -> syn::Result<Was> {
    const EXAMPLE: &str = "was(before = 2, name = \"old_name\")";
    let mut was = Was {
        span: key.span(),
        before: None,
        name: None,
        ty: None,
        convert: Convert::default(),
        tried: Tried::default(),
    };
    let mut item = |key: &Ident, input: ParseStream<'_>| {
        was.tried.note(key, WAS_KEYS);
        match key.to_string().as_str() {
            "before" => once(&mut was.before, key, value(key, input)?, diag),
            "name" => once(&mut was.name, key, string(key, input)?, diag),
            "ty" => {
                equals(key, input, "ty = OldType")?;
                once(&mut was.ty, key, input.parse()?, diag);
            }
            name if was.convert.slot(name).is_some() => was.convert.parse(key, input, diag)?,
            name => return Err(unknown(key, name, "in `was(..)`", WAS_KEYS)),
        }
        Ok(())
    };
    parenthesized(key, input, EXAMPLE, |content| {
        each_item(content, diag, &mut item);
        Ok(())
    })?;
    Ok(was)
}

fn removed(key: &Ident, input: ParseStream<'_>, diag: &Diag) -> syn::Result<Removed> {
    const EXAMPLE: &str = "removed(old_field: OldType, before = 2)";
    parenthesized(key, input, EXAMPLE, |content| {
        if let Ok(quoted) = content.fork().parse::<LitStr>() {
            let name = quoted.value();
            let text = format!(
                "name the field without quotes, and with its type: write `removed({name}: OldType, \
                 before = 2)`"
            );
            return Err(syn::Error::new(quoted.span(), text));
        }
        let name = content.call(Ident::parse_any)?;
        if !content.peek(Token![:]) {
            let text = format!("`removed` needs the field's type: write `{EXAMPLE}`");
            return Err(syn::Error::new(name.span(), text));
        }
        content.parse::<Token![:]>()?;
        let mut removed = Removed {
            name,
            ty: content.parse()?,
            since: None,
            before: None,
            default: None,
            was: Vec::new(),
            from: None,
            convert: Convert::default(),
            tried: Tried::default(),
        };
        rest(content)?;
        each_item(content, diag, &mut |key, input| {
            removed.tried.note(key, REMOVED_KEYS);
            match key.to_string().as_str() {
                "since" => once(&mut removed.since, key, value(key, input)?, diag),
                "before" => once(&mut removed.before, key, value(key, input)?, diag),
                "default" => {
                    equals(key, input, "default = an_expression")?;
                    once(&mut removed.default, key, input.parse()?, diag);
                }
                "was" => removed.was.push(was(key, input, diag)?),
                "from" => once(&mut removed.from, key, from(key, input)?, diag),
                "with" | "try_with" => removed.convert.parse(key, input, diag)?,
                name => return Err(unknown(key, name, "in `removed(..)`", REMOVED_KEYS)),
            }
            Ok(())
        });
        Ok(removed)
    })
}

fn changed(key: &Ident, input: ParseStream<'_>) -> syn::Result<Changed> {
    const EXAMPLE: &str = "changed(field, 2)";
    parenthesized(key, input, EXAMPLE, |content| {
        if content.peek(Lit) {
            let text = format!("name the field whose type changed inside: write `{EXAMPLE}`");
            return Err(syn::Error::new(content.span(), text));
        }
        let field = content.call(Ident::parse_any)?;
        if content.is_empty() {
            let text = format!("say in which version it changed: write `changed({field}, 2)`");
            return Err(syn::Error::new(field.span(), text));
        }
        content.parse::<Token![,]>()?;
        Ok(Changed { field, version: content.parse()? })
    })
}

fn group_policy(key: &Ident, input: ParseStream<'_>, diag: &Diag) -> syn::Result<GroupPolicy> {
    const EXAMPLE: &str = "group(\"name\", merge = mine)";
    if input.peek(Token![=]) {
        let text = format!(
            "`group` on the struct sets a group's policy, write `{EXAMPLE}`; to put a field into a \
             group, write `#[session(group = \"name\")]` above the field"
        );
        return Err(syn::Error::new(key.span(), text));
    }
    parenthesized(key, input, EXAMPLE, |content| {
        let mut group = GroupPolicy { name: content.parse()?, merge: None };
        rest(content)?;
        each_item(content, diag, &mut |key, input| {
            match key.to_string().as_str() {
                "merge" => once(&mut group.merge, key, merge(key, input)?, diag),
                name => return Err(unknown(key, name, "in `group(..)`", &["merge"])),
            }
            Ok(())
        });
        Ok(group)
    })
}

fn merge(key: &Ident, input: ParseStream<'_>) -> syn::Result<Merge> {
    const EXAMPLE: &str = "merge(with = your_function)";
    if !input.peek(syn::token::Paren) {
        equals(key, input, "merge = union")?;
        if let Ok(quoted) = input.fork().parse::<LitStr>() {
            let text = format!("write it without quotes: `merge = {}`", quoted.value());
            return Err(syn::Error::new(quoted.span(), text));
        }
        return Ok(Merge::Named(input.call(Ident::parse_any)?));
    }
    parenthesized(key, input, EXAMPLE, |content| {
        let with = content.call(Ident::parse_any)?;
        if with != "with" {
            let text = format!(
                "write `{EXAMPLE}` for your own policy, or `merge = {with}` for one of the ready \
                 ones"
            );
            return Err(syn::Error::new(with.span(), text));
        }
        equals(&with, content, EXAMPLE)?;
        Ok(Merge::With(foreign::function(&with, content)?))
    })
}

impl Convert {
    fn slot(&mut self, name: &str) -> Option<&mut Option<Converter>> {
        match name {
            "with" => Some(&mut self.with),
            "try_with" => Some(&mut self.try_with),
            "back" => Some(&mut self.back),
            "try_back" => Some(&mut self.try_back),
            _ => None,
        }
    }

    fn parse(&mut self, key: &Ident, input: ParseStream<'_>, diag: &Diag) -> syn::Result<()> {
        equals(key, input, &format!("{key} = path::to::function"))?;
        let converter = Converter { key: key.clone(), path: foreign::function(key, input)? };
        if let Some(slot) = self.slot(&key.to_string()) {
            once(slot, key, converter, diag);
        }
        Ok(())
    }

    /// All converters that are there.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Converter> {
        [&self.with, &self.try_with, &self.back, &self.try_back].into_iter().flatten()
    }
}

impl Parse for Version {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        const RANGE: &str = "a version is a whole number from 1 to 65535";
        let lit: Lit = input
            .parse()
            .map_err(|error| syn::Error::new(error.span(), format!("{RANGE}, such as `2`")))?;
        let span = lit.span();
        let number = match &lit {
            Lit::Int(lit) => version_number(lit),
            Lit::Str(lit) => {
                let digits = lit.value();
                let number = if digits.parse::<u16>().is_ok() { &digits } else { "2" };
                let text = format!("{RANGE}: write `{number}`, without quotes");
                return Err(syn::Error::new(span, text));
            }
            _ => None,
        };
        match number {
            Some(number) => Ok(Self { number, span }),
            None => Err(syn::Error::new(span, format!("{RANGE}; the first is `1`"))),
        }
    }
}

fn version_number(lit: &LitInt) -> Option<u16> {
    lit.base10_parse::<u16>().ok().filter(|number| *number > 0)
}
