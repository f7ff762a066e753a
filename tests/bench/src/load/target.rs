//! The servers that are measured, each a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server program with one framework, library and provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// As the report has it.
    pub name: &'static str,
    /// As the programs take it.
    pub app: &'static str,
    /// Whether it is of this repository.
    pub ours: bool,
}

/// A server that runs. It is killed when this is dropped, and ends with the bench in any case.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Target {
    /// Starts it, with the URL of its database.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(&self, programs: &Programs, url: &str) -> Running {
        let program = if self.ours { &programs.ours } else { &programs.peers };
        let mut child = Command::new(program)
            .args([self.app, url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{} does not start", self.app));
        Running { child, port }
    }
}

impl Running {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server programs.
#[derive(Debug)]
pub struct Programs {
    /// With ours, or with none.
    pub ours: PathBuf,
    /// With the libraries of others.
    pub peers: PathBuf,
}

/// Builds the servers with the libraries of others, a package outside the workspace.
///
/// # Panics
/// When that fails.
#[must_use]
pub fn build_peers(target_folder: &Path) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Cargo.toml");
    let folder = target_folder.join("peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--release", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&folder)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the servers of the peers do not build");
    folder.join("release/load_peer")
}
