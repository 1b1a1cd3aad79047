//! The provider: answers each query from a read-only connection of its own to the database.

mod columns;
mod database;
mod output;
mod seats;
mod session;
pub mod version;
mod watch;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use twinring::{Builder, Link, Listener};

pub use database::{Database, Halt};

use crate::protocol::MAX_REQUEST;
use seats::Seats;

/// Options of a provider.
#[derive(Clone, Debug)]
pub struct Provider {
    /// The database's file.
    pub database: PathBuf,
    /// Clients at once; who comes beyond that waits.
    pub clients: usize,
    /// How long a client may take to send its request, and then to take each batch.
    pub stall: Duration,
}

/// Of each client's two rings, in bytes.
const RING: u64 = 1 << 20;

impl Provider {
    /// Where the clients come.
    ///
    /// # Errors
    /// The name is taken, or is none.
    pub fn listen(&self, name: &str) -> twinring::Result<Listener> {
        self.builder(name).listen()
    }

    fn builder(&self, name: &str) -> Builder {
        Link::host(name)
            .ring_capacity(RING)
            .max_message(MAX_REQUEST as u64)
            .max_stream(MAX_REQUEST as u64)
            .max_clients(self.clients, self.clients)
    }

    /// Serves each client by a thread of its own, until the listener is closed and the last one has gone. What becomes of
    /// each is told to `log`, a line at a time, from their threads.
    pub fn serve(&self, listener: &Listener, log: impl Fn(&str) + Send + Sync) {
        // A client's place is free when it has gone, its thread a moment later.
        let seats = Seats::new(self.clients);
        thread::scope(|scope| {
            for conn in listener.incoming() {
                let (seat, log) = (seats.take(), &log);
                let session = move || {
                    let peer = conn.peer().pid;
                    let log = |line: &str| log(&format!("process {peer}: {line}"));
                    log(&session::run(self, &conn, &log));
                    drop(seat);
                };
                // Or there would be no thread, and the client is told by the end of its connection.
                if let Err(e) = thread::Builder::new().spawn_scoped(scope, session) {
                    log(&format!("no thread for a client: {e}"));
                }
            }
        });
    }
}
