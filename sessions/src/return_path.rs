//! The path that a visitor comes back to after a login: sealed, and never on another site.

use crate::codec::Purpose;
use crate::error::Error;
use crate::store::Store;
use crate::store::core::Core;

impl Store {
    /// Seals the path and query that a visitor comes back to after a login, for a link or a form.
    /// The text has only letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a path that does not stay on this site, or of more than 1024 bytes.
    /// [`Error::Unavailable`] if there is no key yet and the provider is down.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let next = store.seal_return_path("/account?tab=keys").await?;
    /// assert_eq!(store.open_return_path(&next).await?, "/account?tab=keys");
    /// assert!(store.seal_return_path("//example.org/").await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn seal_return_path(&self, path: &str) -> Result<String, Error> {
        self.core().seal_return_path(path).await
    }

    /// Opens what [`seal_return_path`](Self::seal_return_path) sealed. Nobody else can make such a
    /// text, so a link cannot send a visitor to another site after their login.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] if it is not such a text: use the app's own start page.
    /// [`Error::Unavailable`] if its key cannot be had now.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// assert!(store.open_return_path("https://example.org/").await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn open_return_path(&self, sealed: &str) -> Result<String, Error> {
        let path = self.codec().open(&purpose(), sealed).await?;
        String::from_utf8(path).ok().filter(|path| is_local(path)).ok_or(Error::InvalidToken)
    }
}

impl Core {
    pub(crate) async fn seal_return_path(&self, path: &str) -> Result<String, Error> {
        if !is_local(path) {
            return Err(Error::misuse(
                "a return path is a path of this site, at most 1024 bytes long, such as \
                 `/account?tab=keys`",
            ));
        }
        self.codec.seal(&purpose(), path.as_bytes()).await
    }
}

fn purpose() -> Purpose {
    Purpose::return_path()
}

/// Whether a browser stays on the site if it is sent there. Browsers read `\` as `/`, and skip tabs
/// and line breaks (the URL standard, section 4.4).
pub(crate) fn is_local(path: &str) -> bool {
    let plain = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'\\';
    path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= LONGEST
        && path.bytes().all(plain)
}

/// The longest return path, in bytes. With it, a link is about 1500 characters long.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_site_is_local() {
        let longest = format!("/{}", "a".repeat(1023));
        for path in ["/", "/a", "/a/b?c=d&e=https://x#f", "/@x", "/a//b", &longest] {
            assert!(is_local(path), "{path}");
        }
        let longer = format!("{longest}a");
        for path in [
            "",
            "a",
            "//example.org",
            "///example.org",
            "/\\example.org",
            "\\\\example.org",
            "/\t/example.org",
            "/\n/example.org",
            "/a b",
            " /a",
            "https://example.org",
            "javascript:alert(1)",
            "/ü",
            &longer,
        ] {
            assert!(!is_local(path), "{path}");
        }
    }
}
