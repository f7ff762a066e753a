//! MariaDB servers of the tests' own.

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
pub struct MySql {
    port: u16,
    folder: PathBuf,
    settings: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl MySql {
    /// Makes a data directory and starts a server on it, with `settings` such as
    /// `"sql-mode=ANSI"`. Its user `tests`, with the password `secret`, may do everything.
    ///
    /// # Panics
    /// When MariaDB's programs are missing or the server does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, |_| {})
    }

    /// Like [`start`](Self::start), after `prepare` has put files into the data directory.
    ///
    /// # Panics
    /// When MariaDB's programs are missing or the server does not start.
    #[must_use]
    pub fn start_with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder in the temporary one").keep();
        let data = folder.join("data");
        // Its own folder, as the server's user may not list the one above.
        let copied = Command::new("cp").arg("-a").arg(installed()).arg(&data).output();
        assert!(copied.as_ref().is_ok_and(|it| it.status.success()), "{copied:?}");
        prepare(&data);
        std::fs::write(data.join("users.sql"), USERS).expect("a file in a new folder");
        give_to_server(&folder);
        let settings = settings.iter().map(|setting| format!("--{setting}")).collect();
        let server = Self { port: free_port(), folder, settings, process: Mutex::new(None) };
        server.run();
        server
    }

    /// The server's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect, as a user who may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://tests:{PASSWORD}@127.0.0.1:{}/mysql", self.port)
    }

    /// Kills the server with SIGKILL, as a power cut would.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&self) {
        self.process().take().expect("the server is running").kill();
    }

    /// Stops the server in an orderly way.
    ///
    /// # Panics
    /// When it is not running.
    pub fn stop(&self) {
        self.process().take().expect("the server is running").stop("TERM");
    }

    /// Starts the server again on the same port and the same data, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&self) {
        let log = self.folder.join("log");
        let data = self.folder.join("data");
        let mut command = as_server(&program("mariadbd"));
        command.arg(format!("--datadir={}", data.display()));
        command.arg(format!("--socket={}", self.folder.join("socket").display()));
        // A server that starts removes what others have in theirs.
        command.arg(format!("--tmpdir={}", self.folder.display()));
        command.arg(format!("--init-file={}", data.join("users.sql").display()));
        command.arg(format!("--port={}", self.port)).args(SETTINGS).args(&self.settings);
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let start = || Process::start(&words, &log, "KILL", Some(self.folder.clone()));
        let mut process = start();
        let began = Instant::now();
        while !client(&self.url(), "DO 1").output().is_ok_and(|it| it.status.success()) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "MariaDB does not answer: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            // The system may not have let go of what the killed one had.
            if !Path::new(&format!("/proc/{}/exe", process.pid())).exists() {
                process.abandon();
                process = start();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.process() = Some(process);
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MySql {
    fn drop(&mut self) {
        // One that runs takes its folder along.
        if self.process().take().is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A database of one test, on the server that `MYSQL_URL` points to, or else on one that the tests
/// of this process share. It is dropped with this.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
}

impl Database {
    /// Creates an empty database.
    ///
    /// # Panics
    /// When there is no server, or its user may not create databases.
    #[must_use]
    pub fn create() -> Self {
        static SHARED: OnceLock<MySql> = OnceLock::new();
        let server = match std::env::var("MYSQL_URL") {
            Ok(url) => url,
            Err(_) => SHARED.get_or_init(|| MySql::start(&[])).url(),
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
        Self { url, name }
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
        // A transaction that a test has left open ends with its connection, soon.
        let drop = format!("SET lock_wait_timeout = 5; DROP DATABASE IF EXISTS {}", self.name);
        // A test may have stopped the server.
        let _ = client(&self.url, &drop).output();
    }
}

/// Runs SQL on the server of this URL and returns what it answers: a line for each row, `|` between
/// columns.
///
/// # Panics
/// When it fails.
pub fn sql(url: &str, text: &str) -> String {
    let output = succeed(&mut client(url, text));
    String::from_utf8_lossy(&output.stdout).trim_end().replace('\t', "|")
}

/// MariaDB's client with these statements, for a URL as the tests write it.
fn client(url: &str, text: &str) -> Command {
    let url = url.split('?').next().unwrap_or_default();
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, database) = url.split_once('/').unwrap_or((url, ""));
    let (user, place) = place.rsplit_once('@').unwrap_or(("root", place));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = place.split_once(':').unwrap_or((place, "3306"));
    let mut command = Command::new(program("mariadb"));
    command.args(["--no-defaults", "--protocol=tcp", "--batch", "--skip-column-names", "--raw"]);
    command.args(["--host", host, "--port", port, "--user", user]).env("MYSQL_PWD", password);
    command.args(["--execute", text, database]);
    command
}

/// A data directory as a new server has it, which takes seconds to make.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    &INSTALLED.get_or_init(Installed::new).data
}

/// Removed when the process of the tests ends, which a shell waits for: statics are not dropped.
#[derive(Debug)]
struct Installed {
    data: PathBuf,
    _keeper: Process,
}

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder in the temporary one").keep();
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("a folder within a new one");
        give_to_server(&folder);
        let mut command = Command::new(program("mariadb-install-db"));
        command.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"]);
        command.arg("--auth-root-authentication-method=normal").arg(INNODB_LOG);
        command.arg(format!("--datadir={}", data.display()));
        if is_root() {
            command.arg("--user=mysql");
        }
        succeed(&mut command);
        let log = folder.join("log");
        let keeper = Process::start(&["sleep", "infinity"], &log, "KILL", Some(folder));
        Self { data, _keeper: keeper }
    }
}

/// The program of this name that came with the server.
///
/// # Panics
/// When MariaDB is not installed.
fn program(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/libexec"].map(PathBuf::from);
    find_program(name, &folders).unwrap_or_else(|| {
        panic!("MariaDB's `{name}` is missing: install MariaDB (Debian: mariadb-server)")
    })
}

/// The command, run by the user `mysql` where this process is root's, as whom no server starts.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--no-defaults");
    if is_root() {
        command.arg("--user=mysql");
    }
    command
}

fn give_to_server(folder: &Path) {
    if is_root() {
        succeed(Command::new("chown").args(["-R", "mysql:mysql"]).arg(folder));
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
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

/// Run at each start.
const USERS: &str = "CREATE USER IF NOT EXISTS tests@'%' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO tests@'%' WITH GRANT OPTION;
";

const INNODB_LOG: &str = "--innodb-log-file-size=32M";

/// No waiting for the disk: what the system has taken outlives a killed process.
const SETTINGS: [&str; 6] = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=400",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=64M",
    INNODB_LOG,
];
