//! The error type, and the questions it answers.

mod end;

pub use end::{By, End};

use std::fmt;
use std::io;

// Small, as every call returns one or might.
const _: () = assert!(size_of::<Error>() <= 16);

/// A [`Result`](std::result::Result) with this crate's [`Error`].
///
/// ```
/// fn echo(conn: &twinring::Connection) -> twinring::Result<()> {
///     while let Some(message) = conn.recv()? {
///         conn.send(&message)?;
///     }
///     conn.finish()
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
/// assert!(!error.is_timeout());
/// ```
pub struct Error {
    inner: Inner,
}

enum Inner {
    /// Made without allocating: a call that does not wait may fail like this all the time.
    TimedOut(&'static &'static str),
    /// The same, of a call that did not wait at all.
    WouldBlock(&'static &'static str),
    Other(Box<Other>),
}

struct Other {
    kind: ErrorKind,
    link: Option<String>,
    message: String,
    end: Option<End>,
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
    /// The host is connected to another guest. This one waits in its queue, or calls again if that is full.
    Busy,
    /// The other side, or a directory, belongs to a user that is not allowed.
    WrongOwner,
    /// The system denies access.
    AccessDenied,
    /// There is no directory for the link's files, or it cannot be used.
    RuntimeDirectory,
    /// The two sides have no version of the protocol in common.
    Version,
    /// The other side broke the protocol of the handshake.
    Protocol,
    /// There is not enough memory.
    OutOfMemory,
    /// The process or the system has no descriptors, handles or threads left.
    OutOfHandles,
    /// There is no connection now.
    NotConnected,
    /// The connection, or the direction that the call was about, has ended: [`Error::end`] says how.
    Ended,
    /// One message was not completed: [`Error::end`] says how. The connection goes on.
    StreamEnded,
    /// The link, or this side of the connection for what the call does, has been closed here.
    Closed,
    /// Reported to `on_error`: too many connections have not been taken by the program.
    Full,
    /// This process is a forked child of the one that opened the link.
    Forked,
    /// What the program holds itself (a reservation, views, a batch, a stream) is what the call would wait
    /// for.
    Held,
    /// There was nothing, or no room, or another thread was busy, until the time was over.
    TimedOut,
    /// The peer has ended, or let go of the connection, before the handles that a message came with were taken (Windows).
    /// The message stays.
    HandlesGone,
    /// The message is longer than the receiver accepts, than fits in one piece, or than the reservation.
    TooLarge,
    /// Another error of the operating system.
    Os,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error {
            inner: Inner::Other(Box::new(Other {
                kind,
                link: None,
                message: message.into(),
                end: None,
                source: None,
            })),
        }
    }

    /// The time is over. `at_once`: there was none.
    #[inline]
    pub(crate) fn timed_out(message: &'static &'static str, at_once: bool) -> Error {
        let inner = match at_once {
            true => Inner::WouldBlock(message),
            false => Inner::TimedOut(message),
        };
        Error { inner }
    }

    /// The connection, or a direction of it, has ended like this.
    pub(crate) fn ended(end: End) -> Error {
        Error::of_end(ErrorKind::Ended, end)
    }

    /// One message was not completed.
    pub(crate) fn stream_ended(end: End) -> Error {
        Error::of_end(ErrorKind::StreamEnded, end)
    }

    fn of_end(kind: ErrorKind, end: End) -> Error {
        let mut error = Error::new(kind, end.to_string());
        if let Inner::Other(other) = &mut error.inner {
            other.end = Some(end);
        }
        error
    }

    pub(crate) fn with_source(mut self, source: impl Into<io::Error>) -> Error {
        if let Inner::Other(other) = &mut self.inner {
            other.source = Some(source.into());
        }
        self
    }

    /// Names the link, unless it is named already or there is no room for a name.
    pub(crate) fn of_link(mut self, name: &str) -> Error {
        if let Inner::Other(other) = &mut self.inner {
            other.link.get_or_insert_with(|| name.to_owned());
        }
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
        match &self.inner {
            Inner::TimedOut(_) | Inner::WouldBlock(_) => ErrorKind::TimedOut,
            Inner::Other(other) => other.kind,
        }
    }

    /// What happened, without the link's name.
    pub(crate) fn message(&self) -> &str {
        match &self.inner {
            Inner::TimedOut(message) | Inner::WouldBlock(message) => message,
            Inner::Other(other) => &other.message,
        }
    }

    /// The name of the link that the error is about; `None` if it is a timeout, which is made without
    /// allocating.
    ///
    /// ```
    /// # use twinring::*;
    /// # let name = twinring::testing::unique_name();
    /// let error = Link::guest(&name).open()?.send(b"hello?").unwrap_err();
    /// assert_eq!(error.link(), Some(&*name));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn link(&self) -> Option<&str> {
        match &self.inner {
            Inner::TimedOut(_) | Inner::WouldBlock(_) => None,
            Inner::Other(other) => other.link.as_deref(),
        }
    }

    /// How the connection, the direction or the stream ended, if that is the error:
    /// [`ErrorKind::Ended`] or [`ErrorKind::StreamEnded`].
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// drop(host); // without `finish`
    /// let error = guest.recv().unwrap_err();
    /// assert!(matches!(error.end(), Some(End::Abandoned { by: By::Peer, .. })));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn end(&self) -> Option<&End> {
        match &self.inner {
            Inner::TimedOut(_) | Inner::WouldBlock(_) => None,
            Inner::Other(other) => other.end.as_ref(),
        }
    }

    /// Whether the time that the call was given is over. The same call may succeed later.
    ///
    /// ```
    /// # use twinring::*;
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let error = guest.within(Timeout::Now).recv().unwrap_err();
    /// assert!(error.is_timeout());
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::TimedOut
    }
}

impl Error {
    /// Whether it is the timeout of a call that was not to wait.
    fn is_at_once(&self) -> bool {
        matches!(self.inner, Inner::WouldBlock(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(link) = self.link() {
            write!(f, "link {link:?}: ")?;
        }
        f.write_str(self.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({self})", self.kind())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.inner {
            Inner::TimedOut(_) | Inner::WouldBlock(_) => None,
            Inner::Other(other) => other.source.as_ref().map(|e| e as _),
        }
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        let kind = match e.kind() {
            ErrorKind::TimedOut if e.is_at_once() => io::ErrorKind::WouldBlock,
            ErrorKind::InvalidName | ErrorKind::InvalidOption => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::NameInUse => io::ErrorKind::AddrInUse,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::WrongOwner | ErrorKind::AccessDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::Version | ErrorKind::Protocol => io::ErrorKind::InvalidData,
            ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::NotConnected | ErrorKind::Closed => io::ErrorKind::NotConnected,
            ErrorKind::Ended | ErrorKind::StreamEnded => match e.end() {
                Some(End::Crashed) => io::ErrorKind::ConnectionReset,
                Some(End::Stopped { .. }) => io::ErrorKind::BrokenPipe,
                Some(End::Fault { .. }) => io::ErrorKind::InvalidData,
                _ => io::ErrorKind::ConnectionAborted,
            },
            ErrorKind::Forked => io::ErrorKind::ConnectionAborted,
            ErrorKind::Held => io::ErrorKind::Deadlock,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::TooLarge => io::ErrorKind::FileTooLarge,
            ErrorKind::Full
            | ErrorKind::RuntimeDirectory
            | ErrorKind::OutOfHandles
            | ErrorKind::HandlesGone
            | ErrorKind::Os => io::ErrorKind::Other,
        };
        io::Error::new(kind, e)
    }
}

/// A text of the program's as errors show it: quoted, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}
