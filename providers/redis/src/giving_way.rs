//! A connection on which commands of several tasks go out together.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::SockRef};
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A multiplexed connection. It ends with its last clone.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) connection: MultiplexedConnection,
    /// Aborts the driver when the last clone is dropped, as the crate `redis` does with its own.
    _driver: Arc<JoinSet<()>>,
}

/// Connects as [`Client::get_multiplexed_async_connection_with_config`] does, but with a driver
/// that gives way. The owner keeps one clone and makes another for each command: so many are in
/// flight.
///
/// With TLS the driver is the crate's own, which sends each command by itself: only the crate can
/// make such a stream from its settings.
pub(crate) async fn connect(
    client: &Client,
    config: AsyncConnectionConfig,
    limit: Duration,
) -> RedisResult<Shared> {
    // The limit is for all of it.
    let config = config.set_connection_timeout(None);
    let connecting = async {
        let info = client.get_connection_info();
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = tcp(host, *port, info.tcp_settings()).await?;
                on(client, stream, config).await
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                on(client, tokio::net::UnixStream::connect(path).await?, config).await
            }
            _ => {
                let connection = client.get_multiplexed_async_connection_with_config(&config).await;
                Ok(Shared { connection: connection?, _driver: Arc::default() })
            }
        }
    };
    let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
    timeout(limit, connecting).await.unwrap_or_else(late)
}

/// Connects to whichever address of a host answers first.
async fn tcp(host: &str, port: u16, settings: &TcpSettings) -> RedisResult<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err((ErrorKind::InvalidClientConfig, "No address found for host").into());
    }
    let connecting = addresses.into_iter().map(|address| Box::pin(TcpStream::connect(address)));
    let (stream, _) = select_ok(connecting).await?;
    stream.set_nodelay(settings.nodelay())?;
    let socket = SockRef::from(&stream);
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    socket.set_tcp_user_timeout(settings.user_timeout())?;
    Ok(stream)
}

async fn on(
    client: &Client,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    config: AsyncConnectionConfig,
) -> RedisResult<Shared> {
    let redis = client.get_connection_info().redis_settings();
    let (connection, driver) =
        MultiplexedConnection::new_with_config(redis, stream, config).await?;
    let driver = Arc::new_cyclic(|shared: &Weak<JoinSet<()>>| {
        let shared = shared.clone();
        let mut task = JoinSet::new();
        // A lone command has nothing to wait for.
        task.spawn(giving_way(driver, move || shared.strong_count() > OWNER + 1));
        task
    });
    Ok(Shared { connection, _driver: driver })
}

/// Lets the other tasks that are ready run before each turn of `driver`, if it is `crowded`.
///
/// A command wakes the driver, and tokio runs a task that was woken next, before those that wait
/// already. So each command would cost a write of its own, and the server a read: most of what a
/// command costs them.
async fn giving_way(driver: impl Future<Output = ()>, crowded: impl Fn() -> bool) {
    let mut driver = pin!(driver);
    let mut gave_way = false;
    poll_fn(|context| {
        gave_way = !gave_way && crowded();
        if gave_way {
            // Not tokio's `yield_now`, which wakes it only after a look for input and output.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        driver.as_mut().poll(context)
    })
    .await;
}

/// The clone that is no command's.
const OWNER: usize = 1;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Wake};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicU64);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_driver_gives_way_once_before_each_turn_while_crowded() {
        let (crowded, turns) = (Cell::new(false), Cell::new(0));
        let driver = poll_fn(|_| {
            turns.set(turns.get() + 1);
            Poll::Pending
        });
        let mut task = pin!(giving_way(driver, || crowded.get()));
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut poll = || {
            assert!(task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            (turns.get(), wakes.0.load(Ordering::Relaxed))
        };
        assert_eq!([poll(), poll()], [(1, 0), (2, 0)]);
        crowded.set(true);
        assert_eq!([poll(), poll(), poll(), poll()], [(2, 1), (3, 1), (3, 2), (4, 2)]);
        crowded.set(false);
        assert_eq!(poll(), (5, 2));
    }
}
