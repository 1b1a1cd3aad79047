//! By what a host decides about its guests (`Builder::admit`).

use std::ffi::OsStr;

use anyhow::Context as _;
use twinring::{Integrity, Peer, User};

/// One thing that is asked of a guest.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    User(User),
    Session(u32),
    /// It has to be known, as the others have.
    NotElevated,
    AtLeast(Integrity),
    /// The name of its program file.
    Image(String),
}

impl Rule {
    pub(super) fn parse(text: &str) -> anyhow::Result<Rule> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match kind {
            "user" => Rule::User(value.parse()?),
            "session" => Rule::Session(value.parse()?),
            "not-elevated" => Rule::NotElevated,
            "high" => Rule::AtLeast(Integrity::High),
            "image" => Rule::Image(value.to_owned()),
            _ => None.with_context(|| format!("there is no rule {text:?}"))?,
        })
    }

    pub(super) fn admits(&self, peer: &Peer) -> bool {
        match self {
            Rule::User(user) => peer.user == *user,
            Rule::Session(session) => peer.session == Some(*session),
            Rule::NotElevated => peer.elevated == Some(false),
            Rule::AtLeast(level) => peer.integrity.is_some_and(|it| it >= *level),
            Rule::Image(name) => {
                let image = peer.executable.as_deref();
                let found = image.and_then(|image| image.file_name());
                found
                    .and_then(OsStr::to_str)
                    .is_some_and(|it| it.eq_ignore_ascii_case(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system says of this process, as a guest of its own.
    #[test]
    fn what_is_asked() {
        let name = format!("twproof-rule-{}", std::process::id());
        let host = twinring::Link::host(&name).open().unwrap();
        let guest = twinring::Link::guest(&name).open().unwrap();
        let conn = host.next().unwrap();
        let peer = conn.peer();
        let admits = |rule: &str| Rule::parse(rule).unwrap().admits(peer);
        let user = &peer.user;
        let session = peer.session.unwrap();
        let image = peer.executable.as_deref().and_then(|it| it.file_name());
        let image = image.and_then(OsStr::to_str).unwrap().to_uppercase();
        assert!(admits(&format!("user={user}")) && !admits("user=S-1-5-7"));
        assert!(admits(&format!("session={session}")) && !admits("session=4000000000"));
        assert!(admits(&format!("image={image}")) && !admits("image=another.exe"));
        assert_eq!(admits("not-elevated"), peer.elevated == Some(false));
        assert_eq!(admits("high"), peer.integrity >= Some(Integrity::High));
        for wrong in ["", "user=", "session=x", "low"] {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
        drop(guest);
    }
}
