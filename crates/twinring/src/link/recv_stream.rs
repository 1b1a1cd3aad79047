//! Receiving a message while it is still arriving.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::view::{Hold, View};
use crate::error::{End, Error, Result};
use crate::frame::Frame;
use crate::os::event::Deadline;
use crate::segment::{Cause, Span};
use crate::transfer::{Event, ReceiveMode, Share, Timeout, release, too_long};

/// One message, received while it is still arriving: read it ([`std::io::Read`]), or take
/// [chunk after chunk](RecvStream::next_chunk) in place in the ring. Made by
/// [`Connection::recv_stream`](crate::Connection::recv_stream).
///
/// The stream ends where the message ends. If the peer gives the message up or goes, that is an error:
/// what has been read was not a whole message. If the stream is dropped before its end, or
/// [stopped](RecvStream::stop), its sender's next write fails.
///
/// Small messages may overtake a large one: those that arrive between its chunks are kept, up to 64 MiB,
/// and [`recv`](crate::Connection::recv) gives them meanwhile, and after the stream has failed: they count as taken.
/// Otherwise receivers of this connection wait until the stream is dropped, also after its end; one on the thread that
/// began it fails with [`ErrorKind::Held`](crate::ErrorKind::Held).
///
/// Who knows the end of its data otherwise (a decoder with a mark of its own) reads on until 0 all the same: dropped before that, the
/// stream stops its sender.
///
/// An error stays: no later call says that the message has ended. Read by [`std::io::Read`] it is an `io::Error`, of
/// which `downcast::<twinring::Error>()` gives this library's.
///
/// ```
/// use std::io::Read;
///
/// # let (host, guest) = twinring::testing::pair()?;
/// let sender = std::thread::spawn(move || host.send(&vec![7; 10_000_000]));
/// let mut stream = guest.recv_stream()?.unwrap();
/// let mut buffer = [0; 10_000];
/// let mut len = 0;
/// loop {
///     match stream.read(&mut buffer)? {
///         0 => break,
///         n => len += n,
///     }
/// }
/// assert_eq!(len, 10_000_000);
/// # sender.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RecvStream {
    /// As a handle of the program's.
    share: Arc<Share>,
    timeout: Timeout,
    piece: Option<Here>,
    rest: Remainder,
}

/// What comes after the present piece.
enum Remainder {
    More,
    Nothing,
    /// The message was given up.
    GivenUp(End),
    /// The message became longer than this side accepts.
    TooLong,
    /// This side has ended the connection, and the sender gets the rest back.
    TakenBack,
}

impl Remainder {
    fn after(last: bool) -> Remainder {
        if last {
            Remainder::Nothing
        } else {
            Remainder::More
        }
    }
}

/// A piece of the message that is being read.
enum Here {
    /// In memory of our own: it had arrived before anyone asked for a stream. Read up to `at`.
    Own {
        bytes: Vec<u8>,
        at: usize,
        hold: Option<Hold>,
    },
    /// In the ring; `rest` is what is left of the frame.
    InRing { frame: Frame, rest: Span },
}

impl RecvStream {
    pub(super) fn receive(share: &Arc<Share>, timeout: Timeout) -> Result<Option<RecvStream>> {
        let inbox = &share.owner.duplex.inbox;
        let deadline = timeout.deadline();
        inbox.lend(deadline).map_err(|e| inbox.link.named(e))?;
        let mut stream = RecvStream {
            share: share.clone(),
            timeout,
            piece: None,
            rest: Remainder::Nothing,
        };
        let begun = stream.begin(deadline).map_err(|e| inbox.link.named(e))?;
        Ok(begun.then_some(stream))
    }

    /// The next chunk in place in the ring, or `None` at the end of the message. If some of the present
    /// chunk was read, the rest of it.
    ///
    /// # Errors
    /// [`StreamEnded`](crate::ErrorKind::StreamEnded) if the peer gave the message up;
    /// [`Ended`](crate::ErrorKind::Ended) if the connection ended before the message did;
    /// [`TimedOut`](crate::ErrorKind::TimedOut), after which the stream can go on;
    /// [`Held`](crate::ErrorKind::Held) if so many messages have overtaken this one that some must be received
    /// first.
    pub fn next_chunk(&mut self) -> Result<Option<View>> {
        if !self.find()? {
            return Ok(None);
        }
        let duplex = &self.share.owner.duplex;
        Ok(self.piece.take().map(|piece| match piece {
            Here::Own {
                mut bytes,
                at,
                hold,
            } => {
                bytes.drain(..at);
                View::own(bytes, hold)
            }
            Here::InRing { frame, rest } => {
                let mut current = duplex.inbox.borrowed();
                let place = current.reader.keep(frame, &duplex.session.kept);
                release(current, &self.share.owner.duplex.session);
                View::in_ring(rest, Hold::new(duplex, place))
            }
        }))
    }

