//! Redis servers of the tests' own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::process::{Process, find_program, free_port};

/// A Redis server on 127.0.0.1, stopped when this is dropped and when the test process ends.
#[derive(Debug)]
pub struct RedisServer {
    /// Where it listens.
    pub port: u16,
    settings: Vec<String>,
    folder: PathBuf,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts a server with settings as on `redis-server`'s command line, and waits until it
    /// answers. Without settings it keeps nothing on the disk.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let server = Self::start_silently(settings);
        server.wait_until_it_answers();
        server
    }

    /// As [`start`](Self::start), without waiting.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_silently(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut server = Self { port: free_port(), settings, folder, process: None };
        server.run();
        server
    }

    /// Kills the server as a crash would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("a running server").kill();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and folder, and waits until it
    /// answers. It may still load its data.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_again(&mut self) {
        self.run();
        self.wait_until_it_answers();
    }

    /// As [`start_again`](Self::start_again), with more settings.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_again_with(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|&setting| setting.to_owned()));
        self.start_again();
    }

    /// Stops the server's process without ending it, or lets it go on: `STOP`, `CONT`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("a running server").signal(name);
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").pid()
    }

    /// Its URL, without user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints for a command.
    ///
    /// # Panics
    /// When there is no `redis-cli`, or it fails.
    #[must_use]
    pub fn cli(&self, command: &[&str]) -> String {
        cli(&self.url(), command)
    }

    /// Changes a setting while it runs.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn set(&self, name: &str, value: &str) {
        assert_eq!(self.cli(&["CONFIG", "SET", name, value]), "OK", "{name} {value}");
    }

    fn run(&mut self) {
        let program = program("redis-server");
        let (port, folder) = (self.port.to_string(), self.folder.to_string_lossy().into_owned());
        let mut command = vec![program.as_str(), "--bind", "127.0.0.1", "--port", &port];
        command.extend(["--dir", &folder, "--save", "", "--appendonly", "no"]);
        command.extend(self.settings.iter().map(String::as_str));
        let log = self.folder.join("log");
        self.process = Some(Process::start(&command, &log, "TERM", Some(self.folder.clone())));
    }

    fn wait_until_it_answers(&self) {
        let start = Instant::now();
        loop {
            let answer = Command::new(program("redis-cli"))
                .args(["-p", &self.port.to_string(), "PING"])
                .stderr(Stdio::null())
                .output()
                .expect("redis-cli runs");
            let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
            // One with a password answers too, and one that loads its data.
            if ["PONG", "NOAUTH", "LOADING"].iter().any(|word| answer.contains(word)) {
                return;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "redis-server does not answer: {answer}{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.process.take());
        // A killed one's keeper has left it.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A cluster of three servers, each with a third of the slots.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers, in the order of their slots.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts it and waits until it is whole.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let nodes: Vec<_> = (0..3).map(|_| Self::node()).collect();
        for (node, slots) in
            nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")])
        {
            let added = node.cli(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
            assert_eq!(added, "OK");
        }
        for (epoch, node) in (1..).zip(&nodes) {
            let _ = node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]);
        }
        let cluster = Self { nodes };
        for node in &cluster.nodes[1..] {
            cluster.meet(node);
        }
        cluster.wait_until("the cluster does not come together", || cluster.is_whole());
        cluster
    }

    /// Adds a master without slots.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn add_master(&mut self) {
        let node = Self::node();
        self.meet(&node);
        self.nodes.push(node);
        self.wait_until("the node does not join", || self.is_whole());
    }

    /// Adds a replica of a node.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn add_replica(&mut self, of: usize) {
        self.add_master();
        let (master, replica) = (&self.nodes[of], &self.nodes[self.nodes.len() - 1]);
        let id = master.cli(&["CLUSTER", "MYID"]);
        assert_eq!(replica.cli(&["CLUSTER", "REPLICATE", &id]), "OK");
        self.wait_until("the replica does not follow", || {
            let knows = |node: &RedisServer| {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                nodes.lines().any(|line| line.contains("slave") && line.contains(&id))
            };
            replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
                && self.nodes.iter().all(knows)
        });
    }

    fn node() -> RedisServer {
        let settings = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"];
        // The bus listens on a port 10 000 above, which is not always one that is free.
        let bus = free_port().to_string();
        RedisServer::start(&[&settings[..], &["--cluster-port", &bus]].concat())
    }

    fn meet(&self, node: &RedisServer) {
        let (port, bus) = (node.port.to_string(), node.bus());
        assert_eq!(self.nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
    }

    fn wait_until(&self, failure: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < PATIENCE, "{failure}: {self:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The URLs of its nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    fn is_whole(&self) -> bool {
        let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
        self.nodes.iter().all(|node| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok")
                && info.contains("cluster_slots_ok:16384")
                && info.contains(&known)
        })
    }
}

