//! The process at the other end.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use super::user::User;

/// The process at the other end of a connection, according to the kernel.
///
/// ```
/// # let (host, guest) = twinring::testing::pair()?;
/// let peer = host.peer();
/// println!("{peer}, running since {:?}", peer.started);
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its process id: a label, for people and logs. 0 if this process cannot see it (another PID
    /// namespace).
    pub pid: u32,
    /// The user it runs as.
    pub user: User,
    /// When it was started, if the system says so: of one process the same each time, to tell it from a later one with
    /// the same id.
    pub started: Option<SystemTime>,
    /// Windows: the session it runs in: 0 for services, 1 and up for logged-on users.
    /// `None` elsewhere.
    pub session: Option<u32>,
    /// The program file that it runs, if the system says so: not of another user's process, unless this one may look
    /// at it. Symbolic links have been followed; on Linux " (deleted)" stands behind the name of one that has been
    /// replaced. For people, logs and a first look; it proves nothing, for a program can be made to run other code.
    pub executable: Option<PathBuf>,
    /// Windows: its integrity level, if its token is open to this process; a host's guests show theirs always.
    /// `None` elsewhere.
    pub integrity: Option<Integrity>,
    /// Windows: whether it runs elevated, as administrator; known as the integrity level is. `None` elsewhere.
    pub elevated: Option<bool>,
    /// A host's guest: a number that is the same for all connections of one [`Link`](crate::Link) there, and of no other
    /// link. It is random, so nobody can guess it: a client that comes back proves by it who it was. Not known yet when
    /// [`admit`](crate::Builder::admit) is asked. `None` of a host, or if the guest says none.
    pub client: Option<u128>,
}

impl Peer {
    /// One of whom nothing else is known yet.
    pub(crate) fn new(pid: u32, user: User) -> Peer {
        Peer {
            pid,
            user,
            started: None,
            session: None,
            executable: None,
            integrity: None,
            elevated: None,
            client: None,
        }
    }
}

/// How far Windows trusts a process: one may not change what has a higher level.
///
/// ```
/// use twinring::Integrity;
///
/// assert!(Integrity::Low < Integrity::Medium);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Integrity {
    /// Less than low.
    Untrusted,
    /// Sandboxed, as the pages of browsers.
    Low,
    /// An ordinary program.
    Medium,
    /// Elevated.
    High,
    /// A service of the system, or more.
    System,
}

impl Integrity {
    /// Of a level's number (SECURITY_MANDATORY_..._RID): those between two names are the lower one.
    #[cfg(windows)]
    pub(super) fn of(level: u32) -> Integrity {
        match level {
            0..0x1000 => Integrity::Untrusted,
            0x1000..0x2000 => Integrity::Low,
            0x2000..0x3000 => Integrity::Medium,
            0x3000..0x4000 => Integrity::High,
            _ => Integrity::System,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of user {}", self.pid, self.user)?;
        match self.session {
            Some(session) => write!(f, " in session {session}"),
            None => Ok(()),
        }
    }
}
