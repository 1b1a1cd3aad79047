//! File names from the peer, which are not trusted.

use std::fmt;

/// The longest file name in bytes.
const MAX_LEN: usize = 255;

/// Which names are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Names that would leave the directory or deceive the reader.
    Unix,
    /// Also those that Windows takes for a device, a stream, or another name.
    Windows,
}

impl Rules {
    /// The rules of the system that this program runs on.
    pub(crate) fn here() -> Rules {
        if cfg!(windows) {
            Rules::Windows
        } else {
            Rules::Unix
        }
    }
}

/// Why a file name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadName {
    Empty,
    TooLong,
    Dots,
    Separator,
    Control,
    Forbidden(char),
    Ending,
    Device,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadName::Empty => f.write_str("it is empty"),
            BadName::TooLong => write!(f, "it has more than {MAX_LEN} bytes"),
            BadName::Dots => f.write_str("it names a directory"),
            BadName::Separator => f.write_str("it holds a path separator"),
            BadName::Control => f.write_str("it holds a control character"),
            BadName::Forbidden(c) => write!(f, "Windows does not allow {c:?} in it"),
            BadName::Ending => f.write_str("Windows drops the dot or space at its end"),
            BadName::Device => f.write_str("it is the name of a device on Windows"),
        }
    }
}

/// Checks that `name` names a file in its directory, and nothing else.
pub(crate) fn check(name: &str, rules: Rules) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > MAX_LEN {
        return Err(BadName::TooLong);
    }
    if name == "." || name == ".." {
        return Err(BadName::Dots);
    }
    // The backslash on every system: what arrives here may be copied to Windows later.
    if name.contains(['/', '\\']) {
        return Err(BadName::Separator);
    }
    if name.chars().any(deceives) {
        return Err(BadName::Control);
    }
    match rules {
        Rules::Unix => Ok(()),
        Rules::Windows => check_windows(name),
    }
}

/// Control characters, and those that make a terminal show text in another order.
fn deceives(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check_windows(name: &str) -> Result<(), BadName> {
    // The colon would name a stream of another file, or a drive.
    if let Some(c) = name.chars().find(|c| "<>:\"|?*".contains(*c)) {
        return Err(BadName::Forbidden(c));
    }
    if name.ends_with(['.', ' ']) {
        return Err(BadName::Ending);
    }
    // "NUL.txt" and "nul .tar.gz" are the device, too.
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|number| {
            let mut chars = number.chars();
            chars
                .next()
                .is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c))
                && chars.next().is_none()
        })
    };
    let device = matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    );
    if device || numbered("COM") || numbered("LPT") {
        return Err(BadName::Device);
    }
    Ok(())
}

/// Text from the peer, made safe to print on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .take(500)
        .map(|c| if deceives(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn good_names() {
        for name in [
            "a",
            "a.txt",
            ".hidden",
            "...",
            "tar..gz",
            "日本 語",
            "-rf",
            "CONSOLE",
            "COM",
            "COM10",
            "nul_",
        ] {
            assert_eq!(check(name, Rules::Unix), Ok(()), "{name:?}");
        }
        for name in [
            "a",
            "a.txt",
            ".hidden",
            "tar..gz",
            "日本 語",
            "CONSOLE",
            "COM",
            "COM10",
            "nul_",
            "a.nul",
        ] {
            assert_eq!(check(name, Rules::Windows), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn bad_everywhere() {
        let long = "x".repeat(256);
        for (name, why) in [
            ("", BadName::Empty),
            (long.as_str(), BadName::TooLong),
            (".", BadName::Dots),
            ("..", BadName::Dots),
            ("/etc/passwd", BadName::Separator),
            ("../up", BadName::Separator),
            ("a/b", BadName::Separator),
            ("a\\b", BadName::Separator),
            ("\\\\server\\share", BadName::Separator),
            ("a\0b", BadName::Control),
            ("a\nb", BadName::Control),
            ("\x1b[2J", BadName::Control),
            ("\u{202e}gpj.exe", BadName::Control),
        ] {
            for rules in [Rules::Unix, Rules::Windows] {
                assert_eq!(check(name, rules), Err(why), "{name:?}");
            }
        }
    }

    #[test]
    fn bad_on_windows() {
        for (name, why) in [
            ("C:evil", BadName::Forbidden(':')),
            ("file:stream", BadName::Forbidden(':')),
            ("a*", BadName::Forbidden('*')),
            ("what?", BadName::Forbidden('?')),
            ("a.", BadName::Ending),
            ("a ", BadName::Ending),
            ("...", BadName::Ending),
            ("CON", BadName::Device),
            ("con", BadName::Device),
            ("NUL.txt", BadName::Device),
            ("nul .tar.gz", BadName::Device),
            ("Aux.c", BadName::Device),
            ("COM1", BadName::Device),
            ("com0.log", BadName::Device),
            ("LPT9", BadName::Device),
            ("COM¹", BadName::Device),
            ("CONIN$", BadName::Device),
        ] {
            assert_eq!(check(name, Rules::Windows), Err(why), "{name:?}");
            assert_eq!(check(name, Rules::Unix), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn nothing_reaches_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(printable("fine, ñ"), "fine, ñ");
    }

    proptest! {
        #[test]
        fn what_passes_is_one_plain_component(name in any::<String>()) {
            if check(&name, Rules::here()).is_ok() {
                let mut components = Path::new(&name).components();
                let first = components.next();
                prop_assert_eq!(first, Some(Component::Normal(name.as_ref())));
                prop_assert_eq!(components.next(), None);
                let path = Path::new("dir").join(&name);
                prop_assert_eq!(path.parent(), Some(Path::new("dir")));
            }
        }
    }
}
