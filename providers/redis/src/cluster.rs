//! A Redis cluster.

use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion};
use sessions::provider::ProviderError;

use crate::connection::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, tcp_settings};
use crate::error::provider_error;
use crate::provider::RedisProvider;

impl RedisProvider<ClusterConnection> {
    /// Connects to a Redis cluster, of which it learns the nodes from any of these that can be
    /// reached, and checks with [`create`](Self::create) that it will do.
    ///
    /// The URLs are those of [`Connection::open`](crate::Connection::open), with the same user and
    /// password. No command is sent twice, but for those that a node has refused because another
    /// has the key.
    ///
    /// # Errors
    /// As of [`connect`](RedisProvider::connect).
    ///
    /// ```no_run
    /// use sessions_redis::RedisProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"];
    /// let provider = RedisProvider::connect_cluster(nodes).await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_cluster(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ProviderError> {
        let urls: Vec<_> = urls.into_iter().collect();
        let nodes: Result<Vec<_>, _> =
            urls.iter().map(|url| url.as_ref().into_connection_info()).collect();
        let nodes = nodes.map_err(provider_error)?;
        if nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. })) {
            #[cfg(feature = "tls-rustls")]
            crate::connection::install_cryptography();
        }
        let client = ClusterClientBuilder::new(nodes)
            // Each would send a save again, also one that has happened.
            .retries(0)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(ANSWER_TIMEOUT)
            .tcp_settings(tcp_settings())
            .use_protocol(ProtocolVersion::RESP3)
            .build()
            .map_err(provider_error)?;
        let connection = client.get_async_connection().await.map_err(provider_error)?;
        let provider = Self::new(connection).changes_from(urls)?;
        provider.create().await?;
        Ok(provider)
    }
}
