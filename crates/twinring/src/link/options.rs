//! What can be chosen about a link, and the way to open one.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::callbacks::Callbacks;
use super::name::Name;
use super::status::Status;
use super::wait::Wait;
use super::{Link, core};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::PlaceOptions;
use crate::os::memory::Pages;
use crate::os::process::Access;
use crate::segment::{CAPACITIES, Side};

/// Capacity of a ring unless chosen otherwise: 1 MiB for each direction.
///
/// ```
/// assert!(twinring::DEFAULT_RING_CAPACITY.is_power_of_two());
/// ```
pub const DEFAULT_RING_CAPACITY: u64 = 1024 * 1024;
/// The longest message that is received unless chosen otherwise: 1 GiB.
///
/// ```
/// assert_eq!(twinring::DEFAULT_MAX_MESSAGE, 1 << 30);
/// ```
pub const DEFAULT_MAX_MESSAGE: u64 = 1024 * 1024 * 1024;
/// How long a handshake may take unless chosen otherwise.
///
/// ```
/// assert_eq!(twinring::DEFAULT_HANDSHAKE_TIMEOUT.as_secs(), 5);
/// ```
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) side: Side,
    pub(crate) ring_capacity: u64,
    pub(crate) max_message: u64,
    pub(crate) wait: Wait,
    pub(crate) access: Access,
    pub(crate) handshake_timeout: Duration,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) pages: Pages,
}

impl Options {
    pub(crate) fn place(&self) -> PlaceOptions {
        PlaceOptions {
            directory: self.directory.clone(),
            is_guest: self.side == Side::Guest,
            access: self.access.clone(),
        }
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::new(ErrorKind::InvalidOption, what));
        let capacity = self.ring_capacity;
        if !CAPACITIES.contains(&capacity) || !capacity.is_power_of_two() {
            return wrong(format!(
                "ring_capacity is {capacity}; it must be a power of two from 4096 (4 KiB) to 1073741824 (1 GiB)"
            ));
        }
        if self.handshake_timeout.is_zero() {
            return wrong("handshake_timeout is zero, so no handshake could succeed".into());
        }
        if self
            .directory
            .as_ref()
            .is_some_and(|path| !path.is_absolute())
        {
            return wrong("directory is not an absolute path".into());
        }
        Ok(())
    }
}

/// Options of a link that is to be opened; made by [`Link::host`] and [`Link::guest`].
///
/// ```
/// use std::time::Duration;
/// use twinring::{Link, Wait};
///
/// # fn main() -> twinring::Result<()> {
/// let name = format!("builder-example-{}", std::process::id());
/// let link = Link::host(&name)
///     .ring_capacity(64 * 1024)
///     .max_message(16 << 20)
///     .wait(Wait::Sleep)
///     .handshake_timeout(Duration::from_secs(2))
///     .on_status(|_link, status| println!("{status}"))
///     .open()?;
/// # link.close();
/// # Ok(()) }
/// ```
#[must_use = "nothing happens before `open`"]
pub struct Builder {
    name: String,
    options: Options,
    callbacks: Callbacks,
}

