//! Which users a link is for, as it stands on the command line of a side.

use anyhow::Context as _;
use twinring::{Access, User};

/// `same`, `service`, `logon`, SIDs with commas between them, or one of these, whose host has the first SID:
/// `group=HOST:GROUP`, `sddl=HOST:LIST`.
pub(super) fn parse(text: &str) -> anyhow::Result<Access> {
    if let Some((kind, rest)) = text.split_once('=') {
        let (host, guests) = rest.split_once(':').context("it names no guests")?;
        let host = host.parse()?;
        return match kind {
            "group" => Ok(Access::Group {
                host,
                guests: guests.parse()?,
            }),
            "sddl" => Ok(Access::Sddl {
                host,
                guests: guests.to_owned(),
            }),
            _ => anyhow::bail!("there is no access {kind:?}"),
        };
    }
    Ok(match text {
        "same" => Access::SameUser,
        "service" => Access::Service,
        "logon" => Access::LogonSession,
        users => {
            let users: Result<Vec<User>, _> = users.split(',').map(str::parse).collect();
            Access::Users(users?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_guests() {
        let host: User = "S-1-5-18".parse().unwrap();
        let group = Access::Group {
            host: host.clone(),
            guests: "S-1-5-32-545".parse().unwrap(),
        };
        assert_eq!(parse("group=S-1-5-18:S-1-5-32-545").unwrap(), group);
        let guests = "D:(D;;GA;;;BG)(A;;GRGW;;;BU)".to_owned();
        let text = format!("sddl={host}:{guests}");
        assert_eq!(parse(&text).unwrap(), Access::Sddl { host, guests });
        for wrong in ["", "group=S-1-5-18", "list=S-1-5-18:D:", "S-1-5-18,x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
