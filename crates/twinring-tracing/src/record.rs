//! A record as text: one JSON object, of which the number is written last, before the rest.
//!
//! ```text
//! {"number":7,"time":"…","level":"INFO","target":"…","process":"…","pid":1,"thread":"…","message":"…","fields":{…},"spans":[…]}
//! └─ prefix ─┘└─ body, made before anybody else is kept waiting ───────────────────────────────────────────────────────────┘
//! ```

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::SystemTime;

/// No record is longer, in bytes: its message, fields and spans are cut where they would be, and the record says `"cut":true`. So it
/// fits into one frame of the collector's rings.
pub const MAX_RECORD: usize = 16 << 10;

/// The message, fields and spans. What is left is for the other members, of which the longest are cut by themselves.
pub(crate) const MAX_TEXTS: usize = MAX_RECORD - 4096;

/// Fields take no more of that; with spans no more than the second. So a message always has 3 KiB, and all that they leave.
pub(crate) const MAX_FIELDS: usize = MAX_TEXTS / 2;
pub(crate) const MAX_FIELDS_AND_SPANS: usize = MAX_TEXTS / 4 * 3;

/// One field of a span: short enough for at least one beside the longest fields.
pub(crate) const MAX_SPAN_FIELD: usize = 2 << 10;

const MAX_NAME: usize = 512;

/// What stands before a body.
pub(crate) struct Prefix {
    bytes: [u8; 32],
    len: usize,
}

