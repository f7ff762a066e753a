//! Where the feed of changes connects to.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::Client;

use crate::connection::{AnyConnection, Connection};
use crate::target::Target;

/// Whether a provider has a feed, and where it connects to.
#[derive(Clone)]
pub(crate) enum Source {
    Server(Target),
    Nodes(Arc<Nodes>),
    /// A connection of the user's own does not say where it leads.
    Unknown,
    /// The user wants no feed.
    Off,
}

/// The nodes that were named.
pub(crate) struct Nodes {
    /// One at least.
    clients: Vec<Client>,
    /// Where the next search for a node begins. One that answers may have left the cluster, so no
    /// node is always the first.
    next: AtomicUsize,
}

impl Source {
    pub(crate) fn of<C: AnyConnection>(connection: &C) -> Self {
        let connection: &dyn Any = connection;
        connection.downcast_ref().map_or(Self::Unknown, |connection: &Connection| {
            Self::Server(connection.target().clone())
        })
    }

    pub(crate) fn nodes(clients: Vec<Client>) -> Self {
        Self::Nodes(Arc::new(Nodes { clients, next: AtomicUsize::new(0) }))
    }
}

impl Nodes {
    /// The clients, from another one on each time.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &Client> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len();
        self.clients[first..].iter().chain(&self.clients[..first])
    }
}
