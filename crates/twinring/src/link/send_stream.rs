//! Sending a message whose bytes come little by little, and of which nobody need know the length.

use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::Link;
use super::connection::Connection;
use super::core::Core;
use super::outgoing::admit;
use super::send::Chunk;
use crate::error::{Error, ErrorKind, Result};
use crate::os::event::Deadline;
use crate::sync::TurnGuard;

/// One message, sent while it is being made: what is written goes out in chunks, and the message is
/// complete with [`finish`](SendStream::finish). Made by [`Link::send_stream`].
///
/// Dropped without it, the message is given up and the peer told so: its `recv` gets
/// [`Aborted`](crate::ErrorKind::Aborted). A message may be endless; it needs no more memory than one chunk
/// here, nor there, if it is [received as a stream](Link::recv_stream).
///
/// Other threads' small messages pass between the chunks. Their large ones wait until this is
/// finished; one of the same thread is an [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
///
/// ```
/// # use std::time::Duration;
/// # use twinring::*;
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// # let name = format!("send-stream-type-example-{}", std::process::id());
/// # let host = Link::host(&name).open()?;
/// # let guest = Link::guest(&name).open()?;
/// # host.wait_connected(Duration::from_secs(5))?;
/// # guest.wait_connected(Duration::from_secs(5))?;
/// let mut rows = host.send_stream()?;
/// for row in 0..3 {
///     writeln!(rows, "row {row}")?;
/// }
/// rows.finish()?;
/// assert_eq!(guest.recv()?, b"row 0\nrow 1\nrow 2\n");
/// # Ok(()) }
/// ```
#[must_use = "the message is given up without `finish`"]
pub struct SendStream<'a> {
    core: &'a Core,
    connection: Arc<Connection>,
    timeout: Option<Duration>,
    /// What is not enough for a chunk yet.
    buffer: Vec<u8>,
    /// Length of a chunk in bytes.
    chunk: usize,
    /// Bytes that are in the ring, in chunks that the peer has to put together.
    sent: u64,
    finished: bool,
    /// Some of what was written has not been sent: the message cannot be completed.
    failed: Option<ErrorKind>,
    /// Held to the end, so that there is one large message at a time.
    _large: TurnGuard<'a, ()>,
    /// Stays with the thread that is known to hold it.
    _here: PhantomData<*const ()>,
}

impl Link {
    /// Begins a message that is sent while it is being made. Waits while another large message is
    /// being sent.
    ///
    /// # Errors
    /// As [`send`](Link::send); [`Deadlock`](crate::ErrorKind::Deadlock) if this thread is sending a stream
    /// on this link already.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let name = format!("send-stream-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let mut stream = host.send_stream()?;
    /// stream.write_all(&[7; 100_000])?;
    /// drop(stream); // given up
    /// assert_eq!(guest.recv().unwrap_err().kind(), ErrorKind::Aborted);
    /// # Ok(()) }
    /// ```
    pub fn send_stream(&self) -> Result<SendStream<'_>> {
        self.core
            .send_stream(Deadline::Never)
            .map_err(|e| self.core.named(e))
    }

    /// Sends all that `reader` gives as one message, and returns its length. If reading fails, the
    /// message is given up.
    ///
    /// # Errors
    /// As [`send`](Link::send); [`Os`](crate::ErrorKind::Os) or another kind, with the error as source, if
    /// reading fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use twinring::*;
    /// # fn main() -> Result<()> {
    /// # let name = format!("send-from-example-{}", std::process::id());
    /// # let host = Link::host(&name).open()?;
    /// # let guest = Link::guest(&name).open()?;
    /// # host.wait_connected(Duration::from_secs(5))?;
    /// # guest.wait_connected(Duration::from_secs(5))?;
    /// let mut file = std::io::Cursor::new(vec![7; 100_000]); // or a file, or a socket
    /// assert_eq!(host.send_from(&mut file)?, 100_000);
    /// assert_eq!(guest.recv()?.len(), 100_000);
    /// # Ok(()) }
    /// ```
    pub fn send_from(&self, reader: &mut (impl Read + ?Sized)) -> Result<u64> {
        self.core.send_from(reader).map_err(|e| self.core.named(e))
    }
}

