//! A connection on which a server tells of changes.

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, InfoDict, RedisError,
    ServerErrorKind,
};
use sessions::provider::ProviderError;

#[cfg(feature = "cluster")]
use crate::connection::ANSWER_TIMEOUT;
use crate::connection::CONNECT_TIMEOUT;
use crate::error::provider_error;
use crate::feed::pushes::Pushes;

/// A connection of the feed's own. It does not reconnect: what changed meanwhile would be missed.
pub(crate) struct Node {
    connection: MultiplexedConnection,
}

impl Node {
    /// Connects, and lets the server push the keys of changed records.
    pub(crate) async fn open(client: &Client, pushes: &Pushes) -> Result<Self, ProviderError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // The feed has a limit of its own.
            .set_response_timeout(None)
            .set_push_sender(pushes.hear());
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let node = Self { connection: connection.map_err(refused)? };
        let mut tracking = redis::cmd("CLIENT");
        // By prefix, the server keeps no list of the keys that this host has read.
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(pushes.prefix());
        let () = node.ask(&tracking).await?;
        Ok(node)
    }

    /// Fails if it is a replica, as after a failover: others save elsewhere then.
    pub(crate) async fn is_master(&self) -> Result<(), ProviderError> {
        let info: InfoDict = self.ask(redis::cmd("INFO").arg("replication")).await?;
        match info.get::<String>("role").as_deref() {
            Some("master") | None => Ok(()),
            Some(_) => Err(ProviderError::unavailable(
                "the Redis server that tells of changes is a replica: a failover is under way, or \
                 the URL must name the primary",
            )),
        }
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, ProviderError> {
        command.query_async(&mut self.connection.clone()).await.map_err(refused)
    }
}

/// Asks a node on a connection that ends with the answer.
#[cfg(feature = "cluster")]
pub(crate) async fn ask_once<T: FromRedisValue>(
    client: &Client,
    command: &Cmd,
) -> Result<T, ProviderError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    let node = Node { connection: connection.map_err(refused)? };
    node.ask(command).await
}

/// An error, where the server may not know how to tell of changes, or may not permit it.
fn refused(error: RedisError) -> ProviderError {
    let refused = matches!(
        error.kind(),
        ErrorKind::RESP3NotSupported | ErrorKind::Server(ServerErrorKind::NoPerm)
    );
    let unknown = error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
        && ["unknown", "Unknown", "syntax", "wrong number"]
            .iter()
            .any(|word| error.detail().unwrap_or_default().contains(word));
    if !refused && !unknown {
        return provider_error(error);
    }
    ProviderError::permanent(
        "Redis does not tell this user of changes: it needs RESP3, CLIENT TRACKING and the \
         permissions that the documentation of sessionful-redis lists; a proxy may refuse them; call \
         without_changes() to do without",
    )
    .with_source(error)
}
