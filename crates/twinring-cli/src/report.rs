//! What is said on standard error.

use std::io::{self, Write};

/// Says one line. That nobody may be listening is no reason to stop.
pub(crate) fn say(text: impl std::fmt::Display) {
    // One write, so that lines of several threads and processes do not mix.
    let line = format!("twinring: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
