//! A second process on a SQLite file: it adds to the same counters until it is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use http::header::{COOKIE, HeaderMap, HeaderValue};
use rand::Rng as _;
use sessions::Store;
use sessions_sqlite::SqliteProvider;

use crate::load::{Counter, Visitor, commit};

/// The process, as the one that kills it sees it.
pub(crate) struct Victim {
    file: String,
    counters: Arc<Vec<Counter>>,
    running: Option<(Child, JoinHandle<()>)>,
}

impl Victim {
    /// Starts it.
    pub(crate) fn new(file: &str, counters: Arc<Vec<Counter>>) -> Self {
        let mut victim = Self { file: file.to_owned(), counters, running: None };
        victim.start();
        victim
    }

    pub(crate) fn start(&mut self) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--victim", &self.file])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut cookies = String::new();
        for counter in self.counters.iter() {
            cookies.push_str(counter.headers[COOKIE].to_str().unwrap());
            cookies.push('\n');
        }
        cookies.push('\n');
        // It stays open: its end is the victim's.
        child.stdin.as_mut().unwrap().write_all(cookies.as_bytes()).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let counters = self.counters.clone();
        let reader = std::thread::spawn(move || {
            let mut begun = vec![0_u64; counters.len()];
            for line in output.lines() {
                let line = line.unwrap();
                let (word, index) = line.split_once(' ').unwrap();
                let index: usize = index.parse().unwrap();
                if word == "begins" {
                    begun[index] += 1;
                } else {
                    begun[index] -= 1;
                    counters[index].acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            }
            for (counter, begun) in counters.iter().zip(begun) {
                counter.unknown.fetch_add(begun, Ordering::SeqCst);
            }
        });
        self.running = Some((child, reader));
    }

    /// Kills it, and counts what it had begun.
    pub(crate) fn kill(&mut self) {
        let Some((mut child, reader)) = self.running.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process itself.
pub(crate) fn run(file: &str) -> ExitCode {
    let mut lines = BufReader::new(std::io::stdin()).lines().map(Result::unwrap);
    let mut counters = Vec::new();
    for cookie in lines.by_ref().take_while(|line| !line.is_empty()) {
        counters.push(HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&cookie).unwrap())]));
    }
    std::thread::spawn(move || {
        // Until whoever started it is gone.
        lines.for_each(drop);
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = SqliteProvider::open(file).await.unwrap();
        let store = Store::new(provider);
        let counters = Arc::new(counters);
        let clients = (0..CLIENTS).map(|_| tokio::spawn(client(store.clone(), counters.clone())));
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    });
    ExitCode::FAILURE
}

async fn client(store: Store, counters: Arc<Vec<HeaderMap>>) {
    loop {
        let index = rand::rng().random_range(0..counters.len());
        let Ok(mut visitor) = store.load::<Visitor>(&counters[index]).await else { continue };
        visitor.visits += 1;
        say("begins", index);
        if commit(&mut visitor).await.is_ok() {
            say("ends", index);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One write for each line, which a kill does not tear.
fn say(word: &str, index: usize) {
    let line = format!("{word} {index}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

const CLIENTS: usize = 4;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
