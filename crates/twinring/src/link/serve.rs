//! Serving many clients on a few threads.
//!
//! ```text
//! serve ── accepts ──► Client ◄── woken by its connection (it is its own waker)
//!                        │  if it is not in the queue yet
//!                        ▼
//!                  Pool: queue ──► a thread: some of its messages, then the next client's
//! ```

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::listener::Listener;
use crate::driver::spawn;
use crate::error::{ErrorKind, Result};
use crate::transfer::{Interest, Timeout};

/// Threads that a server has while its handlers return soon.
const THREADS: usize = 4;

/// At most so many it has while they do not.
const MOST_THREADS: usize = 64;

/// If no thread has been free for this long, there is another.
const STUCK: Duration = Duration::from_millis(10);

/// How long a thread beyond [`THREADS`] waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// Batches of one client before the next client has its turn.
const TURN: usize = 4;

impl Listener {
    /// Serves all clients on a small pool of threads, until the listener is closed. `begin` is called with each new client, on
    /// one of these threads, and returns what handles its messages: a closure with a state of its own. It is dropped when the
    /// connection has ended, by which the program learns of that.
    ///
    /// The messages of one client are handled one at a time and in order, those of different clients side by side. The
    /// pool has 4 threads, and another, up to 64, each time that all have been busy for 10 ms: so a handler that
    /// waits for a client that does not read holds up no other client, as long as fewer than 64 do so at once. A message counts as
    /// [taken](Connection::taken) when its handler has returned, and after this side has ended the connection no
    /// further one is handled. When a client has finished, so does this side; if a handler or `begin` panics, the connection is
    /// abandoned, whoever else has handles of it, the message goes back to its sender, and all others go on. What a handler
    /// receives itself comes to no handler.
    ///
    /// Blocks; returns once the listener is [closed](Listener::close), and all handlers have returned and been dropped. To
    /// drop the other handles of the listener is not enough.
    ///
    /// # Errors
    /// [`OutOfHandles`](ErrorKind::OutOfHandles) if no thread can be started at all.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let listener = Listener::bind(&name)?;
    /// # let server = listener.clone();
    /// std::thread::spawn(move || {
    ///     listener.serve(|conn| {
    ///         let mut count = 0;
    ///         move |message: &[u8]| {
    ///             count += 1;
    ///             let _ = conn.send(format!("{count}: {} bytes", message.len()).as_bytes());
    ///         }
    ///     })
    /// });
    ///
    /// let conn = Link::guest(&name).open()?.within(Duration::from_secs(5)).next()?;
    /// conn.send(b"hello")?;
    /// assert_eq!(conn.recv()?, Some(b"1: 5 bytes".to_vec()));
    /// # server.close(0, "");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn serve<H>(&self, begin: impl Fn(Connection) -> H + Send + Sync + 'static) -> Result<()>
    where
        H: FnMut(&[u8]) + Send + 'static,
    {
        let begin: Arc<Begin> = Arc::new(move |conn| Box::new(begin(conn)));
        let pool = Arc::new(Pool::default());
        let _end = EndOfPool(&pool);
        for _ in 0..THREADS {
            if let (Err(e), 0) = (start(&pool), pool.state().threads) {
                return Err(e);
            }
        }
        let waker = Waker::from(Arc::new(AcceptWaker(pool.clone())));
        let now = self.within(Timeout::Now);
        loop {
            match now.accept() {
                Ok(conn) => pool.add(conn.within(Timeout::Now), &begin),
                Err(e) if matches!(e.kind(), ErrorKind::Closed | ErrorKind::Forked) => {
                    return Ok(());
                }
                Err(_) => {
                    if now
                        .poll_ready(&mut Context::from_waker(&waker))
                        .is_pending()
                    {
                        pool.attend();
                    }
                }
            }
        }
    }
}

/// What the threads of a server share.
#[derive(Default)]
struct Pool {
    state: Mutex<PoolState>,
    /// There is a client in the queue.
    queued: Condvar,
    /// For the thread in [`Listener::serve`]: a guest has come, the queue has begun to wait, or a thread has ended.
    called: Condvar,
}

