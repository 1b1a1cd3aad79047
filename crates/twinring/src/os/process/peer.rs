//! The process at the other end.

use std::fmt;
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
    /// When it was started, if the system says so.
    pub started: Option<SystemTime>,
    /// Windows: the session it runs in: 0 for services, 1 and up for logged-on users.
    /// `None` elsewhere.
    pub session: Option<u32>,
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
