//! The conformance suite on MariaDB: two instances on one table, with connections of the provider's
//! own, over pools of a user's, and on a server with unusual settings; and the versions of a record
//! are each won once.

use std::sync::{Arc, OnceLock};

use sessions::provider::conformance::{Subject, suite};
use sessions_mysql::MySqlProvider;
use sessions_tests::mysql::{Database, MySql};
use sessions_tests::racing::{Bytes, race};

use crate::{PATIENCE, options, own, pooled, pooled_after, with_table};

async fn subject(one: MySqlProvider, two: MySqlProvider) -> Subject {
    one.create_table().await.unwrap();
    Subject::new(one).with_twin(two).without_changes()
}

mod own_connections {
    use super::*;

    suite!(async || {
        let database = Database::create();
        let one = MySqlProvider::connect(database.url()).await.unwrap().timeout(PATIENCE);
        subject(one, own(database.url(), 3)).await.keep(database)
    });
}

mod a_users_pool {
    use super::*;

    suite!(async || {
        let database = Database::create();
        subject(pooled(database.url(), 10), pooled(database.url(), 3)).await.keep(database)
    });
}

mod a_pool_of_one_connection {
    use super::*;

    suite!(async || {
        let database = Database::create();
        subject(pooled(database.url(), 1), pooled(database.url(), 1)).await.keep(database)
    });
}

/// The provider changes what could matter of these for its own connections.
mod a_server_with_unusual_settings {
    use super::*;

    fn database() -> Database {
        static SERVER: OnceLock<MySql> = OnceLock::new();
        let server = SERVER.get_or_init(|| {
            MySql::start(&[
                "autocommit=0",
                "sql-mode=ANSI,NO_BACKSLASH_ESCAPES,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,\
                 PAD_CHAR_TO_FULL_LENGTH",
                "transaction-isolation=SERIALIZABLE",
                "character-set-server=latin1",
                "default-time-zone=+05:45",
                "default-storage-engine=Aria",
                "innodb-default-row-format=compact",
                "completion-type=CHAIN",
            ])
        });
        Database::create_on(&server.url())
    }

    suite!(async || {
        let database = database();
        let pool = pooled_after(
            options(database.url()),
            "SET autocommit = 1, sql_mode = 'TRADITIONAL,ANSI', completion_type = NO_CHAIN",
        );
        subject(own(database.url(), 8), pool).await.keep(database)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_race_over_own_connections() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let database = Database::create();
        let one = with_table(own(database.url(), 16)).await;
        let two = own(database.url(), 16);
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_race_over_pools() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let database = Database::create();
        let one = with_table(pooled(database.url(), 16)).await;
        let two = pooled(database.url(), 16);
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}
