//! One end of a link, to be opened here or in another process.

use std::fmt;
use std::io;

use super::Link;
use super::builder::Builder;
use crate::error::Result;
use crate::os::handles::{Handle, UnopenedEnd};
use crate::transfer::random;

/// One end of a link that has no other name than a number nobody can guess: [`LinkEnd::pair`] makes both. It can be
/// opened here, or [sent](crate::Connection::send_with_handles) to another process and opened there.
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// let (ours, theirs) = LinkEnd::pair()?;
/// # let name = twinring::testing::unique_name();
/// # let (host, guest) = (Link::host(&name).max_handles(1).open()?, Link::guest(&name).open()?);
/// # let (worker, server) = (host.within(Duration::from_secs(5)).next()?, guest.within(Duration::from_secs(5)).next()?);
/// server.send_with_handles(b"talk to me here as well", &mut vec![theirs.into()])?;
///
/// // In the worker:
/// let (_message, mut handles) = worker.recv_with_handles()?.unwrap();
/// let end = LinkEnd::try_from(handles.remove(0)).unwrap();
/// let link = end.open()?;
/// # let ours = ours.open()?;
/// # link.next()?.send(b"yes")?;
/// # assert_eq!(ours.next()?.recv()?, Some(b"yes".to_vec()));
/// # Ok::<(), twinring::Error>(())
/// ```
pub struct LinkEnd(UnopenedEnd);

impl LinkEnd {
    /// Both ends of a new link: the host's and the guest's. Either may be opened first. Two workers that each get one from their
    /// server talk to each other without it.
    ///
    /// Nobody else can take the link, whose name nobody else knows. Whoever opens one end waits for the other as
    /// for any link: nothing says that the other was dropped unopened.
    ///
    /// # Errors
    /// The system's, if it has no random numbers.
    ///
    /// ```
    /// # use twinring::*;
    /// let (host, guest) = LinkEnd::pair()?;
    /// let (host, guest) = (host.open()?, guest.open()?);
    /// guest.next()?.send(b"hello")?;
    /// assert_eq!(host.next()?.recv()?, Some(b"hello".to_vec()));
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn pair() -> Result<(LinkEnd, LinkEnd)> {
        let number = random()?;
        let end = |is_host| LinkEnd(UnopenedEnd { number, is_host });
        Ok((end(true), end(false)))
    }

    /// Opens it with the options that a link has by default; both processes must be the same user's.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(self) -> Result<Link> {
        self.builder().open()
    }

    /// A builder for its options: callbacks, capacity, access and so on. Both ends must agree on what users and which directory
    /// they are for.
    ///
    /// ```
    /// # use twinring::*;
    /// let (host, guest) = LinkEnd::pair()?;
    /// let host = host.builder().ring_capacity(4 << 20).open()?;
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn builder(self) -> Builder {
        let name = format!("end {:032x}", u128::from_le_bytes(self.0.number));
        match self.0.is_host {
            true => Link::host(&name),
            false => Link::guest(&name),
        }
    }
}

impl fmt::Debug for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<LinkEnd> for Handle {
    fn from(end: LinkEnd) -> Handle {
        Handle::of_end(end.0)
    }
}

impl TryFrom<Handle> for LinkEnd {
    type Error = io::Error;

    /// `InvalidInput` if it is something else, which is closed.
    fn try_from(handle: Handle) -> io::Result<LinkEnd> {
        handle.end().map(LinkEnd)
    }
}
