//! The supervisor, as its child sees it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use twinring::{Connection, End, ErrorKind, Link, Result, Status};

use crate::os;
use crate::ticket::{Ticket, VARIABLE};

/// The exit code of a worker that ends because its supervisor has: nobody waits for it any more.
pub const ORPHANED: i32 = 74;

/// How long a supervisor that lives may take to accept its child.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a child looks whether its supervisor lives, while the system does not tell it.
const LOOK: Duration = Duration::from_millis(100);

/// The supervisor that has started this process; `None` if none has. To be called first in `main`, once: short for
/// [`Parent::builder`]`().`[`connect`](ParentBuilder::connect)`()`.
///
/// # Errors
/// As [`ParentBuilder::connect`].
///
/// ```
/// assert!(twinring_workers::parent()?.is_none());
/// # std::io::Result::Ok(())
/// ```
pub fn parent() -> io::Result<Option<Parent>> {
    Parent::builder().connect()
}

/// The supervisor of this process, and the connection to it. Made by [`parent`].
///
/// All methods may be called from any thread, and clones are handles to the same. When the last one is dropped, the connection has
/// ended; a worker that has done what it was told calls [`finish`](Parent::finish) before, and ends.
///
/// **When the supervisor's process ends, so does this one**: at once, wherever its threads are, without destructors, as if it were
/// killed. [`ParentBuilder::on_parent_end`] does something else.
#[derive(Clone)]
pub struct Parent {
    shared: Arc<Shared>,
}

struct Shared {
    conn: Connection,
    ticket: Ticket,
    /// What the supervisor sees as this process's checkpoint.
    checkpoint: Mutex<Vec<u8>>,
}

/// Options of a worker; made by [`Parent::builder`].
#[must_use = "nothing happens before `connect`"]
pub struct ParentBuilder {
    link: Box<dyn FnOnce(twinring::Builder) -> twinring::Builder>,
    on_end: Box<dyn FnMut() + Send>,
}

impl ParentBuilder {
    /// Changes options of the link's end here, as [`Builder::link`](crate::Builder::link) does for the supervisor's. Both need the same
    /// [`directory`](twinring::Builder::directory), if there is one. [`on_status`](twinring::Builder::on_status) is taken.
    ///
    /// ```
    /// let builder = twinring_workers::Parent::builder().link(|link| link.max_message(1 << 20));
    /// ```
    pub fn link(
        mut self,
        f: impl FnOnce(twinring::Builder) -> twinring::Builder + 'static,
    ) -> ParentBuilder {
        self.link = Box::new(f);
        self
    }

    /// Calls `f`, on a thread of the library's, when the supervisor's process has ended, instead of ending this process. It then goes
    /// on by itself; calls of the connection say [`End::Crashed`]. On Windows the system ends this process with its supervisor
    /// nevertheless, mostly before `f` is called.
    ///
    /// ```
    /// let builder = twinring_workers::Parent::builder().on_parent_end(|| eprintln!("alone"));
    /// ```
    pub fn on_parent_end(mut self, f: impl FnOnce() + Send + 'static) -> ParentBuilder {
        let mut f = Some(f);
        self.on_end = Box::new(move || {
            if let Some(f) = f.take() {
                f();
            }
        });
        self
    }

