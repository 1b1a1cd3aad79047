//! Writes messages to a stream of bytes: together while more are waiting, at once when there are none.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use twinring::{Error, ErrorKind, Link};

use crate::framing::{self, Framing};

/// How much is collected before it is written.
const COLLECTED: usize = 64 * 1024;

/// Writes messages in a framing.
pub(crate) struct Output<W: Write> {
    framing: Framing,
    stream: BufWriter<W>,
    /// A Windows console takes text only.
    text_only: bool,
}

impl Output<io::StdoutLock<'static>> {
    pub(crate) fn stdout(framing: Framing) -> Self {
        let stdout = io::stdout();
        Output {
            framing,
            text_only: cfg!(windows) && stdout.is_terminal(),
            stream: BufWriter::with_capacity(COLLECTED, stdout.lock()),
        }
    }
}

impl<W: Write> Output<W> {
    pub(crate) fn new(framing: Framing, stream: W) -> Self {
        Output {
            framing,
            text_only: false,
            stream: BufWriter::with_capacity(COLLECTED, stream),
        }
    }

    pub(crate) fn write(&mut self, message: &[u8]) -> io::Result<()> {
        if self.text_only {
            let text = String::from_utf8_lossy(message);
            framing::write(self.framing, &mut self.stream, text.as_bytes())
        } else {
            framing::write(self.framing, &mut self.stream, message)
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The result of one step between the link and the output.
pub(crate) enum Step {
    /// The message has been written, or collected to be written.
    Written,
    /// The link has no more messages of this connection, or gave an error.
    Link(Error),
    /// The output accepts no more.
    Output(io::Error),
}

/// Moves the next message from the link to the output; before it waits, it writes what has been
/// collected.
pub(crate) fn step<W: Write>(link: &Link, output: &mut Output<W>, message: &mut Vec<u8>) -> Step {
    let mut got = link.recv_into_timeout(message, Duration::ZERO);
    if got.as_ref().is_err_and(|e| e.kind() == ErrorKind::TimedOut) {
        if let Err(e) = output.flush() {
            return Step::Output(e);
        }
        got = link.recv_into(message);
    }
    let done = match &got {
        Ok(_) => output.write(message),
        Err(_) => output.flush(),
    };
    match (got, done) {
        (_, Err(e)) => Step::Output(e),
        (Ok(_), Ok(())) => Step::Written,
        (Err(e), Ok(())) => Step::Link(e),
    }
}
