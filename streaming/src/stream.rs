//! Writes a response to a socket.

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::os;
use crate::response::Response;

/// How long a worker waits at most before it says that it is alive.
pub(crate) const LOOK: Duration = Duration::from_millis(200);
/// The most that one call writes. A socket has mostly less room.
const PIECE: usize = 1 << 20;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// All is written.
    Sent,
    /// The client has gone away.
    ClientGone,
    /// The client has taken nothing for too long.
    Stalled,
    /// The file cannot be read, or has become shorter.
    FileFailed,
}

/// Writes `response` from `position` on to a socket that does not wait. Calls `progress` after each write, and several times a second.
/// Gives up if the client takes nothing for `stall`.
pub fn stream(
    response: &Response,
    mut position: u64,
    file: &File,
    socket: &TcpStream,
    stall: Duration,
    mut progress: impl FnMut(u64),
) -> Outcome {
    let mut moved = Instant::now();
    while position < response.total() {
        match response.write_from(position, PIECE, file, socket) {
            Ok(0) => return Outcome::FileFailed,
            Ok(written) => {
                position += written as u64;
                moved = Instant::now();
                progress(position);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if moved.elapsed() > stall {
                    return Outcome::Stalled;
                }
                progress(position);
                if os::wait_writable(socket, LOOK).is_err() {
                    return Outcome::ClientGone;
                }
            }
            Err(e) if is_of_file(&e) => return Outcome::FileFailed,
            Err(_) => return Outcome::ClientGone,
        }
    }
    Outcome::Sent
}

/// One call reads the file and writes to the socket; of its errors, these are not a socket's.
fn is_of_file(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported
            | io::ErrorKind::StaleNetworkFileHandle
    ) || e.raw_os_error() == Some(EIO)
}

/// On Linux, where it has no kind.
const EIO: i32 = 5;