    /// Connects to the supervisor that has started this process; `None`, at once, if none has. Waits until it accepts this process,
    /// at most 10 s, and not when it has ended.
    ///
    /// Takes the [variable](VARIABLE) by which the supervisor has told its name out of the environment, so that programs that this one
    /// starts do not take it for theirs; on Linux only while the process has one thread, on macOS not. Otherwise they get an error here.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound): the supervisor has ended, or has not started this process itself;
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied): it does not accept this process, because it is not its child;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): the variable says nothing that this version understands;
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists): this process has asked before; and those of
    /// [`twinring::Builder::open`]. A process that gets one is to end.
    pub fn connect(self) -> io::Result<Option<Parent>> {
        static ASKED: AtomicBool = AtomicBool::new(false);
        /// Is there for as long as the process is, since its thread looks at the supervisor.
        static LINK: OnceLock<Link> = OnceLock::new();
        let Some(text) = std::env::var_os(VARIABLE) else {
            return Ok(None);
        };
        let ticket = text.to_str().and_then(Ticket::parse).ok_or_else(|| {
            let text = format!("{VARIABLE} is {text:?}, which this version does not understand");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        if ASKED.swap(true, Ordering::Relaxed) {
            let text = "this process has asked for its supervisor before";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        os::remove_variable(VARIABLE);
        let (supervisor, mut on_end) = (ticket.supervisor, self.on_end);
        let link = (self.link)(Link::guest(&ticket.name).one_connection());
        let link = link.on_status(move |status| {
            if let Status::Disconnected(_, end) = status {
                until_alone(supervisor, end);
                on_end();
            }
        });
        let link = link.open()?;
        let conn = accepted(&link, supervisor)?;
        LINK.get_or_init(|| link);
        let checkpoint = Mutex::new(ticket.checkpoint.clone().unwrap_or_default());
        let shared = Shared {
            conn,
            ticket,
            checkpoint,
        };
        Ok(Some(Parent {
            shared: Arc::new(shared),
        }))
    }
}

/// Waits until the supervisor has accepted this process.
fn accepted(link: &Link, supervisor: u32) -> io::Result<Connection> {
    let until = Instant::now() + CONNECT;
    loop {
        // First: where it has ended, nobody comes.
        if !os::is_supervised_by(supervisor) {
            let text = format!(
                "the supervisor, process {supervisor}, has ended or has not started this process: if this is no worker, start it without \
                 the variable {VARIABLE}"
            );
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        match link.within(LOOK).next() {
            Ok(conn) => return Ok(conn),
            Err(e) if e.kind() == ErrorKind::AccessDenied => return Err(e.into()),
            Err(e) if Instant::now() > until => return Err(e.into()),
            Err(_) => {}
        }
    }
}

/// Returns when the supervisor's process has ended, after the end of the connection.
fn until_alone(supervisor: u32, end: &End) {
    // By the kernel's word. After any other end nobody else looks.
    while *end != End::Crashed && os::is_supervised_by(supervisor) {
        std::thread::sleep(LOOK);
    }
}

impl Parent {
    /// Options for [`parent`].
    pub fn builder() -> ParentBuilder {
        ParentBuilder {
            link: Box::new(|link| link),
            on_end: Box::new(|| os::exit_at_once(ORPHANED)),
        }
    }

    /// What this worker's predecessor has set last by [`set_checkpoint`](Parent::set_checkpoint), or what that one was given itself;
    /// `None` if nothing.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.shared.ticket.checkpoint.as_deref()
    }

    /// How many workers were started in this one's place before it.
    pub fn run(&self) -> u64 {
        self.shared.ticket.run
    }

    /// Says how far this worker is, in 1 to [`MAX_CHECKPOINT_LEN`](twinring::MAX_CHECKPOINT_LEN) bytes: the supervisor gives them to
    /// its successor. A sign of life. Costs some 50 ns, never waits.
    ///
    /// What was done between the work itself and this call is done again by the successor, if this process is killed there.
    ///
    /// # Errors
    /// As [`Connection::set_checkpoint`].
    pub fn set_checkpoint(&self, checkpoint: &[u8]) -> Result<()> {
        let mut last = self.lock();
        self.shared.conn.set_checkpoint(checkpoint)?;
        checkpoint.clone_into(&mut last);
        Ok(())
    }

    /// A sign of life, for work that takes longer than [`Builder::silence`](crate::Builder::silence) allows without one. Costs some
    /// 50 ns, never waits, and fails silently once the connection has ended.
    pub fn alive(&self) {
        let last = self.lock();
        // The same again: the supervisor sees that there was one more.
        let _ = self.shared.conn.set_checkpoint(&last);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.shared
            .checkpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives the supervisor's next message, as [`Connection::recv`]; `None` when it wants this worker to end. It counts as taken
    /// when this returns. While it waits this is no silence: it says [`alive`](Parent::alive) by itself.
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn recv(&self) -> Result<Option<Vec<u8>>> {
        let Some(silence) = self.shared.ticket.silence else {
            return self.shared.conn.recv();
        };
        let conn = self.shared.conn.within(silence / 4);
        loop {
            match conn.recv() {
                Err(e) if e.is_timeout() => self.alive(),
                received => return received,
            }
        }
    }

    /// Sends a message to the supervisor, as [`Connection::send`]. A sign of life. Waits while the supervisor's program does not take
    /// what is there.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.shared.conn.send(message)
    }

    /// Says that nothing more comes from this side, as [`Connection::finish`].
    ///
    /// # Errors
    /// As [`Connection::finish`].
    pub fn finish(&self) -> Result<()> {
        self.shared.conn.finish()
    }

    /// For a [`Pool`](crate::Pool): calls `f` with each task, sends what it returns as the answer, and returns when there are no more.
    /// One thread does one task at a time. If `f` panics, so does this; the task is given to another worker.
    ///
    /// # Errors
    /// As [`Connection::recv`] and [`Connection::send`].
    pub fn serve<A: AsRef<[u8]>>(&self, mut f: impl FnMut(&[u8]) -> A) -> Result<()> {
        while let Some(task) = self.recv()? {
            self.send(f(&task).as_ref())?;
        }
        self.finish()
    }

    /// The connection, for all that it can do besides: views, batches, streams, halves. [`set_checkpoint`](Connection::set_checkpoint)
    /// is this type's, or [`alive`](Parent::alive) would set an earlier one again.
    pub fn connection(&self) -> &Connection {
        &self.shared.conn
    }

    /// The connection, awaited. Whoever waits on it for longer than [`Builder::silence`](crate::Builder::silence) calls
    /// [`alive`](Parent::alive) meanwhile.
    #[cfg(feature = "tokio")]
    pub fn to_tokio(&self) -> twinring_tokio::Connection {
        self.shared.conn.clone().into()
    }
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parent")
            .field("supervisor", &self.shared.ticket.supervisor)
            .field("run", &self.run())
            .field("conn", &self.shared.conn)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ParentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentBuilder").finish_non_exhaustive()
    }
}
