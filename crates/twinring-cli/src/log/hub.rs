//! All clients, on one thread: which of them have something, and who is new.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use twinring::{Batch, Connection, End, ErrorKind, Interest, Listener, Timeout};

use super::client::Client;
use crate::report::say;

/// So much is received before it is written, in bytes, and one batch of a client more.
const ROUND: usize = 4 << 20;

/// New clients of one round.
const GUESTS: usize = 64;

/// So long a client is new.
const NEW: Duration = Duration::from_millis(20);

/// At most one complaint in this time: a client must not fill the screen.
const COMPLAIN: Duration = Duration::from_secs(1);

pub(super) struct Hub {
    listener: Listener,
    guests: HashMap<u64, Guest>,
    /// Those that may have something, whose turn is next first.
    looks: VecDeque<u64>,
    woken: Arc<Woken>,
    waker: Waker,
    complained: Option<Instant>,
    /// When the last client came.
    last_guest: Option<Instant>,
}

struct Guest {
    /// Whose calls do not wait.
    conn: Connection,
    client: Option<Client>,
    waker: Waker,
}

/// What one client has sent.
pub(super) struct Received {
    pub(super) client: Option<Client>,
    pub(super) pid: u32,
    pub(super) batch: Batch,
}

/// Who has been woken since the last look.
#[derive(Default)]
pub(super) struct Woken {
    state: Mutex<WokenState>,
    any: Condvar,
}

#[derive(Default)]
struct WokenState {
    guests: Vec<u64>,
    listener: bool,
    stop: bool,
}

impl Woken {
    fn state(&self) -> MutexGuard<'_, WokenState> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the hub for good: no more clients are wanted.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.any.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().stop
    }
}

struct GuestWaker(u64, Arc<Woken>);

impl Wake for GuestWaker {
    fn wake(self: Arc<GuestWaker>) {
        self.1.state().guests.push(self.0);
        self.1.any.notify_one();
    }
}

struct ListenerWaker(Arc<Woken>);

impl Wake for ListenerWaker {
    fn wake(self: Arc<ListenerWaker>) {
        self.0.state().listener = true;
        self.0.any.notify_one();
    }
}

impl Hub {
    pub(super) fn new(listener: &Listener) -> Hub {
        let woken = Arc::new(Woken::default());
        woken.state().listener = true;
        Hub {
            listener: listener.within(Timeout::Now),
            guests: HashMap::new(),
            looks: VecDeque::new(),
            waker: Waker::from(Arc::new(ListenerWaker(woken.clone()))),
            woken,
            complained: None,
            last_guest: None,
        }
    }

    pub(super) fn woken(&self) -> Arc<Woken> {
        self.woken.clone()
    }

    /// Waits until somebody may have something, or is new, or the hub is stopped.
    pub(super) fn wait(&mut self) {
        let mut state = self.woken.state();
        while self.looks.is_empty() && state.guests.is_empty() && !state.listener && !state.stop {
            let waited = self.woken.any.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets clients gather something, whom this costs no wake-up. A new one ends it; what that says first is not to wait.
    pub(super) fn pause(&self, longest: Duration) {
        if self.last_guest.is_some_and(|last| last.elapsed() < NEW) {
            return;
        }
        let is_quiet = |state: &mut WokenState| !state.listener && !state.stop;
        let state = self.woken.state();
        drop(self.woken.any.wait_timeout_while(state, longest, is_quiet));
    }

    /// What has come by now: of each client at most one batch.
    pub(super) fn receive(&mut self) -> Vec<Received> {
        let mut state = self.woken.state();
        let is_stopped = state.stop;
        let guests = mem::take(&mut state.guests);
        let has_guests = mem::take(&mut state.listener) && !is_stopped;
        drop(state);
        for id in guests {
            if !self.looks.contains(&id) {
                self.looks.push_back(id);
            }
        }
        if has_guests {
            self.accept();
        }
        let (mut received, mut bytes) = (Vec::new(), 0);
        for _ in 0..self.looks.len() {
            if bytes >= ROUND {
                break;
            }
            let Some(id) = self.looks.pop_front() else {
                break;
            };
            if let Some((one, len)) = self.receive_from(id) {
                bytes += len;
                received.push(one);
            }
        }
        received
    }

    fn accept(&mut self) {
        for _ in 0..GUESTS {
            match self.listener.accept() {
                Ok(conn) => {
                    let id = conn.id();
                    let guest = Guest {
                        client: conn.peer().client.map(Client::of),
                        conn: conn.within(Timeout::Now),
                        waker: Waker::from(Arc::new(GuestWaker(id, self.woken.clone()))),
                    };
                    self.guests.insert(id, guest);
                    self.last_guest = Some(Instant::now());
                    self.looks.push_back(id);
                }
                Err(_) => {
                    let mut task = Context::from_waker(&self.waker);
                    if self.listener.poll_ready(&mut task).is_pending() {
                        return;
                    }
                }
            }
        }
        // There may be more, after the turn of those that are there.
        self.woken.state().listener = true;
    }

    fn receive_from(&mut self, id: u64) -> Option<(Received, usize)> {
        let guest = self.guests.get(&id)?;
        match guest.conn.recv_batch() {
            Ok(Some(batch)) => {
                self.looks.push_back(id);
                let received = Received {
                    client: guest.client,
                    pid: guest.conn.peer().pid,
                    batch,
                };
                // Batches do not tell their length; that of the longest is known.
                Some((received, 256 << 10))
            }
            Ok(None) => {
                // It has said all, and this side says nothing.
                let _ = guest.conn.finish();
                self.guests.remove(&id);
                None
            }
            Err(e) if e.is_timeout() => {
                let mut task = Context::from_waker(&guest.waker);
                if guest.conn.poll_ready(Interest::Recv, &mut task).is_ready() {
                    self.looks.push_back(id);
                }
                None
            }
            // A message that was given up, or is too long: the next one may be good.
            Err(e) if matches!(e.kind(), ErrorKind::StreamEnded | ErrorKind::TooLarge) => {
                self.complain(&e, id);
                self.looks.push_back(id);
                None
            }
            Err(e) => {
                if let Some(End::Fault { .. }) = e.end() {
                    self.complain(&e, id);
                }
                self.guests.remove(&id);
                None
            }
        }
    }

    fn complain(&mut self, e: &twinring::Error, id: u64) {
        if self.complained.is_none_or(|last| last.elapsed() > COMPLAIN) {
            self.complained = Some(Instant::now());
            if let Some(guest) = self.guests.get(&id) {
                say(format_args!("{}: {e}", guest.conn.peer()));
            }
        }
    }
}
