//! User accounts.

use std::fmt;
use std::str::FromStr;

use super::account;
use crate::error::quoted;

/// A user account, as the kernel names it: a uid on Linux and macOS, a SID on Windows.
///
/// Printed and parsed in the system's own form: `1000`, `S-1-5-21-...`. [`named`](User::named) finds the one of a name.
///
/// ```
/// use twinring::User;
///
/// let user = User::current()?;
/// assert_eq!(user.to_string().parse::<User>(), Ok(user));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct User(pub(in crate::os) account::UserId);

impl User {
    /// The user that this process runs as (its effective user).
    ///
    /// # Errors
    /// If the system does not say (on Windows, a token that cannot be read).
    ///
    /// ```
    /// println!("running as {}", twinring::User::current()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn current() -> std::io::Result<User> {
        account::current_user().map(User)
    }

    /// The user of this name, such as `alice`; on Windows also with a domain or the machine's name, `CONTOSO\alice`, and
    /// the accounts of services, `NT SERVICE\printer`.
    ///
    /// Asks the system's user database now, once. Where that is on another machine (LDAP, a domain), it may take long.
    ///
    /// # Errors
    /// [`NotFound`](std::io::ErrorKind::NotFound) if there is no such user; others if the database cannot be asked.
    ///
    /// ```no_run
    /// use twinring::{Access, User};
    ///
    /// let colleagues = Access::Users(vec![User::named("alice")?, User::named("bob")?]);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn named(name: &str) -> std::io::Result<User> {
        account::user_named(name).map(User)
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
        let [system, ..] = account::service_users();
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

/// The given text is not a user of this system.
///
/// ```
/// assert!("nobody in particular".parse::<twinring::User>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUserError(pub(in crate::os) String);

impl fmt::Display for ParseUserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not {}", quoted(&self.0), account::USER_FORM)
    }
}

impl std::error::Error for ParseUserError {}

impl FromStr for User {
    type Err = ParseUserError;

    fn from_str(text: &str) -> Result<User, ParseUserError> {
        account::parse_user(text)
            .map(User)
            .ok_or_else(|| ParseUserError(text.to_owned()))
    }
}
