//! The derive macro of the `sessions` crate, which re-exports and documents it.

use proc_macro::TokenStream;

/// Implements `sessions::SessionData` for a struct with named fields.
#[proc_macro_derive(Session, attributes(session))]
pub fn derive_session(_input: TokenStream) -> TokenStream {
    TokenStream::new()
}
