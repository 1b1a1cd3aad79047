//! Which users a link may connect, as people write it.

use std::fmt::Display;
use std::io;

use twinring::{Access, Group, User};

pub(crate) const HELP: &str = "\
Which users the link may connect, the same on both sides: `same` (this user only), `logon` (this \
user in this logon session; Windows), `service` (a host that is a service of the system, guests \
that are the users of this machine), users by name, uid or SID, with commas between them, or \
USER:GROUP (a host that is this user, guests that are members of this group)";

/// Parses what [`HELP`] describes.
pub(crate) fn parse_access(text: &str) -> Result<Access, String> {
    match (text, text.split_once(':')) {
        ("same", _) => Ok(Access::SameUser),
        ("logon", _) => Ok(Access::LogonSession),
        ("service", _) => Ok(Access::Service),
        (_, Some((host, guests))) => user(host).and_then(|host| {
            let guests = guests
                .parse()
                .or_else(|_| Group::named(guests))
                .map_err(explained)?;
            Ok(Access::Group { host, guests })
        }),
        (users, None) => {
            let users: Result<_, _> = users.split(',').map(user).collect();
            users.map(Access::Users)
        }
    }
    .map_err(|e| format!("{e}; write `same`, `logon`, `service`, users or USER:GROUP"))
}

fn user(text: &str) -> Result<User, String> {
    let user: io::Result<User> = text.parse().or_else(|_| User::named(text));
    user.map_err(explained)
}

fn explained(e: impl Display) -> String {
    e.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        assert_eq!(parse_access("same"), Ok(Access::SameUser));
        assert_eq!(parse_access("logon"), Ok(Access::LogonSession));
        assert_eq!(parse_access("service"), Ok(Access::Service));
        let [one, two] = [User::system(), User::current().unwrap()];
        assert_eq!(
            parse_access(&format!("{one},{two}")),
            Ok(Access::Users(vec![one.clone(), two]))
        );
        // Each system has groups in its own spelling.
        let groups: Vec<Group> = ["7", "S-1-5-32-545"]
            .iter()
            .filter_map(|group| group.parse().ok())
            .collect();
        assert_eq!(groups.len(), 1);
        for guests in groups {
            let text = format!("{one}:{guests}");
            let host = one.clone();
            assert_eq!(parse_access(&text), Ok(Access::Group { host, guests }));
        }
        for wrong in ["", "everyone", "Service", "0;1", "same,", ":", "same:same"] {
            let e = parse_access(wrong).unwrap_err();
            assert!(e.contains("`service`"), "{e}");
        }
    }

    #[test]
    fn names_are_looked_up() {
        let system = User::system();
        // Of Linux and macOS, and of Windows.
        let mut found = ["root", "SYSTEM"].map(parse_access).into_iter();
        assert!(found.any(|access| access == Ok(Access::Users(vec![system.clone()]))));
        let e = parse_access(&format!("{system}:no such group")).unwrap_err();
        assert!(e.contains("no group named \"no such group\""), "{e}");
    }
}
