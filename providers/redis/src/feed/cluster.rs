//! The feed of a cluster: each master tells of its own keys.

use std::collections::BTreeMap;

use futures_util::future::{try_join, try_join_all};
use redis::{Client, ConnectionAddr, ConnectionInfo, InfoDict, Value};
use sessions::provider::ProviderError;

use crate::error::provider_error;
use crate::feed::node::{Node, ask_once};
use crate::feed::pushes::Pushes;
use crate::source::Nodes;

/// A connection to each master, by the master's id.
pub(crate) struct Masters {
    nodes: BTreeMap<String, Node>,
}

impl Masters {
    pub(crate) async fn open(seeds: &Nodes, pushes: &Pushes) -> Result<Self, ProviderError> {
        let mut found = Err(ProviderError::unavailable("no node of the Redis cluster is known"));
        for seed in seeds.in_turn() {
            let shards = ask_once(seed, redis::cmd("CLUSTER").arg("SHARDS")).await;
            found = shards.map(|shards: Value| (seed, shards));
            if found.is_ok() {
                break;
            }
        }
        let (seed, shards) = found?;
        let info = seed.get_connection_info();
        let masters = masters(&shards)?;
        let nodes = masters.into_iter().map(async |(id, address)| {
            let client = Client::open(address.beside(info)?).map_err(provider_error)?;
            let node = Node::open(&client, pushes).await?;
            let answered: String = node.ask(redis::cmd("CLUSTER").arg("MYID")).await?;
            if answered == id { Ok((id, node)) } else { Err(changing()) }
        });
        Ok(Self { nodes: try_join_all(nodes).await?.into_iter().collect() })
    }

    /// Fails unless each master sees a whole cluster, and no master besides these.
    ///
    /// So it ends the feed when a replica was promoted, when a master was added, and when a master
    /// was cut off from the others, which then serves nobody. Nodes learn of a promotion from each
    /// other within milliseconds. A proof of that moment may not cover what the new master has
    /// saved already; the check after it fails.
    pub(crate) async fn check(&self) -> Result<(), ProviderError> {
        let (mut info, mut shards) = (redis::cmd("CLUSTER"), redis::cmd("CLUSTER"));
        let (info, shards) = (info.arg("INFO"), shards.arg("SHARDS"));
        try_join_all(self.nodes.values().map(async |node| {
            let answers = try_join(node.ask(info), node.ask(shards)).await?;
            let (info, shards): (InfoDict, Value) = answers;
            let whole = info.get::<String>("cluster_state").as_deref() == Some("ok");
            let known = masters(&shards)?.keys().all(|id| self.nodes.contains_key(id));
            if whole && known { Ok(()) } else { Err(changing()) }
        }))
        .await?;
        Ok(())
    }
}

/// Where a master listens.
#[derive(Debug, PartialEq)]
struct Address {
    /// `None`: on the host of the node that was asked.
    host: Option<String>,
    port: Option<u16>,
    tls_port: Option<u16>,
}

impl Address {
    /// Like `info`, but for the address.
    fn beside(&self, info: &ConnectionInfo) -> Result<ConnectionInfo, ProviderError> {
        let host = |asked: &String| self.host.clone().unwrap_or_else(|| asked.clone());
        let addr = match info.addr() {
            ConnectionAddr::Tcp(asked, _) => {
                ConnectionAddr::Tcp(host(asked), self.port.ok_or_else(changing)?)
            }
            ConnectionAddr::TcpTls { host: asked, insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls {
                    host: host(asked),
                    port: self.tls_port.ok_or_else(changing)?,
                    insecure: *insecure,
                    tls_params: tls_params.clone(),
                }
            }
            _ => {
                return Err(ProviderError::permanent(
                    "a socket leads to one node of a Redis cluster alone: use redis:// URLs",
                ));
            }
        };
        Ok(info.clone().set_addr(addr))
    }
}

