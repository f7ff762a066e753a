//! The processes of an app, each behind a proxy of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// One host: it ends when this is dropped.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Host {
    /// Starts a host on this database. `prefix` keeps what it stores apart.
    pub(crate) fn start(url: &str, prefix: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coherence-host"))
            .args([url, prefix])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), child }
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
