//! All workers of one kind.

use std::fmt;
use std::io;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use twinring::{Connection, Timeout};

use crate::backoff::{Backoff, Restart};
use crate::event::Event;
use crate::options::Options;
use crate::pool::Pool;
use crate::signal::Signal;
use crate::slot::{Commands, SendError, Slot};

/// Starts workers, and replaces those that end. Made by [`Supervisor::of`].
///
/// It is an iterator of what happens, which waits, and ends when there is no worker left and none will come. **All that it does it does
/// while the program waits there** (or in [`next_within`](Supervisor::next_within) and the like): it has no thread. Meanwhile workers go on,
/// what they send waits in their rings, and those that end are not replaced.
///
/// When it is dropped, its workers are killed and waited for; [`stop`](Supervisor::stop) lets them end before. When this process ends,
/// however, its workers end as well: see the [crate's documentation](crate).
pub struct Supervisor {
    options: Options,
    commands: Box<Commands>,
    slots: Vec<Slot>,
    /// Whose turn it is.
    turn: usize,
    signal: Signal,
}

/// Options of a [`Supervisor`]; made by [`Supervisor::of`].
#[must_use = "nothing happens before `start`"]
pub struct Builder {
    options: Options,
    commands: Box<Commands>,
    workers: usize,
}

impl Builder {
    /// How many workers there are; 1 by default.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// When a worker that has ended has a successor; [`Restart::OnFailure`] by default.
    pub fn restart(mut self, restart: Restart) -> Builder {
        self.options.restart = restart;
        self
    }

    /// How soon, and how often.
    pub fn backoff(mut self, backoff: Backoff) -> Builder {
        self.options.backoff = backoff;
        self
    }

    /// Kills a worker that gives no sign of life for this long, and replaces it as any other; by default it may be silent for ever.
    /// Signs of life are a message, a [checkpoint](crate::Parent::set_checkpoint), [`alive`](crate::Parent::alive), and that it waits in
    /// [`Parent::recv`](crate::Parent::recv). Only time counts in which the program waits for events (or looks every quarter of
    /// this time), so neither a busy program nor a machine that slept makes workers silent. Whole milliseconds; looked at each eighth.
    pub fn silence(mut self, limit: Duration) -> Builder {
        self.options.silence = Some(limit.max(Duration::from_millis(1)));
        self
    }

    /// How long a worker that was [asked](Supervisor::stop) to end, or has ended its connection by itself, may go on before it is
    /// killed; 5 s by default.
    pub fn grace(mut self, time: Duration) -> Builder {
        self.options.grace = time;
        self
    }

    /// How long a process may take to connect before it is killed; 30 s by default.
    pub fn connect_within(mut self, time: Duration) -> Builder {
        self.options.connect_within = time;
        self
    }

    /// Whether a worker's successor gets the messages that it had not taken, before newer ones; `true` by default. If not, they come with
    /// [`Exited::unread`](crate::Exited::unread), and so does what was not sent yet.
    pub fn hand_over(mut self, hand_over: bool) -> Builder {
        self.options.hand_over = hand_over;
        self
    }

    /// How many messages may wait for a worker beside those in its ring; 1024 by default. More are [`SendError::Full`].
    pub fn backlog(mut self, messages: usize) -> Builder {
        self.options.backlog = messages;
        self
    }

    /// Changes options of the workers' links, such as the capacity of their rings or the longest message. The supervisor sets the name,
    /// [`one_connection`](twinring::Builder::one_connection) and [`admit`](twinring::Builder::admit); there is no
    /// [`on_message`](twinring::Builder::on_message).
    ///
    /// ```
    /// # use std::process::Command;
    /// # use twinring_workers::Supervisor;
    /// let builder = Supervisor::of(|_| Command::new("worker"))
    ///     .link(|link| link.ring_capacity(64 << 10).max_message(1 << 20));
    /// ```
    pub fn link(
        mut self,
        f: impl Fn(twinring::Builder) -> twinring::Builder + Send + 'static,
    ) -> Builder {
        self.options.link = Box::new(f);
        self
    }

    /// Starts the workers, without waiting until they have connected.
    ///
    /// # Errors
    /// What the system says if a process cannot be started, or a link not be opened. No worker is left then.
    pub fn start(self) -> io::Result<Supervisor> {
        let Builder {
            options,
            mut commands,
            workers,
        } = self;
        let now = Instant::now();
        let mut slots = Vec::new();
        for number in 0..workers {
            let mut slot = Slot::new(number, now);
            slot.start(&options, &mut *commands, now)?;
            slots.push(slot);
        }
        Ok(Supervisor {
            options,
            commands,
            slots,
            turn: 0,
            signal: Signal::default(),
        })
    }

    /// Starts the workers of a pool, which does tasks, each of which has an answer.
    ///
    /// # Errors
    /// As [`start`](Builder::start).
    pub fn start_pool(self) -> io::Result<Pool> {
        // The pool has copies, and decides itself who gets what.
        self.hand_over(false).start().map(Pool::new)
    }
}

/// The time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing has happened in time")
    }
}

impl std::error::Error for TimedOut {}

