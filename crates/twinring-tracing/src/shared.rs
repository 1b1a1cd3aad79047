//! What the threads that log share with the one that delivers: who sends, and what waits.
//!
//! ```text
//!            ┌── the collector is there, nothing waits ──► sent by the thread that logs
//! a record ──┤
//!            └── else ──► the queue ──► sent by the courier, until nothing waits
//! ```

use std::io::IoSlice;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use twinring::{Connection, ErrorKind};

use crate::after;
use crate::queue::{Item, Queue};
use crate::record::{self, Prefix};

/// How often to look whether a collector has taken everything, while it is not clear which one will.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is room in the queue, or nothing waits.
    changed: Condvar,
    courier: OnceLock<Thread>,
    /// How long a record may wait for room.
    wait: Duration,
    /// What is the same in all records.
    pub(crate) process: Vec<u8>,
    pid: u32,
}

struct State {
    /// The last number that was given.
    last: u64,
    queue: Queue,
    /// Threads that log send on it themselves; not while anything waits.
    direct: Option<Connection>,
    /// The courier has a connection: records may be on it, or in its hands.
    is_under_way: bool,
    has_met_a_collector: bool,
    is_closed: bool,
    dropped: u64,
}

impl Shared {
    pub(crate) fn new(process: &str, buffer: usize, wait: Duration) -> Shared {
        Shared {
            state: Mutex::new(State {
                last: 0,
                queue: Queue::new(buffer),
                direct: None,
                is_under_way: false,
                has_met_a_collector: false,
                is_closed: false,
                dropped: 0,
            }),
            changed: Condvar::new(),
            courier: OnceLock::new(),
            wait,
            process: record::process(process),
            pid: std::process::id(),
        }
    }

    pub(crate) fn deliver_by(&self, courier: Thread) {
        let _ = self.courier.set(courier);
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    /// `None` in a forked child, where whoever has locked it may not exist.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) if self.is_forked() => None,
            Err(TryLockError::WouldBlock) => {
                Some(self.state.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn wake_courier(&self) {
        if let Some(courier) = self.courier.get() {
            courier.unpark();
        }
    }

    /// A record begins to exist: it gets its number, and is sent, kept or dropped.
    pub(crate) fn submit(&self, body: &[u8]) {
        let Some(mut state) = self.state() else {
            return;
        };
        let mut until = None;
        while !state.is_closed {
            let number = state.last + 1;
            let prefix = Prefix::new(number);
            if let Some(conn) = &state.direct {
                let record = [IoSlice::new(prefix.bytes()), IoSlice::new(body)];
                match conn.send_vectored(&record) {
                    Ok(()) => {
                        state.last = number;
                        return;
                    }
                    Err(e) if e.kind() == ErrorKind::Forked => state.is_closed = true,
                    // The ring is full, or the collector has gone.
                    Err(_) => state.direct = None,
                }
                continue;
            }
            if self.is_forked() {
                state.is_closed = true;
                return;
            }
            let len = prefix.bytes().len() + body.len();
            if state.queue.has_room(len) {
                state.last = number;
                state.queue.push([prefix.bytes(), body].concat());
                return self.wake_courier();
            }
            let until = *until.get_or_insert_with(|| after(self.wait));
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.last = number;
                state.dropped += 1;
                state.queue.push_dropped(number);
                return self.wake_courier();
            }
            state = self.wait(state, left);
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, longest: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, longest);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The courier has a collector.
    pub(crate) fn connected(&self) {
        if let Some(mut state) = self.state() {
            state.is_under_way = true;
            state.has_met_a_collector = true;
        }
        self.changed.notify_all();
    }

    /// What the courier is to send next on this connection. Nothing: threads that log send on it themselves from now on.
    pub(crate) fn next(&self, conn: &Connection, bytes: usize) -> Vec<Item> {
        let Some(mut state) = self.state() else {
            return Vec::new();
        };
        let items = state.queue.take(bytes);
        if items.is_empty() {
            state.direct = Some(conn.clone());
        }
        self.changed.notify_all();
        items
    }

    /// Puts back what was not sent.
    pub(crate) fn put_back(&self, items: impl DoubleEndedIterator<Item = Item>) {
        if let Some(mut state) = self.state() {
            state.queue.put_back(items);
        }
    }

    /// The connection is over: nobody sends on it any more. The last number that can have been sent.
    pub(crate) fn over(&self) -> u64 {
        self.state().map_or(0, |mut state| {
            state.direct = None;
            state.last
        })
    }

    /// What was on the connection is in the queue again, or taken.
    pub(crate) fn disconnected(&self) {
        if let Some(mut state) = self.state() {
            state.is_under_way = false;
        }
        self.changed.notify_all();
    }

    /// Waits until everything is taken. Returns whether it is.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let Some(mut state) = self.state() else {
            return false;
        };
        loop {
            if self.is_forked() {
                return false;
            }
            if state.queue.is_empty() && !state.is_under_way {
                return true;
            }
            if let Some(conn) = state.direct.clone() {
                drop(state);
                match conn.within(deadline).flush() {
                    Ok(()) => return true,
                    Err(e) if e.is_timeout() => return false,
                    // The courier finds that out, too.
                    Err(_) => std::thread::sleep(LOOK),
                }
                let Some(again) = self.state() else {
                    return false;
                };
                state = again;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left.min(LOOK));
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.state().map_or(0, |state| state.dropped)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state().is_some_and(|state| state.is_under_way)
    }

    /// Whether there has been a collector. While something waits for one, it may still come until then.
    pub(crate) fn meets_a_collector(&self, until: Instant) -> bool {
        let Some(mut state) = self.state() else {
            return false;
        };
        while !state.has_met_a_collector && !state.queue.is_empty() && !self.is_forked() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        state.has_met_a_collector
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_none_or(|state| state.is_closed)
    }

    pub(crate) fn close(&self) {
        if let Some(mut state) = self.state() {
            state.is_closed = true;
            state.direct = None;
        }
        self.changed.notify_all();
        self.wake_courier();
    }
}
