//! PostgreSQL servers of the tests' own.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::process::{Process, find_program, free_port};

/// A throwaway server. It stops, and its folder goes, when this is dropped or the test process
/// ends.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Postgres {
    /// Makes a database cluster and starts a server on it, with `settings` such as `"ssl=on"`. Its
    /// superuser is `postgres`, with the password `secret`, and nobody is asked for a password.
    ///
    /// # Panics
    /// When PostgreSQL's programs are missing or the server does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, |_| {})
    }

    /// Like [`start`](Self::start), after `prepare` has put files into the folder of the cluster.
    ///
    /// # Panics
    /// When PostgreSQL's programs are missing or the server does not start.
    #[must_use]
    pub fn start_with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder in the temporary one").keep();
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("a folder within a new one");
        std::fs::write(folder.join("password"), PASSWORD).expect("a file in a new folder");
        give_to_server(&folder);
        let mut command = as_server(&program("initdb"));
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        command.args(["--locale=C", "--no-sync", "--pwfile"]).arg(folder.join("password"));
        command.arg("--pgdata").arg(&data);
        succeed(&mut command);
        prepare(&data);
        give_to_server(&folder);
        let mut text = String::from(SETTINGS);
        if has_contrib("pg_stat_statements") {
            text.push_str("shared_preload_libraries = 'pg_stat_statements'\n");
        }
        for setting in settings {
            let (name, value) = setting.split_once('=').expect("a setting as name=value");
            text.push_str(&format!("{name} = '{value}'\n"));
        }
        let file = data.join("postgresql.conf");
        let old = std::fs::read_to_string(&file).expect("initdb writes the settings");
        std::fs::write(file, old + &text).expect("the settings can be written");
        let server = Self { port: free_port(), folder, process: Mutex::new(None) };
        server.run();
        server
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process, whose children are those of its connections.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process().as_ref().expect("the server is running").pid()
    }

    /// Where to connect, as the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// Kills the server with SIGKILL, all its processes, as a power cut would.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&self) {
        let process = self.process().take().expect("the server is running");
        let children = format!("/proc/{0}/task/{0}/children", process.pid());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        process.kill();
        let children: Vec<&str> = children.split_whitespace().collect();
        // Some have ended by now.
        let _ = Command::new("kill").args(["-s", "KILL"]).args(&children).output();
        for child in children {
            wait_for_the_end(child);
        }
    }

    /// Stops the server in an orderly way: its connections are told.
    ///
    /// # Panics
    /// When it is not running.
    pub fn stop(&self) {
        // INT: does not wait for clients to leave.
        self.process().take().expect("the server is running").stop("INT");
    }

    /// Starts the server again on the same port and the same data, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&self) {
        let log = self.folder.join("log");
        let port = self.port.to_string();
        let mut command = as_server(&program("postgres"));
        command.arg("-D").arg(self.folder.join("data")).args(["-p", &port]);
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let start = || Process::start(&words, &log, "INT", Some(self.folder.clone()));
        let mut process = start();
        let mut ready = Command::new(program("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port]);
        let began = Instant::now();
        while !ready.status().is_ok_and(|status| status.success()) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not answer: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            // It refuses to start as long as a process of the killed one is still there.
            if !Path::new(&format!("/proc/{}/exe", process.pid())).exists() {
                process.abandon();
                process = start();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.process() = Some(process);
    }

    /// What the server has logged.
    ///
    /// # Panics
    /// When it has not started.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("a server writes its log")
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that runs takes its folder along.
        if self.process().take().is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A database of one test, on the server that `DATABASE_URL` points to, or else on one that the
/// tests of this process share. It is dropped with this.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
    server: String,
}

impl Database {
    /// Creates an empty database.
    ///
    /// # Panics
    /// When there is no server, or its user may not create databases.
    #[must_use]
    pub fn create() -> Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        let server = match std::env::var("DATABASE_URL") {
            Ok(url) if url.starts_with("postgres") => url,
            _ => SHARED.get_or_init(|| Postgres::start(&[])).url(),
        };
        Self::create_on(&server)
    }

    /// Creates an empty database on the server of this URL.
    ///
    /// # Panics
    /// When its user may not create databases.
    #[must_use]
    pub fn create_on(server: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sessions_test_{}_{number}", std::process::id());
        sql(server, &format!("CREATE DATABASE {name}"));
        let (url, settings) = server.split_once('?').unwrap_or((server, ""));
        let host = url.find("//").map_or(0, |slashes| slashes + 2);
        let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
        let mut url = format!("{}/{name}", &url[..end]);
        if !settings.is_empty() {
            url.push('?');
            url.push_str(settings);
        }
        Self { url, name, server: server.to_owned() }
    }

    /// Where to connect.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL and returns what it answers: a line for each row, `|` between columns.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, text: &str) -> String {
        sql(&self.url, text)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A test may have stopped the server.
        let _ = psql(&self.server, &drop).output();
    }
}

/// Runs SQL on the server of this URL and returns what it answers: a line for each row, `|` between
/// columns.
///
/// # Panics
/// When it fails.
pub fn sql(url: &str, text: &str) -> String {
    let output = succeed(&mut psql(url, text));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// The program of this name that came with the server.
///
/// # Panics
/// When PostgreSQL is not installed.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let folders = FOLDERS.get_or_init(|| {
        let told = Command::new("pg_config").arg("--bindir").output().ok();
        let told = told.filter(|output| output.status.success());
        let told = told.map(|output| String::from_utf8_lossy(&output.stdout).trim().into());
        // Debian's package of the server brings no pg_config for the path.
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
        versions.sort();
        versions.reverse();
        told.into_iter().chain(versions).collect()
    });
    find_program(name, folders).unwrap_or_else(|| {
        panic!("PostgreSQL's `{name}` is missing: install PostgreSQL (Debian: postgresql)")
    })
}

/// The command, run by the user `postgres` where this process is root's, as whom no server starts.
#[must_use]
pub fn as_server(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    // The folder of the tests may be out of that user's reach.
    command.current_dir("/");
    command
}

/// Lets the user of [`as_server`] have the folder.
///
/// # Panics
/// When there is no user `postgres`.
pub fn give_to_server(folder: &Path) {
    if is_root() {
        succeed(Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder));
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn psql(url: &str, text: &str) -> Command {
    let mut command = Command::new(program("psql"));
    command.args(["-XAqt", "-v", "ON_ERROR_STOP=1", "-c", text, url]);
    command
}

fn has_contrib(name: &str) -> bool {
    let share = succeed(Command::new(program("pg_config")).arg("--sharedir"));
    let share = String::from_utf8_lossy(&share.stdout).trim().to_owned();
    Path::new(&share).join("extension").join(format!("{name}.control")).exists()
}

fn wait_for_the_end(pid: &str) {
    while Path::new(&format!("/proc/{pid}/exe")).exists() {
        std::thread::yield_now();
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

const PASSWORD: &str = "secret";

/// No socket files, and no waiting for the disk: what the system has taken outlives a killed
/// process.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
fsync = off
";
