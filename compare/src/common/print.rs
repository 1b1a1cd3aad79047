//! What the program prints, whether or not anybody still reads it. `println!` would panic if nobody
//! does, as when the reader was `head`.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use super::error::Result;

/// Prints a result and a newline. That its reader has seen enough is no failure.
pub(crate) fn result(text: impl Display) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to the standard output: {error}").into())
        }
        _ => Ok(()),
    }
}

/// Tells whoever sits there something, on a line of its own. Nothing depends on whether it is read:
/// what is measured goes to a file, and the exit code says how it went.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
