//! What people know from serde and write here: what to write instead.

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Field, Ident, LitStr, Path, Token};

use super::FieldAttrs;
use crate::diag::Diag;

/// Refuses serde's attributes on a session's own field: each field is stored by itself, so that they
/// would have no effect, in silence. One whose counterpart is given here too is another struct's
/// business: this one is serialized elsewhere.
pub(super) fn serde(field: &Field, attrs: &FieldAttrs, diag: &Diag) {
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        let Ok(list) = attr.meta.require_list() else { continue };
        for key in keys(list.tokens.clone()) {
            let name = key.to_string();
            let is_said = attrs.skip.is_some()
                || name.starts_with("rename") && attrs.key.is_some()
                || name == "default" && attrs.default.is_some();
            if is_said {
                continue;
            }
            let text = format!(
                "`#[serde({name})]` has no effect on what a session stores of its own fields: {}; \
                 if this struct is serialized elsewhere as well, make a struct of its own for that",
                serde_instead(&name)
            );
            diag.error(key, text);
        }
    }
}

/// What to write for an attribute of serde.
fn serde_instead(name: &str) -> &'static str {
    match name {
        "skip" | "skip_serializing" | "skip_deserializing" => {
            "write `#[session(skip)]` for a field that is not stored"
        }
        "rename" => "write `#[session(key = \"..\")]` for its key in the record",
        "alias" => "write `#[session(was(before = 2, name = \"..\"))]` for a key of older versions",
        "default" => {
            "write `#[session(default = ..)]` for its value in a fresh session, and `since = 2` \
             for a field that older records do not have"
        }
        "skip_serializing_if" => "remove it, each field is always stored",
        "flatten" => "remove it, or put its fields into the session",
        "with" | "serialize_with" | "deserialize_with" | "getter" => {
            "put the attribute on the field of a newtype, and the newtype here"
        }
        _ => "remove it, or put it on the type of the field",
    }
}

/// What to write for a word of serde in `#[session(..)]` on a field.
pub(super) fn word(name: &str) -> Option<&'static str> {
    Some(match name {
        "rename" => {
            "write `key = \"..\"` for the key in the record, or `was(before = 2, name = \"..\")` \
             for the key that older records have"
        }
        "alias" => "write `was(before = 2, name = \"..\")` for the key that older records have",
        "skip_serializing" | "skip_deserializing" | "transient" | "ignore" => {
            "write `skip` for a field that is not stored"
        }
        "skip_serializing_if" => "each field is always stored, remove it",
        "serialize_with" | "deserialize_with" | "flatten" => {
            "a field is stored as its type's serde code has it: put this into the type, or into a \
             newtype around it"
        }
        "optional" | "required" | "nullable" => "write the type as `Option<..>`",
        "type" => "write `was(before = 2, ty = OldType, with = path)` for the type it had",
        "removed_in" | "until" => {
            "take the field out of the struct and write `removed(field: Type, before = 2)` above it"
        }
        "added" | "added_in" | "from_version" => "write `since = 2` for the version that added it",
        "id" | "user" | "user_id" => "write `owner` on the field that says whose session it is",
        _ => return None,
    })
}

/// The path of a function, `key` names what it is for.
pub(super) fn function(key: &Ident, input: ParseStream<'_>) -> syn::Result<Path> {
    let start = input.span();
    if input.peek(Token![|]) || input.peek(Token![||]) || input.peek(Token![move]) {
        let text = format!(
            "`{key}` takes the path of a function: make this closure a `fn`, and write \
             `{key} = its_name`"
        );
        // All of it: its commas would look like those between settings.
        let _ = input.parse::<syn::ExprClosure>();
        return Err(syn::Error::new(start, text));
    }
    if let Ok(quoted) = input.fork().parse::<LitStr>() {
        let path = quoted.value();
        let text = format!("`{key}` takes a path without quotes: write `{key} = {path}`");
        return Err(syn::Error::new(start, text));
    }
    let path = Path::parse(input)?;
    if input.peek(syn::token::Paren) {
        let text = "write the path of the function alone, without calling it";
        return Err(syn::Error::new(path.span(), text));
    }
    Ok(path)
}

/// The first word of each item of a list.
fn keys(tokens: TokenStream) -> Vec<Ident> {
    let mut keys = Vec::new();
    let mut is_first = true;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if is_first => keys.push(ident),
            TokenTree::Punct(punct) if punct.as_char() == ',' => {
                is_first = true;
                continue;
            }
            _ => {}
        }
        is_first = false;
    }
    keys
}
