//! Collecting mistakes, so that several are reported at once, and guessing what was meant.

use std::cell::RefCell;
use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::Error;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Diag(RefCell<Vec<Error>>);

impl Diag {
    /// Reports a mistake under all of `tokens`.
    pub(crate) fn error(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(Error::new_spanned(tokens, message));
    }

    /// Reports a mistake at a span.
    pub(crate) fn error_at(&self, span: Span, message: impl Display) {
        self.push(Error::new(span, message));
    }

    pub(crate) fn push(&self, error: Error) {
        self.0.borrow_mut().push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of them as `compile_error!` calls.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.into_inner().iter().map(Error::to_compile_error).collect()
    }
}

/// The one of `known` that `unknown` was probably meant to be.
pub(crate) fn closest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(unknown, known), known));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(score, _)| *score > 0.75).map(|(_, known)| known)
}

/// ", did you mean `x`?" where one of `known` is close to `unknown`; else empty.
pub(crate) fn did_you_mean<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(unknown, known).map_or_else(String::new, |known| format!(", did you mean `{known}`?"))
}

/// "`a`, `b` and `c`".
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("`{item}`")).collect();
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised_and_others_are_not() {
        let known = ["since", "default", "owner"];
        assert_eq!(did_you_mean("sinse", known), ", did you mean `since`?");
        assert_eq!(did_you_mean("defualt", known), ", did you mean `default`?");
        assert_eq!(did_you_mean("xyz", known), "");
    }

    #[test]
    fn lists_read_as_prose() {
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
