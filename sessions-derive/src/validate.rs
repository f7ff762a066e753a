//! What the attributes mean together, and every mistake that can be seen without the types.

mod from;
mod history;
mod key;
mod line;
mod merge;

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Generics, LitStr, Type};

use self::from::Sources;
use self::key::check_key;
use self::line::Versions;
use crate::diag::Diag;
use crate::model::{Field, Model, OWNER_GROUP, Removed, Stored, Timeline, type_text};
use crate::parse::{self, Container, FieldAttrs, Input, InputField};

/// Checks everything and reports every mistake there is. What it returns is meant for `expand` only
/// if there was none.
pub(crate) fn validate(input: Input, generics: &Generics, diag: &Diag) -> Option<Model> {
    let Input { ident, mut container, fields } = input;
    if !generics.params.is_empty() {
        diag.error(
            generics,
            "a session type has no parameters, as it is stored and read back as it stands: use \
             owned, concrete types",
        );
    }
    let name = required(&ident, &container, diag);
    let versions = Versions::new(&container, &fields, diag);
    let groups = merge::groups(&container, &fields, diag);
    let default_merge = merge::container_default(&container, diag);
    let removed = container.removed.drain(..);
    let removed = removed.filter_map(|removed| Some((versions.removed(&removed, diag)?, removed)));
    let removed: Vec<_> = removed.map(|(line, removed)| (removed, line)).collect();
    one_owner(&fields, diag);
    for field in fields.iter().filter(|field| field.attrs.owner.is_some()) {
        owner_group(field, diag);
        owner_stays(field, diag);
        owner_since(field, &removed, diag);
        owner_inside(field, &container, diag);
    }
    let lines = fields.iter().map(|field| match field.attrs.skip {
        Some(_) => {
            skipped_alone(&field.attrs, diag);
            None
        }
        None => versions.field(field, diag),
    });
    let mut lines: Vec<_> = lines.collect();
    let mut removed = removed;
    {
        let living = lines.iter_mut().flatten();
        let mut all: Vec<_> = living.chain(removed.iter_mut().map(|(_, line)| line)).collect();
        history::changed(&versions, &container, &mut all, diag);
    }
    let sources =
        Sources { versions: &versions, fields: &fields, lines: &lines, removed: &removed };
    let froms: Vec<_> = fields.iter().map(|field| sources.of_field(field, diag)).collect();
    let past: Vec<_> =
        removed.iter().map(|(removed, _)| sources.of_removed(removed, diag)).collect();
    let removed = removed.into_iter().zip(past).map(|((removed, line), from)| Removed {
        line,
        default: removed.default,
        from,
    });

    let fields = fields.into_iter().zip(lines).zip(froms).map(|((field, line), from)| {
        let merge = merge::policy(&field, default_merge, diag);
        let owner = field.attrs.owner.map(|_| line::owner_kind(&field.ty));
        let group = match &field.attrs.group {
            Some(group) => groups.iter().position(|known| known.name == group.value()),
            None => owner.as_ref().map(|_| OWNER_GROUP),
        };
        let InputField { ident, ty, attrs: FieldAttrs { default, ordered, .. } } = field;
        let ordered = ordered.is_some();
        let stored = line.map(|line| Stored { line, default, from, owner, group, merge, ordered });
        Field { ident, ty, stored }
    });
    let model = Model {
        ident,
        fields: fields.collect(),
        removed: removed.collect(),
        groups,
        name: name?,
        version: versions.version,
        oldest: versions.oldest,
        write: versions.write,
        root: container.root.clone().unwrap_or_else(|| syn::parse_quote!(::sessions)),
    };
    history::keys(&model, diag);
    history::compat(&model, &container, diag);
    history::inverses(&model, &container, diag);
    // Anything that is wrong may well be the missing change.
    if diag.is_empty() {
        history::every_version_changed(&model, &container, diag);
    }
    Some(model)
}

/// The name, where it is there and fit for a cookie's name.
fn required(ident: &Ident, container: &Container, diag: &Diag) -> Option<String> {
    let name = suggested_name(ident);
    let tried = |key| container.tried.has(key);
    match (tried("name"), tried("version")) {
        (false, false) => {
            let text = format!(
                "a session needs a name and a version: write `#[session(name = \"{name}\", \
                 version = 1)]` above the struct"
            );
            diag.error(ident, text);
        }
        (false, true) => {
            let text = format!(
                "a session needs a name, which its cookie and its records bear: write \
                 `#[session(name = \"{name}\")]` above the struct"
            );
            diag.error(ident, text);
        }
        (true, false) => {
            let text = "a session needs a version: write `#[session(version = 1)]` above the \
                        struct, and raise it with each change of the fields";
            diag.error(ident, text);
        }
        (true, true) => {}
    }
    container.name.as_ref().map(|name| {
        check_key(name, "the name of a session", diag);
        name.value()
    })
}

