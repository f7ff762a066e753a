//! A relay that counts round trips.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// How often a client waited for its server: each time that it sends after it was sent something.
#[derive(Clone, Debug, Default)]
pub struct Trips(Arc<AtomicU64>);

impl Trips {
    /// Starts a relay to `server`; returns where it listens. It ends with the process.
    #[must_use]
    pub fn start(server: SocketAddr) -> (SocketAddr, Self) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let trips = Self::default();
        let counted = trips.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                relay(client.unwrap(), TcpStream::connect(server).unwrap(), &counted);
            }
        });
        (address, trips)
    }

    /// The round trips since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

fn relay(client: TcpStream, server: TcpStream, trips: &Trips) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let asking = Arc::new(AtomicBool::new(false));
    let (trips, asked) = (trips.clone(), asking.clone());
    let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        pass(&client, &server, || {
            if !asked.swap(true, Ordering::SeqCst) {
                trips.0.fetch_add(1, Ordering::SeqCst);
            }
        });
    });
    thread::spawn(move || pass(&ends.1, &ends.0, || asking.store(false, Ordering::SeqCst)));
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, before: impl Fn()) {
    let mut buffer = [0; 16 * 1024];
    // An end of either side is the end of both.
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        before();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
