//! How a link is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Link;
use super::connection::Connection;
use super::listener::Listener;
use super::status::Status;
use crate::driver::{Callbacks, Core, open};
use crate::error::{Error, ErrorKind, Result};
use crate::os::handles::Handle;
use crate::os::memory::Pages;
use crate::os::process::{Access, Peer};
use crate::segment::Side;
use crate::transfer::{
    Admit, DEFAULT_CLIENT_RING_CAPACITY, DEFAULT_RING_CAPACITY, Name, Options, SeatLimit, Wait,
    random,
};

/// Options for opening a link; made by [`Link::host`] and [`Link::guest`].
///
/// ```
/// use std::time::Duration;
/// use twinring::{Link, Wait};
///
/// # let name = twinring::testing::unique_name();
/// let link = Link::host(&name)
///     .ring_capacity(64 * 1024)
///     .max_message(16 << 20)
///     .wait(Wait::Sleep)
///     .handshake_timeout(Duration::from_secs(2))
///     .on_status(|status| println!("{status}"))
///     .open()?;
/// # link.close(0, "");
/// # Ok::<(), twinring::Error>(())
/// ```
#[must_use = "nothing happens before `open`"]
pub struct Builder {
    name: String,
    options: Options,
    /// What differs between links and listeners, if the program has said it.
    ring_capacity: Option<u64>,
    pages: Option<Pages>,
    max_clients: Option<(usize, usize)>,
    callbacks: Callbacks<Connection>,
}

impl Link {
    /// Starts building the end that owns the name. There is one host per name and user.
    ///
    /// `name` is any text of 1 to [`MAX_NAME_LEN`](crate::MAX_NAME_LEN) bytes without control
    /// characters. Both ends must use the same name, byte for byte. [`Builder::open`] checks it.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let link = Link::host(&name).open()?;
    /// assert_eq!(link.name(), name);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn host(name: &str) -> Builder {
        Builder::new(Side::Host, name)
    }

    /// Starts building the end that connects to the name.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let link = Link::guest(&name).open()?;
    /// assert!(matches!(link.status(), Status::Waiting)); // no host yet
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn guest(name: &str) -> Builder {
        Builder::new(Side::Guest, name)
    }
}

impl Listener {
    /// Listens under this name, with the options that [`Builder::listen`] begins with: short for
    /// `Link::host(name).listen()`.
    ///
    /// # Errors
    /// As [`Builder::listen`].
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let listener = Listener::bind(&name)?;
    /// assert_eq!(Listener::bind(&name).unwrap_err().kind(), ErrorKind::NameInUse);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn bind(name: &str) -> Result<Listener> {
        Link::host(name).listen()
    }
}