impl Core {
    fn send_stream(&self, deadline: Deadline) -> Result<SendStream<'_>> {
        self.check_forked()?;
        let large = self.take_large(deadline)?;
        let lane = self.take_lane(deadline)?;
        let outgoing = lane.as_ref().ok_or_else(|| self.not_connected())?;
        if let Some(end) = outgoing.connection.end() {
            return Err(end.error());
        }
        let (connection, chunk) = (outgoing.connection.clone(), outgoing.writer.max_payload());
        drop(lane);
        self.outbox.large_holder.hold();
        Ok(SendStream {
            core: self,
            connection,
            timeout: None,
            buffer: Vec::new(),
            chunk,
            sent: 0,
            finished: false,
            failed: None,
            _large: large,
            _here: PhantomData,
        })
    }

    fn send_from(&self, reader: &mut (impl Read + ?Sized)) -> Result<u64> {
        let mut stream = self.send_stream(Deadline::Never)?;
        let mut buffer = vec![0; stream.chunk];
        loop {
            let mut len = 0;
            while len < buffer.len() {
                match reader.read(&mut buffer[len..]) {
                    Ok(0) => {
                        stream.append(&buffer[..len])?;
                        let all = stream.len();
                        return stream.finish().map(|()| all);
                    }
                    // A reader that lies about its length is its own fault, but must not be ours.
                    Ok(n) => len = (len + n).min(buffer.len()),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(Error::from_io("cannot read what is to be sent", e)),
                }
            }
            stream.append(&buffer)?;
        }
    }
}

impl SendStream<'_> {
    /// How long each wait for room may take at most; `None`, as it is at first: as long as it takes.
    /// A stream that was late cannot go on.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Bytes written so far.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks that of a stream")]
    pub fn len(&self) -> u64 {
        self.sent + self.buffer.len() as u64
    }

    /// Completes the message: committed when this returns `Ok`.
    ///
    /// # Errors
    /// As [`send`](Link::send); then the message is given up.
    pub fn finish(mut self) -> Result<()> {
        let rest = mem::take(&mut self.buffer);
        self.put(&rest, true)?;
        self.finished = true;
        Ok(())
    }

    /// Writes all of `bytes`, in chunks as long as they can be.
    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let len = self.append_some(bytes)?;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    fn append_some(&mut self, bytes: &[u8]) -> Result<usize> {
        self.core.check_forked()?;
        if self.buffer.is_empty() && bytes.len() >= self.chunk {
            let chunk = self.chunk;
            self.put(&bytes[..chunk], false)?;
            return Ok(chunk);
        }
        let len = bytes.len().min(self.chunk - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..len]);
        if self.buffer.len() == self.chunk {
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

    /// Sends these bytes, at most those of one frame; `ends`: the message ends with them.
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
        let (core, connection) = (self.core, &self.connection);
        let len = self.sent.saturating_add(bytes.len() as u64);
        let put = core.sending(|| {
            if let Some(kind) = self.failed {
                return Err(failed_before(kind));
            }
            admit(connection, Some(usize::try_from(len).unwrap_or(usize::MAX)))?;
            let chunk = Chunk {
                begins: self.sent == 0,
                ends,
                range: 0..bytes.len(),
            };
            core.put_chunk(connection, bytes, chunk, deadline)
        });
        match &put {
            Ok(len) => self.sent += *len as u64,
            Err(e) => self.failed = Some(e.kind()),
        }
        put
    }
}

fn failed_before(kind: ErrorKind) -> Error {
    Error::new(
        kind,
        "an earlier error, which has been told, has ended this stream; begin another one",
    )
}

impl io::Write for SendStream<'_> {
    /// Writes some of `bytes`; once an error was returned, the message cannot be completed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.append_some(bytes)?)
    }

    /// Sends what is not enough for a chunk yet. Without it, that waits for more.
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

impl Drop for SendStream<'_> {
    fn drop(&mut self) {
        if self.core.is_forked() {
            // Nothing of the parent's may be touched, nor given back.
            mem::forget(self.connection.clone());
            return;
        }
        self.core.outbox.large_holder.let_go();
        if self.sent > 0 && !self.finished {
            self.core.abort(&self.connection);
            self.core.flush_due_abort();
        }
    }
}
