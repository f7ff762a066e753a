//! What Redis' and its driver's errors mean to a caller.

use redis::{ErrorKind, ParsingError, RedisError, ServerErrorKind};
use sessions::provider::ProviderError;

/// Tells what trying again can mend from what somebody must, and says what to do.
pub(crate) fn provider_error(error: RedisError) -> ProviderError {
    classify(&error).with_source(error)
}

/// [`provider_error`], where the connections are those of a cluster or not.
pub(crate) fn provider_error_on(cluster: bool, error: RedisError) -> ProviderError {
    if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) && !cluster {
        return ProviderError::permanent(
            "the server is a node of a Redis cluster: use connect_cluster() (feature `cluster`)",
        )
        .with_source(error);
    }
    provider_error(error)
}

/// What a key under our prefix holds is not what this provider has written.
pub(crate) fn foreign(what: &'static str) -> ProviderError {
    ProviderError::permanent(format!(
        "a key under this provider's prefix holds {what}: choose another with prefix(), or delete \
         what uses it"
    ))
}

/// An answer that this provider does not expect.
pub(crate) fn unexpected(error: ParsingError) -> ProviderError {
    foreign("an answer of another kind").with_source(RedisError::from(error))
}

fn classify(error: &RedisError) -> ProviderError {
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => ProviderError::unavailable(
            "Redis has not answered in time: it is overloaded, or cannot be reached",
        ),
        ErrorKind::Io if error.is_connection_refusal() => ProviderError::unavailable(
            "Redis refuses connections: check that it runs, and the URL's host and port",
        ),
        // The text is rustls': the driver does not show its errors otherwise.
        ErrorKind::Io if error.to_string().contains("certificate") => ProviderError::permanent(
            "the certificate of the Redis server is not accepted: add its authority to the \
             system's root certificates, and check that it names the URL's host",
        ),
        ErrorKind::Io => ProviderError::unavailable(
            "the connection to Redis failed: if this lasts, check the URL's host, and Redis' \
             `maxclients`",
        ),
        ErrorKind::ClusterConnectionNotFound => {
            ProviderError::unavailable("no node of the Redis cluster can be reached for this key")
        }
        #[cfg(feature = "sentinel")]
        _ if crate::sentinel::is_unknown(error) => ProviderError::unavailable(
            "no sentinel knows a primary of this name now: a failover is under way, or the name in \
             the primary's URL is another",
        ),
        ErrorKind::AuthenticationFailed => wrong_password(),
        ErrorKind::RESP3NotSupported => too_old(),
        ErrorKind::InvalidClientConfig => ProviderError::permanent(format!(
            "the settings of the connection to Redis are wrong ({error}): the URL has the form \
             redis://user:password@host:port/database"
        )),
        ErrorKind::Parse => ProviderError::permanent(
            "the server does not speak Redis' protocol: check the URL's port, and rediss:// where \
             the server uses TLS",
        ),
        ErrorKind::Server(kind) => from_server(kind, error),
        _ => match error.code() {
            Some(code) => from_code(code),
            None => ProviderError::permanent("the Redis driver failed"),
        },
    }
}

fn from_server(kind: ServerErrorKind, error: &RedisError) -> ProviderError {
    let detail = error.detail().unwrap_or_default();
    match kind {
        ServerErrorKind::BusyLoading => {
            ProviderError::unavailable("Redis is starting and still loads its data")
        }
        ServerErrorKind::ReadOnly => ProviderError::unavailable(
            "the Redis server is a read-only replica: a failover is under way, or the URL must \
             name the primary",
        ),
        ServerErrorKind::Moved
        | ServerErrorKind::Ask
        | ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown => {
            ProviderError::unavailable("the Redis cluster is changing, or a part of it is down")
        }
        ServerErrorKind::NoPerm => no_permission(),
        ServerErrorKind::CrossSlot => ProviderError::permanent(
            "Redis refuses keys of two slots in one script, which this provider never sends: a \
             proxy or a module changes the keys",
        ),
        ServerErrorKind::ResponseError if detail.starts_with("max number of clients") => {
            ProviderError::unavailable(
                "Redis has as many clients as it may: raise its `maxclients`",
            )
        }
        ServerErrorKind::ResponseError
            if detail.starts_with("unknown command") || detail.contains("compiling script") =>
        {
            too_old()
        }
        // Inside a script it has no code of its own.
        ServerErrorKind::ResponseError
            if detail.starts_with("The user executing the script can't") =>
        {
            no_permission()
        }
        ServerErrorKind::ResponseError if detail.contains("cluster support disabled") => {
            ProviderError::permanent("the Redis server is no cluster: use connect()")
        }
        ServerErrorKind::ResponseError if detail.contains("DB index") => ProviderError::permanent(
            "Redis has no database of this number: change the end of the URL",
        ),
        _ => ProviderError::permanent("Redis refused the command"),
    }
}

/// What the driver has no name for.
fn from_code(code: &str) -> ProviderError {
    match code {
        "OOM" => ProviderError::unavailable(
            "Redis has reached its `maxmemory` and evicts nothing: give it more memory",
        ),
        "MISCONF" => ProviderError::unavailable(
            "Redis cannot write its snapshot to the disk and takes no more changes: see its log",
        ),
        "NOREPLICAS" => ProviderError::unavailable(
            "Redis has fewer replicas than its `min-replicas-to-write` asks for",
        ),
        "BUSY" => ProviderError::unavailable("Redis is busy with another's long script"),
        "NOAUTH" | "WRONGPASS" => wrong_password(),
        "WRONGTYPE" => foreign("another type"),
        _ => ProviderError::permanent("Redis refused the command"),
    }
}

fn wrong_password() -> ProviderError {
    ProviderError::permanent(
        "Redis refuses the user or the password: check those in the URL, \
         redis://user:password@host:port/database",
    )
}

fn no_permission() -> ProviderError {
    ProviderError::permanent(
        "the Redis user lacks a permission: give it the commands and the keys that the \
         documentation of sessionful-redis lists",
    )
}

pub(crate) fn too_old() -> ProviderError {
    ProviderError::permanent(
        "the Redis server is too old, or a command is disabled: Redis 7 or later is needed",
    )
}