#[derive(Default)]
struct PoolState {
    /// Those whose connections have not ended.
    clients: HashMap<u64, Arc<Client>>,
    queue: VecDeque<Arc<Client>>,
    threads: usize,
    idle: usize,
    /// How many turns have begun.
    turns: u64,
    /// Since when the queue has got no further, and how many turns had begun by then.
    stuck: Option<(Instant, u64)>,
    /// The thread in [`Listener::serve`] is to look for guests.
    guests: bool,
    over: bool,
}

impl PoolState {
    /// Whether a client waits for a thread.
    fn is_stuck(&self) -> bool {
        !self.queue.is_empty() && self.idle == 0
    }

    /// How long to wait until there is to be another thread; `None` while none is needed.
    fn until_another(&mut self) -> Option<Duration> {
        if !self.is_stuck() || self.threads >= MOST_THREADS {
            self.stuck = None;
            return None;
        }
        let since = match self.stuck {
            Some((since, turns)) if turns == self.turns => since,
            _ => Instant::now(),
        };
        self.stuck = Some((since, self.turns));
        Some(STUCK.saturating_sub(since.elapsed()))
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Pool>, conn: Connection, begin: &Arc<Begin>) {
        let client = Arc::new(Client {
            id: conn.id(),
            pool: Arc::downgrade(self),
            work: Mutex::new(Some(Work {
                conn,
                begin: begin.clone(),
                handler: None,
            })),
            turn: AtomicU8::new(WAITS),
        });
        self.state().clients.insert(client.id, client.clone());
        client.wake();
    }

    fn push(&self, client: Arc<Client>) {
        let mut state = self.state();
        state.queue.push_back(client);
        self.queued.notify_one();
        if state.is_stuck() {
            self.called.notify_one();
        }
    }

    /// The next client; `None` if this thread is to end.
    fn next(&self) -> Option<Arc<Client>> {
        let mut state = self.state();
        loop {
            if state.over {
                return None;
            }
            if let Some(client) = state.queue.pop_front() {
                state.turns += 1;
                // There were two for a thread that was about to wake.
                if state.is_stuck() {
                    self.called.notify_one();
                }
                return Some(client);
            }
            state.idle += 1;
            let (woken, timeout) = self
                .queued
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() && state.threads > THREADS {
                return None;
            }
        }
    }

    /// Waits for guests, and meanwhile starts another thread whenever the queue gets no further.
    fn attend(self: &Arc<Pool>) {
        let mut state = self.state();
        while !std::mem::take(&mut state.guests) {
            state = match state.until_another() {
                None => self
                    .called
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    state.stuck = None;
                    drop(state);
                    // Without one, those that there are have to do.
                    let _ = start(self);
                    self.state()
                }
                Some(left) => {
                    self.called
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

fn start(pool: &Arc<Pool>) -> Result<()> {
    pool.state().threads += 1;
    let counted = Counted(pool.clone());
    spawn("twinring-serve", move || {
        while let Some(client) = counted.0.next() {
            client.take_turn();
        }
    })
}

/// A thread of the pool, however it ends.
struct Counted(Arc<Pool>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.state().threads -= 1;
        self.0.called.notify_all();
    }
}

/// Ends the threads, and waits for the handlers.
struct EndOfPool<'a>(&'a Arc<Pool>);

impl Drop for EndOfPool<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.over = true;
        self.0.queued.notify_all();
        while state.threads > 0 {
            state = self
                .0
                .called
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let clients = std::mem::take(&mut state.clients);
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for client in clients.into_values() {
            client.end();
        }
        drop(queue);
    }
}

/// Calls the thread in [`Listener::serve`] when a guest has come.
struct AcceptWaker(Arc<Pool>);

impl Wake for AcceptWaker {
    fn wake(self: Arc<AcceptWaker>) {
        self.0.state().guests = true;
        self.0.called.notify_all();
    }
}

type Handler = Box<dyn FnMut(&[u8]) + Send>;

/// What the program does with a new client.
type Begin = dyn Fn(Connection) -> Handler + Send + Sync;

struct Client {
    id: u64,
    pool: Weak<Pool>,
    /// Until the connection has ended. Locked by the thread whose turn it is.
    work: Mutex<Option<Work>>,
    /// One of the states below.
    turn: AtomicU8,
}

struct Work {
    conn: Connection,
    begin: Arc<Begin>,
    /// From its first turn on.
    handler: Option<Handler>,
}

/// For its connection.
const WAITS: u8 = 0;
/// It is in the queue.
const QUEUED: u8 = 1;
/// A thread has it.
const RUNS: u8 = 2;
/// A thread has it, and it has been woken since.
const RUNS_AGAIN: u8 = 3;

impl Wake for Client {
    fn wake(self: Arc<Client>) {
        let woken = |turn| match turn {
            WAITS => Some(QUEUED),
            RUNS => Some(RUNS_AGAIN),
            _ => None,
        };
        let before = self
            .turn
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, woken);
        if let (Ok(WAITS), Some(pool)) = (before, self.pool.upgrade()) {
            pool.push(self);
        }
    }
}

