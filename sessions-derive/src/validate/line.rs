//! A field's history: `since`, `was`, `removed`, and where they stand among the versions.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{GenericArgument, PathArguments, Type};

use super::key::{check_key, is_key};
use crate::diag::Diag;
use crate::model::{Epoch, Function, OwnerKind, Timeline, type_text};
use crate::parse::{Container, Convert, Converter, InputField, Removed, Version, Was};

/// The versions of a struct.
pub(super) struct Versions {
    pub(super) version: u16,
    pub(super) oldest: u16,
    pub(super) write: u16,
}

impl Versions {
    pub(super) fn new(container: &Container, fields: &[InputField], diag: &Diag) -> Self {
        let limit = match container.version {
            Some(version) => version.number,
            // That it is missing has been said; the rest is checked as if it were high enough.
            None => highest(container, fields),
        };
        let at_most = |given: Option<Version>, key: &str| {
            let given = given?;
            if given.number > limit {
                let text = format!(
                    "`{key}` is above this struct's version: bump `version` to {}, or lower it to \
                     at most {limit}",
                    given.number
                );
                diag.error_at(given.span, text);
                return None;
            }
            Some(given.number)
        };
        let oldest = at_most(container.oldest, "oldest").unwrap_or(1);
        let write = at_most(container.write, "write").unwrap_or(limit);
        at_most(container.compat, "compat");
        if write < oldest
            && let Some(given) = container.write
        {
            let text = format!(
                "version {write} is below `oldest`, so its history is not here to write it by: \
                 raise `write`, or lower `oldest` to {write}"
            );
            diag.error_at(given.span, text);
        }
        Self { version: limit, oldest, write }
    }

    /// The history of a field that is stored.
    pub(super) fn field(&self, field: &InputField, diag: &Diag) -> Option<Timeline> {
        owned(&field.ty, diag);
        no_double_option(&field.ty, diag);
        let since = self.since(field.attrs.since, diag);
        let (key, span) = match &field.attrs.key {
            Some(key) => {
                check_key(key, "a storage key", diag);
                (key.value(), key.span())
            }
            None => (own_key(&field.ident, diag), field.ident.span()),
        };
        self.line(&field.ident, since, None, (key, span), &field.ty, &field.attrs.was, diag)
    }

    /// A field of the past.
    pub(super) fn removed(&self, removed: &Removed, diag: &Diag) -> Option<Timeline> {
        let Removed { name, ty, since, before, was, tried, .. } = removed;
        owned(ty, diag);
        no_double_option(ty, diag);
        let Some(before) = *before else {
            if !tried.has("before") {
                let text = format!(
                    "say which version removed `{name}`: write `removed({name}: {}, before = {})`",
                    type_text(ty),
                    self.version
                );
                diag.error(name, text);
            }
            return None;
        };
        self.change(before, diag);
        let since = match *since {
            Some(since) if since.number >= before.number => {
                let text = format!(
                    "`{name}` would have been removed before it came: `since` is the version that \
                     added it, and must be below `before = {}`",
                    before.number
                );
                diag.error_at(since.span, text);
                1
            }
            since => self.since(since, diag),
        };
        let key = (own_key(name, diag), name.span());
        self.line(name, since, Some(before.number), key, ty, was, diag)
    }

    /// The version of a `since`.
    fn since(&self, since: Option<Version>, diag: &Diag) -> u16 {
        match since {
            Some(Version { number: 1, span }) => {
                diag.error_at(span, "`since = 1` is implied: remove it");
                1
            }
            Some(since) => {
                self.change(since, diag);
                since.number
            }
            None => 1,
        }
    }

