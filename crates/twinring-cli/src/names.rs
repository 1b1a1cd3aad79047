//! File names: which of the peer's are allowed, and how names and texts are shown.
//!
//! A name is bytes, as on Unix; Windows has only names that are Unicode.

use std::fmt::{self, Write};
use std::path::Path;

use crate::os;

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
        if os::WINDOWS_NAMES {
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
    NotUnicode,
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
            BadName::NotUnicode => f.write_str("Windows has no names that are not Unicode"),
            BadName::Forbidden(c) => write!(f, "Windows does not allow {c:?} in it"),
            BadName::Ending => f.write_str("Windows drops the dot or space at its end"),
            BadName::Device => f.write_str("it is the name of a device on Windows"),
        }
    }
}

/// Checks that `name` names a file in its directory, and nothing else.
pub(crate) fn check(name: &[u8], rules: Rules) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > MAX_LEN {
        return Err(BadName::TooLong);
    }
    if name == b"." || name == b".." {
        return Err(BadName::Dots);
    }
    // The backslash on every system: what arrives here may be copied to Windows later.
    if name.contains(&b'/') || name.contains(&b'\\') {
        return Err(BadName::Separator);
    }
    let mut chars = name.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
    if chars.any(deceives) {
        return Err(BadName::Control);
    }
    match (rules, std::str::from_utf8(name)) {
        (Rules::Unix, _) => Ok(()),
        (Rules::Windows, Ok(name)) => check_windows(name),
        (Rules::Windows, Err(_)) => Err(BadName::NotUnicode),
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

/// A name for people: what would change a terminal, and bytes that are no text, as `\x1b` or
/// `\u{202e}`. Outside Windows, which has no such names, a backslash is doubled: no two names look alike.
pub(crate) fn shown(name: &[u8]) -> String {
    let mut out = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' if !os::WINDOWS_NAMES => out.push_str("\\\\"),
                c => push(&mut out, c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A path for people.
pub(crate) fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_encoded_bytes())
}

/// Text from the peer, made safe to print on a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    text.chars().take(500).for_each(|c| push(&mut out, c));
    out
}

fn push(out: &mut String, c: char) {
    // Names may hold these: marks of direction, and ends of lines and paragraphs.
    let hidden = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
    );
    let _ = match c {
        c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c)),
        c if deceives(c) || hidden => write!(out, "\\u{{{:x}}}", u32::from(c)),
        c => out.write_char(c),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

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
            assert_eq!(check(name.as_bytes(), Rules::Unix), Ok(()), "{name:?}");
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
            assert_eq!(check(name.as_bytes(), Rules::Windows), Ok(()), "{name:?}");
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
                assert_eq!(check(name.as_bytes(), rules), Err(why), "{name:?}");
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
            assert_eq!(check(name.as_bytes(), Rules::Windows), Err(why), "{name:?}");
            assert_eq!(check(name.as_bytes(), Rules::Unix), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn not_unicode() {
        let name = b"caf\xe9";
        assert_eq!(check(name, Rules::Unix), Ok(()));
        assert_eq!(check(name, Rules::Windows), Err(BadName::NotUnicode));
        // The rules hold for what is text in it.
        assert_eq!(check(b"\xe9\x1b[2J", Rules::Unix), Err(BadName::Control));
        assert_eq!(check(b"\xe9/a", Rules::Unix), Err(BadName::Separator));
    }

    #[test]
    fn nothing_reaches_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
        assert_eq!(printable("\u{202e}\u{9b}"), "\\u{202e}\\u{9b}");
        assert_eq!(printable("fine, ñ \\"), "fine, ñ \\");
        assert_eq!(shown(b"caf\xe9 \xc3\xb1\x7f"), "caf\\xe9 ñ\\x7f");
    }

    /// What `shown` was made of.
    fn read_back(shown: &str) -> Vec<u8> {
        let (mut name, mut rest) = (Vec::new(), shown);
        while let Some(c) = rest.chars().next() {
            let escape = |open: &str, digits: usize| {
                let number = rest.strip_prefix(open)?.get(..digits)?;
                u32::from_str_radix(number, 16).ok()
            };
            let braces = rest.find('}').map_or(0, |end| end.saturating_sub(3));
            if rest.starts_with("\\\\") {
                name.push(b'\\');
                rest = &rest[2..];
            } else if let Some(byte) = escape("\\x", 2) {
                name.push(byte as u8);
                rest = &rest[4..];
            } else if let Some(c) = escape("\\u{", braces).and_then(char::from_u32) {
                name.extend_from_slice(c.to_string().as_bytes());
                rest = &rest[braces + 4..];
            } else {
                name.extend_from_slice(c.to_string().as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
        name
    }

    proptest! {
        #[test]
        fn what_passes_is_one_plain_component(name in any::<String>()) {
            if check(name.as_bytes(), Rules::here()).is_ok() {
                let mut components = Path::new(&name).components();
                let first = components.next();
                prop_assert_eq!(first, Some(Component::Normal(name.as_ref())));
                prop_assert_eq!(components.next(), None);
                let path = Path::new("dir").join(&name);
                prop_assert_eq!(path.parent(), Some(Path::new("dir")));
            }
        }

        #[test]
        fn shown_names_are_safe_and_can_be_read_back(name in prop::collection::vec(any::<u8>(), 0..50), text in any::<String>()) {
            for name in [name, text.into_bytes()] {
                let shown = shown(&name);
                prop_assert!(!shown.chars().any(deceives));
                if !os::WINDOWS_NAMES {
                    prop_assert_eq!(read_back(&shown), name);
                }
            }
        }
    }
}
