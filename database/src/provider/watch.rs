//! Notices that a client goes, or speaks, while its query runs, and interrupts the query.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::InterruptHandle;
use twinring::{Connection, End};

use crate::protocol::close;

/// SQLite forgets an interrupt that comes while no statement runs, and the next one may be about to.
const AGAIN: Duration = Duration::from_millis(50);

/// A thread that receives: nothing is to come but the end.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    heard: Receiver<Heard>,
    /// Dropped with the session: then the thread has nothing more to interrupt.
    _over: Sender<()>,
}

#[derive(Default)]
struct Shared {
    gone: Arc<AtomicBool>,
    query: Mutex<Option<InterruptHandle>>,
}

/// What came from the client after its request.
pub(crate) enum Heard {
    Finished,
    Message,
    Ended(String),
}

impl Watch {
    pub(crate) fn start(conn: &Connection) -> io::Result<Watch> {
        let shared = Arc::new(Shared::default());
        let (tell, heard) = channel();
        let (over, is_over) = channel();
        let (conn, watching) = (conn.clone(), shared.clone());
        thread::Builder::new().spawn(move || watching.run(conn, &tell, &is_over))?;
        Ok(Watch {
            shared,
            heard,
            _over: over,
        })
    }

    /// What is interrupted from now on.
    pub(crate) fn interrupts(&self, query: InterruptHandle) {
        *self.shared.query() = Some(query);
    }

    /// Whether the client has gone, or has said something.
    pub(crate) fn gone(&self) -> Arc<AtomicBool> {
        self.shared.gone.clone()
    }

    /// Waits for what the client says, or its end.
    pub(crate) fn heard(&self, within: Duration) -> Option<Heard> {
        self.heard.recv_timeout(within).ok()
    }
}

impl Shared {
    fn run(&self, conn: Connection, tell: &Sender<Heard>, is_over: &Receiver<()>) {
        let heard = match conn.recv() {
            Ok(None) => Heard::Finished,
            Ok(Some(_)) => {
                conn.close(close::NONSENSE, "more than one message");
                Heard::Message
            }
            Err(e) => Heard::Ended(e.end().map_or_else(|| e.to_string(), End::to_string)),
        };
        drop(conn);
        self.gone.store(true, Ordering::Relaxed);
        let _ = tell.send(heard);
        loop {
            if let Some(query) = &*self.query() {
                query.interrupt();
            }
            if is_over.recv_timeout(AGAIN) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn query(&self) -> std::sync::MutexGuard<'_, Option<InterruptHandle>> {
        self.query.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