    /// Checks the version of a change.
    pub(super) fn change(&self, at: Version, diag: &Diag) {
        let Versions { version, oldest, .. } = self;
        let Version { number, span } = at;
        if number > *version {
            let text = format!("this struct is at version {version}: bump `version` to {number}");
            diag.error_at(span, text);
        } else if number == 1 {
            diag.error_at(span, "version 1 is the first, nothing was different before it");
        } else if number <= *oldest {
            let text = format!(
                "dead history: no record from before version {number} is read, as `oldest` is \
                 {oldest}; remove this"
            );
            diag.error_at(span, text);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one sentence")]
    fn line(
        &self,
        name: &Ident,
        since: u16,
        before: Option<u16>,
        (key, key_span): (String, Span),
        ty: &Type,
        was: &[Was],
        diag: &Diag,
    ) -> Option<Timeline> {
        let mut steps: Vec<(Version, &Was)> = Vec::new();
        let last = before.unwrap_or(u16::MAX);
        for was in was {
            let Some(at) = self.step(was, since, last, diag) else { continue };
            if steps.iter().any(|(other, _)| other.number == at.number) {
                let text = format!(
                    "this field has two `was(before = {}, ..)`: say both differences in one",
                    at.number
                );
                diag.error_at(at.span, text);
                continue;
            }
            steps.push((at, was));
        }
        steps.sort_by_key(|(at, _)| std::cmp::Reverse(at.number));

        // From the newest epoch back to the first.
        let mut epochs = Vec::new();
        let mut epoch = Epoch { first: since, key, key_span, ty: ty.clone(), up: None, down: None };
        for (at, was) in steps {
            let key = was.name.as_ref().map_or_else(|| epoch.key.clone(), syn::LitStr::value);
            let key_span = was.name.as_ref().map_or(epoch.key_span, syn::LitStr::span);
            if key == epoch.key && was.name.is_some() && was.ty.is_none() {
                let text =
                    format!("the key was `{key}` later too, so nothing changed: remove this");
                diag.error_at(key_span, text);
            }
            let older = Epoch {
                first: since,
                key,
                key_span,
                ty: was.ty.clone().unwrap_or_else(|| epoch.ty.clone()),
                up: function(&was.convert.with, &was.convert.try_with),
                down: function(&was.convert.back, &was.convert.try_back),
            };
            epoch.first = at.number;
            epochs.push(std::mem::replace(&mut epoch, older));
        }
        epochs.push(epoch);
        epochs.reverse();
        let name = name.unraw().to_string();
        Some(Timeline { name, since, before, epochs, changed: Vec::new() })
    }

    /// Checks one `was` and returns its version.
    fn step(&self, was: &Was, since: u16, last: u16, diag: &Diag) -> Option<Version> {
        if let Some(name) = &was.name {
            check_key(name, "a storage key", diag);
        }
        if let Some(ty) = &was.ty {
            owned(ty, diag);
            no_double_option(ty, diag);
        }
        both(&was.convert, diag);
        let converter = was.convert.with.as_ref().or(was.convert.try_with.as_ref());
        match (&was.name, &was.ty, converter) {
            (_, Some(ty), None) if !was.tried.has("with") && !was.tried.has("try_with") => {
                let text = "say how an old value becomes a new one: write `with = path` for a \
                            function of the old type to the new one, or `try_with = path` for one \
                            that returns a `Result`";
                diag.error(ty, text);
            }
            (_, None, Some(converter)) if !was.tried.has("ty") => {
                let text = format!(
                    "`{}` converts from the old type: say which it was, `ty = OldType`",
                    converter.name()
                );
                diag.error(&converter.key, text);
            }
            (None, None, None) if !was.tried.has("name") && !was.tried.has("ty") => {
                let text = "nothing was different: say what was, `name = \"old_key\"` for the \
                            storage key or `ty = OldType, with = path` for the type";
                diag.error_at(was.span, text);
            }
            _ => {}
        }
        let Some(at) = was.before else {
            if !was.tried.has("before") {
                let text = format!(
                    "say in which version this changed: write `was(before = {}, ..)`",
                    self.version
                );
                diag.error_at(was.span, text);
            }
            return None;
        };
        self.change(at, diag);
        if at.number > 1 && at.number <= since {
            let text = format!(
                "the field came in version {since}, so it was nothing before version {}: `before` \
                 must be above `since`",
                at.number
            );
            diag.error_at(at.span, text);
            return None;
        }
        if at.number >= last {
            let text = format!(
                "the field was removed in version {last}, so it changed in a version below that"
            );
            diag.error_at(at.span, text);
            return None;
        }
        Some(at)
    }
}

/// The highest version that is mentioned.
fn highest(container: &Container, fields: &[InputField]) -> u16 {
    let of_fields = fields.iter().flat_map(|field| {
        let was = field.attrs.was.iter().filter_map(|was| was.before);
        was.chain(field.attrs.since)
    });
    let of_removed = container.removed.iter().flat_map(|removed| {
        let was = removed.was.iter().filter_map(|was| was.before);
        was.chain(removed.since).chain(removed.before)
    });
    let of_changed = container.changed.iter().map(|changed| changed.version);
    let of_struct = [container.oldest, container.write, container.compat].into_iter().flatten();
    let all = of_fields.chain(of_removed).chain(of_struct).chain(of_changed);
    all.map(|version| version.number).max().unwrap_or(1)
}

/// Refuses converters that are given both as infallible and as fallible ones.
pub(super) fn both(convert: &Convert, diag: &Diag) {
    for (plain, fallible) in
        [(&convert.with, &convert.try_with), (&convert.back, &convert.try_back)]
    {
        if let (Some(plain), Some(fallible)) = (plain, fallible) {
            let (plain, name) = (plain.name(), fallible.name());
            let text = format!(
                "keep one: `{plain}` for a function that returns the value, `{name}` for one that \
                 returns a `Result`"
            );
            diag.error(&fallible.key, text);
        }
    }
}

pub(super) fn function(
    plain: &Option<Converter>,
    fallible: &Option<Converter>,
) -> Option<Function> {
    let of = |converter: &Option<Converter>, fallible| {
        let path = converter.as_ref()?.path.clone();
        Some(Function { path, fallible })
    };
    of(plain, false).or_else(|| of(fallible, true))
}

/// The storage key that a field has of itself.
fn own_key(ident: &Ident, diag: &Diag) -> String {
    let name = ident.unraw().to_string();
    if !is_key(&name) {
        let text = "a storage key is 1 to 64 bytes of `a` to `z`, `0` to `9` and `_`, which this \
                    name is not: give the field a key of its own, `#[session(key = \"..\")]`";
        diag.error(ident, text);
    }
    name
}

/// How an owner's type is written.
pub(super) fn owner_kind(ty: &Type) -> OwnerKind {
    match option_of(ty) {
        Some(inner) => OwnerKind::Optional(Box::new(inner.clone())),
        None => OwnerKind::Always,
    }
}

/// A session outlives the request, so its fields own what they hold.
fn owned(ty: &Type, diag: &Diag) {
    if has_reference(ty.to_token_stream()) {
        let text = "a session outlives the request, so a field cannot borrow: use an owned type, \
                    such as `String` for `&str` or `Vec<T>` for `&[T]`";
        diag.error(ty, text);
    }
}

pub(super) fn has_reference(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '&',
        TokenTree::Group(group) => has_reference(group.stream()),
        _ => false,
    })
}

