//! What a client asked for, until it has it.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use twinring::Handle;

use crate::os;
use crate::protocol::WINDOW;
use crate::response::Response;

/// After so many workers in a row that have died before they tried to write, a job is given up.
const MAX_DEATHS: u32 = 10;

pub(super) struct Job {
    pub(super) number: u64,
    /// As it is shown.
    pub(super) name: String,
    pub(super) response: Response,
    pub(super) file: File,
    pub(super) way: Way,
    /// Where the next worker begins.
    pub(super) position: u64,
    /// Workers in a row that have died of it.
    deaths: u32,
    pub(super) began: Instant,
}

/// How its bytes get to the client.
pub(super) enum Way {
    /// The worker writes them.
    Worker {
        socket: TcpStream,
        /// How many bytes had been written before.
        before: u64,
        /// Held for as long as the client is.
        permit: OwnedSemaphorePermit,
    },
    /// The server does, by a task that ends with this.
    Server {
        chunks: mpsc::UnboundedSender<Chunk>,
        written: u64,
    },
}

/// A worker's message, and where its bytes begin.
pub(super) struct Chunk(pub(super) Vec<u8>, pub(super) usize);

/// What a client has asked for.
pub(super) struct Wish {
    pub(super) client: SocketAddr,
    pub(super) path: String,
    pub(super) response: Response,
    pub(super) file: File,
    pub(super) socket: TcpStream,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn new(number: u64, name: String, response: Response, file: File, way: Way) -> Job {
        Job {
            number,
            name,
            response,
            file,
            way,
            position: 0,
            deaths: 0,
            began: Instant::now(),
        }
    }

    /// Looks how far a worker has come that is dead and has been waited for, or that has said that it is done.
    pub(super) fn look(&mut self) -> io::Result<()> {
        if let Way::Worker { socket, before, .. } = &self.way {
            let written = os::bytes_written(socket)?.checked_sub(*before);
            self.position = written
                .filter(|position| (self.position..=self.response.total()).contains(position))
                .ok_or_else(|| io::Error::other("what was written to the socket is not this"))?;
        }
        Ok(())
    }

    /// Its worker has died, and had tried to write or not. An error if it is not worth to go on.
    pub(super) fn survived(&mut self, had_tried: bool) -> io::Result<()> {
        self.deaths = match had_tried {
            true => 0,
            false => self.deaths + 1,
        };
        match self.deaths {
            MAX_DEATHS.. => Err(io::Error::other("no worker survives it")),
            _ => self.look(),
        }
    }

    /// Copies of what a worker needs.
    pub(super) fn handles(&self) -> io::Result<Vec<Handle>> {
        let mut handles = vec![self.file.try_clone()?.into()];
        if let Way::Worker { socket, .. } = &self.way {
            handles.push(socket.try_clone()?.into());
        }
        Ok(handles)
    }

    /// How far a worker may read ahead, if the server writes.
    pub(super) fn until(&self) -> u64 {
        match &self.way {
            Way::Worker { .. } => 0,
            Way::Server { written, .. } => written + WINDOW,
        }
    }

    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }
}
