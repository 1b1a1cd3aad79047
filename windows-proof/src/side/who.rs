//! A process, as it describes itself and as its peer sees it: in the same words, so that a proof can compare.

use std::fmt::Display;
use std::path::PathBuf;

use twinring::{Integrity, Peer};

use crate::system::token::Token;

/// This process, by its own token.
pub(super) fn itself(token: &Token) -> String {
    // Those between two names are the lower one.
    let integrity = match token.integrity >> 12 {
        0 => Integrity::Untrusted,
        1 => Integrity::Low,
        2 => Integrity::Medium,
        3 => Integrity::High,
        _ => Integrity::System,
    };
    words(
        std::process::id(),
        &token.user,
        Some(token.session),
        Some(integrity),
        Some(token.is_elevated),
        std::env::current_exe().ok(),
    )
}

/// What the kernel says of a peer.
pub(super) fn peer(peer: &Peer) -> String {
    words(
        peer.pid,
        &peer.user,
        peer.session,
        peer.integrity,
        peer.elevated,
        peer.executable.clone(),
    )
}

fn words(
    pid: u32,
    user: impl Display,
    session: Option<u32>,
    integrity: Option<Integrity>,
    elevated: Option<bool>,
    image: Option<PathBuf>,
) -> String {
    let or_unknown = |what: Option<String>| what.unwrap_or_else(|| UNKNOWN.to_owned());
    format!(
        "process {pid}, user {user}, session {}, integrity {}, elevated {}{IMAGE}{}",
        or_unknown(session.map(|session| session.to_string())),
        or_unknown(integrity.map(|level| format!("{level:?}"))),
        or_unknown(elevated.map(|elevated| elevated.to_string())),
        or_unknown(image.map(|path| path.display().to_string())),
    )
}

const UNKNOWN: &str = "unknown";
const IMAGE: &str = ", image ";

/// Such words again, without the image, and the image, if it is known.
pub(crate) fn split(words: &str) -> (&str, Option<PathBuf>) {
    match words.split_once(IMAGE) {
        Some((rest, UNKNOWN)) => (rest, None),
        Some((rest, image)) => (rest, Some(image.into())),
        None => (words, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_kept_apart() {
        let path = PathBuf::from(r"C:\a, image b.exe");
        let all = words(7, "S-1-5-18", Some(0), None, Some(true), Some(path.clone()));
        let rest = "process 7, user S-1-5-18, session 0, integrity unknown, elevated true";
        assert_eq!(split(&all), (rest, Some(path)));
        let none = words(7, "S-1-5-18", Some(0), None, Some(true), None);
        assert_eq!(split(&none), (rest, None));
    }

    #[test]
    fn this_process_knows_itself() {
        let token = Token::of_this_process().unwrap();
        let itself = itself(&token);
        let (rest, image) = split(&itself);
        assert!(rest.starts_with(&format!(
            "process {}, user {}",
            std::process::id(),
            token.user
        )));
        assert!(!rest.contains(UNKNOWN), "{rest}");
        assert_eq!(image, std::env::current_exe().ok());
        assert!(
            token.groups.iter().any(|group| group == "S-1-1-0"),
            "{token:?}"
        );
        let is_logon = |sid: &String| sid.starts_with("S-1-5-5-");
        assert!(token.logon.iter().all(is_logon) && !token.groups.iter().any(is_logon));
    }
}
