//! Sending a message piece by piece, without knowing its length beforehand.

use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::mem;
use std::time::Duration;

use super::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::Deadline;
use crate::os::system_error;
use crate::transfer::{LargeMessage, Outbox, admit};

/// One message, sent while it is being produced: what is written goes out in chunks, and
/// [`finish`](SendStream::finish) completes the message. Made by [`Link::send_stream`].
///
/// Dropped without `finish`, the message is given up and the peer told so: its `recv` fails with
/// [`Aborted`](crate::ErrorKind::Aborted). A message may be endless. It needs the memory of one chunk
/// here, and no more at the peer if it is [received as a stream](Link::recv_stream).
///
/// Other threads' small messages may go between the chunks. Their large ones wait until this one is
/// finished; a large one on the same thread fails with
/// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
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
/// assert_eq!(guest.recv()?, b"row 0\nrow 1\nrow 2\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the message is given up without `finish`"]
pub struct SendStream<'a> {
    message: LargeMessage<'a>,
    timeout: Option<Duration>,
    /// Written, but not enough for a chunk yet.
    buffer: Vec<u8>,
    /// Some of what was written has not been sent: the message cannot be completed.
    failed: Option<ErrorKind>,
    /// Not `Send`: the thread that holds it is known.
    _here: PhantomData<*const ()>,
}

impl Link {
    /// Begins a message that is sent while it is being produced. Waits while another large message is
    /// being sent.
    ///
    /// # Errors
    /// As [`send`](Link::send); [`Deadlock`](crate::ErrorKind::Deadlock) if this thread is already sending a
    /// stream on this link.
    ///
    /// ```
    /// # use twinring::*;
    /// use std::io::Write;
    ///
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut stream = host.send_stream()?;
    /// stream.write_all(&[7; 100_000])?;
    /// drop(stream); // given up
    /// assert_eq!(guest.recv().unwrap_err().kind(), ErrorKind::Aborted);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_stream(&self) -> Result<SendStream<'_>> {
        send_stream(&self.core.outbox).map_err(|e| self.core.link.named(e))
    }

    /// Sends everything that `reader` yields as one message and returns its length. If reading fails, the
    /// message is given up.
    ///
    /// # Errors
    /// As [`send`](Link::send); if reading fails, [`Os`](crate::ErrorKind::Os) or another kind, with the
    /// reader's error as source.
    ///
    /// ```
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let mut file = std::io::Cursor::new(vec![7; 100_000]); // or a file, or a socket
    /// assert_eq!(host.send_from(&mut file)?, 100_000);
    /// assert_eq!(guest.recv()?.len(), 100_000);
    /// # Ok::<(), twinring::Error>(())
    /// ```
    pub fn send_from(&self, reader: &mut (impl Read + ?Sized)) -> Result<u64> {
        send_from(&self.core.outbox, reader).map_err(|e| self.core.link.named(e))
    }
}

fn send_stream(outbox: &Outbox) -> Result<SendStream<'_>> {
    outbox.link.check_forked()?;
    Ok(SendStream {
        message: LargeMessage::begin(outbox, Deadline::Never)?,
        timeout: None,
        buffer: Vec::new(),
        failed: None,
        _here: PhantomData,
    })
}

fn send_from(outbox: &Outbox, reader: &mut (impl Read + ?Sized)) -> Result<u64> {
    let mut stream = send_stream(outbox)?;
    let mut buffer = vec![0; stream.message.max_chunk];
    loop {
        let mut len = 0;
        while len < buffer.len() {
            match reader.read(&mut buffer[len..]) {
                Ok(0) => {
                    stream.append(&buffer[..len])?;
                    let all = stream.len();
                    return stream.finish().map(|()| all);
                }
                // A reader may return a wrong length; that must not make us read beyond the buffer.
                Ok(n) => len = (len + n).min(buffer.len()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(system_error("cannot read what is to be sent", e)),
            }
        }
        stream.append(&buffer)?;
    }
}

impl SendStream<'_> {
    /// How long each wait for room may take at most. `None`, the default: as long as it takes.
    /// A stream that timed out cannot go on.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Bytes written so far.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks that of a stream")]
    pub fn len(&self) -> u64 {
        self.message.sent + self.buffer.len() as u64
    }

    /// Completes the message: committed when this returns `Ok`.
    ///
    /// # Errors
    /// As [`send`](Link::send); then the message is given up.
    pub fn finish(mut self) -> Result<()> {
        let rest = mem::take(&mut self.buffer);
        self.put(&rest, true)
    }

    /// Writes all of `bytes`, in chunks that are as long as possible.
    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let len = self.append_some(bytes)?;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn append_some(&mut self, bytes: &[u8]) -> Result<usize> {
        let chunk = self.message.max_chunk;
        self.message.outbox.link.check_forked()?;
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
        let deadline = self.timeout.map_or(Deadline::Never, Deadline::after);
        let message = &mut self.message;
        let put = message.outbox.sending(|| {
            if let Some(kind) = self.failed {
                return Err(failed_before(kind));
            }
            let len = message.sent.saturating_add(bytes.len() as u64);
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            admit(&message.connection, Some(len))?;
            message.put(bytes, 0..bytes.len(), ends, deadline)
        });
        if let Err(e) = &put {
            self.failed = Some(e.kind());
        }
        put
    }
}

fn failed_before(kind: ErrorKind) -> Error {
    Error::new(
        kind,
        "this stream has failed before and cannot go on; begin another one",
    )
}

impl io::Write for SendStream<'_> {
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

impl fmt::Debug for SendStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
