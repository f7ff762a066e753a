//! A primary and a replica, watched by three sentinels.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::process::{Process, find_program, free_port};
use crate::redis::{RedisServer, cli};

/// What the sentinels call the primary.
pub const NAME: &str = "mymaster";

/// Two servers and three sentinels, which fail over when the primary is gone for half a second.
#[derive(Debug)]
pub struct SentinelGroup {
    /// The servers. The first is the primary at the beginning.
    pub servers: [RedisServer; 2],
    /// The sentinels, each stopped when it is taken and dropped.
    pub sentinels: Vec<Option<Process>>,
    ports: Vec<u16>,
}

impl SentinelGroup {
    /// Starts them, and waits until the sentinels know each other and the replica.
    ///
    /// # Panics
    /// When one cannot be started, or they do not find each other.
    #[must_use]
    pub fn start() -> Self {
        let primary = RedisServer::start(&[]);
        let port = primary.port.to_string();
        let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
        let (ports, sentinels) = (0..3).map(|_| sentinel(primary.port)).unzip();
        let group = Self { servers: [primary, replica], sentinels, ports };
        group.wait("the sentinels know each other", || {
            group.ports.iter().all(|port| {
                let known = cli(&url(*port), &["SENTINEL", "MASTER", NAME]);
                let value = |name: &str| {
                    let mut lines = known.lines().skip_while(|line| *line != name);
                    lines.nth(1).unwrap_or_default().to_owned()
                };
                value("num-slaves") == "1" && value("num-other-sentinels") == "2"
            })
        });
        group.wait("the replica is in step", || {
            group.servers[1].cli(&["INFO", "replication"]).contains("master_link_status:up")
        });
        group
    }

    /// The URLs of the sentinels.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| url(*port)).collect()
    }

    /// The URL of the primary for a provider: its name in the place of the host.
    #[must_use]
    pub fn primary() -> String {
        format!("redis://{NAME}")
    }

    /// Lets the sentinels make the other server the primary, as before maintenance. They do so once
    /// they have seen that it is in step, and a while after the failover before.
    ///
    /// # Panics
    /// When they refuse for too long.
    pub fn fail_over(&self) {
        let url = &self.urls()[0];
        self.wait("a failover", || cli(url, &["SENTINEL", "FAILOVER", NAME]) == "OK");
    }

    /// Waits until this server is the primary, and says so.
    ///
    /// # Panics
    /// When it does not become it.
    pub fn wait_for_primary(&self, server: usize) {
        let server = &self.servers[server];
        self.wait("a failover", || server.cli(&["ROLE"]).starts_with("master"));
    }

    fn wait(&self, what: &str, mut is_done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_done() {
            assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

fn sentinel(primary: u16) -> (u16, Option<Process>) {
    let port = free_port();
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    // A sentinel writes what it learns into its file.
    let config = folder.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 3000\n",
        folder.display()
    );
    std::fs::write(&config, text).expect("a file in a temporary folder");
    let program = find_program("redis-server", &[PathBuf::from("/usr/bin")])
        .expect("redis-server is missing: install redis-server (Debian's name)");
    let command = [&*program.to_string_lossy(), &*config.to_string_lossy(), "--sentinel"];
    let process = Process::start(&command, &folder.join("log"), "TERM", Some(folder.clone()));
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(start.elapsed() < PATIENCE, "a sentinel does not answer: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
    (port, Some(process))
}

/// More than a failover takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
