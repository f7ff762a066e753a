//! The derive macro of `sessionful`, whose library `sessions` re-exports and documents it.

mod diag;
mod expand;
mod model;
mod parse;
#[cfg(test)]
mod snapshots;
mod validate;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

use crate::diag::Diag;

// Documented where `sessions` exports it: examples need that crate.
#[allow(missing_docs)]
#[proc_macro_derive(Session, attributes(session))]
pub fn derive_session(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).into()
}

fn derive(input: &DeriveInput) -> proc_macro2::TokenStream {
    let diag = Diag::default();
    let parsed = parse::parse(input, &diag);
    let root = parsed.as_ref().and_then(|parsed| parsed.container.root.clone());
    let owner = parsed.as_ref().and_then(validate::owner_type);
    let model = parsed.and_then(|parsed| validate::validate(parsed, &input.generics, &diag));
    match model {
        Some(model) if diag.is_empty() => expand::expand(&model),
        _ => {
            let root = root.map_or_else(|| quote!(::sessions), |root| quote!(#root));
            let stub = expand::stub(&input.ident, &input.generics, &root, owner.as_ref());
            let errors = diag.into_tokens();
            quote!(#errors #stub)
        }
    }
}
