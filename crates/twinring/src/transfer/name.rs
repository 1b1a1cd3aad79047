//! The name under which two processes find each other.

use std::io;

use crate::error::{Error, ErrorKind, Result};
use crate::os::system_error;

/// The longest name in bytes of UTF-8.
///
/// ```
/// use twinring::{ErrorKind, Link, MAX_NAME_LEN};
///
/// let error = Link::guest(&"x".repeat(MAX_NAME_LEN + 1)).open().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidName);
/// ```
pub const MAX_NAME_LEN: usize = 255;

/// A checked link name: 1 to [`MAX_NAME_LEN`] bytes of any Unicode text without control characters.
///
/// Two names are the same if their bytes are: no case folding, no normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn new(text: &str) -> Result<Name> {
        let wrong = |why: String| {
            // The text itself may be long; the name in the error is cut.
            let shown: String = text.chars().take(64).collect();
            Err(Error::new(ErrorKind::InvalidName, why).of_link(&shown))
        };
        if text.is_empty() {
            return wrong("the name is empty; give 1 to 255 bytes of text".into());
        }
        if text.len() > MAX_NAME_LEN {
            return wrong(format!(
                "the name has {} bytes of UTF-8; at most {MAX_NAME_LEN} are allowed",
                text.len()
            ));
        }
        if let Some(at) = text.chars().position(char::is_control) {
            return wrong(format!(
                "character {} of the name is a control character, which is not allowed",
                at + 1
            ));
        }
        Ok(Name(text.to_owned()))
    }

    /// A name that nobody else has.
    pub(crate) fn random() -> Result<Name> {
        Ok(Name(format!(
            "pair {:032x}",
            u128::from_ne_bytes(random()?)
        )))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name is called in the system: 32 hexadecimal digits, the XXH3-128 of its bytes.
    ///
    /// A hash, because systems differ in which characters and lengths they allow, and some fold
    /// case. It need not resist an attacker: only the user can create objects where these are, and
    /// the handshake compares the names themselves.
    pub(crate) fn key(&self) -> String {
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(self.0.as_bytes()))
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random() -> Result<[u8; 16]> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| system_error("cannot get random bytes", io::Error::other(e)))?;
    Ok(random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::says;

    #[test]
    fn allowed() {
        for text in [
            "a",
            "my link",
            "日本語/\\:*?",
            "..",
            "CON",
            "\u{1F980}",
            &"x".repeat(255),
        ] {
            assert_eq!(Name::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "a\0b",
            "line\n",
            "\u{7f}",
            &"x".repeat(256),
            &"é".repeat(128),
        ] {
            let e = Name::new(text).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidName, "{text:?}");
        }
    }

    #[test]
    fn keys_are_fixed_for_ever() {
        // Versions of the library must find each other: these values may not change.
        for (name, key) in [
            ("twinring", "36ccb4a4480d8885174aa1e83897f108"),
            ("an independent peer", "8a680413d57c65d796e6d45eab395030"),
        ] {
            assert_eq!(Name::new(name).unwrap().key(), key);
            says("Names", &format!("`{name}` is `{key}`"));
        }
        says("Names", &format!("1 to {MAX_NAME_LEN} bytes of UTF-8"));
        assert_ne!(Name::new("A").unwrap().key(), Name::new("a").unwrap().key());
    }
}
