//! The shop of the examples, as its own process.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Process, free_port};

/// A shop that runs, until it is dropped.
#[derive(Debug)]
pub struct Shop {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    words: Vec<String>,
    folder: TempDir,
}

impl Shop {
    /// Opens the shop with these options, on a free port.
    ///
    /// # Panics
    /// When it does not open within a minute; with what it printed.
    #[must_use]
    pub fn open(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for its output");
        Self::at(free_port(), words.iter().map(ToString::to_string).collect(), folder)
    }

    /// Stops the shop as Ctrl-C does, and waits until it is gone.
    ///
    /// # Panics
    /// When it runs on for a minute.
    pub fn stop(self) {
        self.process.signal("INT");
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.runs() {
            assert!(Instant::now() < deadline, "the shop does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process.abandon();
    }

    fn runs(&self) -> bool {
        Path::new(&format!("/proc/{}/exe", self.process.pid())).exists()
    }

    /// Kills the shop, as a crash would, and opens it again at the same address.
    #[must_use]
    pub fn restart(self) -> Self {
        let words = self.words.clone();
        self.redeploy_words(words)
    }

    /// Kills the shop, and opens it at the same address with other options.
    #[must_use]
    pub fn redeploy(self, words: &[&str]) -> Self {
        self.redeploy_words(words.iter().map(ToString::to_string).collect())
    }

    fn redeploy_words(self, words: Vec<String>) -> Self {
        let Self { process, address, folder, .. } = self;
        process.kill();
        Self::at(address.port(), words, folder)
    }

    fn at(port: u16, words: Vec<String>, folder: TempDir) -> Self {
        let log = log(&folder);
        // What an earlier one printed is not this one's.
        let _ = std::fs::remove_file(&log);
        let port_text = port.to_string();
        let program = program().to_str().expect("a path in UTF-8");
        let mut command = vec!["env", "-u", "DATABASE_URL", program, "--port", &port_text];
        command.extend(words.iter().map(String::as_str));
        let process = Process::start(&command, &log, "TERM", None);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            if printed.contains("the shop is open") {
                break;
            }
            let runs = Path::new(&format!("/proc/{}/exe", process.pid())).exists();
            assert!(runs && Instant::now() < deadline, "the shop does not open: {printed}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)), words, folder }
    }

    /// The address of a page as a visitor writes it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.words.iter().any(|word| word == "--https") { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.address.port())
    }

    /// What a browser is given to accept the certificate of a shop that was opened with `--https`.
    ///
    /// # Panics
    /// When it did not print it.
    #[must_use]
    pub fn pin(&self) -> String {
        let printed = std::fs::read_to_string(log(&self.folder)).expect("its output");
        let mut pins =
            printed.lines().filter_map(|line| line.strip_prefix("the pin of its certificate: "));
        pins.next().expect("a pin").to_owned()
    }
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("output")
}

/// What the shop does with options that it cannot use.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn refuse(words: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.env_remove("DATABASE_URL").args(words).output().expect("the shop starts")
}

/// Builds the example with the features of a run of the whole suite, so that such a run has nothing to
/// build.
const BUILD: &str =
    "cargo build --locked --workspace --exclude sessions-bench --all-features --example shop";

/// The example's program. It is built where it is not there yet.
///
/// # Panics
/// When it does not build.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let mut build = Command::new(cargo);
        build.args(BUILD.split(' ').skip(1));
        // Cargo describes this package to its tests. Some build scripts run again when that changes,
        // and then most of the workspace's dependencies are built again.
        for (name, _) in env::vars_os() {
            let about_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
            if about_package.iter().any(|start| name.to_string_lossy().starts_with(start)) {
                build.env_remove(name);
            }
        }
        // target/<profile>/deps/this test -> target/<profile>/examples/shop
        let test = env::current_exe().expect("this test is a file");
        let target = test.ancestors().nth(2).expect("a test is in its target folder");
        if target.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(workspace).status().expect("cargo starts");
        assert!(built.success(), "the example does not build");
        target.join("examples").join("shop")
    })
}