    /// Wants no more of this message: its sender's next write fails with
    /// [`End::Stopped`](crate::End::Stopped) and this reason. The connection goes on.
    ///
    /// ```
    /// # use twinring::*;
    /// use std::io::{Read, Write};
    ///
    /// # let (host, guest) = twinring::testing::pair()?;
    /// let sender = std::thread::spawn(move || {
    ///     let mut rows = host.send_stream()?;
    ///     loop {
    ///         rows.write_all(&[7; 100_000])?; // without end
    ///     }
    ///     # #[allow(unreachable_code)]
    ///     Ok::<(), std::io::Error>(())
    /// });
    /// let mut rows = guest.recv_stream()?.unwrap();
    /// rows.read_exact(&mut [0; 10])?;
    /// rows.stop(4, "ten bytes are enough");
    /// assert!(sender.join().unwrap().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(mut self, code: u32, reason: &str) {
        self.stop_here(&Cause::new(code, reason));
    }

    fn stop_here(&mut self, cause: &Cause) {
        if self.share.owner.duplex.link.is_forked() {
            return;
        }
        // It is not wanted any more.
        let _ = self.give_back();
        let mut current = self.share.owner.duplex.inbox.borrowed();
        current.stop_stream(cause);
        release(current, &self.share.owner.duplex.session);
    }

    /// Waits until a message begins; `false` if none will.
    fn begin(&mut self, deadline: Deadline) -> Result<bool> {
        let owner = self.share.owner.clone();
        let inbox = &owner.duplex.inbox;
        let mut current = inbox.borrowed();
        let (mut begun, mut steps) = (Vec::new(), 0);
        let found = loop {
            let mode = ReceiveMode::StreamBegins(&mut begun);
            match inbox.step(&mut current, mode, deadline, None, &mut steps) {
                Ok(event @ (Event::Copied | Event::Begun)) => {
                    self.rest = Remainder::after(matches!(event, Event::Copied));
                    let bytes = std::mem::take(&mut begun);
                    let place = current.take_hold();
                    let hold = place.map(|place| Hold::new(&owner.duplex, place));
                    self.piece = Some(Here::Own { bytes, at: 0, hold });
                    break Ok(true);
                }
                Ok(Event::InRing { last }) => {
                    self.piece = current.frame.take().map(|frame| {
                        let rest = current.reader.span(frame);
                        Here::InRing { frame, rest }
                    });
                    self.rest = Remainder::after(last);
                    break Ok(true);
                }
                Ok(Event::Aborted) => break Err(Error::stream_ended(current.why_given_up())),
                Ok(Event::TooLong) => break Err(too_long()),
                Ok(Event::Over) => break inbox.over(&current).map(|()| false),
                Ok(Event::Interrupted | Event::Again) => {}
                Err(e) => break Err(e),
            }
        };
        // Reading it may take long.
        current.wake_peer();
        release(current, &self.share.owner.duplex.session);
        found
    }

    /// Waits for a piece to read; `false` at the end of the message.
    fn find(&mut self) -> Result<bool> {
        if self.piece.is_some() {
            self.share.owner.duplex.link.check_forked()?;
            return Ok(true);
        }
        let found = self.find_next();
        found.map_err(|e| self.share.owner.duplex.link.named(e))
    }

    fn find_next(&mut self) -> Result<bool> {
        let owner = self.share.owner.clone();
        let inbox = &owner.duplex.inbox;
        inbox.link.check_forked()?;
        match &self.rest {
            Remainder::More => {}
            Remainder::Nothing => return Ok(false),
            Remainder::GivenUp(end) => return Err(Error::stream_ended(end.clone())),
            Remainder::TooLong => return Err(too_long()),
            Remainder::TakenBack => return Err(self.ended_here()),
        }
        let deadline = self.timeout.deadline();
        let mut current = inbox.borrowed();
        let mut steps = 0;
        let found = loop {
            let mode = ReceiveMode::StreamGoesOn;
            match inbox.step(&mut current, mode, deadline, None, &mut steps) {
                Ok(Event::InRing { last }) => {
                    self.piece = current.frame.take().map(|frame| {
                        let rest = current.reader.span(frame);
                        Here::InRing { frame, rest }
                    });
                    self.rest = Remainder::after(last);
                    break Ok(true);
                }
                Ok(Event::Aborted) => {
                    let end = current.why_given_up();
                    self.rest = Remainder::GivenUp(end.clone());
                    break Err(Error::stream_ended(end));
                }
                Ok(Event::TooLong) => {
                    self.rest = Remainder::TooLong;
                    break Err(too_long());
                }
                // A peer that finished within a message has not finished this one.
                Ok(Event::Over) => {
                    let end = current.over().cloned();
                    break Err(Error::ended(end.unwrap_or(crate::End::Crashed)));
                }
                Ok(Event::Copied | Event::Begun | Event::Interrupted | Event::Again) => {}
                Err(e) => break Err(e),
            }
        };
        current.wake_peer();
        release(current, &self.share.owner.duplex.session);
        found
    }

    fn ended_here(&self) -> Error {
        let duplex = &self.share.owner.duplex;
        let end = duplex.session.end().map(|ended| ended.receiving.clone());
        duplex.link.named(Error::ended(end.unwrap_or(End::Crashed)))
    }

    /// Returns the room of the piece, which has been read. `false` if its sender gets it back: this side has ended the
    /// connection meanwhile.
    fn give_back(&mut self) -> bool {
        let piece = self.piece.take();
        if let None | Some(Here::Own { hold: None, .. }) = piece {
            return true;
        }
        let mut current = self.share.owner.duplex.inbox.borrowed();
        let taken = match piece {
            Some(Here::InRing { frame, .. }) => current.give_back_unless_sealed(frame),
            held => {
                let may = current.may_release();
                drop(held);
                may
            }
        };
        release(current, &self.share.owner.duplex.session);
        taken
    }
}

