//! Where sessions are stored: a provider by its URL, and how many records it holds.

mod servers;

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use sessions::MemoryProvider;
use sessions::provider::{Provider, to_unix_millis};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::SqlitePoolOptions;
use sessions_sqlite::sqlx::{self, SqlitePool};

/// A provider, and what there is to say of it.
pub(crate) struct Storage {
    pub(crate) provider: Arc<dyn Provider>,
    /// Its database.
    pub(crate) kind: &'static str,
    /// Its URL without a password.
    pub(crate) url: String,
    counter: Counter,
}

/// A provider, and who counts its records.
struct Opened {
    provider: Arc<dyn Provider>,
    counter: Counter,
}

/// Who can count records. The store needs no such number, so that providers do not count: these ask
/// the database itself.
enum Counter {
    #[cfg(any(feature = "dynamodb", feature = "redis"))]
    Nobody,
    Memory(MemoryProvider),
    Sqlite(SqlitePool),
    #[cfg(feature = "mysql")]
    MySql(sessions_mysql::sqlx::MySqlPool),
    #[cfg(feature = "postgres")]
    Postgres(sessions_postgres::sqlx::PgPool),
}

impl Opened {
    fn new(provider: impl Provider, counter: Counter) -> Self {
        Self { provider: Arc::new(provider), counter }
    }

    #[cfg(any(feature = "dynamodb", feature = "redis"))]
    fn uncounted(provider: impl Provider) -> Self {
        Self::new(provider, Counter::Nobody)
    }
}

impl Storage {
    /// Opens what a URL names, and creates what it lacks.
    pub(crate) async fn open(url: &str) -> Result<Self, Box<dyn Error>> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let (kind, opened) = match scheme {
            "memory" => {
                let provider = MemoryProvider::new();
                ("Memory", Opened::new(provider.clone(), Counter::Memory(provider)))
            }
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let provider = SqliteProvider::open(path).await?;
                let pool = SqlitePoolOptions::new()
                    .max_connections(1)
                    .connect_lazy_with(SqliteProvider::options(path));
                ("SQLite", Opened::new(provider, Counter::Sqlite(pool)))
            }
            _ => match servers::by_scheme(scheme) {
                Some(server) => (server.name, servers::open(server, url).await?),
                None => {
                    let error = format!("\"{url}\" is no place for sessions, --help names some");
                    return Err(error.into());
                }
            },
        };
        let Opened { provider, counter } = opened;
        Ok(Self { provider, kind, url: without_password(url), counter })
    }

    /// How many live records there are of each format: of each schema version, that is. `None` if
    /// nobody counts them.
    pub(crate) async fn count(&self) -> Result<Option<Vec<(String, u64)>>, sqlx::Error> {
        let now = i64::try_from(to_unix_millis(SystemTime::now())).unwrap_or(i64::MAX);
        let rows: Vec<(String, i64)> = match &self.counter {
            #[cfg(any(feature = "dynamodb", feature = "redis"))]
            Counter::Nobody => return Ok(None),
            // All of them, those that have expired but are not swept yet included.
            Counter::Memory(provider) => {
                return Ok(Some(vec![("of any format".to_owned(), provider.len() as u64)]));
            }
            Counter::Sqlite(pool) => {
                let sql = "SELECT format, count(*) FROM sessions \
                           WHERE expires_at IS NULL OR expires_at > ? \
                           GROUP BY format ORDER BY format";
                sqlx::query_as(sql).bind(now).fetch_all(pool).await?
            }
            #[cfg(feature = "mysql")]
            Counter::MySql(pool) => {
                let sql = "SELECT CONVERT(format USING utf8mb4), count(*) FROM sessions \
                           WHERE expires_at IS NULL OR expires_at > ? \
                           GROUP BY format ORDER BY format";
                sqlx::query_as(sql).bind(now).fetch_all(pool).await?
            }
            #[cfg(feature = "postgres")]
            Counter::Postgres(pool) => {
                let sql = "SELECT format, count(*) FROM sessions \
                           WHERE expires_at IS NULL OR expires_at > $1 \
                           GROUP BY format ORDER BY format";
                sqlx::query_as(sql).bind(now).fetch_all(pool).await?
            }
        };
        Ok(Some(rows.into_iter().map(|(format, n)| (format, n.unsigned_abs())).collect()))
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
