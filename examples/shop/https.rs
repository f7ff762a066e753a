//! HTTPS with a certificate that is made at start. No authority has signed it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, PublicKeyData as _, generate_simple_self_signed};
use sha2::{Digest as _, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

/// A key and a certificate of its own.
pub(crate) struct Certificate {
    acceptor: TlsAcceptor,
    /// The SHA-256 of the public key in Base64, by which a browser can be told to accept it.
    pub(crate) pin: String,
}

impl Certificate {
    /// Makes one for these hosts.
    pub(crate) fn new(hosts: &[&str]) -> Result<Self, Box<dyn Error>> {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(hosts)?;
        let pin = STANDARD.encode(Sha256::digest(signing_key.subject_public_key_info()));
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), pin })
    }

    /// Accepts HTTPS where the listener accepts connections.
    pub(crate) fn listen(&self, tcp: TcpListener) -> TlsListener {
        TlsListener { tcp, acceptor: self.acceptor.clone(), handshakes: JoinSet::new() }
    }
}

/// Accepts connections, and answers their handshakes beside each other.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<Accepted>>,
}

type Accepted = (TlsStream<TcpStream>, SocketAddr);

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        loop {
            tokio::select! {
                (stream, peer) = Listener::accept(&mut self.tcp) => {
                    let handshake = self.acceptor.accept(stream);
                    self.handshakes.spawn(async move {
                        let done = tokio::time::timeout(HANDSHAKE, handshake).await;
                        // A client that does not trust the certificate ends it here.
                        Some((done.ok()?.ok()?, peer))
                    });
                }
                Some(Ok(Some(accepted))) = self.handshakes.join_next() => return accepted,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
