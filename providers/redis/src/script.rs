//! The scripts: what must happen at once, in the server.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

use crate::connection::{AnyConnection, is_cluster};

pub(crate) static SAVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/save.lua")));
pub(crate) static TOUCH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/touch.lua")));
pub(crate) static DELETE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/delete.lua")));
pub(crate) static DISOWN: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/disown.lua")));
pub(crate) static OWN: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/own.lua")));

pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Runs it by its hash; with its text where the server has forgotten it, as it does at a
    /// restart. It did not run then, so this repeats nothing.
    pub(crate) async fn run<C: AnyConnection>(
        &self,
        connection: &C,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> RedisResult<Value> {
        match send(connection, &command("EVALSHA", &self.hash, keys, args)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                send(connection, &command("EVAL", self.text, keys, args)).await
            }
            answer => answer,
        }
    }
}

/// Sends a command. On a cluster, goes after a key whose slot has just moved: the node that said so
/// has done nothing.
pub(crate) async fn send<C: AnyConnection>(connection: &C, command: &Cmd) -> RedisResult<Value> {
    let mut hops = if is_cluster::<C>() { HOPS } else { 0 };
    loop {
        let answer = command.query_async(&mut connection.clone()).await;
        match answer {
            Err(error) if hops > 0 && error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                hops -= 1;
            }
            answer => return answer,
        }
    }
}

fn command(name: &str, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len()).arg(keys).arg(args);
    command
}

/// How often a slot may have moved since the driver learnt of it.
const HOPS: u32 = 2;
