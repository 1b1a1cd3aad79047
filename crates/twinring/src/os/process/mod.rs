//! Who the peer is, and whether it still lives.
//!
//! Identity and liveness are the kernel's word about a process, held by a handle. A pid is a label
//! for people: it may be reused, so nothing is decided by it.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

#[cfg(unix)]
mod fork;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod sys;
#[cfg(windows)]
#[path = "windows.rs"]
mod sys;
#[cfg(unix)]
mod unix;

mod access;
pub use access::Access;

/// Whether this process is a forked child: `count_forks()` once, before `forks() -> u32`, which in
/// a child is another number than it was in its parent.
#[cfg(unix)]
pub(in crate::os) use fork::NotInChildren;
#[cfg(unix)]
pub(crate) use fork::{count_forks, forks};
#[cfg(windows)]
pub(crate) use sys::{count_forks, forks};

/// The handle by which the kernel tells that a process has ended.
///
/// `has_ended(&self) -> bool` asks right now; `ended(&self) -> Source` can be waited for. Where the
/// system has no such handle (Linux before 5.3) it never reports an end, and the end of the
/// connection has to do. (On Windows a guest may get its host's only with the HELLO.)
///
/// `is_local(&self) -> bool`: whether it runs for one of the users that [`Access::Service`] is for.
///
/// `complete(&self, &mut Peer)`: finds out of its peer what takes long and decides nothing, if that
/// was not found out with the rest.
pub(crate) use sys::Process;

/// The users that [`Access::Service`] is for, for people.
use sys::LOCAL_USERS;

/// A user account, as the kernel names it: a uid on Linux and macOS, a SID on Windows.
///
/// Printed and parsed in the system's own form: `1000`, `S-1-5-21-...`.
///
/// ```
/// use twinring::User;
///
/// let user = User::current()?;
/// assert_eq!(user.to_string().parse::<User>(), Ok(user));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct User(pub(in crate::os) sys::UserId);

impl User {
    /// The user that this process runs as (its effective user).
    ///
    /// # Errors
    /// When the system does not say (on Windows, a token that cannot be read).
    ///
    /// ```
    /// println!("running as {}", twinring::User::current()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn current() -> std::io::Result<User> {
        sys::current_user().map(User)
    }

    /// The system's own user: root (0) on Linux and macOS, SYSTEM (`S-1-5-18`) on Windows.
    ///
    /// ```
    /// use twinring::{Access, User};
    ///
    /// // Trusts the host only if it runs as root or SYSTEM (or as this user).
    /// let access = Access::Users(vec![User::system()]);
    /// ```
    pub fn system() -> User {
        let [system, ..] = sys::service_users();
        User(system)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.0)
    }
}

/// What was given is not a user of this system.
///
/// ```
/// assert!("nobody in particular".parse::<twinring::User>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUserError(pub(in crate::os) String);

impl fmt::Display for ParseUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}", self.0, sys::USER_FORM)
    }
}

impl std::error::Error for ParseUserError {}

impl FromStr for User {
    type Err = ParseUserError;

    fn from_str(text: &str) -> Result<User, ParseUserError> {
        sys::parse_user(text)
            .map(User)
            .ok_or_else(|| ParseUserError(text.to_owned()))
    }
}

/// The process at the other end of a connection, as the kernel told it.
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// # fn main() -> Result<()> {
/// # let name = format!("peer-type-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// # guest.wait_connected(Duration::from_secs(5))?;
/// let peer = host.peer().unwrap();
/// println!("{peer}, running since {:?}", peer.started);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its process id: a label, for people and logs. 0 if it lives where this process cannot see
    /// it (another PID namespace).
    pub pid: u32,
    /// The user it runs as.
    pub user: User,
    /// When it was started, where the system tells.
    pub started: Option<SystemTime>,
    /// Windows: the session it runs in: 0 for services, 1 and up for those who are logged on.
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
