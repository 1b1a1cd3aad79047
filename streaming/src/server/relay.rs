//! The server writes itself, what a worker has read.

use std::net::TcpStream as StdStream;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::client::leave;
use super::job::Chunk;
use crate::stream::Outcome;

/// What happened to a job whose chunks are written here.
pub(super) struct Written {
    pub(super) job: u64,
    /// How many bytes in all; or why no more are.
    pub(super) result: Result<u64, Outcome>,
}

/// Writes chunks until there are `total` bytes or no more come.
pub(super) async fn relay(
    job: u64,
    total: u64,
    socket: StdStream,
    mut chunks: mpsc::UnboundedReceiver<Chunk>,
    stall: Duration,
    tell: mpsc::UnboundedSender<Written>,
    _permit: OwnedSemaphorePermit,
) {
    let Ok(mut socket) = TcpStream::from_std(socket) else {
        let result = Err(Outcome::ClientGone);
        let _ = tell.send(Written { job, result });
        return;
    };
    let mut written = 0;
    while written < total {
        let Some(Chunk(message, from)) = chunks.recv().await else {
            return;
        };
        let mut rest = &message[from..];
        while !rest.is_empty() {
            let result = match timeout(stall, socket.write(rest)).await {
                Ok(Ok(bytes)) => {
                    (rest, written) = (&rest[bytes..], written + bytes as u64);
                    continue;
                }
                Ok(Err(_)) => Err(Outcome::ClientGone),
                Err(_) => Err(Outcome::Stalled),
            };
            let _ = tell.send(Written { job, result });
            return;
        }
        let result = Ok(written);
        let _ = tell.send(Written { job, result });
    }
    leave(socket).await;
}