/// `UserSession` -> `user_session`.
fn suggested_name(ident: &Ident) -> String {
    let mut name = String::new();
    for letter in ident.unraw().to_string().chars().filter(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn one_owner(fields: &[InputField], diag: &Diag) {
    let mut owners = fields.iter().filter_map(|field| Some((field, field.attrs.owner?)));
    let Some((first, _)) = owners.next() else { return };
    for (_, span) in owners {
        let text = format!(
            "a session has one owner, and `{}` is it already: put this field into its group, \
             `group = \"owner\"`, or remove one of the two",
            first.ident
        );
        diag.error_at(span, text);
    }
}

/// The group of the owner is what a login replaces as a whole.
fn owner_group(field: &InputField, diag: &Diag) {
    let Some(group) = field.attrs.group.as_ref().filter(|group| group.value() != "owner") else {
        return;
    };
    let text = format!(
        "the owner is in the group `owner`, which a login replaces as a whole: remove this, and write \
         `group = \"owner\"` above the fields that belong to `{}`",
        field.ident
    );
    diag.error(group, text);
}

/// The owner's text files the session: nobody would refile the records that an older build filed
/// under another.
fn owner_stays(field: &InputField, diag: &Diag) {
    let FieldAttrs { was, from, .. } = &field.attrs;
    let name = &field.ident;
    let retyped = was.iter().filter(|was| was.ty.is_some()).map(|was| was.span);
    for span in retyped.chain(from.as_ref().map(|from| from.span)) {
        let text = format!(
            "the owner's text is what a session is filed under, so the owner cannot be converted: \
             `list` and `revoke_all` would not find the sessions of older builds under the new \
             text; keep `{name}` as it was and add a field beside it for the new value, or give \
             this session another `name`, which logs everybody out"
        );
        diag.error_at(span, text);
    }
}

/// Records from before the owner field are filed under nobody, so that is what it must say of them;
/// where another field of its type goes in the same version, they may well be filed under that one.
fn owner_since(field: &InputField, removed: &[(parse::Removed, Timeline)], diag: &Diag) {
    let FieldAttrs { since: Some(since), default, from: None, .. } = &field.attrs else { return };
    let (name, optional) = (&field.ident, line::option_of(&field.ty));
    let inner = |ty: &Type| type_text(line::option_of(ty).unwrap_or(ty));
    let moved = removed.iter().find(|(removed, _)| {
        let goes = removed.before.is_some_and(|before| before.number == since.number);
        goes && inner(&removed.ty) == inner(&field.ty)
    });
    let text = if let Some((moved, _)) = moved {
        format!(
            "version {} takes away `{1}`, a field of the owner's type, and makes `{name}` the owner: \
             if `{1}` was the owner, no list and no `revoke_all` would find its sessions; rename the \
             field and keep its key, `#[session(owner, key = \"{1}\")]`, or remove `{1}` in a version \
             before this one",
            since.number, moved.name
        )
    } else if optional.is_none() || default.is_some() {
        format!(
            "records from before version {} are filed under nobody, so that is what the owner must be \
             in them: write `{name}: Option<{}>`, without a `default`",
            since.number,
            inner(&field.ty)
        )
    } else {
        return;
    };
    diag.error_at(since.span, text);
}

/// A type that changed inside may display otherwise.
fn owner_inside(field: &InputField, container: &Container, diag: &Diag) {
    let changed = container.changed.iter().find(|changed| changed.field == field.ident);
    if let Some(changed) = changed {
        let text = format!(
            "`{0}` is the owner, whose text a session is filed under, and which must not change: keep \
             its type as it was, or write `unchanged({1})` if its text and its bytes stay the same",
            field.ident, changed.version.number
        );
        diag.error(&changed.field, text);
    }
}

/// The type that names the owner, so that a struct with mistakes has the same; not where it would be
/// a mistake of its own.
pub(crate) fn owner_type(input: &Input) -> Option<Type> {
    let mut owners = input.fields.iter().filter(|field| field.attrs.owner.is_some());
    let ty = owners.next().map(|field| line::option_of(&field.ty).unwrap_or(&field.ty))?;
    (!line::has_reference(ty.to_token_stream())).then(|| ty.clone())
}

/// `skip` means that there is nothing else to say about the field.
fn skipped_alone(attrs: &FieldAttrs, diag: &Diag) {
    let FieldAttrs {
        key,
        since,
        default,
        was,
        from,
        convert,
        skip: _,
        owner,
        group,
        merge,
        ordered,
    } = attrs;
    let others: [(&str, Option<Span>); 9] = [
        ("ordered", *ordered),
        ("key", key.as_ref().map(LitStr::span)),
        ("since", since.map(|since| since.span)),
        ("default", default.as_ref().map(syn::spanned::Spanned::span)),
        ("was", was.first().map(|was| was.span)),
        ("from", from.as_ref().map(|from| from.span)),
        ("owner", *owner),
        ("group", group.as_ref().map(LitStr::span)),
        ("merge", merge.as_ref().map(crate::parse::Merge::span)),
    ];
    let converters = convert.all().map(|converter| (converter.name(), Some(converter.key.span())));
    for (name, span) in others.into_iter().chain(converters) {
        let Some(span) = span else { continue };
        let text = match name {
            "default" => "a skipped field takes its type's `Default`: remove `default`".to_owned(),
            _ => format!("a skipped field is never stored: remove `{name}`, or remove `skip`"),
        };
        diag.error_at(span, text);
    }
}
