//! Which users a link may connect, as people write it.

use twinring::{Access, ParseUserError, User};

pub(crate) const HELP: &str = "\
Which users the link may connect, the same on both sides: `same` (this user only), `service` (a \
host that is a service of the system, guests that are the users of this machine), or users by uid \
or SID, with commas between them";

/// Parses what [`HELP`] describes.
pub(crate) fn parse_access(text: &str) -> Result<Access, String> {
    match text {
        "same" => Ok(Access::SameUser),
        "service" => Ok(Access::Service),
        users => users
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<User>, ParseUserError>>()
            .map(Access::Users)
            .map_err(|e| format!("{e}; write `same`, `service`, or users")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        assert_eq!(parse_access("same"), Ok(Access::SameUser));
        assert_eq!(parse_access("service"), Ok(Access::Service));
        let [one, two] = [User::system(), User::current().unwrap()];
        assert_eq!(
            parse_access(&format!("{one},{two}")),
            Ok(Access::Users(vec![one, two]))
        );
        for wrong in ["", "everyone", "Service", "0;1", "same,"] {
            let e = parse_access(wrong).unwrap_err();
            assert!(e.contains("`service`"), "{e}");
        }
    }
}
