//! Writes messages to a stream of bytes: together while more are waiting, at once when there are none.

use std::io::{self, BufWriter, IsTerminal, Write};

use twinring::{Batch, Connection, Error};

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

/// Moves the next message from the connection to the output. They count as taken once they have been written, a
/// `batch` at a time: what has been collected is written before it waits.
pub(crate) fn step<W: Write>(
    conn: &Connection,
    output: &mut Output<W>,
    batch: &mut Option<Batch>,
) -> Step {
    loop {
        if let Some(message) = batch.as_mut().and_then(Batch::next_message) {
            return match output.write(message) {
                Ok(()) => Step::Written,
                Err(e) => Step::Output(e),
            };
        }
        if let Err(e) = write_out(output, batch) {
            return Step::Output(e);
        }
        match conn.recv_batch() {
            Ok(Some(next)) => *batch = Some(next),
            Ok(None) => return Step::Finished,
            Err(e) => return Step::Failed(e),
        }
    }
}

/// Writes what has been collected; then it counts as taken. What is left of the batch comes again.
pub(crate) fn write_out<W: Write>(
    output: &mut Output<W>,
    batch: &mut Option<Batch>,
) -> io::Result<()> {
    output.flush()?;
    if let Some(mut written) = batch.take() {
        written.take();
    }
    Ok(())
}
