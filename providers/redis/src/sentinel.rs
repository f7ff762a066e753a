//! The primary that Sentinel names, which changes with each failover.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisError, RedisResult, TlsMode,
};
use sessions::provider::ProviderError;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::connection::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, Connection, client, tcp_settings};
use crate::error::provider_error;
use crate::provider::RedisProvider;
use crate::target::Target;

impl RedisProvider {
    /// Connects to the primary that Redis Sentinel names, and checks with [`create`](Self::create)
    /// that it is suitable. It needs the feature `sentinel`.
    ///
    /// `sentinels` are the URLs of some sentinels, such as `redis://10.0.0.1:26379`, one of which must
    /// answer. `primary` is the URL of the primary, with the name that the sentinels know it by in the
    /// place of the host: `redis://user:password@mymaster/0`, or `rediss://..` for TLS. The port is
    /// ignored.
    ///
    /// # Errors
    /// Fails if a URL is wrong, if no sentinel answers or none knows the name, and for the reasons of
    /// [`connect`](Self::connect).
    ///
    /// ```no_run
    /// use sessions_redis::RedisProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let provider = RedisProvider::connect_sentinel(sentinels, "redis://mymaster").await?;
    /// let store = sessions::Store::new(provider);
    /// # Ok(()) }
    /// ```
    pub async fn connect_sentinel(
        sentinels: impl IntoIterator<Item = impl AsRef<str>>,
        primary: &str,
    ) -> Result<Self, ProviderError> {
        let provider = Self::new(Connection::open_sentinel(sentinels, primary)?);
        provider.create().await?;
        Ok(provider)
    }
}

impl Connection {
    /// Creates a connection to the primary that Redis Sentinel names, as
    /// [`connect_sentinel`](RedisProvider::connect_sentinel) does. It sends nothing yet. It asks the
    /// sentinels each time that it opens, so it finds the new primary after a failover. It needs the
    /// feature `sentinel`.
    ///
    /// # Errors
    /// Fails for a wrong URL, and for no sentinel.
    ///
    /// ```
    /// use sessions_redis::Connection;
    ///
    /// assert!(Connection::open_sentinel(["redis://10.0.0.1:26379"], "redis://mymaster").is_ok());
    /// let error = Connection::open_sentinel([] as [&str; 0], "redis://mymaster").unwrap_err();
    /// assert!(error.to_string().contains("one sentinel"));
    /// ```
    pub fn open_sentinel(
        sentinels: impl IntoIterator<Item = impl AsRef<str>>,
        primary: &str,
    ) -> Result<Self, ProviderError> {
        let sentinels = Sentinels::new(sentinels, primary)?;
        Ok(Self::to(Target::Primary(Arc::new(sentinels)), CONNECT_TIMEOUT, ANSWER_TIMEOUT))
    }
}

/// Some sentinels, and the primary that they watch.
pub(crate) struct Sentinels {
    name: String,
    node: SentinelNodeConnectionInfo,
    db: i64,
    /// It keeps its connections, so it serves one caller at a time.
    sentinel: Mutex<Sentinel>,
}

impl Sentinels {
    fn new(
        sentinels: impl IntoIterator<Item = impl AsRef<str>>,
        primary: &str,
    ) -> Result<Self, ProviderError> {
        let infos: Result<Vec<_>, _> =
            sentinels.into_iter().map(|url| url.as_ref().into_connection_info()).collect();
        let infos = infos.map_err(provider_error)?;
        if infos.is_empty() {
            return Err(ProviderError::permanent("give the URL of at least one sentinel"));
        }
        let infos = infos.into_iter().map(|info| info.set_tcp_settings(tcp_settings())).collect();
        // As for a server: it checks the scheme, and sets the protocol.
        let client = client(primary).map_err(provider_error)?;
        let info = client.get_connection_info();
        let (name, tls) = match info.addr() {
            ConnectionAddr::Tcp(name, _) => (name.clone(), None),
            ConnectionAddr::TcpTls { host, insecure, .. } => {
                (host.clone(), Some(if *insecure { TlsMode::Insecure } else { TlsMode::Secure }))
            }
            _ => {
                return Err(ProviderError::permanent(
                    "the primary of sentinels is a URL such as redis://mymaster, with its name in the \
                     place of the host",
                ));
            }
        };
        let node = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(info.redis_settings().clone())
            .set_tcp_settings(tcp_settings());
        let node = match tls {
            Some(mode) => node.set_tls_mode(mode),
            None => node,
        };
        let sentinel = Sentinel::build::<redis::ConnectionInfo>(infos).map_err(provider_error)?;
        let db = info.redis_settings().db();
        Ok(Self { name, node, db, sentinel: Mutex::new(sentinel) })
    }

    /// Asks the sentinels for the primary, and asks that one whether it is.
    pub(crate) async fn primary(&self) -> RedisResult<Client> {
        let asking = async {
            let mut sentinel = self.sentinel.lock().await;
            sentinel.async_master_for(&self.name, Some(&self.node)).await
        };
        let late = |_| Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)));
        timeout(PATIENCE, asking).await.unwrap_or_else(late)
    }

    pub(crate) fn db(&self) -> i64 {
        self.db
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the primary {} of sentinels", self.name)
    }
}

/// Whether nobody knows a primary now, as during a failover or with a wrong name.
pub(crate) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::MasterNameNotFoundBySentinel
}

/// How long all sentinels together may take, one of which may not answer.
const PATIENCE: Duration = Duration::from_secs(3);