impl io::Read for RecvStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.find()? {
                return Ok(0);
            }
            let (len, done) = match &mut self.piece {
                Some(Here::Own { bytes, at, .. }) => {
                    let len = to.len().min(bytes.len() - *at);
                    to[..len].copy_from_slice(&bytes[*at..][..len]);
                    *at += len;
                    (len, *at == bytes.len())
                }
                Some(Here::InRing { rest, .. }) => {
                    let len = to.len().min(rest.len());
                    let ring = self.share.owner.duplex.session.incoming_ring();
                    rest.read(ring, 0, &mut to[..len]);
                    rest.skip(len);
                    (len, rest.len() == 0)
                }
                None => (0, false),
            };
            if done && !self.give_back() {
                self.rest = Remainder::TakenBack;
                return Err(self.ended_here().into());
            }
            // A chunk may be empty, but 0 would look like the end of the message.
            if len > 0 {
                return Ok(len);
            }
        }
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream").finish_non_exhaustive()
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if self.share.owner.duplex.link.is_forked() {
            // Nothing of the parent's may be touched.
            return;
        }
        self.stop_here(&Cause::default());
        self.share.owner.duplex.inbox.give_back();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Write;
    use std::thread;
    use std::time::Duration;

    use crate::error::End;
    use crate::link::Link;

    /// A side that stops looks at the ring for the last time. What the peer says later is not true of what that look
    /// found, here a part of a message.
    #[test]
    fn a_finish_after_the_last_look() {
        for ends in [false, true] {
            let (host, guest) = Link::pair().unwrap();
            let mut rows = host.send_stream().unwrap();
            rows.write_all(&[7; 900_000]).unwrap();
            guest.stop(3, "enough");
            let inbox = &guest.share.owner.duplex.inbox;
            inbox.borrowed().seal().unwrap();
            drop(rows);
            host.finish().unwrap();
            if ends {
                drop(host);
                while guest.end().is_none() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            let e = guest.recv().unwrap_err();
            let stopped = matches!(e.end(), Some(End::Stopped { code: 3, .. }));
            assert!(stopped, "{e}");
        }
    }
}
