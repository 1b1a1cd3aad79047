//! What an application says, checked, and the line that becomes of it.

use std::fmt::Write;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::Client;

/// The longest message that a client may send, in bytes.
pub(super) const MAX_MESSAGE: u64 = 64 << 10;

/// How severe a record is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One record, as `docs/log.md` describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Who it is, as the collector knows it; what the client says is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<Client>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<u64>,
    pub(super) time: String,
    pub(super) level: Level,
    #[serde(default)]
    pub(super) target: String,
    #[serde(default)]
    pub(super) process: String,
    pub(super) pid: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) thread: String,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) fields: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) spans: Vec<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) dropped: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) cut: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Record {
    /// What a client has sent: a record, or some other text, which becomes the message of one.
    pub(super) fn received(message: &[u8], client: Option<Client>, pid: u32) -> Record {
        let mut record = match serde_json::from_slice::<Record>(message) {
            Ok(record) if record.is_sound() => record,
            _ => Record {
                client: None,
                number: None,
                time: now(),
                level: Level::Info,
                target: String::new(),
                process: String::new(),
                pid,
                thread: String::new(),
                message: String::from_utf8_lossy(message).into_owned(),
                fields: Map::new(),
                spans: Vec::new(),
                dropped: 0,
                cut: false,
            },
        };
        record.client = client;
        if pid != 0 {
            record.pid = pid;
        }
        record
    }

    /// Whether what it says of itself can be.
    fn is_sound(&self) -> bool {
        self.number
            .is_some_and(|number| number > self.dropped.saturating_sub(1))
            && self.time.len() <= 40
            && humantime::parse_rfc3339(&self.time).is_ok()
    }

    /// It as one line of JSON. No control character is in it, nor what turns the direction of text.
    pub(super) fn line(&self, out: &mut Vec<u8>) {
        // A map with keys of text always has a form.
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut escaped = String::new();
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if !c.is_ascii_graphic() && is_dangerous(c) {
                escaped.push_str(&text[plain..at]);
                // All of them are in the first plane.
                let _ = write!(escaped, "\\u{:04x}", c as u32);
                plain = at + c.len_utf8();
            }
        }
        out.extend_from_slice(escaped.as_bytes());
        out.extend_from_slice(&text.as_bytes()[plain..]);
        out.push(b'\n');
    }
}

/// What a terminal could obey, or that makes text look like another.
pub(super) fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{"number":7,"time":"2026-11-28T12:00:00.000001Z","level":"WARN","target":"t","process":"p","pid":1,"message":"m","fields":{"b":1,"a":[2.5]}}"#;

    fn line(message: &[u8]) -> String {
        let mut line = Vec::new();
        Record::received(message, Some(Client(1)), 9).line(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_record_stays_what_it_is() {
        let line = line(GOOD.as_bytes());
        let expected = GOOD
            .replace("{\"number", "{\"client\":\"0000000000000001\",\"number")
            .replace("\"pid\":1", "\"pid\":9");
        assert_eq!(line, format!("{expected}\n"));
    }

    /// All that Unicode has (Bidi_Control).
    #[test]
    fn marks_of_direction_are_escaped() {
        for mark in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars() {
            let line = line(GOOD.replace("\"m\"", &format!("\"{mark}\"")).as_bytes());
            assert!(line.contains(&format!("\"\\u{:04x}\"", u32::from(mark))), "{line}");
        }
    }

    #[test]
    fn what_is_no_record_is_its_message() {
        for bad in [
            "",
            "hello",
            "{}",
            "[1]",
            &GOOD.replace("WARN", "LOUD"),
            &GOOD.replace(":7", ":-7"),
            &GOOD.replace("2026", "year"),
            &GOOD.replace(":7,", ":7,\"dropped\":8,"),
            &"[".repeat(60_000),
        ] {
            let record: Record = serde_json::from_str(&line(bad.as_bytes())).unwrap();
            assert_eq!((record.message.as_str(), record.number), (bad, None));
        }
    }

    proptest! {
        #[test]
        fn any_message_is_one_harmless_line(message in any::<Vec<u8>>(), text in any::<String>()) {
            let quoted = serde_json::to_string(&text).unwrap();
            for message in [message, text.into_bytes(), GOOD.replace("\"m\"", &quoted).into_bytes()] {
                let line = line(&message);
                prop_assert!(!line.trim_end_matches('\n').chars().any(is_dangerous));
                prop_assert_eq!(line.matches('\n').count(), 1);
                prop_assert!(serde_json::from_str::<Record>(&line).is_ok());
            }
        }
    }
}
