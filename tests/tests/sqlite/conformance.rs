//! `SqliteProvider` keeps the contract of a provider: two instances on one file, in each of the
//! ways to open it.

#![allow(clippy::unwrap_used)]

use sessions::provider::conformance::Subject;
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::SqlitePoolOptions;

/// As a service opens it.
mod opened {
    use super::*;

    async fn subject() -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let provider = SqliteProvider::open(&path).await.unwrap();
        let twin = SqliteProvider::open(&path).await.unwrap();
        Subject::new(provider).with_twin(twin).keep(folder)
    }

    sessions::provider::conformance::suite!(subject);
}

/// Each instance on a pool of the user's own, one of them with a single connection.
mod pools {
    use super::*;

    async fn instance(path: &std::path::Path, connections: u32) -> SqliteProvider {
        let pool = SqlitePoolOptions::new().max_connections(connections);
        let pool = pool.connect_with(SqliteProvider::options(path)).await.unwrap();
        let provider = SqliteProvider::new(pool).table("visitors").unwrap();
        provider.create_table().await.unwrap();
        provider
    }

    async fn subject() -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let (provider, twin) = (instance(&path, 1).await, instance(&path, 4).await);
        Subject::new(provider).with_twin(twin).keep(folder)
    }

    sessions::provider::conformance::suite!(subject);
}
