//! Where sessions are stored: a provider by its URL.

mod servers;

use std::error::Error;
use std::sync::Arc;

use sessions::MemoryProvider;
use sessions::provider::Provider;
use sessions_sqlite::SqliteProvider;

/// A provider, and what there is to say of it.
pub(crate) struct Storage {
    pub(crate) provider: Arc<dyn Provider>,
    /// Its database.
    pub(crate) kind: &'static str,
    /// Its URL without a password.
    pub(crate) url: String,
}

impl Storage {
    /// Opens what a URL names, and creates what it lacks.
    pub(crate) async fn open(url: &str) -> Result<Self, Box<dyn Error>> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let (kind, provider) = match scheme {
            "memory" => ("Memory", Arc::new(MemoryProvider::new()) as Arc<dyn Provider>),
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                ("SQLite", Arc::new(SqliteProvider::open(path).await?) as _)
            }
            _ => match servers::by_scheme(scheme) {
                Some(server) => (server.name, servers::open(server, url).await?),
                None => {
                    let error = format!("\"{url}\" is no place for sessions, --help names some");
                    return Err(error.into());
                }
            },
        };
        Ok(Self { provider, kind, url: without_password(url) })
    }
}

/// A URL as it may be shown.
fn without_password(url: &str) -> String {
    // Parameters may hold one too.
    let url = url.split('?').next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let cases = [
            ("sqlite:shop.db", "sqlite:shop.db"),
            ("memory:", "memory:"),
            (
                "postgres://shop:secret@db.internal/shop?sslmode=require",
                "postgres://db.internal/shop",
            ),
            ("redis://:p@ss@localhost:6379/1", "redis://localhost:6379/1"),
            ("postgres://localhost/shop?user=shop&password=secret", "postgres://localhost/shop"),
        ];
        for (url, shown) in cases {
            assert_eq!(without_password(url), shown);
        }
    }
}
