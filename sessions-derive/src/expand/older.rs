//! The way back: writing fields as an older version had them, where `write` asks for it.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::Type;

use super::{call, default_value, source_of, value_name, version_of};
use crate::model::{From, Model, Source, Stored, Timeline};

/// The function that writes an older version, if there is one to write.
pub(super) fn downgrade(model: &Model) -> TokenStream {
    if model.write == model.version {
        return quote!(::core::option::Option::None);
    }
    let living = model.stored().enumerate();
    let living = living.map(|(index, (_, stored))| write_living(model, stored, index));
    let living: TokenStream = living.collect();
    let past = model.removed.iter().enumerate();
    let past = past.filter(|(index, _)| !model.is_made_back(Source::Removed(*index)));
    let past = past.map(|(_, removed)| {
        let default = default_value(&removed.line, removed.default.is_some());
        write_past(model, &removed.line, &default)
    });
    let past: TokenStream = past.collect();
    let code = quote!(#living #past);
    let version = version_of("__older", &code);
    quote! {
        ::core::option::Option::Some(|__older| {
            #version
            #code
            ::core::result::Result::Ok(())
        })
    }
}

/// Writes a living field; at versions that do not have it, what it was made from, or else itself as
/// it first was.
fn write_living(model: &Model, stored: &Stored, index: usize) -> TokenStream {
    let line = &stored.line;
    let (name, since) = (&line.name, line.since);
    let last = line.epochs.len() - 1;
    let write = |at: usize| {
        let key = &line.epochs[at].key;
        if line.epochs[at..].iter().all(|epoch| epoch.down.is_none()) {
            return quote!(__older.copy(#index, #key););
        }
        let newest = value_name(line, last);
        let old = convert_back(line, at, quote!(__older.get(&#newest, #index)?));
        let value = value_name(line, at);
        quote!(__older.put(&#value, #name, #key, &#old)?;)
    };
    let newer = write_epochs(model, line, write);
    if since <= model.write {
        return newer;
    }
    let before = if model.is_taken_apart(stored) {
        write_sources(model, stored, index)
    } else {
        // Builds of the older version carry it on without knowing it.
        write(0)
    };
    quote!(if __version >= #since { #newer } else { #before })
}

/// Writes a field of the past at the versions that have it.
fn write_past(model: &Model, line: &Timeline, value: &TokenStream) -> TokenStream {
    let (name, since) = (&line.name, line.since);
    let Some(before) = line.before.filter(|before| *before > model.write) else {
        return TokenStream::new();
    };
    let write = write_epochs(model, line, |at| {
        let key = &line.epochs[at].key;
        let old = convert_back(line, at, value.clone());
        let value = value_name(line, at);
        quote!(__older.put(&#value, #name, #key, &#old)?;)
    });
    if since <= model.write {
        quote!(if __version < #before { #write })
    } else {
        quote!(if (#since..#before).contains(&__version) { #write })
    }
}

/// Writes the fields of the past that a living one was made from.
fn write_sources(model: &Model, stored: &Stored, index: usize) -> TokenStream {
    let Some(From { sources, down: Some(down), .. }) = &stored.from else {
        return TokenStream::new();
    };
    let line = &stored.line;
    let until = line.since - 1;
    let newest = value_name(line, line.epochs.len() - 1);
    let value = convert_back(line, 0, quote!(__older.get(&#newest, #index)?));
    let lines = sources.iter().map(|source| (*source, source_of(model, *source).0));
    let lines: Vec<(Source, &Timeline)> = lines.collect();
    let names = (0..lines.len()).map(|at| format_ident!("__source_{at}"));
    let names: Vec<Ident> = names.collect();
    let types = lines.iter().map(|(_, line)| &line.at(until).ty);
    let (pattern, ty): (TokenStream, Type) = match lines.as_slice() {
        [_] => (quote!(#(#names)*), syn::parse_quote!(#(#types)*)),
        _ => (quote!((#(#names),*)), syn::parse_quote!((#(#types),*))),
    };
    let made = call("__older", down, &line.name, &[(&line.epochs[0].ty, value)], &ty);
    let writes = lines.iter().zip(&names).map(|((source, line), name)| {
        // A source that lives on is written by itself.
        match model.is_made_back(*source) {
            true => write_past(model, line, &quote!(#name)),
            false => quote!(let _ = #name;),
        }
    });
    quote! {
        let #pattern = #made;
        #(#writes)*
    }
}

/// One piece of code for each epoch that may be written.
fn write_epochs(
    model: &Model,
    line: &Timeline,
    write: impl Fn(usize) -> TokenStream,
) -> TokenStream {
    let oldest = line.epochs.iter().rposition(|epoch| epoch.first <= model.write).unwrap_or(0);
    let mut code = write(oldest);
    for at in oldest + 1..line.epochs.len() {
        let (first, newer) = (line.epochs[at].first, write(at));
        code = quote!(if __version >= #first { #newer } else { #code });
    }
    code
}

/// Converts a value of the newest type back to that of the epoch `at`.
fn convert_back(line: &Timeline, at: usize, newest: TokenStream) -> TokenStream {
    let mut value = newest;
    for pair in line.epochs[at..].windows(2).rev() {
        if let Some(function) = &pair[0].down {
            let argument = [(&pair[1].ty, value)];
            value = call("__older", function, &line.name, &argument, &pair[0].ty);
        }
    }
    value
}
