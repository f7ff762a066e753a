//! Where a connection leads: to the server of a URL, or to the primary that Sentinel names now.

use std::fmt;
use std::sync::Arc;

use redis::{Client, RedisResult};

/// Where a connection leads.
#[derive(Clone)]
pub(crate) enum Target {
    Server(Arc<Client>),
    #[cfg(feature = "sentinel")]
    Primary(Arc<crate::sentinel::Sentinels>),
}

impl Target {
    /// The client of the server to connect to now.
    pub(crate) async fn client(&self) -> RedisResult<Client> {
        match self {
            Self::Server(client) => Ok(Client::clone(client)),
            #[cfg(feature = "sentinel")]
            Self::Primary(sentinels) => sentinels.primary().await,
        }
    }

    pub(crate) fn db(&self) -> i64 {
        match self {
            Self::Server(client) => client.get_connection_info().redis_settings().db(),
            #[cfg(feature = "sentinel")]
            Self::Primary(sentinels) => sentinels.db(),
        }
    }
}

/// Without the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(client) => client.get_connection_info().addr().fmt(f),
            #[cfg(feature = "sentinel")]
            Self::Primary(sentinels) => sentinels.fmt(f),
        }
    }
}
