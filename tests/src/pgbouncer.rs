//! PgBouncer before a server, in transaction mode.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::postgres::{as_server, give_to_server};
use crate::process::{Process, find_program, free_port};

/// A pooler that gives a client a server connection for one transaction at a time.
#[derive(Debug)]
pub struct Pgbouncer {
    port: u16,
    _process: Process,
}

impl Pgbouncer {
    /// Starts one before the server on `port` of 127.0.0.1, with `connections` to each database.
    ///
    /// # Panics
    /// When PgBouncer is missing or does not start.
    #[must_use]
    pub fn start(port: u16, connections: u32) -> Self {
        let program = find_program("pgbouncer", &[PathBuf::from("/usr/sbin")])
            .expect("PgBouncer is missing: install it (Debian: pgbouncer)");
        let folder = tempfile::tempdir().expect("a folder in the temporary one").keep();
        let own = free_port();
        let users = folder.join("users");
        std::fs::write(&users, "\"postgres\" \"secret\"\n").expect("a file in a new folder");
        let settings = folder.join("settings");
        // Only what PgBouncer lets pass unless told otherwise: no ignore_startup_parameters.
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {connections}\nmax_client_conn = 500\n",
            users.display()
        );
        std::fs::write(&settings, text).expect("a file in a new folder");
        give_to_server(&folder);
        let mut command = as_server(&program);
        command.arg(&settings);
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let log = folder.join("log");
        let process = Process::start(&words, &log, "TERM", Some(folder));
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", own)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "PgBouncer does not answer: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { port: own, _process: process }
    }

    /// Where to connect to a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:secret@127.0.0.1:{}/{database}", self.port)
    }
}
