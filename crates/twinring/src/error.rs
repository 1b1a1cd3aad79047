//! The error type, and the questions it answers.

use std::fmt;
use std::io;

/// A [`Result`](std::result::Result) with this crate's [`Error`].
///
/// ```
/// fn echo(link: &twinring::Link) -> twinring::Result<()> {
///     link.send(&link.recv()?)
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, on which link, and what to do about it.
///
/// [`kind`](Error::kind) is for programs; the text (`Display`) is for people and names the link.
/// The operating system's error, if there is one, is the [`source`](std::error::Error::source).
///
/// ```
/// use twinring::{ErrorKind, Link};
///
/// let error = Link::host("").open().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidName);
/// assert!(!error.is_disconnect());
/// ```
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    link: Option<String>,
    message: String,
    source: Option<io::Error>,
}

/// The kinds of [`Error`]; more may be added.
///
/// ```
/// use twinring::{Error, ErrorKind};
///
/// fn advice(error: &Error) -> &'static str {
///     match error.kind() {
///         ErrorKind::NameInUse => "is it running already?",
///         ErrorKind::NotConnected => "is the other side running?",
///         _ => "",
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The link's name is empty, too long or contains control characters.
    InvalidName,
    /// An option is out of range.
    InvalidOption,
    /// The link's options rule this call out, such as `recv` with an `on_message` callback.
    Unsupported,
    /// A live process already hosts a link of this name.
    NameInUse,
    /// The host is connected to another guest.
    Busy,
    /// The other side, or a directory, belongs to a user that is not allowed.
    WrongOwner,
    /// The system denies access.
    AccessDenied,
    /// There is no directory for the link's files, or it cannot be used.
    RuntimeDirectory,
    /// The two sides have no version of the protocol in common.
    Version,
    /// The other side broke the protocol; the connection has ended.
    Protocol,
    /// There is not enough memory.
    OutOfMemory,
    /// The process or the system has no descriptors, handles or threads left.
    OutOfHandles,
    /// There is no connection now.
    NotConnected,
    /// The peer said goodbye: it closed its side.
    Closed,
    /// The peer's process ended, or its side vanished, without a goodbye.
    PeerGone,
    /// This side of the link has been closed.
    ClosedHere,
    /// There is no room in the ring now; or, reported to `on_error`, too many earlier connections have
    /// messages that were not received.
    Full,
    /// This process is a forked child of the one that opened the link.
    Forked,
    /// This thread itself holds what the call would wait for: a reservation, a view or a stream.
    Deadlock,
    /// The timeout expired.
    TimedOut,
    /// The message is longer than the receiver accepts, than the ring can reserve in one piece, or than the
    /// reservation.
    TooLarge,
    /// The peer gave up a message half-way. Nothing of it is delivered; the connection goes on.
    Aborted,
    /// Another error of the operating system.
    Os,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error {
            inner: Box::new(Inner {
                kind,
                link: None,
                message: message.into(),
                source: None,
            }),
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<io::Error>) -> Error {
        self.inner.source = Some(source.into());
        self
    }

    /// Names the link, unless it is named already.
    pub(crate) fn of_link(mut self, name: &str) -> Error {
        self.inner.link.get_or_insert_with(|| name.to_owned());
        self
    }

    /// What kind of error this is.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let error = Link::guest(&name).open()?.send(b"hello?").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotConnected);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What happened, without the link's name.
    pub(crate) fn message(&self) -> &str {
        &self.inner.message
    }

    /// The name of the link that the error is about.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let error = Link::guest(&name).open()?.send(b"hello?").unwrap_err();
    /// assert_eq!(error.link(), Some(&*name));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn link(&self) -> Option<&str> {
        self.inner.link.as_deref()
    }

    /// Whether the connection has ended (or there is none), after which the link may connect again by
    /// itself.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let error = Link::guest(&name).open()?.send(b"hello?").unwrap_err();
    /// assert!(error.is_disconnect());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn is_disconnect(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::NotConnected | ErrorKind::Closed | ErrorKind::PeerGone | ErrorKind::Protocol
        )
    }

    /// Whether the same call may succeed later without any change here.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let error = Link::guest(&name).ring_capacity(1).open().unwrap_err();
    /// assert!(!error.is_temporary());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Full
                | ErrorKind::TimedOut
                | ErrorKind::Busy
                | ErrorKind::NotConnected
                | ErrorKind::Aborted
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(link) = &self.inner.link {
            write!(f, "link {link:?}: ")?;
        }
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({self})", self.inner.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner
            .source
            .as_ref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        let kind = match e.kind() {
            ErrorKind::InvalidName | ErrorKind::InvalidOption => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::NameInUse => io::ErrorKind::AddrInUse,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::WrongOwner | ErrorKind::AccessDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::Version | ErrorKind::Protocol => io::ErrorKind::InvalidData,
            ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::NotConnected => io::ErrorKind::NotConnected,
            ErrorKind::Closed => io::ErrorKind::UnexpectedEof,
            ErrorKind::PeerGone => io::ErrorKind::ConnectionReset,
            ErrorKind::ClosedHere | ErrorKind::Aborted | ErrorKind::Forked => {
                io::ErrorKind::ConnectionAborted
            }
            ErrorKind::Full => io::ErrorKind::WouldBlock,
            ErrorKind::Deadlock => io::ErrorKind::Deadlock,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::TooLarge => io::ErrorKind::FileTooLarge,
            ErrorKind::RuntimeDirectory | ErrorKind::OutOfHandles | ErrorKind::Os => {
                io::ErrorKind::Other
            }
        };
        io::Error::new(kind, e)
    }
}
