//! One place: a worker, and its successors.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::process::{Command, ExitStatus};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use twinring::{Connection, End, Error, ErrorKind, Interest, Link, Timeout};

use crate::backoff::{Restart, Restarts};
use crate::event::{Cause, Event, Exited, Then};
use crate::options::Options;
use crate::process::{self, Process};
use crate::silence::Silence;

/// How often the end of a process is looked for that no connection tells of: at first, and later.
const LOOK: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(20)];
/// A worker whose process has ended may have connected a moment before; its connection ends a moment after.
const LATE_CONNECTION: Duration = Duration::from_millis(20);
const LATE_END: Duration = Duration::from_secs(5);

/// Starts a process for this place.
pub(crate) type Commands = dyn FnMut(usize) -> Command + Send;

pub(crate) struct Slot {
    number: usize,
    state: State,
    /// What has not gone into a ring yet, in order.
    queue: VecDeque<Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    restarts: Restarts,
    /// How many processes have been started.
    runs: u64,
    stopping: bool,
}

enum State {
    Resting {
        until: Instant,
    },
    Running(Box<Run>),
    /// Nothing is started any more.
    Over,
}

/// One process, from its start to its end.
struct Run {
    process: Process,
    channel: Channel,
    started: Instant,
    connected: Option<Instant>,
    silence: Option<Silence>,
    /// This side has said that nothing more comes; the worker has.
    finished: bool,
    has_finished: bool,
    /// When it is killed, and why.
    kill: Option<(Instant, Cause)>,
    /// Why it has been killed, or asked to end.
    cause: Cause,
    /// How its process has ended, and when that was seen.
    status: Option<(ExitStatus, Instant)>,
    look: Look,
}

enum Channel {
    Waiting(Link),
    /// Its calls do not wait.
    Open(Connection),
    /// It has sent all that it will.
    Drained(Connection),
}

/// When to look whether the process has ended.
struct Look {
    next: Instant,
    pause: Duration,
}

impl Look {
    fn at_once(now: Instant) -> Look {
        let pause = LOOK[0];
        Look { next: now, pause }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.pause;
            self.pause = (2 * self.pause).min(LOOK[1]);
        }
        due
    }
}

impl Run {
    fn conn(&self) -> Option<&Connection> {
        match &self.channel {
            Channel::Waiting(_) => None,
            Channel::Open(conn) | Channel::Drained(conn) => Some(conn),
        }
    }

    /// Whether nothing more comes, and the connection has ended, if there is one.
    fn is_drained(&self) -> bool {
        matches!(&self.channel, Channel::Drained(conn) if conn.end().is_some())
    }

    /// Whether the end of its connection does not tell of the end of its process.
    fn is_looked_after(&self) -> bool {
        !matches!(self.channel, Channel::Open(_))
            || self.cause != Cause::Itself
            || self.status.is_some()
    }

    fn kill(&mut self, cause: Cause, now: Instant) {
        if self.status.is_none() {
            self.process.kill();
            (self.kill, self.cause) = (None, cause);
            self.look = Look::at_once(now);
        }
    }

    /// Takes what the process has to say; `None` if there is nothing now.
    fn receive(&mut self, worker: usize, now: Instant) -> Option<Event> {
        match &self.channel {
            Channel::Waiting(link) => {
                let conn = link.next().ok()?;
                let peer = conn.peer().clone();
                self.channel = Channel::Open(conn.within(Timeout::Now));
                self.connected = Some(now);
                if let Some(silence) = &mut self.silence {
                    silence.sign(now);
                }
                Some(Event::Started { worker, peer })
            }
            Channel::Open(conn) => match conn.recv() {
                Ok(Some(message)) => {
                    if let Some(silence) = &mut self.silence {
                        silence.sign(now);
                    }
                    Some(Event::Message { worker, message })
                }
                Err(e) if e.is_timeout() => None,
                // After these the connection goes on.
                Err(error)
                    if matches!(error.kind(), ErrorKind::StreamEnded | ErrorKind::TooLarge) =>
                {
                    Some(Event::NotReceived { worker, error })
                }
                last => {
                    self.channel = Channel::Drained(conn.clone());
                    self.has_finished = last.is_ok();
                    self.look = Look::at_once(now);
                    None
                }
            },
            Channel::Drained(_) => None,
        }
    }
}

