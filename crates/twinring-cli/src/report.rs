//! Messages on standard error.

use std::io::{self, Write};

/// Prints one line. If nobody reads it, that is no reason to stop.
pub(crate) fn say(text: impl std::fmt::Display) {
    // One write, so that lines of several threads and processes do not mix.
    let line = format!("twinring: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