impl Prefix {
    pub(crate) fn new(number: u64) -> Prefix {
        let mut bytes = [0; 32];
        let mut left = &mut bytes[..];
        // It has room for the longest number.
        let _ = write!(left, "{{\"number\":{number}");
        let len = 32 - left.len();
        Prefix { bytes, len }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The number of a record that was made here.
pub(crate) fn number(record: &[u8]) -> Option<u64> {
    let rest = record.strip_prefix(b"{\"number\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// A body that is being written.
pub(crate) struct Body<'a> {
    out: &'a mut Vec<u8>,
    cut: bool,
}

impl<'a> Body<'a> {
    /// `process` is what [`process`] made.
    pub(crate) fn begin(out: &'a mut Vec<u8>, level: &str, target: &str, process: &[u8]) -> Self {
        out.clear();
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        // Writing into memory does not fail, here and below.
        let _ = write!(
            out,
            ",\"time\":\"{time}\",\"level\":\"{level}\",\"target\":"
        );
        quoted(out, MAX_NAME, target);
        out.extend_from_slice(process);
        out.extend_from_slice(b",\"thread\":");
        let thread = std::thread::current();
        match thread.name() {
            Some(name) => quoted(out, MAX_NAME, name),
            None => {
                let _ = write!(out, "\"{:?}\"", thread.id());
                true
            }
        };
        Body { out, cut: false }
    }

    /// Cuts it, if it is longer.
    pub(crate) fn message(&mut self, message: fmt::Arguments<'_>, longest: usize) {
        self.out.extend_from_slice(b",\"message\":");
        self.cut |= !quoted(self.out, longest, message);
    }

    /// An object or an array that is there already.
    pub(crate) fn part(&mut self, name: &str, open: char, part: &[u8], close: char) {
        if part.is_empty() {
            return;
        }
        let _ = write!(self.out, ",\"{name}\":{open}");
        self.out.extend_from_slice(part);
        let _ = write!(self.out, "{close}");
    }

    /// `cut`: parts of it were cut before.
    pub(crate) fn end(self, cut: bool) {
        if self.cut || cut {
            self.out.extend_from_slice(b",\"cut\":true");
        }
        self.out.push(b'}');
    }
}

/// The part of a body that names the process.
pub(crate) fn process(name: &str) -> Vec<u8> {
    let mut out = b",\"process\":".to_vec();
    quoted(&mut out, MAX_NAME, name);
    let _ = write!(out, ",\"pid\":{}", std::process::id());
    out
}

/// The record in the place of some that were dropped, `last` the last of them.
pub(crate) fn dropped(last: u64, count: u64, process: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut record = Body::begin(&mut body, "WARN", "twinring_tracing", process);
    let records = if count == 1 {
        "record was"
    } else {
        "records were"
    };
    record.message(
        format_args!("{count} {records} dropped: the buffer was full"),
        MAX_TEXTS,
    );
    let _ = write!(record.out, ",\"dropped\":{count}");
    record.end(false);
    [Prefix::new(last).bytes(), &body].concat()
}

/// The members of an object, one after the other.
pub(crate) struct Members<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    longest: usize,
    /// Something had no room.
    pub(crate) cut: bool,
}

impl<'a> Members<'a> {
    /// No more than `longest` bytes, in all.
    pub(crate) fn new(out: &'a mut Vec<u8>, longest: usize) -> Self {
        Members {
            out,
            longest,
            cut: false,
        }
    }

    pub(crate) fn text(&mut self, name: &str, value: impl fmt::Display) {
        if let Some(left) = self.name(name) {
            self.cut |= !quoted(self.out, left, value);
        }
    }

    /// A value that is JSON as it is shown.
    pub(crate) fn plain(&mut self, name: &str, value: impl fmt::Display) {
        if self.name(name).is_some() {
            let _ = write!(self.out, "{value}");
        }
    }

    /// How much is left for its value.
    fn name(&mut self, name: &str) -> Option<usize> {
        let before = self.out.len() + 6 * name.len().min(MAX_NAME) + 64;
        let left = self.longest.saturating_sub(before);
        if left == 0 {
            self.cut = true;
            return None;
        }
        if !self.out.is_empty() {
            self.out.push(b',');
        }
        quoted(self.out, MAX_NAME, name);
        self.out.push(b':');
        Some(left)
    }
}

/// Writes a string of JSON of at most about `longest` bytes. Returns whether it is whole.
fn quoted(out: &mut Vec<u8>, longest: usize, text: impl fmt::Display) -> bool {
    out.push(b'"');
    let mut escaped = Escaped {
        end: out.len() + longest,
        out,
        whole: true,
    };
    // A value that fails to show itself, or that is too long, is cut there.
    let whole = write!(escaped, "{text}").is_ok() && escaped.whole;
    if !whole {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
    whole
}

struct Escaped<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
    whole: bool,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        loop {
            let plain = rest
                .bytes()
                .take_while(|byte| (0x20..0x7f).contains(byte) && !matches!(byte, b'"' | b'\\'))
                .count();
            let fits = plain.min(self.end.saturating_sub(self.out.len()));
            self.out.extend_from_slice(&rest.as_bytes()[..fits]);
            // What is left begins with a character that is no plain one.
            let Some(c) = rest[plain..].chars().next() else {
                self.whole &= fits == plain;
                return if self.whole { Ok(()) } else { Err(fmt::Error) };
            };
            if fits < plain || self.out.len() + 12 > self.end {
                self.whole = false;
                return Err(fmt::Error);
            }
            rest = &rest[plain + c.len_utf8()..];
            let _ = match c {
                '"' => self.out.write_all(b"\\\""),
                '\\' => self.out.write_all(b"\\\\"),
                '\n' => self.out.write_all(b"\\n"),
                // Those that a terminal could obey.
                '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(self.out, "\\u{:04x}", c as u32),
                c => write!(self.out, "{c}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> serde_json::Value {
        let mut body = Vec::new();
        let mut record = Body::begin(&mut body, "INFO", "target", &process("a \"name\""));
        record.message(format_args!("{message}"), MAX_TEXTS);
        record.end(false);
        let record = [Prefix::new(u64::MAX).bytes(), &body].concat();
        assert!(record.len() <= MAX_RECORD, "{}", record.len());
        assert_eq!(number(&record), Some(u64::MAX));
        assert!(record.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f));
        serde_json::from_slice(&record).unwrap()
    }

    #[test]
    fn any_text_is_json() {
        for text in ["", "plain", "\"\\\n\r\t\0\x1b[31m\x7f\u{9b}é🦀", "é"] {
            let record = record(text);
            assert_eq!(record["message"], text);
            assert_eq!(record["process"], "a \"name\"");
            assert_eq!(record["cut"], serde_json::Value::Null);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        for text in [
            "x".repeat(1 << 20),
            "\0".repeat(1 << 20),
            "é🦀".repeat(9999),
        ] {
            let record = record(&text);
            assert_eq!(record["cut"], true);
            let message = record["message"].as_str().unwrap();
            let kept = message.strip_suffix('…').unwrap();
            assert!(text.starts_with(kept) && kept.len() > 1000);
        }
    }

    #[test]
    fn what_was_dropped_is_told() {
        let record = dropped(9, 4, &process("p"));
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["number"], 9);
        assert_eq!(record["dropped"], 4);
    }
}