/// The masters by their ids, from the answer to `CLUSTER SHARDS`. Also those without a slot: while
/// a slot moves to one, it takes saves already. But not those that have failed and were replaced.
fn masters(shards: &Value) -> Result<BTreeMap<String, Address>, ProviderError> {
    let mut masters = BTreeMap::new();
    for shard in array(Some(shards)).ok_or_else(changing)? {
        let slots = array(field(shard, "slots")).ok_or_else(changing)?;
        for node in array(field(shard, "nodes")).ok_or_else(changing)? {
            let is = |name, value| text(field(node, name)).as_deref() == Some(value);
            if !is("role", "master") || (slots.is_empty() && !is("health", "online")) {
                continue;
            }
            let id = text(field(node, "id")).ok_or_else(changing)?;
            let port = |name| match field(node, name) {
                Some(Value::Int(port)) => u16::try_from(*port).ok(),
                _ => None,
            };
            let host = text(field(node, "endpoint")).filter(|host| !host.is_empty());
            let address = Address { host, port: port("port"), tls_port: port("tls-port") };
            masters.insert(id, address);
        }
    }
    Ok(masters)
}

fn field<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    let Value::Map(fields) = map else { return None };
    let found = fields.iter().find(|(key, _)| text(Some(key)).as_deref() == Some(name));
    found.map(|(_, value)| value)
}

fn array(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        Some(Value::Array(values)) => Some(values),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::BulkString(bytes)) => String::from_utf8(bytes.clone()).ok(),
        Some(Value::SimpleString(text)) => Some(text.clone()),
        _ => None,
    }
}

fn changing() -> ProviderError {
    ProviderError::unavailable(
        "the masters of the Redis cluster are changing, or one is down, so no feed can hear of all \
         changes",
    )
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn map(fields: Vec<(&str, Value)>) -> Value {
        Value::Map(fields.into_iter().map(|(name, value)| (bulk(name), value)).collect())
    }

    fn node(id: &str, role: &str, health: &str, endpoint: Value, port: &str) -> Value {
        map(vec![
            ("id", bulk(id)),
            (port, Value::Int(6379)),
            ("endpoint", endpoint),
            ("role", bulk(role)),
            ("health", bulk(health)),
        ])
    }

    fn shard(slots: Vec<Value>, nodes: Vec<Value>) -> Value {
        map(vec![("slots", Value::Array(slots)), ("nodes", Value::Array(nodes))])
    }

    #[test]
    fn the_masters_are_those_that_may_take_saves() {
        let slots = || vec![Value::Int(0), Value::Int(1)];
        let shards = Value::Array(vec![
            shard(
                slots(),
                vec![
                    node("replica", "replica", "online", bulk("h"), "port"),
                    node("serves", "master", "online", bulk("h"), "port"),
                ],
            ),
            shard(slots(), vec![node("down", "master", "fail", bulk(""), "port")]),
            shard(vec![], vec![node("empty", "master", "online", Value::Nil, "tls-port")]),
            shard(vec![], vec![node("replaced", "master", "fail", bulk("h"), "port")]),
        ]);
        let masters = masters(&shards).unwrap();
        assert_eq!(masters.keys().collect::<Vec<_>>(), ["down", "empty", "serves"]);
        let info = "redis://user:secret@asked:7000".into_connection_info().unwrap();
        let at = |id: &str| masters[id].beside(&info).map(|info| info.addr().to_string());
        assert_eq!(at("serves").unwrap(), "h:6379");
        assert_eq!(at("down").unwrap(), "asked:6379");
        assert!(at("empty").unwrap_err().is_unavailable(), "it speaks TLS alone");
        let info = masters["serves"].beside(&info).unwrap();
        assert_eq!(info.redis_settings().password(), Some("secret"));
    }

    #[test]
    fn another_answer_is_an_error() {
        let nobody = shard(vec![], vec![node("a", "master", "online", Value::Nil, "port")]);
        assert_eq!(masters(&Value::Array(vec![nobody])).unwrap().len(), 1);
        for wrong in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![map(vec![("slots", Value::Array(vec![]))])]),
            Value::Array(vec![shard(
                vec![],
                vec![map(vec![("role", bulk("master")), ("health", bulk("online"))])],
            )]),
        ] {
            assert!(masters(&wrong).is_err(), "{wrong:?}");
        }
    }
}
