//! A client that fills stores with sessions, and one that sends requests at a fixed rate. `wrk`
//! cannot do the second: its connections wait for answers, so a slow server is sent less.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to a port of 127.0.0.1.
    ///
    /// # Panics
    /// When the server does not accept.
    #[must_use]
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: vec![0; 16 * 1024] }
    }

    /// Sends a request and waits for the answer; returns the cookies that it sets, as a browser
    /// sends them.
    ///
    /// # Panics
    /// When the answer is another than 2xx.
    pub fn get(&mut self, path: &str, cookie: &str) -> String {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        if !cookie.is_empty() {
            request.push_str("Cookie: ");
            request.push_str(cookie);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).unwrap();
            assert!(read > 0, "the server closes a connection instead of answering {path}");
            filled += read;
            let text = std::str::from_utf8(&self.buffer[..filled]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("HTTP/1.1 2"), "{path} is answered {head}");
            let length = headers(head, "content-length").next().unwrap_or("0");
            let length: usize = length.parse().unwrap();
            if body.len() >= length {
                let cookies = headers(head, "set-cookie");
                let pairs = cookies.map(|it| it.split(';').next().unwrap_or_default());
                return pairs.collect::<Vec<_>>().join("; ");
            }
        }
    }
}

fn headers<'a>(head: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
}

/// Makes so many sessions; returns their cookies.
#[must_use]
pub fn fill(port: u16, path: &str, count: usize) -> Vec<String> {
    let cookies = Mutex::new(Vec::with_capacity(count));
    let left = AtomicUsize::new(count);
    thread::scope(|scope| {
        for _ in 0..FILLERS {
            scope.spawn(|| {
                let mut connection = Connection::open(port);
                let mut own = Vec::new();
                let less = |left: usize| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                    let cookie = connection.get(path, "");
                    assert!(!cookie.is_empty(), "{path} sets no cookie");
                    own.push(cookie);
                }
                cookies.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
            });
        }
    });
    cookies.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a request for each cookie, `rate` of them a second, over so many connections; `path` says
/// where to. Returns how long each answer took, in nanoseconds, in ascending order.
///
/// An answer that comes after its connection's next request was due delays that request. The delay
/// counts as part of the time of the delayed one, so a server that stops for a while is charged
/// with all requests that it should have answered meanwhile.
#[must_use]
pub fn paced(
    port: u16,
    connections: usize,
    rate: f64,
    cookies: &[String],
    path: impl Fn(usize) -> &'static str + Sync,
) -> Vec<u64> {
    let all = Mutex::new(Vec::with_capacity(cookies.len()));
    // All connections are open by then.
    let start = Instant::now() + Duration::from_millis(20);
    thread::scope(|scope| {
        for first in 0..connections {
            let (all, path) = (&all, &path);
            scope.spawn(move || {
                let mut connection = Connection::open(port);
                let mut own = Vec::with_capacity(cookies.len() / connections + 1);
                for number in (first..cookies.len()).step_by(connections) {
                    let due = start + Duration::from_secs_f64(number as f64 / rate);
                    let wait = due.saturating_duration_since(Instant::now());
                    // The system wakes a sleeper late, which is not the server's fault.
                    let from = if wait.is_zero() {
                        due
                    } else {
                        thread::sleep(wait);
                        Instant::now()
                    };
                    connection.get(path(number), &cookies[number]);
                    own.push(u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_unstable();
    all
}

/// As many as make a server busy.
const FILLERS: usize = 16;

/// Long enough for a machine that others use.
const PATIENCE: Duration = Duration::from_secs(30);