impl Builder {
    pub(crate) fn new(side: Side, name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            options: Options {
                side,
                ring_capacity: DEFAULT_RING_CAPACITY,
                max_message: DEFAULT_MAX_MESSAGE,
                wait: Wait::default(),
                access: Access::default(),
                handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
                directory: None,
                pages: Pages::Reserved,
            },
            callbacks: Callbacks::default(),
        }
    }

    /// Capacity of each of the two rings in bytes: a power of two from 4 KiB to 1 GiB,
    /// [`DEFAULT_RING_CAPACITY`] by default. The host's value counts; a guest takes what the host
    /// offers.
    ///
    /// It does not limit messages. A larger ring lets a sender run further ahead of the receiver;
    /// the memory of both is reserved for each connection when it is made, unless
    /// [`reserve_memory`](Builder::reserve_memory) says otherwise.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("ring-capacity-example-{}", std::process::id());
    /// let link = Link::host(&name).ring_capacity(4 << 20).open()?;
    ///
    /// let error = Link::host(&name).ring_capacity(5000).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidOption);
    /// # Ok(()) }
    /// ```
    pub fn ring_capacity(mut self, bytes: u64) -> Builder {
        self.options.ring_capacity = bytes;
        self
    }

    /// The longest message that this side receives, in bytes; [`DEFAULT_MAX_MESSAGE`] by default.
    /// The peer is told, so that its `send` of a longer one fails at once with
    /// [`ErrorKind::TooLarge`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("max-message-example-{}", std::process::id());
    /// let host = Link::host(&name).max_message(100).open()?;
    /// let guest = Link::guest(&name).open()?;
    /// guest.wait_connected(Duration::from_secs(5))?;
    /// assert_eq!(guest.send(&[0; 101]).unwrap_err().kind(), ErrorKind::TooLarge);
    /// # Ok(()) }
    /// ```
    pub fn max_message(mut self, bytes: u64) -> Builder {
        self.options.max_message = bytes;
        self
    }

    /// How calls on this side wait for the peer; [`Wait::Adaptive`] by default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("wait-example-{}", std::process::id());
    /// let link = Link::host(&name).wait(Wait::Spin).open()?;
    /// # Ok(()) }
    /// ```
    pub fn wait(mut self, wait: Wait) -> Builder {
        self.options.wait = wait;
        self
    }

    /// Between which users the link is; [`Access::SameUser`] by default. A host lets in only those
    /// it names, a guest trusts only those as host.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("access-example-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(&name);
    /// let friend = User::current().unwrap(); // or, from a configuration, "1000".parse()
    /// let access = Access::Users(vec![friend]);
    /// # let directory = &directory;
    /// let host = Link::host(&name).directory(directory).access(access.clone()).open()?;
    /// let guest = Link::guest(&name).directory(directory).access(access).open()?;
    /// let peer = guest.wait_connected(Duration::from_secs(5))?;
    /// println!("the host is {peer}");
    /// # drop((host, guest));
    /// # let _ = std::fs::remove_dir_all(directory);
    /// # Ok(()) }
    /// ```
    pub fn access(mut self, access: Access) -> Builder {
        self.options.access = access;
        self
    }

    /// How long a handshake may take before it is given up;
    /// [`DEFAULT_HANDSHAKE_TIMEOUT`] by default. A host serves others meanwhile.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("handshake-timeout-example-{}", std::process::id());
    /// let link = Link::host(&name).handshake_timeout(Duration::from_secs(1)).open()?;
    /// # Ok(()) }
    /// ```
    pub fn handshake_timeout(mut self, timeout: Duration) -> Builder {
        self.options.handshake_timeout = timeout;
        self
    }

    /// An absolute path to the directory for the link's lock and socket, instead of the user's
    /// runtime directory. Both sides must name the same. It is made if it is not there (between
    /// different users, by the host only); it must belong to this user or root or, for a guest, to
    /// a user whose hosts it trusts, and no other may be able to write to it. Without effect on
    /// Windows, where nothing lies in files.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("directory-example-{}", std::process::id());
    /// let link = Link::host(&name).directory(std::env::temp_dir().join(&name)).open()?;
    /// # Ok(()) }
    /// ```
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Builder {
        self.options.directory = Some(path.into());
        self
    }

    /// Whether the memory of both rings is reserved when a connection is made (or, by a host with
    /// rings of up to 4 MiB for its first guest, when it is opened); it is, by default.
    /// Pages are reserved unless both sides do without.
    ///
    /// Reserved, a connection that the system has no memory for fails to form, with
    /// [`ErrorKind::OutOfMemory`], and one that has formed never lacks any. (Within a Linux control
    /// group that may not have so much, the system ends the process that reserves.) Not reserved, a ring
    /// takes memory only as messages first pass through its pages, in their order, so that a link
    /// that carries little costs little and connects sooner; but where the system is out of memory
    /// by then, it ends the process that touches the page (on Linux by SIGBUS or its
    /// out-of-memory killer). `docs/performance.md` has the figures.
    ///
    /// Without effect on Windows and macOS, which promise the memory at once and take a page when
    /// it is first touched.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("reserve-memory-example-{}", std::process::id());
    /// let host = Link::host(&name).ring_capacity(64 << 20).reserve_memory(false).open()?;
    /// let guest = Link::guest(&name).reserve_memory(false).open()?;
    /// guest.wait_connected(Duration::from_secs(5))?;
    /// # Ok(()) }
    /// ```
    pub fn reserve_memory(mut self, reserve: bool) -> Builder {
        self.options.pages = if reserve {
            Pages::Reserved
        } else {
            Pages::OnDemand
        };
        self
    }

    /// Calls `f` with each message, on a thread of the link's own. `recv` and its kin are then
    /// [`ErrorKind::Unsupported`].
    ///
    /// The callbacks of a link run one at a time, in the order in which things happened, with no
    /// lock held: they may call anything, `send` and `close` included. While one runs, the next
    /// waits, and so does the peer once its ring is full. The `&Link` they get does not keep the
    /// link open.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("on-message-example-{}", std::process::id());
    /// let host = Link::host(&name)
    ///     .on_message(|link, message| {
    ///         let _ = link.send(message); // an echo
    ///     })
    ///     .open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// # guest.send(b"hello")?;
    /// # assert_eq!(guest.recv()?, b"hello");
    /// # Ok(()) }
    /// ```
    pub fn on_message(mut self, f: impl FnMut(&Link, &[u8]) + Send + 'static) -> Builder {
        self.callbacks.on_message = Some(Box::new(f));
        self
    }

    /// Calls `f` with each change of the link's status, once and in order, on the thread that
    /// [`on_message`](Builder::on_message) speaks of. With `on_message`, a status comes in its
    /// place among the messages: `Disconnected` after the last message of that connection.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("on-status-example-{}", std::process::id());
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let host = Link::host(&name)
    ///     .on_status(move |_link, status| {
    ///         let _ = tell.send(status.clone());
    ///     })
    ///     .open()?;
    /// assert_eq!(told.recv(), Ok(Status::Waiting));
    /// host.close();
    /// assert_eq!(told.recv(), Ok(Status::Closed));
    /// # Ok(()) }
    /// ```
    pub fn on_status(mut self, f: impl FnMut(&Link, &Status) + Send + 'static) -> Builder {
        self.callbacks.on_status = Some(Box::new(f));
        self
    }

    /// Calls `f` with what goes wrong outside of any call: a handshake that failed (once for each
    /// kind of failure in a row), a message that the peer gave up, a violation of the protocol.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("on-error-example-{}", std::process::id());
    /// let host = Link::host(&name).on_error(|_link, error| eprintln!("{error}")).open()?;
    /// # Ok(()) }
    /// ```
    pub fn on_error(mut self, f: impl FnMut(&Link, &Error) + Send + 'static) -> Builder {
        self.callbacks.on_error = Some(Box::new(f));
        self
    }

    /// Opens the link. It does not wait for a peer to come: the link connects by itself as soon as
    /// there is one, and again whenever the peer comes back. [`Link::wait_connected`] waits.
    ///
    /// A guest whose host is there already is usually connected when this returns (but not on
    /// Windows): it shakes hands itself, as far as it gets within 2 ms, some 0.1 ms with a host that
    /// is not held up. What is left of it is then done in the background.
    ///
    /// # Errors
    /// * [`InvalidName`](ErrorKind::InvalidName), [`InvalidOption`](ErrorKind::InvalidOption);
    /// * [`NameInUse`](ErrorKind::NameInUse): a live process hosts this name already, and has gone on to
    ///   for 100 ms: one that was just killed keeps its name until the system has cleared it away;
    /// * [`RuntimeDirectory`](ErrorKind::RuntimeDirectory), [`WrongOwner`](ErrorKind::WrongOwner),
    ///   [`AccessDenied`](ErrorKind::AccessDenied): there is no safe place for the link's objects;
    /// * [`OutOfHandles`](ErrorKind::OutOfHandles), [`OutOfMemory`](ErrorKind::OutOfMemory),
    ///   [`Os`](ErrorKind::Os): the system gives no thread, event or socket.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("open-example-{}", std::process::id());
    /// let host = Link::host(&name).open()?;
    /// assert_eq!(Link::host(&name).open().unwrap_err().kind(), ErrorKind::NameInUse);
    /// # Ok(()) }
    /// ```
    pub fn open(self) -> Result<Link> {
        let name = Name::new(&self.name)?;
        self.options
            .check()
            .and_then(|()| {
                core::open(
                    self.options.side,
                    name.clone(),
                    self.options,
                    self.callbacks,
                )
            })
            .map_err(|e| e.of_link(name.as_str()))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