impl Builder {
    pub(crate) fn new(side: Side, name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            options: Options::new(side),
            ring_capacity: None,
            pages: None,
            max_clients: None,
            callbacks: Callbacks::default(),
        }
    }

    /// Capacity of each of the two rings in bytes: a power of two from 4 KiB to 1 GiB,
    /// [`DEFAULT_RING_CAPACITY`](crate::DEFAULT_RING_CAPACITY) by default. Only the host's value
    /// counts; a guest takes what the host offers.
    ///
    /// It does not limit the length of messages. A larger ring lets a sender run further ahead of the
    /// receiver. The memory of both rings is reserved whenever a connection is made, unless
    /// [`reserve_memory`](Builder::reserve_memory) says otherwise.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let link = Link::host(&name).ring_capacity(4 << 20).open()?;
    ///
    /// let error = Link::host(&name).ring_capacity(5000).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidOption);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn ring_capacity(mut self, bytes: u64) -> Builder {
        self.ring_capacity = Some(bytes);
        self
    }

    /// The longest message that this side receives in one piece, in bytes;
    /// [`DEFAULT_MAX_MESSAGE`](crate::DEFAULT_MAX_MESSAGE) by default.
    /// The peer learns it, so that its `send` of a longer message fails at once with
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge). A stream that turns out to be longer is stopped
    /// if it is received in one piece; [`max_stream`](Builder::max_stream) bounds one that is received as a
    /// stream.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).max_message(100).open()?;
    /// let guest = Link::guest(&name).open()?;
    /// let conn = guest.within(Duration::from_secs(5)).next()?;
    /// assert_eq!(conn.send(&[0; 101]).unwrap_err().kind(), ErrorKind::TooLarge);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn max_message(mut self, bytes: u64) -> Builder {
        self.options.max_message = bytes;
        self
    }

    /// The longest message that this side receives as a stream, in bytes; no limit by default. A longer one
    /// is stopped there.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).max_stream(1 << 40).open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn max_stream(mut self, bytes: u64) -> Builder {
        self.options.max_stream = bytes;
        self
    }

    /// The most handles (files, sockets, pipes, events, ends of links) that this side receives with a message; 0 by default, at most
    /// [`MAX_HANDLES`](crate::MAX_HANDLES). With 0, [`send_with_handles`](Connection::send_with_handles) of the peer fails at once with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). It costs one more descriptor for each connection.
    ///
    /// On Windows this side takes handles out of the peer's process, and so has to be allowed to open that (PROCESS_DUP_HANDLE): as
    /// its parent and its children mostly are, but a user's program is not where the peer is a service of the system's. If not, it
    /// takes none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).max_handles(4).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// let conn = guest.within(Duration::from_secs(5)).next()?;
    /// assert_eq!(conn.peer_max_handles(), 4);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn max_handles(mut self, most: u32) -> Builder {
        self.options.max_handles = most;
        self
    }

    /// Lets a [`View`](crate::View) be a slice of the ring itself, without a private copy.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// // SAFETY: the peer is our own program, and uses this library.
    /// let host = unsafe { Link::host(&name).trust_peer() }.open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    ///
    /// # Safety
    /// No peer of this link may touch what it has sent: a reference to bytes that another process writes at
    /// the same time is undefined behaviour. A peer that uses this library keeps to that; a hostile one need
    /// not.
    pub unsafe fn trust_peer(mut self) -> Builder {
        self.options.trusts_peer = true;
        self
    }

    /// The link connects once: when that connection has ended, it waits for no other, and the program is to
    /// close it; a second [`next`](crate::Link::next) fails with [`Closed`](crate::ErrorKind::Closed). Without
    /// this, the next guest may be connected before the program has closed the link, and is then turned away. Guests that come meanwhile wait, and find the next host of the name.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).one_connection().open()?;
    /// let first = Link::guest(&name).open()?;
    /// drop(first.within(Duration::from_secs(5)).next()?);
    /// assert!(host.next()?.recv().is_err());
    /// assert_eq!(host.next().unwrap_err().kind(), ErrorKind::Closed);
    /// let second = Link::guest(&name).open()?;
    /// assert!(second.within(Duration::from_millis(10)).next().is_err());
    /// host.close(0, "");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn one_connection(mut self) -> Builder {
        self.options.one_connection = true;
        self
    }

    /// A listener's clients at once: in all, and of one user. By default
    /// [`DEFAULT_MAX_CLIENTS`](crate::DEFAULT_MAX_CLIENTS), or as many as the limit of open files allows (on Unix a
    /// client is counted with 6 of them), for any user.
    ///
    /// A guest beyond the first limit waits until another has gone, in a queue: its calls that wait for a connection
    /// say so with [`Busy`](crate::ErrorKind::Busy). One beyond its user's limit is refused with the same kind, and
    /// tries again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let listener = Link::host(&name).max_clients(1, 1).listen()?;
    /// let first = Link::guest(&name).open()?;
    /// let conn = listener.accept()?;
    /// let second = Link::guest(&name).open()?;
    /// let error = second.within(Duration::from_millis(50)).next().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Busy);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn max_clients(mut self, all: usize, of_user: usize) -> Builder {
        self.max_clients = Some((all, of_user));
        self
    }

    /// How calls on this side wait for the peer; [`Wait::Adaptive`] by default.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let link = Link::host(&name).wait(Wait::Spin).open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn wait(mut self, wait: Wait) -> Builder {
        self.options.wait = wait;
        self
    }

    /// Which users the link may connect; [`Access::SameUser`] by default. A host lets in only these
    /// users, and a guest trusts only a host of these users.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// # let directory = std::env::temp_dir().join(&name);
    /// let friend = User::current().unwrap(); // or, from a configuration, "1000".parse()
    /// let access = Access::Users(vec![friend]);
    /// # let directory = &directory;
    /// let host = Link::host(&name).directory(directory).access(access.clone()).open()?;
    /// let guest = Link::guest(&name).directory(directory).access(access).open()?;
    /// let conn = guest.within(Duration::from_secs(5)).next()?;
    /// println!("the host is {}", conn.peer());
    /// # drop((conn, host, guest));
    /// # let _ = std::fs::remove_dir_all(directory);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn access(mut self, access: Access) -> Builder {
        self.options.access = access;
        self
    }

    /// Asks the program about each process that [`access`](Builder::access) allows, before it is connected: `false`
    /// refuses it, and so does a panic. A host is asked about its guests, which get
    /// [`AccessDenied`](crate::ErrorKind::AccessDenied) if they are refused; a guest about its host, which is told
    /// nothing at all. The side that refuses gets the same error by [`on_error`](Builder::on_error), which is no log of
    /// refusals: of several of one kind in a row it tells the first. Log in `f` what you need to know.
    ///
    /// `f` is asked each time that a peer comes: a guest that is refused comes again some ten times a second, one that
    /// has to wait for its turn is asked about before it is queued, and one whose connection has ended is asked about
    /// anew. So keep no record of peers in `f`; what it admits may still not be connected.
    ///
    /// It runs on a thread of its own, and may take as long as a handshake:
    /// [`handshake_timeout`](Builder::handshake_timeout), of both sides, because the peer waits as well. After that both get
    /// [`TimedOut`](crate::ErrorKind::TimedOut). Others are connected meanwhile. It may be called for up to 8 peers of one user
    /// at once, and 64 in all, and may still run when its peer has gone or the link has been closed; further ones wait. A call
    /// that never returns keeps its place for good: after 8 of them no peer of that user is connected any more.
    ///
    /// `f` may have links of its own. It is dropped when the link is closed, by the thread that closes it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name)
    ///     .admit(|peer| peer.pid == std::process::id())
    ///     .open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # guest.within(Duration::from_secs(5)).next()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn admit(mut self, f: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Builder {
        self.options.admit = Some(Arc::new(Admit::new(f)));
        self
    }

    /// How long a handshake may take before it is given up;
    /// [`DEFAULT_HANDSHAKE_TIMEOUT`](crate::DEFAULT_HANDSHAKE_TIMEOUT) by default. A host serves other
    /// guests meanwhile.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let link = Link::host(&name).handshake_timeout(Duration::from_secs(1)).open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn handshake_timeout(mut self, timeout: Duration) -> Builder {
        self.options.handshake_timeout = timeout;
        self
    }

    /// Absolute path of the directory for the link's lock and socket, instead of the user's runtime
    /// directory. Both sides must name the same one. It is created if it does not exist (between
    /// different users, by the host only). It must belong to this user, to root or, for a guest, to
    /// a user whose hosts it trusts, and nobody else may be able to write to it. Ignored on Windows,
    /// where a link has no files.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let link = Link::host(&name).directory(std::env::temp_dir().join(&name)).open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Builder {
        self.options.directory = Some(path.into());
        self
    }

    /// Whether the memory of both rings is reserved when a connection is made (or, by a host with
    /// rings of up to 4 MiB for its first guest, when it is opened). The default is `true` for the host of a link, and
    /// `false` for a listener. A guest takes what the host has, unless it says `true` itself: then the memory is
    /// reserved.
    ///
    /// Reserved: if the system lacks memory, the connection fails to form, with
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory); one that has formed never runs out. (In a
    /// Linux control group whose limit is too low, the system kills the process that reserves.)
    ///
    /// Not reserved: a ring takes memory only as messages first pass through its pages, in order, so a
    /// link that carries little costs little and connects sooner. But if the system is out of memory by
    /// then, it kills the process that touches the page (on Linux by SIGBUS or its out-of-memory killer).
    /// `docs/performance.md` has the figures.
    ///
    /// Ignored on Windows and macOS, which promise the memory at once and allocate each page when it is
    /// first touched.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).ring_capacity(64 << 20).reserve_memory(false).open()?;
    /// let guest = Link::guest(&name).open()?;
    /// let conn = guest.within(Duration::from_secs(5)).next()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn reserve_memory(mut self, reserve: bool) -> Builder {
        self.pages = Some(match reserve {
            true => Pages::Reserved,
            false => Pages::OnDemand,
        });
        self
    }

    /// Calls `f` with each message and the connection that it came on, on a thread of the link's own. What
    /// `f` sends on that connection reaches the one who asked, or nobody. [`Link::next`] and all methods that
    /// receive then return [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). The link keeps a
    /// connection until its end.
    ///
    /// The callbacks of a link run one at a time, in the order of the events, with no lock held: they
    /// may call anything, `send` and `close` included. While one runs, the next waits, and so does
    /// the peer once its ring is full. **If both sides send from their callbacks and both rings are full, both
    /// wait for ever**: let one side read on another thread than it sends on, or bound what is under way, or
    /// give `send` a [time](Connection::within).
    ///
    /// A message counts as [taken](Connection::taken) when `f` returns (of one longer than a frame, the last
    /// chunk). If `f` panics, the connection is abandoned and the link closed, which `on_status` is told, and
    /// the message goes back to its sender.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name)
    ///     .on_message(|conn, message| {
    ///         let _ = conn.send(message); // an echo
    ///     })
    ///     .open()?;
    /// # let conn = Link::guest(&name).open()?.within(Duration::from_secs(5)).next()?;
    /// # conn.send(b"hello")?;
    /// # assert_eq!(conn.recv()?, Some(b"hello".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn on_message(self, mut f: impl FnMut(&Connection, &[u8]) + Send + 'static) -> Builder {
        self.on_message_with_handles(move |conn, message, _| f(conn, message))
    }

    /// As [`on_message`](Builder::on_message), with the [handles](Builder::max_handles) that came with the message. If they cannot be
    /// taken now, [`on_error`](Builder::on_error) is told why, and the message comes later; if the peer has let go of them
    /// (Windows), it comes without.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name)
    ///     .max_handles(1)
    ///     .on_message_with_handles(|conn, _message, handles| {
    ///         let kinds: Vec<_> = handles.iter().map(Handle::kind).collect();
    ///         let _ = conn.send(format!("{kinds:?}").as_bytes());
    ///     })
    ///     .open()?;
    /// # let conn = Link::guest(&name).open()?.within(Duration::from_secs(5)).next()?;
    /// # let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    /// # conn.send_with_handles(b"this", &mut vec![file.into()])?;
    /// # assert_eq!(conn.recv()?, Some(b"[Ok(File)]".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn on_message_with_handles(
        mut self,
        f: impl FnMut(&Connection, &[u8], Vec<Handle>) + Send + 'static,
    ) -> Builder {
        self.options.callback = true;
        self.callbacks.on_message = Some(Box::new(f));
        self
    }

    /// Calls `f` with each change of the link's status, once and in order, on the same thread as
    /// [`on_message`](Builder::on_message). With `on_message`, a status is reported in order with the
    /// messages: `Disconnected` after the last message of that connection; and nothing goes out by
    /// [`Link::send`] on a connection before `f` has returned from its `Connected`.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let host = Link::host(&name)
    ///     .on_status(move |status| {
    ///         let _ = tell.send(status.to_string());
    ///     })
    ///     .open()?;
    /// assert_eq!(told.recv().unwrap(), "waiting");
    /// host.close(0, "");
    /// assert_eq!(told.recv().unwrap(), "closed");
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn on_status(mut self, mut f: impl FnMut(&Status) + Send + 'static) -> Builder {
        self.callbacks.on_change = Some(Box::new(move |change| f(&Status::new(change))));
        self
    }

    /// Calls `f` with errors outside of any call: a handshake that failed (once for each kind of
    /// failure in a row), a message that the peer gave up, a violation of the protocol.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).on_error(|error| eprintln!("{error}")).open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn on_error(mut self, f: impl FnMut(&Error) + Send + 'static) -> Builder {
        self.callbacks.on_error = Some(Box::new(f));
        self
    }

    /// Opens the link, without waiting for a peer: the link connects by itself as soon as there is one,
    /// and again whenever the peer comes back. [`Link::next`] waits.
    ///
    /// A guest whose host is there already is usually connected when this returns (but not on
    /// Windows). It does the handshake itself, as far as it gets within 2 ms; with a host that is not
    /// held up it takes about 0.1 ms. The rest is done in the background.
    ///
    /// # Errors
    /// * [`InvalidName`](crate::ErrorKind::InvalidName), [`InvalidOption`](crate::ErrorKind::InvalidOption);
    /// * [`NameInUse`](crate::ErrorKind::NameInUse): a live process hosts this name already, and still does after
    ///   100 ms. (A process that was just killed keeps its name until the system has cleaned it up.)
    /// * [`RuntimeDirectory`](crate::ErrorKind::RuntimeDirectory), [`WrongOwner`](crate::ErrorKind::WrongOwner),
    ///   [`AccessDenied`](crate::ErrorKind::AccessDenied): there is no safe place for the link's objects;
    /// * [`OutOfHandles`](crate::ErrorKind::OutOfHandles), [`OutOfMemory`](crate::ErrorKind::OutOfMemory),
    ///   [`Os`](crate::ErrorKind::Os): the system has no thread, event or socket left.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let host = Link::host(&name).open()?;
    /// assert_eq!(Link::host(&name).open().unwrap_err().kind(), ErrorKind::NameInUse);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn open(mut self) -> Result<Link> {
        let (capacity, pages) = match self.options.side {
            Side::Host => (DEFAULT_RING_CAPACITY, Pages::Reserved),
            // It takes what the host has.
            Side::Guest => (DEFAULT_RING_CAPACITY, Pages::OnDemand),
        };
        self.options.ring_capacity = self.ring_capacity.unwrap_or(capacity);
        self.options.pages = self.pages.unwrap_or(pages);
        if self.options.side == Side::Guest {
            self.options.client = random().map_err(|e| e.of_link(&self.name))?;
        }
        let check = |builder: &Builder| match builder.max_clients {
            None => Ok(()),
            Some(_) => Err(wrong("max_clients is for listeners: `listen`, not `open`")),
        };
        self.begin(check).map(Link::new)
    }

    /// Listens for guests of this name, each of which becomes a client of the [`Listener`] with a
    /// [`Connection`] of its own. A listener is a host, with all options of one but two:
    /// [`on_message`](Builder::on_message) ([`Listener::accept`] gives the connections) and
    /// [`one_connection`](Builder::one_connection). What is different by default:
    ///
    /// * [`ring_capacity`](Builder::ring_capacity) is
    ///   [`DEFAULT_CLIENT_RING_CAPACITY`](crate::DEFAULT_CLIENT_RING_CAPACITY);
    /// * memory is not [reserved](Builder::reserve_memory): a client costs as much as has passed through its rings, up
    ///   to their size.
    ///
    /// # Errors
    /// As [`open`](Builder::open); [`OutOfHandles`](crate::ErrorKind::OutOfHandles) if this process may not have as
    /// many files open as [`max_clients`](Builder::max_clients) clients take.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let listener = Link::host(&name).max_clients(100, 20).listen()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn listen(mut self) -> Result<Listener> {
        self.options.ring_capacity = self.ring_capacity.unwrap_or(DEFAULT_CLIENT_RING_CAPACITY);
        self.options.pages = self.pages.unwrap_or(Pages::OnDemand);
        let check = |builder: &Builder| match &builder.options {
            options if options.side == Side::Guest => {
                Err(wrong("a guest cannot listen: begin with Link::host"))
            }
            options if options.callback => Err(wrong(
                "on_message is for links: a listener's `accept` gives the connections",
            )),
            options if options.one_connection => {
                Err(wrong("one_connection is for links: use max_clients"))
            }
            _ => Ok(()),
        };
        let many = SeatLimit::many(self.max_clients);
        let many = many.map_err(|e| e.of_link(&self.name))?;
        self.options.seats = many;
        self.begin(check).map(Listener::new)
    }

    fn begin(self, check: impl FnOnce(&Builder) -> Result<()>) -> Result<Arc<Core>> {
        let name = Name::new(&self.name)?;
        check(&self)
            .and_then(|()| self.options.check())
            .and_then(|()| open(name.clone(), self.options, self.callbacks))
            .map_err(|e| e.of_link(name.as_str()))
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, what)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
