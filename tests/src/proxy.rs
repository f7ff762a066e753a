//! A TCP proxy on 127.0.0.1 that cuts and stalls connections on demand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stands between a client and its server. It stops when it is dropped, its connections with it.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    plan: Mutex<Plan>,
    /// How often all connections were to be cut.
    cuts: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
    connections: AtomicU64,
    upstream: Mutex<SocketAddr>,
    /// What clients have sent.
    sent: Mutex<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Plan {
    record: bool,
    refuse: bool,
    /// The next time a client sends these bytes, its connection is cut.
    cut: Option<(Vec<u8>, When)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    BeforeForwarding,
    BeforeAnswer,
}

impl Proxy {
    /// A proxy before `upstream` that passes everything on.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            plan: Mutex::default(),
            cuts: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            connections: AtomicU64::new(0),
            upstream: Mutex::new(upstream),
            sent: Mutex::default(),
        });
        let accepted = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepted.plan().refuse {
                    continue;
                }
                accepted.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(accepted.clone(), client));
            }
        });
        Self { address, shared, task }
    }

    /// The next time a client sends `bytes`, cuts its connection instead of passing them on: the
    /// server never sees them.
    pub fn cut_before(&self, bytes: &[u8]) {
        self.shared.plan().cut = Some((bytes.to_vec(), When::BeforeForwarding));
    }

    /// The next time a client sends `bytes`, passes them on, and cuts its connection once the
    /// server has answered, without passing the answer on.
    pub fn cut_after(&self, bytes: &[u8]) {
        self.shared.plan().cut = Some((bytes.to_vec(), When::BeforeAnswer));
    }

    /// Whether a planned cut has not happened yet.
    #[must_use]
    pub fn cut_is_due(&self) -> bool {
        self.shared.plan().cut.is_some()
    }

    /// Cuts all connections that are open.
    pub fn cut_all(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes new connections at once, or no longer.
    pub fn refuse(&self, refuse: bool) {
        self.shared.plan().refuse = refuse;
    }

    /// Holds back everything in both directions, or lets it go on. Connections stay open.
    pub fn stall(&self, stall: bool) {
        self.shared.stalled.send_replace(stall);
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Keeps what clients send from now on.
    pub fn record(&self) {
        self.shared.plan().record = true;
    }

    /// What clients have sent since the last call of this, in one piece: as a rule there is only
    /// one.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        std::mem::take(&mut *self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends new connections to another server.
    pub fn redirect(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut_all();
    }
}

impl Shared {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the planned cut if `bytes` hold what it waits for, not all of it in the first `old`.
    fn due(&self, bytes: &[u8], old: usize) -> Option<When> {
        let mut plan = self.plan();
        let (needle, when) = plan.cut.as_ref()?;
        let from = (old + 1).saturating_sub(needle.len());
        let (when, found) = (*when, contains(&bytes[from..], needle));
        if found {
            plan.cut = None;
        }
        found.then_some(when)
    }

    async fn stall_over(&self) {
        let mut stalled = self.stalled.subscribe();
        // The sender lives as long as this does.
        let _ = stalled.wait_for(|stalled| !stalled).await;
    }
}

async fn serve(shared: Arc<Shared>, client: TcpStream) {
    let upstream = *shared.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cuts = shared.cuts.subscribe();
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // The nodelay setting of real clients and servers, which a proxy must not undo.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lost = watch::Sender::new(false);
    tokio::select! {
        () = forth(&shared, from_client, to_server, &lost) => {}
        () = back(&shared, from_server, to_client, &lost) => {}
        _ = cuts.changed() => {}
    }
}

async fn forth(
    shared: &Shared,
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    lost: &watch::Sender<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    // What a needle may have begun in.
    let mut tail: Vec<u8> = Vec::new();
    while let Some(read) = read(&mut client, &mut bytes).await {
        if shared.plan().record {
            shared.sent.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(read);
        }
        let old = tail.len();
        tail.extend_from_slice(read);
        match shared.due(&tail, old) {
            Some(When::BeforeForwarding) => return,
            Some(When::BeforeAnswer) => {
                lost.send_replace(true);
            }
            None => {}
        }
        tail.drain(..tail.len().saturating_sub(512));
        shared.stall_over().await;
        if server.write_all(read).await.is_err() {
            return;
        }
    }
}

async fn back(
    shared: &Shared,
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    lost: &watch::Sender<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Some(read) = read(&mut server, &mut bytes).await {
        shared.stall_over().await;
        if *lost.borrow() || client.write_all(read).await.is_err() {
            return;
        }
    }
}

async fn read<'a>(from: &mut (impl AsyncRead + Unpin), bytes: &'a mut [u8]) -> Option<&'a [u8]> {
    match from.read(bytes).await {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(&bytes[..count]),
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && bytes.windows(needle.len()).any(|window| window == needle)
}
