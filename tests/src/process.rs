//! A server process that ends with the test that started it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running server. It is stopped, and its folder removed, when this is dropped and also when the
/// test process ends without dropping it: a shell stands between the two and waits for the end of
/// its input, which comes however the test process dies.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    // Its end is the signal to stop.
    keeper: Child,
}

impl Process {
    /// Starts `command` with its output going to a file, and stops it with `signal` (a name such
    /// as `TERM`), after a while with `KILL`. Whoever keeps `folder` from being removed passes
    /// `None`.
    ///
    /// # Panics
    /// When no shell can be started. A command that cannot be started only shows in the log.
    #[must_use]
    pub fn start(command: &[&str], log: &Path, signal: &str, folder: Option<PathBuf>) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(log)
            .arg(signal)
            .arg(folder.unwrap_or_default())
            .args(command)
            // A Ctrl-C in the terminal is for the test process, whose end then stops the server.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("the output is piped");
        BufReader::new(output).read_line(&mut line).expect("the shell says whom it started");
        let pid = line.trim().parse().expect("a process id");
        Self { pid, keeper }
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills the server at once, as a crash would, and waits until it is gone. Its folder stays.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(self) {
        self.stop("KILL");
    }

    /// Stops the server with a signal, by name, and waits until it is gone. Its folder stays.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn stop(mut self, signal: &str) {
        self.signal(signal);
        // The keeper would remove the folder; it goes first.
        self.keeper.kill().expect("the keeper can be killed");
        self.keeper.wait().expect("the keeper ends");
        while self.is_alive() {
            std::thread::yield_now();
        }
    }

    /// Whether a thread of it may still hold its ports: one that has let go of its files is a zombie,
    /// or is listed no more.
    fn is_alive(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid));
        threads.into_iter().flatten().flatten().any(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // Behind the name, which may hold anything.
            stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
        })
    }

    /// Lets go of a server that has ended by itself. Its folder stays.
    ///
    /// # Panics
    /// When the shell that watches it cannot be stopped.
    pub fn abandon(mut self) {
        self.keeper.kill().expect("the keeper can be killed");
        self.keeper.wait().expect("the keeper ends");
    }

    /// Sends the server a signal, by name.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }
}

/// Sends a process a signal, by name.
///
/// # Panics
/// When it cannot be sent.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "{name} could not be sent");
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // After `kill` there is nothing to wait for.
        let _ = self.keeper.wait();
    }
}

/// `$1` the log, `$2` the signal, `$3` the folder, the rest the command.
const KEEPER: &str = r#"
log=$1; signal=$2; folder=$3; shift 3
trap : INT TERM HUP
"$@" </dev/null >>"$log" 2>&1 &
pid=$!
echo "$pid"
cat >/dev/null
kill -s "$signal" "$pid" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.25
done
kill -s KILL "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
if [ -n "$folder" ]; then rm -rf "$folder"; fi
"#;

/// A free port of 127.0.0.1. Another process may take it before its user does, which is unlikely
/// for a port that the system has just handed out.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// The program of this name, if it is in one of these folders or on the path.
#[must_use]
pub fn find_program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path);
    folders.iter().cloned().chain(on_path).map(|folder| folder.join(name)).find(|it| it.is_file())
}
