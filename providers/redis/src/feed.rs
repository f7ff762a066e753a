//! The feed of changes: Redis tells a connection of its own which keys have changed.

#[cfg(feature = "cluster")]
mod cluster;
mod node;
mod pushes;

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use sessions::provider::{ChangeListener, Expect, Provider as _, ProviderError, Record};

use crate::connection::{AnyConnection, client, is_cluster};
use crate::error::provider_error;
use crate::feed::node::Node;
use crate::feed::pushes::Pushes;
use crate::keys::PROBE;
use crate::provider::RedisProvider;
use crate::source::Source;

impl<C: AnyConnection> RedisProvider<C> {
    /// Sets where the [feed of changes](crate#changes) connects to, for a provider on a connection
    /// of your own: the URL of the server, or those of some nodes of a cluster. A [`Connection`](crate::Connection)
    /// and `connect_cluster` set this already.
    ///
    /// # Errors
    /// Fails for a wrong URL, for none, and for several if the connection is not one to a cluster.
    ///
    /// ```no_run
    /// use sessions_redis::{RedisProvider, redis};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let url = "redis://127.0.0.1:6379";
    /// let manager = redis::aio::ConnectionManager::new(redis::Client::open(url)?).await?;
    /// let provider = RedisProvider::new(manager).changes_from([url])?;
    /// # Ok(()) }
    /// ```
    pub fn changes_from(
        mut self,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ProviderError> {
        let clients: Result<Vec<_>, _> = urls.into_iter().map(|url| client(url.as_ref())).collect();
        let clients = clients.map_err(provider_error)?;
        if clients.is_empty() || (clients.len() > 1 && !is_cluster::<C>()) {
            return Err(ProviderError::permanent(
                "changes_from() takes the one URL of a server, or those of some nodes of a cluster",
            ));
        }
        self.feed = Source::nodes(clients);
        Ok(self)
    }

    /// Turns the [feed of changes](crate#changes) off: for a server that does not tell of changes,
    /// such as one behind a proxy, and for a user without the permission. The call
    /// [`changes`](sessions::provider::Provider::changes) is then unsupported.
    ///
    /// ```
    /// use sessions::provider::{ChangeListener, Provider};
    /// use sessions_redis::{Connection, RedisProvider};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let connection = Connection::open("redis://127.0.0.1:6379")?;
    /// let provider = RedisProvider::new(connection).without_changes();
    /// let error = provider.changes(ChangeListener::new(|_| {})).await.unwrap_err();
    /// assert!(error.is_unsupported());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn without_changes(mut self) -> Self {
        self.feed = Source::Off;
        self
    }

    pub(crate) async fn follow(
        &self,
        listener: ChangeListener,
    ) -> Result<Infallible, ProviderError> {
        let source = match &self.feed {
            source @ (Source::Server(_) | Source::Nodes(_)) => source,
            Source::Off => return Err(ProviderError::unsupported("changes")),
            Source::Unknown => {
                return Err(ProviderError::permanent(
                    "the feed of changes needs a connection of its own and does not know where to: \
                     call changes_from() with the URL, or without_changes()",
                ));
            }
        };
        let pushes = Pushes::new(self.keys.record(""));
        let feed = in_time(self.open_feed(source, &pushes)).await?;
        self.probe().await?;
        in_time(feed.check()).await?;
        pushes.begin(listener.clone())?;
        loop {
            // Why the answer is a proof: after each turn of its event loop, Redis first writes the
            // changes of that turn to the connections that track keys, and only then the answers to
            // the commands that made them (`beforeSleep` in its server.c). A question that somebody
            // sends after their save was acknowledged is therefore answered behind the push of that
            // save. The driver reads a connection in order and calls `Pushes` with each push, so the
            // listener has heard all of them when the answer arrives here.
            let ping = pushes.unless_lost(listener.next_ping()).await?;
            pushes.unless_lost(in_time(feed.check())).await??;
            pushes.proved(ping);
        }
    }

    async fn open_feed(&self, source: &Source, pushes: &Pushes) -> Result<Feed, ProviderError> {
        let client = match source {
            #[cfg(feature = "cluster")]
            Source::Nodes(nodes) if is_cluster::<C>() => {
                return cluster::Masters::open(nodes, pushes).await.map(Feed::Cluster);
            }
            Source::Nodes(nodes) => nodes.in_turn().next().cloned(),
            Source::Server(target) => Some(target.client().await.map_err(provider_error)?),
            Source::Unknown | Source::Off => None,
        };
        let Some(client) = client else { return Err(ProviderError::unsupported("changes")) };
        Node::open(&client, pushes).await.map(Feed::Server)
    }

    /// Changes a record, of which the feed must hear before it begins. A proxy may accept
    /// everything and pass no push on, and a name may lead to one server now and to another a moment
    /// later.
    async fn probe(&self) -> Result<(), ProviderError> {
        let now = SystemTime::now();
        let mut probe = Record::new(PROBE, 1, &b"probe"[..]);
        probe.expires_at = Some(now + Duration::from_secs(60));
        self.save(&probe, Expect::Any, now).await?;
        self.delete(PROBE, Expect::Any, now).await?;
        Ok(())
    }
}

/// The connections that tell of changes.
enum Feed {
    Server(Node),
    #[cfg(feature = "cluster")]
    Cluster(cluster::Masters),
}

impl Feed {
    /// Fails unless all of it still tells of changes: a ping, which also asks what a failover
    /// would have changed.
    async fn check(&self) -> Result<(), ProviderError> {
        match self {
            Self::Server(node) => node.is_master().await,
            #[cfg(feature = "cluster")]
            Self::Cluster(masters) => masters.check().await,
        }
    }
}

/// Waits for an answer no longer than this: without one, nobody knows what has changed.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        Err(ProviderError::unavailable(format!(
            "Redis has not answered within {PATIENCE:?} on the connection that tells of changes: \
             it is overloaded, or cannot be reached"
        )))
    })
}

const PATIENCE: Duration = Duration::from_secs(10);
