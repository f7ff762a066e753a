//! A connection that reconnects.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, RedisFuture, RedisResult,
    ServerErrorKind, Value,
};
use sessions::provider::ProviderError;

use crate::error::provider_error;
use crate::giving_way::{self, Shared};
use crate::target::Target;

/// The connections that the provider can use: [`Connection`], and from the crate `redis` a
/// `MultiplexedConnection`, a `ConnectionManager` and a `ClusterConnection`.
///
/// ```
/// fn works<C: sessions_redis::AnyConnection>() {}
/// works::<sessions_redis::Connection>();
/// works::<sessions_redis::redis::aio::ConnectionManager>();
/// ```
pub trait AnyConnection: ConnectionLike + Clone + Send + Sync + 'static {}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> AnyConnection for C {}

/// One multiplexed connection to a Redis server, for any number of tasks. Clones share it.
///
/// The first command opens it. After it was lost, the next command opens it again. A connection is
/// lost when it is cut, when a command gets no answer in time, or when the server answers that it
/// has become a replica. So it follows a host name that a failover moves. No command is sent twice.
///
/// ```
/// use sessions_redis::{Connection, RedisProvider};
///
/// # fn main() -> Result<(), sessions::provider::ProviderError> {
/// let connection = Connection::open("redis://127.0.0.1:6379")?;
/// let provider = RedisProvider::new(connection);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Connection {
    inner: Arc<SharedConnection>,
}

struct SharedConnection {
    target: Target,
    connect_timeout: Duration,
    answer_timeout: Duration,
    // A std mutex, not tokio's: it is not held across an await.
    open: Mutex<Option<Open>>,
    /// Whose turn it is to open it, and how the last one fared.
    turn: tokio::sync::Mutex<Option<Failure>>,
    opened: AtomicU64,
}

#[derive(Clone)]
struct Open {
    number: u64,
    shared: Shared,
}

struct Failure {
    began: Instant,
    error: RedisError,
}

impl Connection {
    /// Creates a connection to the server of a URL: `redis://user:password@host:port/database`,
    /// `rediss://...` for TLS (feature `tls-rustls`), `redis+unix:///path` for a socket. It sends
    /// nothing yet. Opening it may take 2 seconds, and the answer to a command 3 seconds.
    ///
    /// # Errors
    /// Fails for any other URL.
    ///
    /// ```
    /// use sessions_redis::Connection;
    ///
    /// assert!(Connection::open("redis://:password@10.0.0.1/2").is_ok());
    /// let error = Connection::open("localhost").unwrap_err();
    /// assert!(error.to_string().contains("redis://"));
    /// ```
    pub fn open(url: &str) -> Result<Self, ProviderError> {
        Self::open_with_timeouts(url, CONNECT_TIMEOUT, ANSWER_TIMEOUT)
    }

    /// Creates a connection as [`open`](Self::open) does, with other timeouts for opening it and
    /// for the answer to a command.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions_redis::Connection;
    ///
    /// # fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let second = Duration::from_secs(1);
    /// let connection = Connection::open_with_timeouts("redis://127.0.0.1", second, second)?;
    /// # Ok(()) }
    /// ```
    pub fn open_with_timeouts(
        url: &str,
        connect: Duration,
        answer: Duration,
    ) -> Result<Self, ProviderError> {
        let client = client(url).map_err(provider_error)?;
        Ok(Self::to(Target::Server(Arc::new(client)), connect, answer))
    }

    pub(crate) fn to(target: Target, connect: Duration, answer: Duration) -> Self {
        Self {
            inner: Arc::new(SharedConnection {
                target,
                connect_timeout: connect,
                answer_timeout: answer,
                open: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
                opened: AtomicU64::new(0),
            }),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.inner.target
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("Connection")
            .field("address", &self.inner.target.to_string())
            .finish_non_exhaustive()
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut open = self.inner.connected().await?;
            let answer = open.shared.connection.send_packed_command(cmd).await;
            match &answer {
                Err(error) => self.inner.judge(open.number, error),
                Ok(Value::ServerError(error)) => {
                    self.inner.judge(open.number, &error.clone().into());
                }
                Ok(_) => {}
            }
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut open = self.inner.connected().await?;
            let answers = open.shared.connection.send_packed_commands(cmd, offset, count).await;
            if let Err(error) = &answers {
                self.inner.judge(open.number, error);
            }
            answers
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.target.db()
    }
}

impl SharedConnection {
    async fn connected(self: &Arc<Self>) -> RedisResult<Open> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let asked = Instant::now();
        let mut failure = self.turn.lock().await;
        if let Some(open) = self.current() {
            return Ok(open);
        }
        // All who wait share the failure of an attempt that began while they did.
        if let Some(failure) = failure.as_ref().filter(|failure| failure.began >= asked) {
            return Err(failure.error.clone());
        }
        let began = Instant::now();
        match self.connect().await {
            Ok(open) => {
                *self.open() = Some(open.clone());
                *failure = None;
                Ok(open)
            }
            Err(error) => {
                *failure = Some(Failure { began, error: error.clone() });
                Err(error)
            }
        }
    }

    async fn connect(self: &Arc<Self>) -> RedisResult<Open> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let lost = Arc::downgrade(self);
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.answer_timeout))
            // Told at once, the next command need not fail to find out.
            .set_push_sender(move |push| notice(&lost, number, &push));
        let client = self.target.client().await?;
        let shared = giving_way::connect(&client, config, self.connect_timeout).await?;
        Ok(Open { number, shared })
    }

    fn current(&self) -> Option<Open> {
        self.open().clone()
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the connection up for new commands where another may do better.
    fn judge(&self, number: u64, error: &RedisError) {
        let replica = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if replica || error.is_io_error() || error.is_unrecoverable_error() {
            self.forget(number);
        }
    }

    fn forget(&self, number: u64) {
        let mut open = self.open();
        if open.as_ref().is_some_and(|open| open.number == number) {
            *open = None;
        }
    }
}

/// The connection of this number has told something.
fn notice(inner: &Weak<SharedConnection>, number: u64, push: &PushInfo) -> RedisResult<()> {
    if let Some(inner) = inner.upgrade()
        && push.kind == PushKind::Disconnection
    {
        inner.forget(number);
    }
    Ok(())
}

pub(crate) fn client(url: &str) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    #[cfg(feature = "tls-rustls")]
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        install_cryptography();
    }
    #[cfg(not(feature = "tls-rustls"))]
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Err((
            ErrorKind::InvalidClientConfig,
            "TLS needs the feature `tls-rustls` of sessionful-redis",
        )
            .into());
    }
    // The third version of the protocol tells of a lost connection.
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(redis).set_tcp_settings(tcp_settings()))
}

pub(crate) fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(30)));
    // A host that is gone without a word.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(Duration::from_secs(10));
    settings
}

/// Rustls panics where nobody has chosen its cryptography.
#[cfg(feature = "tls-rustls")]
pub(crate) fn install_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Whether these connections know the nodes of a cluster.
#[cfg_attr(not(feature = "cluster"), allow(clippy::extra_unused_type_parameters))]
pub(crate) fn is_cluster<C: 'static>() -> bool {
    #[cfg(feature = "cluster")]
    {
        use std::any::TypeId;
        TypeId::of::<C>() == TypeId::of::<redis::cluster_async::ClusterConnection>()
    }
    #[cfg(not(feature = "cluster"))]
    false
}

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
