//! Lists of settings: `key = value`, `key(..)` and `key`, separated by commas.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Ident, Lit, LitStr, Meta, Token};

use crate::diag::{Diag, did_you_mean, list};

/// Calls `item` for each `key ..` of each `#[session(..)]`.
pub(super) fn each_attribute(
    attrs: &[Attribute],
    diag: &Diag,
    item: &mut dyn FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("session")) {
        match &attr.meta {
            Meta::List(_) => {
                let parsed = attr.parse_args_with(|input: ParseStream<'_>| {
                    each_item(input, diag, item);
                    Ok(())
                });
                if let Err(error) = parsed {
                    diag.push(error);
                }
            }
            meta => diag.error(meta, "write `#[session(..)]`, with the settings in parentheses"),
        }
    }
}

/// Calls `item` for each `key ..` of a comma-separated list. After a mistake the rest of that item
/// is passed over, so that the next one is looked at too.
pub(super) fn each_item(
    input: ParseStream<'_>,
    diag: &Diag,
    item: &mut dyn FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    while !input.is_empty() {
        let parsed = input.call(Ident::parse_any).and_then(|key| item(&key, input));
        let parsed = parsed.and_then(|()| match input.is_empty() || input.peek(Token![,]) {
            true => Ok(()),
            false => Err(input.error("expected `,` before the next setting")),
        });
        if let Err(error) = parsed {
            diag.push(error);
            while !input.is_empty() && !input.peek(Token![,]) {
                if input.parse::<TokenTree>().is_err() {
                    return;
                }
            }
        }
        // Either the end or a comma is next.
        if input.parse::<Token![,]>().is_err() {
            return;
        }
    }
}

pub(super) fn once<T>(slot: &mut Option<T>, key: &Ident, value: T, diag: &Diag) {
    if slot.is_some() {
        diag.error(key, format!("`{key}` is given twice: keep one"));
    } else {
        *slot = Some(value);
    }
}

pub(super) fn unknown(key: &Ident, name: &str, place: &str, known: &[&str]) -> syn::Error {
    let guess = did_you_mean(name, known.iter().copied());
    let rest = if guess.is_empty() { format!("; known are {}", list(known)) } else { guess };
    syn::Error::new(key.span(), format!("`{name}` is not known {place}{rest}"))
}

pub(super) fn equals(key: &Ident, input: ParseStream<'_>, example: &str) -> syn::Result<()> {
    if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        return Ok(());
    }
    Err(syn::Error::new(key.span(), format!("`{key}` needs a value: write `{example}`")))
}

pub(super) fn value<T: Parse>(key: &Ident, input: ParseStream<'_>) -> syn::Result<T> {
    equals(key, input, &format!("{key} = 1"))?;
    input.parse()
}

pub(super) fn string(key: &Ident, input: ParseStream<'_>) -> syn::Result<LitStr> {
    equals(key, input, &format!("{key} = \"..\""))?;
    match input.parse::<Lit>() {
        Ok(Lit::Str(lit)) => Ok(lit),
        Ok(lit) => Err(syn::Error::new(
            lit.span(),
            format!("`{key}` is a string: write `{key} = \"..\"`, with quotes"),
        )),
        Err(error) => Err(syn::Error::new(
            error.span(),
            format!("`{key}` is a string: write `{key} = \"..\"`, with quotes"),
        )),
    }
}

pub(super) fn flag(key: &Ident, input: ParseStream<'_>) -> syn::Result<Span> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(key.span());
    }
    Err(syn::Error::new(key.span(), format!("`{key}` takes no value: write `{key}` alone")))
}

/// Reads what stands in parentheses behind `key`, all of it also after a mistake.
pub(super) fn parenthesized<T>(
    key: &Ident,
    input: ParseStream<'_>,
    example: &str,
    parse: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<T> {
    if !input.peek(syn::token::Paren) {
        let text = format!("`{key}` needs parentheses: write `{example}`");
        return Err(syn::Error::new(key.span(), text));
    }
    let content;
    syn::parenthesized!(content in input);
    let parsed = parse(&content).and_then(|parsed| match content.is_empty() {
        true => Ok(parsed),
        false => Err(content.error(format!("not expected here: write `{example}`"))),
    });
    if parsed.is_err() {
        // Tokens left behind would be reported as a second mistake.
        let _ = content.parse::<TokenStream>();
    }
    parsed
}

/// The comma in front of further settings, if there are any.
pub(super) fn rest(content: ParseStream<'_>) -> syn::Result<()> {
    if content.is_empty() { Ok(()) } else { content.parse::<Token![,]>().map(drop) }
}
