//! `RedisProvider` keeps the contract of a provider: two instances on one database, each with a
//! connection of its own, in each of the ways to connect; and the versions of a record are each won
//! once.

use std::sync::Arc;

use sessions::provider::conformance::Subject;
use sessions_redis::RedisProvider;
use sessions_tests::racing::{Bytes, race};
use sessions_tests::redis::{RedisCluster, Space};

/// As a service connects.
mod connected {
    use sessions_redis::Connection;

    use super::*;

    async fn subject() -> Subject {
        let space = Space::new();
        let instance = async || {
            let provider = RedisProvider::new(Connection::open(&space.url).unwrap());
            let provider = provider.prefix(&space.prefix).unwrap();
            provider.create().await.unwrap();
            provider
        };
        let (provider, twin) = (instance().await, instance().await);
        Subject::new(provider).with_twin(twin).without_purge().keep(space)
    }

    sessions::provider::conformance::suite!(subject);
}

/// On connections of the user's own.
mod managers {
    use sessions_redis::redis::Client;
    use sessions_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig};

    use super::*;

    async fn subject() -> Subject {
        let space = Space::new();
        let client = Client::open(&*space.url).unwrap();
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(std::time::Duration::from_secs(10)));
        let manager = ConnectionManager::new_with_config(client.clone(), config).await.unwrap();
        let provider = RedisProvider::new(manager).prefix(&space.prefix).unwrap();
        let provider = provider.changes_from([&space.url]).unwrap();
        let mut twin = client.get_multiplexed_async_connection().await.unwrap();
        twin.set_response_timeout(std::time::Duration::from_secs(10));
        let twin = RedisProvider::new(twin).prefix(&space.prefix).unwrap();
        Subject::new(provider).with_twin(twin).without_purge().keep(space)
    }

    sessions::provider::conformance::suite!(subject);
}

/// On a cluster of three nodes, which refuses a script that touches two slots.
mod cluster {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    async fn subject() -> Subject {
        static CLUSTER: OnceLock<RedisCluster> = OnceLock::new();
        static SPACES: AtomicU64 = AtomicU64::new(0);
        let urls = CLUSTER.get_or_init(RedisCluster::start).urls();
        let prefix = format!("test:{}", SPACES.fetch_add(1, Ordering::Relaxed));
        let instance = async || {
            let provider = RedisProvider::connect_cluster(&urls[..1]).await.unwrap();
            provider.prefix(&prefix).unwrap()
        };
        let (provider, twin) = (instance().await, instance().await);
        Subject::new(provider).with_twin(twin).without_purge()
    }

    sessions::provider::conformance::suite!(subject);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_race() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let space = Space::new();
        let (one, two) = (space.provider().await, space.provider().await);
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_race_on_a_cluster() {
    let cluster = RedisCluster::start();
    for (prefix, bytes) in [("different", Bytes::Different), ("equal", Bytes::Equal)] {
        let instance = async || {
            let provider = RedisProvider::connect_cluster(cluster.urls()).await.unwrap();
            Arc::new(provider.prefix(prefix).unwrap())
        };
        let report = race(instance().await, instance().await, bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}
