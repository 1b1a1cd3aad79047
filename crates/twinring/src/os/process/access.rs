//! Which users a link may connect.

use std::fmt;
use std::io;

use super::account::{LOCAL_USERS, service_users};
use super::{Group, Peer, Process, User};
use crate::error::{Error, ErrorKind};
use crate::os::system_error;

/// Which users a link may connect: who may connect to a host, and whose host a guest trusts. Both sides
/// check what the kernel says about the other before they trust a byte of it; a guest sends nothing to
/// a host that it does not trust.
///
/// Give both sides the same value: with others they may look in different places, and each says that there is nobody. Then:
///
/// | | a host lets in | a guest trusts hosts of |
/// |---|---|---|
/// | [`SameUser`](Access::SameUser) | its own user | its own user |
/// | [`Users`](Access::Users) | these and its own user | these (the first that hosts the name) and its own user |
/// | [`Service`](Access::Service) | the local users and its own user | the system's service accounts only |
/// | [`Group`](Access::Group) | the members of a group and its own user | the named host only |
/// | [`Sddl`](Access::Sddl) (Windows) | whom an access list in SDDL lets in, and its own user | the named host only |
/// | [`LogonSession`](Access::LogonSession) (Windows) | its own user in its own logon session | the same |
///
/// | | local users | the system's service accounts |
/// |---|---|---|
/// | Linux, macOS | every user of the machine | root |
/// | Windows | everyone logged on to the machine, at it or by remote desktop (the group INTERACTIVE) | SYSTEM, LocalService, NetworkService |
///
/// A host with any other account (a service's own user) uses `Service` to let everyone in, and its
/// guests name that account: `Access::Users(vec![its user])`; on Linux and macOS with a [directory](#directories). For some users only, there is `Group`:
///
/// ```no_run
/// use twinring::{Access, Group, Link, User};
///
/// // The service runs as `svc-db`; members of `db-users` may use it. Both sides:
/// let access = Access::Group { host: User::named("svc-db")?, guests: Group::named("db-users")? };
/// // The service (on Linux and macOS both sides name a directory that is the service's):
/// let host = Link::host("db").access(access.clone()).directory("/run/svc-db").open()?;
/// // Its users:
/// let guest = Link::guest("db").access(access).directory("/run/svc-db").open()?;
/// # std::io::Result::Ok(())
/// ```
///
/// A process has the groups that it was started with: who is made a member is let in after the next login.
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
    /// A host of one account; the members of a group as guests.
    Group {
        /// The account of the host. A host of any other cannot be opened.
        host: User,
        /// A member is who runs with this group, as its primary one or another. On macOS the kernel tells 16
        /// groups of a process. On Windows a group counts that is enabled in the guest's token: not
        /// *Administrators* in a program that is not elevated.
        guests: Group,
    },
    /// Windows: a host of one account; as guests whom an access list lets in. Elsewhere a link with it cannot be
    /// opened.
    ///
    /// ```no_run
    /// use twinring::{Access, User};
    ///
    /// // Members of Users may connect (read and write), Guests may not.
    /// let guests = "D:(D;;GA;;;BG)(A;;GRGW;;;BU)".to_owned();
    /// let access = Access::Sddl { host: User::named(r"NT SERVICE\printer")?, guests };
    /// # std::io::Result::Ok(())
    /// ```
    Sddl {
        /// The account of the host. A host of any other cannot be opened.
        host: User,
        /// A security descriptor in SDDL that has a DACL and nothing else. Who may read and write by it is let in. What
        /// else it allows is not granted: no guest may add instances to the host's pipe, or change who may connect. The
        /// host's own user is let in whatever it says.
        guests: String,
    },
    /// Windows: processes of the same user in the same logon session, elevated or not. Each logon session has a host of
    /// its own under the link's name. It keeps the sessions of one user apart, and is no boundary between them: a user's
    /// programs may do with each other what they like. Elsewhere a link with it cannot be opened: what Linux calls a
    /// session is not the same for all that a user has started in one login.
    LogonSession,
}