impl RedisServer {
    fn bus(&self) -> String {
        self.settings.last().cloned().unwrap_or_default()
    }
}

/// A part of a server that nobody else uses: keys below a prefix. The server is one that the tests
/// of a program share, or that of `REDIS_URL`, where the keys are deleted at the end.
#[derive(Debug)]
pub struct Space {
    /// Where to connect.
    pub url: String,
    /// What all keys begin with.
    pub prefix: String,
}

impl Space {
    /// An empty one.
    ///
    /// # Panics
    /// When the server cannot be started.
    #[must_use]
    #[allow(clippy::new_without_default)] // It starts a server.
    pub fn new() -> Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        static SPACES: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var(URL)
            .unwrap_or_else(|_| SHARED.get_or_init(|| RedisServer::start(&[])).url());
        let number = SPACES.fetch_add(1, Ordering::Relaxed);
        Self { url, prefix: format!("test:{}:{number}", std::process::id()) }
    }

    /// What `redis-cli` prints for a command.
    ///
    /// # Panics
    /// When there is no `redis-cli`, or it fails.
    #[must_use]
    pub fn cli(&self, command: &[&str]) -> String {
        cli(&self.url, command)
    }

    /// A provider with a connection of its own.
    ///
    /// # Panics
    /// When the server cannot be reached.
    #[cfg(feature = "redis")]
    pub async fn provider(&self) -> sessions_redis::RedisProvider {
        let connection = sessions_redis::Connection::open(&self.url).expect("a URL");
        let provider = sessions_redis::RedisProvider::new(connection);
        let provider = provider.prefix(&self.prefix).expect("a plain prefix");
        provider.create().await.expect("a server that will do");
        provider
    }

    /// All its keys, in order.
    ///
    /// # Panics
    /// As of [`cli`](Self::cli).
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let keys = self.cli(&["KEYS", &format!("{}:*", self.prefix)]);
        let mut keys: Vec<_> =
            keys.lines().filter(|it| !it.is_empty()).map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if std::env::var_os(URL).is_some() {
            let _ = self.cli(&["EVAL", CLEAR, "0", &format!("{}:*", self.prefix)]);
        }
    }
}

/// Sees every command that a server is sent.
#[derive(Debug)]
pub struct Monitor {
    lines: std::io::Lines<BufReader<TcpStream>>,
    port: u16,
    marks: u32,
}

impl Monitor {
    /// From now on.
    ///
    /// # Panics
    /// When the server cannot be reached.
    #[must_use]
    pub fn start(server: &RedisServer) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
        stream.write_all(b"MONITOR\r\n").expect("a command is sent");
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("+OK"));
        Self { lines, port: server.port, marks: 0 }
    }

    /// The commands since the last time this was asked, in order, with their arguments as Redis
    /// shows them. What a script does is not among them.
    ///
    /// # Panics
    /// When the server has gone.
    pub fn commands(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("mark-{}-end", self.marks);
        let url = format!("redis://127.0.0.1:{}", self.port);
        assert_eq!(cli(&url, &["ECHO", &mark]), mark);
        let mut commands = Vec::new();
        loop {
            let line = self.lines.next().expect("more lines").expect("a line");
            if line.contains(&mark) {
                return commands;
            }
            let Some((from, command)) = line.split_once("] ") else { continue };
            if !from.ends_with("lua") {
                commands.push(command.to_owned());
            }
        }
    }

    /// Only their names.
    ///
    /// # Panics
    /// As of [`commands`](Self::commands).
    pub fn names(&mut self) -> Vec<String> {
        let commands = self.commands();
        let name = |command: &String| command.split('"').nth(1).unwrap_or_default().to_owned();
        commands.iter().map(name).collect()
    }
}

/// What `redis-cli` prints for a command.
///
/// # Panics
/// When there is no `redis-cli`, or it fails.
#[must_use]
pub fn cli(url: &str, command: &[&str]) -> String {
    let output = Command::new(program("redis-cli"))
        .args(["-u", url, "--no-auth-warning"])
        .args(command)
        .output()
        .expect("redis-cli runs");
    assert!(output.status.success(), "redis-cli {command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn program(name: &str) -> String {
    let found = find_program(name, &[]).unwrap_or_else(|| {
        panic!(
            "{name} is missing: install Redis 7 (Debian's packages redis-server and redis-tools, \
             as tests/run.sh does); most tests also take a server of your own in REDIS_URL"
        )
    });
    found.to_string_lossy().into_owned()
}

const URL: &str = "REDIS_URL";

const CLEAR: &str =
    "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end";

/// Generous, as the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
