//! What the server programs of the bench `load` share, those of others' libraries included.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// Listens on a free port of 127.0.0.1 and prints the port. From then on the process ends with its
/// standard input, so that no server outlives the bench.
///
/// # Errors
/// Fails if no port is free or nobody reads the output.
pub fn listen() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    std::thread::spawn(|| {
        let mut input = std::io::stdin();
        while matches!(input.read(&mut [0; 64]), Ok(1..)) {}
        std::process::exit(0);
    });
    let mut output = std::io::stdout();
    writeln!(output, "{}", listener.local_addr()?.port())?;
    output.flush()?;
    Ok(listener)
}