/// How a turn ends.
enum TurnEnd {
    /// The client is woken when there is more.
    Waits,
    /// There may be more.
    GoesOn,
    /// The connection has ended.
    Over,
}

impl Client {
    fn take_turn(self: Arc<Client>) {
        self.turn.store(RUNS, Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = work.as_mut().map(|work| {
            let turn = catch_unwind(AssertUnwindSafe(|| work.turn(&waker)));
            turn.unwrap_or_else(|_| {
                // Its connection is abandoned, even if the program has other handles of it.
                work.conn.duplex.drop_handles();
                TurnEnd::Over
            })
        });
        drop(work);
        let waits = match turn {
            Some(TurnEnd::Waits) => true,
            Some(TurnEnd::GoesOn) => false,
            Some(TurnEnd::Over) | None => return self.end(),
        };
        let swap = |from, to| {
            let (ok, no) = (Ordering::AcqRel, Ordering::Acquire);
            self.turn.compare_exchange(from, to, ok, no).is_ok()
        };
        if waits && swap(RUNS, WAITS) {
            return;
        }
        self.turn.store(QUEUED, Ordering::Release);
        if let Some(pool) = self.pool.upgrade() {
            pool.push(self);
        }
    }

    fn end(&self) {
        let work = self
            .work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Not within the lock: the handler is the program's.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
        if let Some(pool) = self.pool.upgrade() {
            pool.state().clients.remove(&self.id);
        }
        drop(dropped);
    }
}

impl Work {
    fn turn(&mut self, waker: &Waker) -> TurnEnd {
        let handler = self
            .handler
            .get_or_insert_with(|| (self.begin)(self.conn.within(Timeout::Never)));
        for _ in 0..TURN {
            match self.conn.recv_batch() {
                Ok(Some(mut batch)) => {
                    while let Some(message) = batch.next_message() {
                        handler(message);
                        batch.take();
                        // What it was not given goes back to its sender.
                        if self.conn.is_closed_here() {
                            return TurnEnd::Over;
                        }
                    }
                }
                Ok(None) => {
                    // It has said all, and so have we.
                    let _ = self.conn.finish();
                    return TurnEnd::Over;
                }
                // One that was given up, or is too long, is none; the next one is received.
                Err(e) if matches!(e.kind(), ErrorKind::StreamEnded | ErrorKind::TooLarge) => {}
                Err(e) if e.is_timeout() => {
                    let mut task = Context::from_waker(waker);
                    if self.conn.poll_ready(Interest::Recv, &mut task).is_pending() {
                        return TurnEnd::Waits;
                    }
                }
                Err(_) => return TurnEnd::Over,
            }
        }
        TurnEnd::GoesOn
    }
}
