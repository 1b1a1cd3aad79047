//! The paths of what was received, on standard output.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::exit::{Exit, Failure};
use crate::names::shown_path;
use crate::report::say;

/// Prints paths for as long as somebody takes them.
pub(super) struct Listing {
    failed: bool,
}

impl Listing {
    pub(super) fn new() -> Listing {
        Listing { failed: false }
    }

    /// Prints one path: to a program as it is, on a terminal without what would change that.
    pub(super) fn print(&mut self, path: &Path) {
        if self.failed {
            return;
        }
        let mut stdout = io::stdout().lock();
        let mut line = match stdout.is_terminal() {
            true => shown_path(path).into_bytes(),
            false => path.as_os_str().as_encoded_bytes().to_vec(),
        };
        line.push(b'\n');
        if let Err(e) = stdout.write_all(&line).and_then(|()| stdout.flush()) {
            self.failed = true;
            say(format_args!(
                "cannot write to standard output: {e}; not listed there: {} and what comes after it",
                shown_path(path)
            ));
        }
    }

    /// That not every path was printed has been said.
    pub(super) fn outcome(&self) -> Result<(), Failure> {
        match self.failed {
            true => Err(Failure::silent(Exit::Other)),
            false => Ok(()),
        }
    }
}
