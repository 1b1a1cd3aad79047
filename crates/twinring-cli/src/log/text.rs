//! Records as people read them. Nothing of what they say reaches a terminal as it is.

use std::fmt::{self, Display, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::record::{Level, Record, is_dangerous};

const DIM: Style = Style::new().dimmed();

fn style(level: Level) -> Style {
    let color = match level {
        Level::Trace => AnsiColor::Magenta,
        Level::Debug => AnsiColor::Blue,
        Level::Info => AnsiColor::Green,
        Level::Warn => AnsiColor::Yellow,
        Level::Error => AnsiColor::Red,
    };
    color.on_default()
}

/// `2026-11-28T12:00:00.000001Z  WARN app[7] http::server: too slow ms=81 request{id=5}`, with styles.
pub(super) fn write(record: &Record, out: &mut Vec<u8>) {
    // The shortest names that people know; padded, so that what follows stands in a column.
    let level = match record.level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => " INFO",
        Level::Warn => " WARN",
        Level::Error => "ERROR",
    };
    let mut line = String::new();
    let color = style(record.level);
    // Writing into memory does not fail.
    let _ = write!(
        line,
        "{DIM}{}{DIM:#} {color}{level}{color:#} {}[{}]",
        Harmless(&record.time),
        Harmless(&record.process),
        record.pid
    );
    if !record.target.is_empty() {
        let _ = write!(line, " {DIM}{}:{DIM:#}", Harmless(&record.target));
    }
    let _ = write!(line, " {}", Harmless(&record.message));
    for (name, value) in &record.fields {
        line.push(' ');
        field(&mut line, name, value);
    }
    for span in &record.spans {
        let name = span.get("name").and_then(Value::as_str).unwrap_or("?");
        let _ = write!(line, " {DIM}{}{{", Harmless(name));
        let own = span.iter().filter(|(name, _)| *name != "name");
        for (index, (name, value)) in own.enumerate() {
            if index > 0 {
                line.push(' ');
            }
            field(&mut line, name, value);
        }
        let _ = write!(line, "}}{DIM:#}");
    }
    line.push('\n');
    out.extend_from_slice(line.as_bytes());
}

fn field(line: &mut String, name: &str, value: &Value) {
    let _ = match value {
        Value::String(text) => write!(line, "{}={}", Harmless(name), Harmless(text)),
        other => write!(line, "{}={}", Harmless(name), Harmless(&other.to_string())),
    };
}

/// A text whose dangerous characters are spelt out.
struct Harmless<'a>(&'a str);

impl Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                c if is_dangerous(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Client;
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_as_it_is() {
        let evil = "\x1b[2J\u{9b}31m\r\n\u{202e}\x07";
        let text = format!(
            r#"{{"number":1,"time":"2026-11-28T12:00:00Z","level":"ERROR","target":{0},"process":{0},"pid":1,"message":{0},"fields":{{{0}:{0}}},"spans":[{{"name":{0},{0}:[{0}]}}]}}"#,
            serde_json::to_string(evil).unwrap()
        );
        let record = Record::received(text.as_bytes(), Some(Client(1)), 1);
        assert_eq!(record.number, Some(1), "it is a record");
        let mut out = Vec::new();
        write(&record, &mut out);
        let plain = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        let plain = plain.strip_suffix('\n').unwrap();
        assert!(!plain.chars().any(is_dangerous), "{plain:?}");
        assert_eq!(
            plain
                .matches(r"\u{1b}[2J\u{9b}31m\r\n\u{202e}\u{7}")
                .count(),
            7,
            "{plain}"
        );
    }
}
