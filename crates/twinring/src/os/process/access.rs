//! Which users a link may connect.

use std::fmt;
use std::io;

use super::account::{LOCAL_USERS, service_users};
use super::{Peer, Process, User};

/// Which users a link may connect: who may connect to a host, and whose host a guest trusts. Both sides
/// check what the kernel says about the other before they trust a byte of it; a guest sends nothing to
/// a host that it does not trust.
///
/// Give both sides the same value. Then:
///
/// | | a host lets in | a guest trusts hosts of |
/// |---|---|---|
/// | [`SameUser`](Access::SameUser) | its own user | its own user |
/// | [`Users`](Access::Users) | these and its own user | these (the first that hosts the name) and its own user |
/// | [`Service`](Access::Service) | the local users and its own user | the system's service accounts only |
///
/// | | local users | the system's service accounts |
/// |---|---|---|
/// | Linux, macOS | every user of the machine | root |
/// | Windows | everyone logged on to the machine, at it or by remote desktop (the group INTERACTIVE) | SYSTEM, LocalService, NetworkService |
///
/// A host with any other account (a service's own user) uses `Service` to let everyone in, and its
/// guests name that account: `Access::Users(vec![its user])`.
///
/// # Directories
/// On Linux and macOS a link between different users needs a directory that both can reach and only
/// the host's user can write to. If root is one of the users, this is `/run/twinring` (macOS:
/// `/var/run/twinring`), created by the host; otherwise both sides name one with
/// [`Builder::directory`](crate::Builder::directory).
///
/// # Windows
/// Either side may be a service, with any account. Where one side may open the other's process, as SYSTEM may open
/// everyone's and each program those of its own user, what the connection needs is handed over by that right; otherwise under
/// names that nobody can guess, open to these two accounts alone. The only pair that is left out is a host that may not
/// create global objects with a guest of another session, should Windows not let it into the host's: that guest gets
/// [`AccessDenied`](crate::ErrorKind::AccessDenied), which says what to do.
///
/// ```
/// use twinring::{Access, Link, User};
///
/// // A service, and its GUI in the session of a logged-on user:
/// let service = Link::host("printer").access(Access::Service);
/// let gui = Link::guest("printer").access(Access::Service);
///
/// // A GUI that trusts only the system itself:
/// let gui = Link::guest("printer").access(Access::Users(vec![User::system()]));
///
/// // The default:
/// assert_eq!(Access::default(), Access::SameUser);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Processes of the same user only.
    #[default]
    SameUser,
    /// Processes of the same user and of these.
    Users(Vec<User>),
    /// A system service as host; the users of this machine as guests.
    Service,
}

impl Access {
    /// Whether a host lets this guest in.
    pub(crate) fn lets_in(&self, process: &Process, guest: &Peer) -> bool {
        let user = &guest.user;
        let own = User::current().is_ok_and(|own| own == *user);
        own || match self {
            Access::SameUser => false,
            Access::Users(users) => users.contains(user),
            Access::Service => process.is_local(),
        }
    }

    /// Whether a guest trusts this host.
    pub(crate) fn trusts(&self, host: &Peer) -> bool {
        self.hosts().is_ok_and(|hosts| hosts.contains(&host.user))
    }

    /// Whose hosts a guest trusts, in the order in which it looks for them.
    pub(in crate::os) fn hosts(&self) -> io::Result<Vec<User>> {
        Ok(match self {
            Access::SameUser => vec![User::current()?],
            Access::Users(users) => {
                let mut hosts = users.clone();
                hosts.push(User::current()?);
                hosts
            }
            Access::Service => service_users().map(User).to_vec(),
        })
    }

    /// Whether the two sides may be of different users.
    #[cfg_attr(windows, expect(dead_code, reason = "for directories, which Unix has"))]
    pub(in crate::os) fn is_shared(&self) -> io::Result<bool> {
        Ok(match self {
            Access::SameUser => false,
            Access::Users(users) => {
                let own = User::current()?;
                users.iter().any(|user| *user != own)
            }
            Access::Service => true,
        })
    }

    /// Whose hosts are trusted, as text for people.
    pub(crate) fn hosts_text(&self) -> String {
        match self {
            Access::Service => format!("a service of the system ({})", list(&self.hosts())),
            _ => list(&self.hosts()),
        }
    }
}

fn list(users: &io::Result<Vec<User>>) -> String {
    let Ok(users) = users else {
        return "no user (this process's own cannot be found out)".to_owned();
    };
    let users: Vec<_> = users.iter().map(|user| format!("user {user}")).collect();
    users.join(" or ")
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::SameUser => f.write_str("the same user"),
            Access::Users(users) => {
                f.write_str("the same user")?;
                for user in users {
                    write!(f, " or user {user}")?;
                }
                Ok(())
            }
            Access::Service => write!(f, "a service of the system and {LOCAL_USERS}"),
        }
    }
}
