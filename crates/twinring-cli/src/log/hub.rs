//! All clients, on one thread: which of them have something, and who is new.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
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

/// How often to say that there is no room for more clients.
const FULL: Duration = Duration::from_secs(60);

/// So much of its rate a client may have saved up by silence.
const SAVED: Duration = Duration::from_secs(1);

/// At most one complaint in this time: a client must not fill the screen.
const COMPLAIN: Duration = Duration::from_secs(1);

pub(super) struct Hub {
    listener: Listener,
    guests: HashMap<u64, Guest>,
    /// Those that may have something, whose turn is next first.
    looks: VecDeque<u64>,
    /// Those that have said too much, and until when nothing is taken of them, the next one first.
    rests: BinaryHeap<Reverse<(Instant, u64)>>,
    /// How many bytes a second a client may say.
    rate: Option<u64>,
    woken: Arc<Woken>,
    waker: Waker,
    complained: Option<Instant>,
    said_full: Option<Instant>,
    /// When the last client came.
    last_guest: Option<Instant>,
}

struct Guest {
    /// Whose calls do not wait.
    conn: Connection,
    client: Option<Client>,
    waker: Waker,
    /// When what it has said is paid for by its rate.
    paid_at: Instant,
    rests: bool,
}

/// What one client has sent.
pub(super) struct Received {
    pub(super) id: u64,
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
    pub(super) fn new(listener: &Listener, rate: Option<u64>) -> Hub {
        let woken = Arc::new(Woken::default());
        woken.state().listener = true;
        Hub {
            listener: listener.within(Timeout::Now),
            guests: HashMap::new(),
            looks: VecDeque::new(),
            rests: BinaryHeap::new(),
            rate,
            waker: Waker::from(Arc::new(ListenerWaker(woken.clone()))),
            woken,
            complained: None,
            said_full: None,
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
            state = match self.rests.peek() {
                None => {
                    let waited = self.woken.any.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
                Some(Reverse((until, _))) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    let waited = self.woken.any.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
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
        let rested = std::iter::from_fn(|| self.rested());
        let guests: Vec<u64> = rested.chain(guests).collect();
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

    /// A client has said so many bytes. Beyond its rate it has to wait: what it says then stays in its own memory, and there it is
    /// dropped and told, if it does not fit.
    pub(super) fn spent(&mut self, id: u64, bytes: u64) {
        if let (Some(rate), Some(guest)) = (self.rate, self.guests.get_mut(&id)) {
            let saved = Instant::now().checked_sub(SAVED);
            let begin = saved.map_or(guest.paid_at, |saved| guest.paid_at.max(saved));
            guest.paid_at = begin + Duration::from_secs_f64(bytes as f64 / rate as f64);
        }
    }

    /// The next one that has rested for long enough.
    fn rested(&mut self) -> Option<u64> {
        let Reverse((until, id)) = *self.rests.peek()?;
        if until > Instant::now() {
            return None;
        }
        self.rests.pop();
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.rests = false;
        }
        Some(id)
    }

    fn say_if_full(&mut self) {
        let most = self.listener.max_clients();
        if self.guests.len() >= most && self.said_full.is_none_or(|last| last.elapsed() > FULL) {
            self.said_full = Some(Instant::now());
            say(format_args!(
                "connected applications: {most}, as many as can be (1,024, or what the limit of open files allows); others wait, and \
                 buffer what they log"
            ));
        }
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
                        paid_at: Instant::now(),
                        rests: false,
                    };
                    self.guests.insert(id, guest);
                    self.say_if_full();
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
        let guest = self.guests.get_mut(&id)?;
        if guest.paid_at > Instant::now() {
            if !guest.rests {
                guest.rests = true;
                self.rests.push(Reverse((guest.paid_at, id)));
            }
            return None;
        }
        match guest.conn.recv_batch() {
            Ok(Some(batch)) => {
                self.looks.push_back(id);
                let received = Received {
                    id,
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