impl Supervisor {
    /// Options for workers that `command` starts, given their places from 0 on: called for each process anew. What the process is started
    /// with has to be the worker itself, not a program that starts it (a shell without `exec`, `cargo run`): only the child is accepted.
    ///
    /// ```
    /// # use std::process::Command;
    /// use twinring_workers::Supervisor;
    ///
    /// let builder = Supervisor::of(|worker| {
    ///     let mut command = Command::new("renderer");
    ///     command.arg(format!("--log=renderer-{worker}.log"));
    ///     command
    /// });
    /// ```
    pub fn of(command: impl FnMut(usize) -> Command + Send + 'static) -> Builder {
        Builder {
            options: Options::default(),
            commands: Box::new(command),
            workers: 1,
        }
    }

    /// How many places there are, with those that have no worker any more.
    pub fn workers(&self) -> usize {
        self.slots.len()
    }

    /// Sends a message to the worker in this place, or to its successor, if that one has not taken it. Never waits: what
    /// does not go into the ring now is kept in order, and goes while the program waits for events.
    ///
    /// # Errors
    /// [`SendError`]; `Over` as well if there is no such place.
    pub fn send(&mut self, worker: usize, message: &[u8]) -> Result<(), SendError> {
        let slot = self.slots.get_mut(worker).ok_or(SendError::Over)?;
        slot.send(message, &self.options)
    }

    /// The process in this place, if one runs.
    pub fn pid(&self, worker: usize) -> Option<u32> {
        self.slots.get(worker)?.pid()
    }

    /// The connection of the worker in this place, if it has one, for all that this type does not have: streams, messages in place,
    /// [`taken`](Connection::taken). What the program receives by it this type does not see, not even as a sign of life. Who keeps a clone
    /// keeps its memory.
    pub fn connection(&self, worker: usize) -> Option<Connection> {
        let conn = self.slots.get(worker)?.connection()?;
        Some(conn.within(Timeout::Never))
    }

    /// How many messages wait for the worker in this place beside those in its ring.
    pub(crate) fn queued(&self, worker: usize) -> usize {
        self.slots.get(worker).map_or(0, Slot::queued)
    }

    /// Kills the process in this place, if one runs; what follows is as after any other end.
    pub fn kill(&mut self, worker: usize) {
        if let Some(slot) = self.slots.get_mut(worker) {
            slot.kill(Instant::now());
        }
    }

    /// Asks all workers to end: each gets what was sent to it, and then the end of its messages. One that still runs
    /// after [`grace`](Builder::grace) is killed, one that has not connected yet at once. Never waits: the events tell, and then end.
    pub fn stop(&mut self) {
        for worker in 0..self.slots.len() {
            self.stop_worker(worker);
        }
    }

    /// The same for the worker in this place.
    pub fn stop_worker(&mut self, worker: usize) {
        if let Some(slot) = self.slots.get_mut(worker) {
            slot.stop(&self.options, Instant::now());
        }
    }

    /// Waits for the next event at most this long.
    ///
    /// # Errors
    /// [`TimedOut`]: there was none.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Event>, TimedOut> {
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, TimedOut> {
        let waker = self.signal.waker();
        let mut task = Context::from_waker(&waker);
        loop {
            self.signal.clear();
            if let Poll::Ready(event) = self.poll_next(&mut task) {
                return Ok(event);
            }
            let until = [self.wake_at(), deadline].into_iter().flatten().min();
            if !self.signal.wait(until) && deadline.is_some_and(|at| Instant::now() >= at) {
                return Err(TimedOut);
            }
        }
    }

    /// For tasks: the next event; `None` when there is no worker left. If there is none now, the task is woken when there may be one, but
    /// for what comes with time: the program asks again [then](Supervisor::wake_at) at the latest.
    pub fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Option<Event>> {
        /// Connections may be ready without a reason.
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            if let Some(event) = self.try_next() {
                return Poll::Ready(Some(event));
            }
            if self.slots.iter().all(Slot::is_over) {
                return Poll::Ready(None);
            }
            // All of them are asked, so that each wakes the task.
            let ready = self
                .slots
                .iter()
                .filter(|slot| slot.poll_ready(task).is_ready());
            if ready.count() == 0 {
                return Poll::Pending;
            }
        }
        // Others have their turn.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// When the supervisor has something to do, if nothing happens before.
    pub fn wake_at(&self) -> Option<Instant> {
        let options = &self.options;
        self.slots
            .iter()
            .filter_map(|slot| slot.wake_at(options))
            .min()
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        let now = Instant::now();
        for _ in 0..self.slots.len() {
            self.turn = (self.turn + 1) % self.slots.len();
            let slot = &mut self.slots[self.turn];
            if let Some(event) = slot.step(&self.options, &mut *self.commands, now) {
                return Some(event);
            }
        }
        None
    }

    /// The next event, awaited in tokio, whose runtime needs `enable_time`; `None` when there is no worker left. Starting a process takes about a
    /// millisecond, in which the thread does nothing else.
    ///
    /// # Cancel safety
    /// If it is dropped before it is done, no event has been taken.
    #[cfg(feature = "tokio")]
    pub async fn next_async(&mut self) -> Option<Event> {
        crate::timed::timed(self, Supervisor::poll_next, Supervisor::wake_at).await
    }
}

impl Iterator for Supervisor {
    type Item = Event;

    /// Waits for the next event; `None` when there is no worker left.
    fn next(&mut self) -> Option<Event> {
        // Without a time it does not time out.
        self.next_until(None).unwrap_or_default()
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pids: Vec<_> = self.slots.iter().map(Slot::pid).collect();
        f.debug_struct("Supervisor")
            .field("pids", &pids)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
