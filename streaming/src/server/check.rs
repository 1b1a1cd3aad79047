//! Whether this system's sockets tell what was written to them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::os;

/// Tried, not only asked: some that look like Linux to a program (gVisor, WSL 1) have the call, and not the numbers.
pub fn sockets_count() -> bool {
    matches!(count(), Ok([0, BYTES]))
}

/// What is written.
const BYTES: u64 = 1000;

/// What a socket says before and after.
fn count() -> io::Result<[u64; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut socket, _) = listener.accept()?;
    let before = os::bytes_written(&socket)?;
    let mut bytes = [0; BYTES as usize];
    socket.write_all(&bytes)?;
    client.read_exact(&mut bytes)?;
    // Its acknowledgement comes with this at the latest.
    client.write_all(&[0])?;
    socket.read_exact(&mut [0])?;
    Ok([before, os::bytes_written(&socket)?])
}