impl Access {
    /// Whether a host lets this guest in.
    pub(crate) fn lets_in(&self, process: &Process, guest: &Peer) -> bool {
        let user = &guest.user;
        let own = User::current().is_ok_and(|own| own == *user);
        match self {
            Access::SameUser => own,
            Access::Users(users) => own || users.contains(user),
            Access::Service => own || process.is_local(),
            Access::Group { guests, .. } => own || process.is_in(guests),
            #[cfg(windows)]
            Access::Sddl { guests, .. } => own || process.is_let_in_by(guests),
            #[cfg(windows)]
            Access::LogonSession => own && process.is_of_this_logon(),
            // `check` has refused them.
            #[cfg(unix)]
            Access::Sddl { .. } | Access::LogonSession => false,
        }
    }

    /// Whether a link can be opened with it.
    pub(crate) fn check(&self, is_host: bool) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::new(ErrorKind::InvalidOption, what));
        match self {
            Access::Group { host, .. } | Access::Sddl { host, .. } if is_host => {
                let own = User::current().map_err(whose)?;
                if own != *host {
                    return wrong(format!(
                        "access names user {host} as the host, and this process runs as user {own}: its \
                         guests would not find it; start it as that user, or name this one on both sides"
                    ));
                }
            }
            _ => {}
        }
        match self {
            #[cfg(windows)]
            Access::Sddl { guests, .. } => super::sddl_entries(guests).map(drop),
            #[cfg(windows)]
            Access::LogonSession => super::this_logon().map(drop).map_err(|e| {
                system_error("cannot find out in which logon session this process is", e)
            }),
            #[cfg(unix)]
            Access::Sddl { .. } => wrong(
                "access lists in SDDL are for Windows only; use Access::Group or Access::Users here"
                    .to_owned(),
            ),
            #[cfg(unix)]
            Access::LogonSession => wrong(
                "logon sessions are for Windows only; use Access::SameUser here and, to keep logins \
                 apart, put what tells them apart into the link's name (such as XDG_SESSION_ID)"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// What to do about a guest that is not let in. It is told as well, and is not to know who is.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Access::SameUser | Access::Users(_) | Access::Service => {
                "to let that user in, name it in the host's Access::Users"
            }
            Access::Group { .. } => {
                "to let that user in, make it a member of the host's group; a process that runs already \
                 has the groups that it was started with"
            }
            Access::Sddl { .. } => {
                "to let that user in, allow it to read and write in the host's SDDL"
            }
            Access::LogonSession => "it is for one user in one logon session only",
        }
    }

    /// Whether a guest trusts this host.
    pub(crate) fn trusts(&self, host: &Peer) -> bool {
        self.hosts().is_ok_and(|hosts| hosts.contains(&host.user))
    }

    /// Whose hosts a guest trusts, in the order in which it looks for them.
    pub(in crate::os) fn hosts(&self) -> io::Result<Vec<User>> {
        Ok(match self {
            Access::SameUser | Access::LogonSession => vec![User::current()?],
            Access::Group { host, .. } | Access::Sddl { host, .. } => vec![host.clone()],
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
            Access::SameUser | Access::LogonSession => false,
            Access::Users(users) => {
                let own = User::current()?;
                users.iter().any(|user| *user != own)
            }
            Access::Service | Access::Group { .. } | Access::Sddl { .. } => true,
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

fn whose(e: io::Error) -> Error {
    system_error("cannot find out which user this process runs as", e)
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
            Access::Group { host, guests } => {
                write!(f, "user {host} and the members of group {guests}")
            }
            Access::Sddl { host, guests } => write!(f, "user {host} and whom {guests} lets in"),
            Access::LogonSession => f.write_str("the same user in the same logon session"),
        }
    }
}