fn no_double_option(ty: &Type, diag: &Diag) {
    if let Some(inner) = option_of(ty)
        && option_of(inner).is_some()
    {
        let text = "an `Option` in an `Option` is not read back as it was written, as CBOR cannot \
                    tell `Some(None)` from `None`: use one `Option`, or an enum of your own";
        diag.error(ty, text);
        return;
    }
    if let Some(Type::Tuple(inner)) = option_of(ty)
        && inner.elems.is_empty()
    {
        let text = "an `Option` of `()` is not read back as it was written, as CBOR cannot tell \
                    `Some(())` from `None`: use a `bool`";
        diag.error(ty, text);
        return;
    }
    for inner in arguments(ty) {
        no_double_option(inner, diag);
    }
}

/// The `T` of an `Option<T>`.
pub(super) fn option_of(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Path(path) if path.path.segments.last()?.ident == "Option" => {
            let mut arguments = arguments(ty);
            let only = arguments.next()?;
            arguments.next().is_none().then_some(only)
        }
        Type::Group(group) => option_of(&group.elem),
        Type::Paren(paren) => option_of(&paren.elem),
        _ => None,
    }
}

/// The types that a type is made of.
fn arguments(ty: &Type) -> Box<dyn Iterator<Item = &Type> + '_> {
    match ty {
        Type::Path(path) => match path.path.segments.last().map(|last| &last.arguments) {
            Some(PathArguments::AngleBracketed(angle)) => {
                Box::new(angle.args.iter().filter_map(|argument| match argument {
                    GenericArgument::Type(ty) => Some(ty),
                    _ => None,
                }))
            }
            _ => Box::new(std::iter::empty()),
        },
        Type::Tuple(tuple) => Box::new(tuple.elems.iter()),
        Type::Array(array) => Box::new(std::iter::once(&*array.elem)),
        Type::Group(group) => arguments(&group.elem),
        Type::Paren(paren) => arguments(&paren.elem),
        _ => Box::new(std::iter::empty()),
    }
}

impl Converter {
    /// The key it was given by.
    pub(crate) fn name(&self) -> &'static str {
        ["with", "try_with", "back", "try_back"]
            .into_iter()
            .find(|name| self.key == name)
            .unwrap_or("with")
    }
}
