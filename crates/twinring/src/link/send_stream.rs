//! Sending a message piece by piece, without knowing its length beforehand.

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

use crate::error::{End, Error, ErrorKind, Result};
use crate::os::event::Deadline;
use crate::segment::Cause;
use crate::transfer::{Duplex, LargeMessage, Owner, Timeout};

/// One message, sent while it is being produced: what is written goes out in chunks, and
/// [`finish`](SendStream::finish) completes the message. Made by
/// [`Connection::send_stream`](crate::Connection::send_stream).
///
/// Dropped without `finish`, the message is given up and the peer told so: its `recv` fails with
/// [`StreamEnded`](ErrorKind::StreamEnded), [`End::Abandoned`]; after [`abort`](SendStream::abort) with
/// [`End::Aborted`] and the reason; also if nothing has been written. (A stream of which nothing has gone out is
/// given up silently if it is dropped at a moment when the ring is full; `abort` waits.) If the peer reads it as a
/// stream and wants no more, the next write fails with [`End::Stopped`]. A message may be endless. It needs the memory of one chunk here, and no more at the
/// peer if it is [received as a stream](crate::Connection::recv_stream).
///
/// A stream that has failed, or was late, cannot go on. A sender that does not write does not learn that its stream was
/// stopped. As [`std::io::Write`] it gives an `io::Error`, of which `downcast::<twinring::Error>()` gives this library's.
/// If the peer receives the message by `recv` and it is longer than the peer accepts, the peer stops it; a message of which
/// all is in the ring by then has been sent all the same.
///
/// Other threads' small messages may go between the chunks. Their large ones wait until this one is
/// finished; a large one on the thread that began it fails with [`ErrorKind::Held`].
///
/// ```
/// use std::io::Write;
///
/// # let (host, guest) = twinring::testing::pair()?;
/// let mut rows = host.send_stream()?;
/// for row in 0..3 {
///     writeln!(rows, "row {row}")?;
/// }
/// rows.finish()?;
/// assert_eq!(guest.recv()?, Some(b"row 0\nrow 1\nrow 2\n".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the message is given up without `finish`"]
pub struct SendStream {
    message: LargeMessage<Arc<Duplex>>,
    timeout: Timeout,
    /// Written, but not enough for a chunk yet.
    buffer: Vec<u8>,
    /// Some of what was written has not been sent: the message cannot be completed.
    failed: Option<Failed>,
    /// Keeps the connection open.
    _owner: Arc<Owner>,
}

/// How a stream failed.
#[derive(Debug)]
struct Failed {
    kind: ErrorKind,
    end: Option<End>,
}

impl SendStream {
    pub(super) fn begin(owner: &Arc<Owner>, timeout: Timeout) -> Result<SendStream> {
        let duplex = &owner.duplex;
        let begun = duplex
            .outbox
            .sending(|| LargeMessage::begin(duplex.clone(), timeout.deadline()));
        Ok(SendStream {
            message: begun?,
            timeout,
            buffer: Vec::new(),
            failed: None,
            _owner: owner.clone(),
        })
    }

    /// Gives the message up, and tells the peer why. Waits for room for the text, as long as the stream's
    /// calls may wait; without it, the peer learns only that the message was given up.
    pub fn abort(mut self, code: u32, reason: &str) {
        let cause = Cause::new(code, reason);
        let deadline = self.timeout.deadline();
        if !self.message.duplex.link.is_forked() {
            // What failed is given up without a reason, when the message is dropped.
            let _ = self.message.abort(&cause, deadline);
        }
    }

    /// Bytes written so far.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks that of a stream")]
    pub fn len(&self) -> u64 {
        self.message.sent + self.buffer.len() as u64
    }

    /// Completes the message: committed when this returns `Ok`.
    ///
    /// # Errors
    /// As [`send`](crate::Connection::send); then the message is given up.
    pub fn finish(mut self) -> Result<()> {
        let rest = mem::take(&mut self.buffer);
        self.put(&rest, true)
    }

    fn append_some(&mut self, bytes: &[u8]) -> Result<usize> {
        let chunk = self.message.max_chunk;
        self.message.duplex.link.check_forked()?;
        if self.buffer.is_empty() && bytes.len() >= chunk {
            self.put(&bytes[..chunk], false)?;
            return Ok(chunk);
        }
        let len = bytes.len().min(chunk - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..len]);
        if self.buffer.len() == chunk {
            self.put_buffer()?;
        }
        Ok(len)
    }

    fn put_buffer(&mut self) -> Result<()> {
        let mut buffer = mem::take(&mut self.buffer);
        let put = self.put(&buffer, false);
        buffer.clear();
        self.buffer = buffer;
        put
    }

    /// Sends these bytes, at most one frame; `ends`: the message ends with them.
    fn put(&mut self, bytes: &[u8], ends: bool) -> Result<()> {
        let mut put = 0;
        loop {
            put += self.put_some(&bytes[put..], ends)?;
            if put == bytes.len() {
                return Ok(());
            }
        }
    }

    fn put_some(&mut self, bytes: &[u8], ends: bool) -> Result<usize> {
        let deadline = self.timeout.deadline();
        let duplex = self.message.duplex.clone();
        let put = duplex.outbox.sending(|| {
            if let Some(failed) = &self.failed {
                return Err(failed_before(failed));
            }
            self.message.put(bytes, 0..bytes.len(), ends, deadline)
        });
        if let Err(e) = &put {
            self.failed.get_or_insert(Failed {
                kind: e.kind(),
                end: e.end().cloned(),
            });
        }
        put
    }
}

fn failed_before(failed: &Failed) -> Error {
    match (failed.kind, &failed.end) {
        (ErrorKind::StreamEnded, Some(end)) => Error::stream_ended(end.clone()),
        (_, Some(end)) => Error::ended(end.clone()),
        // Not that it timed out: to try again is of no use.
        (_, None) => Error::new(
            ErrorKind::StreamEnded,
            "this stream has failed before and cannot go on; begin another one",
        ),
    }
}

impl io::Write for SendStream {
    /// Writes some of `bytes`. Once it has returned an error, the message cannot be completed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.append_some(bytes)?)
    }

    /// Sends what is not enough for a chunk yet and would otherwise wait for more.
    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.put_buffer()?;
        }
        Ok(())
    }
}

/// Gives the message up, unless it is complete.
impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.message.duplex.link.is_forked() {
            // What has failed the peer knows of; and if there is no room now, nobody waits for it.
            let _ = self.message.begin_empty(Deadline::Now);
        }
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