impl Slot {
    pub(crate) fn new(number: usize, now: Instant) -> Slot {
        Slot {
            number,
            state: State::Resting { until: now },
            queue: VecDeque::new(),
            checkpoint: None,
            restarts: Restarts::default(),
            runs: 0,
            stopping: false,
        }
    }

    /// Starts a process, whatever the time.
    pub(crate) fn start(
        &mut self,
        options: &Options,
        commands: &mut Commands,
        now: Instant,
    ) -> io::Result<()> {
        let command = commands(self.number);
        let run = self.runs;
        self.runs += 1;
        let (process, link) = process::start(command, options, run, self.checkpoint.as_deref())?;
        self.state = State::Running(Box::new(Run {
            process,
            channel: Channel::Waiting(link.within(Timeout::Now)),
            started: now,
            connected: None,
            silence: options.silence.map(|limit| Silence::new(limit, now)),
            finished: false,
            has_finished: false,
            kill: None,
            cause: Cause::Itself,
            status: None,
            look: Look::at_once(now),
        }));
        Ok(())
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.run().map(|run| run.process.pid())
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.run().and_then(Run::conn)
    }

    fn run(&self) -> Option<&Run> {
        match &self.state {
            State::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn kill(&mut self, now: Instant) {
        if let State::Running(run) = &mut self.state {
            run.kill(Cause::Killed, now);
        }
    }

    /// Has the worker end when it has taken what is there, and starts no other.
    pub(crate) fn stop(&mut self, options: &Options, now: Instant) {
        if mem::replace(&mut self.stopping, true) {
            return;
        }
        match &mut self.state {
            State::Running(run) => match run.channel {
                // It has nothing to bring to an end.
                Channel::Waiting(_) => run.kill(Cause::Asked, now),
                _ if run.cause == Cause::Itself => {
                    run.cause = Cause::Asked;
                    run.kill = Some((now + options.grace, Cause::TooSlow));
                }
                _ => {}
            },
            State::Resting { until } => *until = now,
            State::Over => {}
        }
    }

    /// Sends a message, or puts it behind those that are still to be sent. Does not wait.
    pub(crate) fn send(&mut self, message: &[u8], options: &Options) -> Result<(), SendError> {
        if self.stopping || self.is_over() {
            return Err(SendError::Over);
        }
        if self.queue.is_empty() {
            if let State::Running(run) = &self.state {
                match run.conn().map(|conn| conn.send(message)) {
                    Some(Ok(())) => return Ok(()),
                    Some(Err(e)) if e.kind() == ErrorKind::TooLarge => {
                        return Err(SendError::TooLarge(e));
                    }
                    _ => {}
                }
            }
        }
        if self.queue.len() >= options.backlog {
            return Err(SendError::Full);
        }
        self.queue.push_back(message.to_vec());
        Ok(())
    }

    /// Goes as far as it can without waiting. `None`: nothing has happened that is to be told.
    pub(crate) fn step(
        &mut self,
        options: &Options,
        commands: &mut Commands,
        now: Instant,
    ) -> Option<Event> {
        match &mut self.state {
            State::Over => None,
            State::Resting { until } if now < *until => None,
            State::Resting { .. } if self.stopping => {
                let error = io::Error::new(io::ErrorKind::Interrupted, "the supervisor stops");
                Some(self.not_started(error, options, now))
            }
            State::Resting { .. } => match self.start(options, commands, now) {
                Ok(()) => None,
                Err(error) => Some(self.not_started(error, options, now)),
            },
            State::Running(run) => {
                if let Some(event) = run.receive(self.number, now) {
                    return Some(event);
                }
                if let Some(event) = self.send_queue() {
                    return Some(event);
                }
                self.watch(options, now);
                self.end(options, now)
            }
        }
    }

    fn not_started(&mut self, error: io::Error, options: &Options, now: Instant) -> Event {
        let then = self.follow(None, Cause::Itself, None, options, now);
        let unread = match then {
            Then::Restart(_) => Vec::new(),
            _ => self.queue.drain(..).collect(),
        };
        let worker = self.number;
        Event::NotStarted {
            worker,
            error,
            then,
            unread,
        }
    }

    fn send_queue(&mut self) -> Option<Event> {
        let State::Running(run) = &mut self.state else {
            return None;
        };
        let (Channel::Open(conn) | Channel::Drained(conn)) = &run.channel else {
            return None;
        };
        let worker = self.number;
        while let Some(message) = self.queue.pop_front() {
            match conn.send(&message) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::TooLarge => {
                    return Some(Event::NotSent {
                        worker,
                        message,
                        error,
                    });
                }
                Err(_) => {
                    // Later, or to the successor.
                    self.queue.push_front(message);
                    return None;
                }
            }
        }
        if self.stopping && !mem::replace(&mut run.finished, true) {
            // It has ended otherwise already.
            let _ = conn.finish();
        }
        None
    }

    /// Sees to it that nobody is waited for too long.
    fn watch(&mut self, options: &Options, now: Instant) {
        let State::Running(run) = &mut self.state else {
            return;
        };
        let too_late = match run.kill {
            Some((at, cause)) => (now >= at).then_some(cause),
            None => None,
        };
        if run.status.is_some() {
            return;
        }
        if let Some(cause) = too_late {
            run.kill(cause, now);
        } else if run.cause != Cause::Itself && run.kill.is_none() {
            // It has been killed.
        } else if run.is_drained() {
            let fault = run.conn().and_then(Connection::end);
            if matches!(fault, Some(End::Fault { .. })) {
                run.kill(Cause::LeftLink, now);
            } else if run.kill.is_none() {
                run.kill = Some((now + options.grace, Cause::LeftLink));
            }
        } else if let Some(conn) = run.conn() {
            let checkpoints = conn
                .peer_checkpoint()
                .map_or(0, |checkpoint| checkpoint.number());
            let silent = match &mut run.silence {
                Some(silence) => silence.is_over(checkpoints, now),
                None => false,
            };
            if silent {
                run.kill(Cause::Silent, now);
            }
        } else if now >= run.started + options.connect_within {
            run.kill(Cause::NeverConnected, now);
        }
    }

    /// Tells of the end, once the process and the connection have ended, in whatever order.
    fn end(&mut self, options: &Options, now: Instant) -> Option<Event> {
        let State::Running(run) = &mut self.state else {
            return None;
        };
        if run.is_looked_after() && run.look.is_due(now) && run.status.is_none() {
            // It cannot fail for a child that has not been waited for.
            if let Ok(Some(status)) = run.process.status() {
                run.status = Some((status, now));
                run.look = Look::at_once(now + LOOK[0]);
            }
        }
        let (status, seen) = run.status?;
        match &run.channel {
            Channel::Waiting(_) if now < seen + LATE_CONNECTION => return None,
            Channel::Waiting(_) => {}
            Channel::Drained(conn) if conn.end().is_some() => {}
            _ if now < seen + LATE_END => return None,
            // The kernel knows that it has ended, but not the connection: somebody else has its end.
            Channel::Open(conn) | Channel::Drained(conn) => conn.close(0, "the process has ended"),
        }
        let State::Running(run) = mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        Some(Event::Exited(self.exited(*run, status, options, now)))
    }

    fn exited(&mut self, run: Run, status: ExitStatus, options: &Options, now: Instant) -> Exited {
        let conn = run.conn();
        let (mut unread, mut complete) = (VecDeque::new(), true);
        if let Some(conn) = conn {
            match conn.within(LATE_END).take_unread() {
                Ok(messages) => {
                    complete = !messages.partial();
                    unread = messages.collect();
                }
                Err(_) => complete = false,
            }
            // None at all says nothing: it was only alive.
            if let Some(last) = conn.peer_checkpoint().filter(|last| !last.is_empty()) {
                self.checkpoint = Some(last.to_vec());
            }
        }
        let then = self.follow(Some(status), run.cause, run.connected, options, now);
        let mut handed_over = 0;
        if options.hand_over && matches!(then, Then::Restart(_)) {
            handed_over = unread.len();
            unread.append(&mut self.queue);
            self.queue = mem::take(&mut unread);
        } else {
            unread.append(&mut self.queue);
        }
        Exited {
            worker: self.number,
            pid: run.process.pid(),
            started: conn.and_then(|conn| conn.peer().started),
            status,
            cause: run.cause,
            end: match run.has_finished {
                true => Some(End::Finished),
                false => conn.and_then(Connection::end),
            },
            unread: unread.into(),
            handed_over,
            complete,
            checkpoint: self.checkpoint.clone(),
            then,
        }
    }

    /// What follows a worker that has ended like this, or was not started.
    fn follow(
        &mut self,
        status: Option<ExitStatus>,
        cause: Cause,
        connected: Option<Instant>,
        options: &Options,
        now: Instant,
    ) -> Then {
        let well = cause == Cause::Itself && status.is_some_and(|status| status.success());
        let (state, then) = match options.restart {
            _ if self.stopping => (State::Over, Then::Done),
            Restart::Never => (State::Over, Then::Done),
            Restart::OnFailure if well => (State::Over, Then::Done),
            Restart::Always | Restart::OnFailure => {
                match self.restarts.next(&options.backoff, connected, now) {
                    Some(pause) => (State::Resting { until: now + pause }, Then::Restart(pause)),
                    None => (State::Over, Then::GivenUp),
                }
            }
        };
        self.state = state;
        then
    }

    /// Has the task woken when `step` may have something to do, but for what comes with time. Ready if it may have now.
    pub(crate) fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        let State::Running(run) = &self.state else {
            return Poll::Pending;
        };
        let to_send = self.queue.front().map(Vec::len);
        match &run.channel {
            Channel::Waiting(link) => link.poll_ready(task),
            Channel::Open(conn) => {
                let received = conn.poll_ready(Interest::Recv, task);
                let sent = to_send.map(|len| conn.poll_ready(Interest::Send(len), task));
                match received.is_ready() || sent.is_some_and(|sent| sent.is_ready()) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            }
            // Looked after with time.
            Channel::Drained(_) => Poll::Pending,
        }
    }

    /// When `step` has something to do again, if nothing happens before.
    pub(crate) fn wake_at(&self, options: &Options) -> Option<Instant> {
        let run = match &self.state {
            State::Over => return None,
            State::Resting { until } => return Some(*until),
            State::Running(run) => run,
        };
        let look = run.is_looked_after().then_some(run.look.next);
        let kill = run.kill.map(|(at, _)| at);
        let silence = run.silence.as_ref().map(Silence::next_look);
        let connect = match run.channel {
            Channel::Waiting(_) => Some(run.started + options.connect_within),
            _ => None,
        };
        [look, kill, silence, connect].into_iter().flatten().min()
    }
}

/// Why a message was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// There are as many that wait for the worker as may: [`Builder::backlog`](crate::Builder::backlog). Take events, and try again.
    Full,
    /// There is no worker in this place any more.
    Over,
    /// It is longer than the worker accepts, or than the ring: send it as a stream.
    TooLarge(Error),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendError::Full => f.write_str("too many messages wait for the worker"),
            SendError::Over => f.write_str("there is no worker in this place any more"),
            SendError::TooLarge(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<SendError> for io::Error {
    fn from(e: SendError) -> io::Error {
        io::Error::other(e)
    }
}
