//! Groups of users.

use std::fmt;
use std::str::FromStr;

use super::account;
use crate::error::quoted;

/// A group of users, as the kernel names it: a gid on Linux and macOS, a SID on Windows.
///
/// Printed and parsed in the system's own form: `100`, `S-1-5-32-545`. [`named`](Group::named) finds the one of a name.
///
/// ```
/// use twinring::Group;
///
/// let group: Group = if cfg!(windows) { "S-1-5-32-545" } else { "100" }.parse()?;
/// println!("{group}");
/// # Ok::<(), twinring::ParseGroupError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Group(pub(in crate::os) account::GroupId);

impl Group {
    /// The group of this name, such as `db-users`; on Windows also with a domain, `CONTOSO\db-users`. As
    /// [`User::named`](crate::User::named), which has the errors.
    ///
    /// # Errors
    /// [`NotFound`](std::io::ErrorKind::NotFound) if there is no such group; others if the database cannot be asked.
    ///
    /// ```no_run
    /// let group = twinring::Group::named("db-users")?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn named(name: &str) -> std::io::Result<Group> {
        account::group_named(name).map(Group)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({})", self.0)
    }
}

/// The given text is not a group of this system.
///
/// ```
/// assert!("all sorts of people".parse::<twinring::Group>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseGroupError(String);

impl fmt::Display for ParseGroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not {}", quoted(&self.0), account::GROUP_FORM)
    }
}

impl std::error::Error for ParseGroupError {}

impl FromStr for Group {
    type Err = ParseGroupError;

    fn from_str(text: &str) -> Result<Group, ParseGroupError> {
        account::parse_group(text)
            .map(Group)
            .ok_or_else(|| ParseGroupError(text.to_owned()))
    }
}
