//! Writes messages to a stream of bytes: together while more are waiting, at once when there are none.

use std::io::{self, BufWriter, IsTerminal, Write};

use twinring::{Connection, Error, Timeout};

use crate::framing::{self, Framing};
use crate::os::CONSOLE_TAKES_TEXT_ONLY;

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
            text_only: CONSOLE_TAKES_TEXT_ONLY && stdout.is_terminal(),
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

/// The result of one step between a connection and the output.
pub(crate) enum Step {
    /// The message has been written, or collected to be written.
    Written,
    /// The peer has finished, and everything has been written.
    Finished,
    /// The connection gave an error; what came before it has been written.
    Failed(Error),
    /// The output accepts no more.
    Output(io::Error),
}

/// Moves the next message from the connection to the output; before it waits, it writes what has been
/// collected.
pub(crate) fn step<W: Write>(
    conn: &Connection,
    output: &mut Output<W>,
    message: &mut Vec<u8>,
) -> Step {
    let mut got = conn.within(Timeout::Now).recv_into(message);
    if got.as_ref().is_err_and(Error::is_timeout) {
        if let Err(e) = output.flush() {
            return Step::Output(e);
        }
        got = conn.recv_into(message);
    }
    let done = match &got {
        Ok(Some(_)) => output.write(message),
        _ => output.flush(),
    };
    match (got, done) {
        (_, Err(e)) => Step::Output(e),
        (Ok(Some(_)), Ok(())) => Step::Written,
        (Ok(None), Ok(())) => Step::Finished,
        (Err(e), Ok(())) => Step::Failed(e),
    }
}

/// Takes the next message, for an output that accepts no more.
pub(crate) fn discard(conn: &Connection, message: &mut Vec<u8>) -> Step {
    match conn.recv_into(message) {
        Ok(Some(_)) => Step::Written,
        Ok(None) => Step::Finished,
        Err(e) => Step::Failed(e),
    }
}
