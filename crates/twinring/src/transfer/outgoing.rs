//! The outgoing side of one connection: puts one frame at a time into its ring, and waits for room.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link_state::LinkState;
use super::net;
use super::pacer::{Pacer, chunk_within};
use super::session::{Session, Woken};
use super::spinner::Spinner;
use super::taken::Taken;
use super::under_way::UnderWay;
use super::wait::{Condition, Failure, HasRoom, sleep, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Claim, Part, Payload, Untaken, Writer, encode_handles, handles_len};
use crate::os::event::Deadline;
use crate::os::handles::{Handle, HandleChannel, MAX_HANDLES};
use crate::os::system_error;
use crate::ring::{Fault, Producer, Wake};
use crate::segment::{CauseOf, Span};

/// How long a send within a callback waits before that is reported.
const STUCK: Duration = Duration::from_secs(1);

/// The outgoing ring of a connection; used with the lane locked.
#[derive(Debug)]
pub(crate) struct Outgoing {
    link: Arc<LinkState>,
    pub(crate) session: Arc<Session>,
    pub(crate) writer: Writer,
    /// Messages and bytes of payload that were published.
    messages: u64,
    bytes: u64,
    /// How many large messages have begun.
    pub(crate) begun: u64,
    pub(crate) handles: UnderWay,
    spinner: Spinner,
    pacer: Pacer,
    /// What the peer has not taken has been given back to the program.
    unread_taken: bool,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToSend {
    /// A message of this length in bytes.
    Message(usize),
    /// The same, and with it so many handles.
    WithHandles(usize, usize),
    /// Nothing: until all has been taken.
    Nothing,
}

/// Room in the ring for one message that is filled in place.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) claim: Claim,
    pub(crate) span: Span,
}

impl Outgoing {
    pub(crate) fn new(link: Arc<LinkState>, session: Arc<Session>, ring: Producer) -> Outgoing {
        Outgoing {
            session,
            writer: Writer::new(ring),
            messages: 0,
            bytes: 0,
            begun: 0,
            handles: UnderWay::default(),
            spinner: Spinner::new(link.options.wait),
            link,
            pacer: Pacer::new(),
            unread_taken: false,
        }
    }

    /// Writes and publishes one frame with these bytes of the payload, waiting for room until the
    /// deadline. Afterwards call [`Outgoing::wake_peer`], or unlock the lane as `send` does. Whether the
    /// connection has ended is asked by who takes the lane, and here after each wait.
    #[inline(always)]
    pub(crate) fn put<P: Payload + ?Sized>(
        &mut self,
        part: Part,
        payload: &P,
        range: Range<usize>,
        deadline: Deadline,
    ) -> Result<()> {
        if self.writer.is_stopped() {
            return Err(self.why_over());
        }
        loop {
            let written = self.writer.append(part, payload, range.clone());
            if self.checked(written)? {
                self.count(part, range.len());
                self.writer.publish();
                return Ok(());
            }
            let stream = match part {
                Part::Middle | Part::Last => self.begun,
                Part::Whole | Part::WithHandles | Part::First | Part::Abort => 0,
            };
            self.wait_for_room(self.writer.need(range.len()), stream, deadline)?;
            self.check()?;
        }
    }

    /// Counts a frame that is about to be published.
    #[inline(always)]
    pub(crate) fn count(&mut self, part: Part, len: usize) {
        match part {
            Part::Whole | Part::WithHandles | Part::Last => self.messages += 1,
            Part::First => self.begun += 1,
            Part::Middle => {}
            Part::Abort => return,
        }
        self.bytes += len as u64;
    }

    /// Counts whole messages, and their bytes, that are about to be published.
    pub(crate) fn count_whole(&mut self, messages: usize, bytes: usize) {
        self.messages += messages as u64;
        self.bytes += bytes as u64;
    }

    /// Puts a message with handles into the ring, in one frame; otherwise as [`Outgoing::put`]. They are gone from the list if
    /// this succeeds. If too many are under way, returns how far the peer has to read first.
    pub(crate) fn put_with_handles(
        &mut self,
        channel: &HandleChannel,
        message: &[u8],
        handles: &mut Vec<Handle>,
        deadline: Deadline,
    ) -> Result<Option<u64>> {
        let before = handles_len(handles.len());
        let most = self.writer.max_payload().saturating_sub(before);
        if message.len() > most {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the message has {} bytes; beside {} handles {most} fit in a frame: send the rest by itself",
                    message.len(),
                    handles.len(),
                ),
            ));
        }
        let len = before + message.len();
        loop {
            self.check()?;
            self.let_go_of_handles()?;
            if let Some(position) = self.handles.awaits(handles.len()) {
                return Ok(Some(position));
            }
            let claim = self.writer.claim(len);
            let Some(claim) = self.checked(claim)? else {
                self.wait_for_room(self.writer.need(len), 0, deadline)?;
                continue;
            };
            let entries = match channel.offer(handles) {
                Ok(entries) => encode_handles(&entries),
                Err(e) => return Err(self.not_offered(e, deadline)),
            };
            // From here on nothing fails: the message follows its handles.
            let payload: &[IoSlice<'_>] = &[IoSlice::new(&entries), IoSlice::new(message)];
            self.writer.fill(&claim, Part::WithHandles, payload, 0..len);
            self.count(Part::Whole, message.len());
            self.handles.add(self.writer.position(), handles);
            self.session.set_keeps_handles(HandleChannel::KEEPS);
            self.writer.publish();
            return Ok(None);
        }
    }

    /// The room that there is once a message of this length with so many handles may go; `None` if it never may, or something is
    /// wrong.
    fn need_with_handles(&mut self, len: usize, handles: usize) -> Option<u64> {
        // More than any peer takes.
        if handles > MAX_HANDLES as usize {
            return None;
        }
        self.let_go_of_handles().ok()?;
        if let Some(position) = self.handles.awaits(handles) {
            return Some(self.writer.need_read(position));
        }
        let len = handles_len(handles).checked_add(len)?;
        (len <= self.writer.max_payload()).then(|| self.writer.need(len))
    }

    #[cold]
    fn not_offered(&self, e: io::Error, deadline: Deadline) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, WouldBlock};
        match e.kind() {
            // Not by what is under way here: by a socket that is short of memory.
            WouldBlock => not_in_time(deadline),
            // The peer has gone, or has closed its end; the driver is about to know.
            BrokenPipe | ConnectionRefused | ConnectionReset => Error::new(
                ErrorKind::NotConnected,
                "the peer has closed its way for handles",
            )
            .with_source(e),
            _ => system_error("cannot send handles; they are still here", e),
        }
    }

    /// Forgets those that the peer has taken.
    pub(crate) fn let_go_of_handles(&mut self) -> Result<()> {
        if self.handles.is_empty() {
            return Ok(());
        }
        let backlog = self.writer.backlog();
        let backlog = self.checked(backlog)?;
        self.handles.taken(self.writer.position() - backlog);
        Ok(())
    }

    /// # Errors
    /// If the connection has ended, or the peer wants no more.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.session.end().is_some() || self.writer.is_stopped() {
            return Err(self.why_over());
        }
        Ok(())
    }

    #[cold]
    fn why_over(&self) -> Error {
        match self.session.end() {
            Some(ended) => Error::ended(ended.sending.clone()),
            None => self.session.why_no_more(),
        }
    }

    /// How much the peer has taken, and what it has not.
    pub(crate) fn taken(&mut self) -> Result<Taken> {
        let waiting = self.writer.waiting();
        let waiting = self.checked(waiting)?;
        // The peer may have changed the frames that were counted.
        Ok(Taken {
            messages: self.messages.saturating_sub(waiting.messages),
            bytes: self.bytes.saturating_sub(waiting.bytes),
            waiting: waiting.messages,
        })
    }

    /// Wakes the peer if it sleeps although something was published. With the lane locked: a second sender
    /// must not pass between the look at the peer's flag and the doorbell.
    #[inline]
    pub(crate) fn wake_peer(&self) {
        if net::loses_a_wake() {
            return;
        }
        if self.writer.wake() == Wake::Needed {
            self.session.wake_for_data();
        }
    }

    /// Finds room for a message of at most `most` bytes to be filled in place. Nothing else may be written
    /// before it is committed or given up.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, most: usize, deadline: Deadline) -> Result<Reserved> {
        loop {
            self.check()?;
            let claim = self.writer.claim(most);
            if let Some(claim) = self.checked(claim)? {
                return Ok(Reserved {
                    span: self.writer.span(&claim),
                    claim,
                });
            }
            self.wait_for_room(self.writer.need(most), 0, deadline)?;
        }
    }

    /// Whether this would not wait for room, or there is something wrong. If not, the wait has been announced. It stays so,
    /// also if it was announced by another task, which may need more room.
    pub(crate) fn is_ready(&mut self, what: ToSend) -> bool {
        if self.session.is_mute() || self.session.end().is_some() || self.writer.is_stopped() {
            return true;
        }
        let need = match what {
            // It goes as a whole or not at all, and never if that does not fit.
            ToSend::Message(len) if len > self.writer.max_payload() => {
                match self.writer.could_hold(len) {
                    true => self.writer.need_for(len),
                    false => return true,
                }
            }
            ToSend::Message(len) => self.writer.need(len),
            ToSend::WithHandles(len, handles) => match self.need_with_handles(len, handles) {
                Some(need) => need,
                None => return true,
            },
            ToSend::Nothing => self.writer.need_read(self.writer.position()),
        };
        let mut room = HasRoom {
            writer: &mut self.writer,
            need,
            stream: 0,
        };
        room.is_met() != Ok(false) || room.announce() != Ok(false)
    }

    /// Publishes the first `len` bytes of what was reserved. Afterwards call
    /// [`Outgoing::wake_peer`], or unlock the lane as `send` does.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claim: &Claim, len: usize) {
        self.count(Part::Whole, len);
        self.writer.commit(claim, len);
    }

    /// Tells the peer that a large message has been given up. There is always room for this.
    pub(crate) fn abort(&mut self) -> Result<()> {
        let aborted = self.writer.abort();
        self.checked(aborted)?;
        self.wake_peer();
        Ok(())
    }

    /// Tells the peer that nothing more comes: one of the `SENDING` values.
    pub(crate) fn end(&mut self, how: u32) {
        self.session.out().words().end_sending(how);
        self.wake_peer();
    }

    /// What the peer has not taken and will not take; a second time, nothing.
    pub(crate) fn take_unread(&mut self) -> Result<Untaken> {
        let unread = match self.unread_taken {
            true => Ok(Untaken::none(self.session.out())),
            false => self.writer.unread(),
        };
        self.unread_taken = true;
        self.checked(unread)
    }

    /// How much of a large message with `left` bytes left goes next: as much as fits in a frame or, if
    /// others send, as much as lets them pass soon. In that case also how far the peer must have read
    /// first, if it has not.
    pub(crate) fn next_chunk(&mut self, begins: bool, left: usize) -> Result<(usize, Option<u64>)> {
        let most = self.writer.max_payload().min(left);
        let position = self.writer.position();
        if begins {
            // What others have sent until now has delayed nobody.
            self.note_chunk();
        }
        if !self.pacer.holds(position) {
            return Ok((most, None));
        }
        let backlog = self.writer.backlog();
        let backlog = self.checked(backlog)?;
        let window = self.pacer.look(Instant::now(), position - backlog, backlog);
        let len = most.min(chunk_within(window));
        let beside = window.saturating_sub(len as u64);
        Ok((len, (backlog > beside).then(|| position - beside)))
    }

    /// A chunk of a large message has been written.
    pub(crate) fn note_chunk(&mut self) {
        self.pacer.wrote(self.writer.position());
    }

    /// The lane's spinner, for spinning without the lane; returned with [`Outgoing::sleep_until_read`].
    pub(crate) fn spinner(&self) -> Spinner {
        self.spinner
    }

    /// Sleeps until the peer has read up to this position, or at least something, or wants no more of the
    /// large message of this number, unless that is 0.
    pub(crate) fn sleep_until_read(
        &mut self,
        position: u64,
        stream: u64,
        spinner: Spinner,
        deadline: Deadline,
    ) -> Result<Spinner> {
        self.spinner = spinner;
        let room = HasRoom {
            need: self.writer.need_read(position),
            writer: &mut self.writer,
            stream,
        };
        let slept = sleep(room, &self.session, &mut self.spinner, None, deadline);
        slept.map_err(|failure| self.failed(failure))?;
        Ok(self.spinner)
    }

    #[cold]
    fn wait_for_room(&mut self, need: u64, stream: u64, deadline: Deadline) -> Result<()> {
        if !self.link.callback_thread.is_this_thread() {
            return self.wait_until(need, stream, deadline);
        }
        // The peer's messages wait for this thread.
        let start = Instant::now();
        let first = Deadline::first([deadline, Deadline::after(STUCK)]);
        let waited = self.wait_until(need, stream, first);
        if start.elapsed() < STUCK || first == deadline {
            return waited;
        }
        self.link.report_stuck();
        // The caller looks again.
        self.check()
    }

    fn wait_until(&mut self, need: u64, stream: u64, deadline: Deadline) -> Result<()> {
        let room = HasRoom {
            writer: &mut self.writer,
            need,
            stream,
        };
        match wait(room, &self.session, &mut self.spinner, None, deadline) {
            Ok(Woken::TimedOut) => Err(not_in_time(deadline)),
            Ok(_) => self.check_stream(stream),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// # Errors
    /// If the peer wants no more of the large message of this number, unless that is 0.
    pub(crate) fn check_stream(&self, number: u64) -> Result<()> {
        match self.session.is_stream_stopped(number) {
            true => Err(Error::stream_ended(
                self.session.why_stopped(CauseOf::StopStream),
            )),
            false => Ok(()),
        }
    }

    fn failed(&self, failure: Failure) -> Error {
        match failure {
            Failure::Call(e) => e,
            Failure::Peer(fault) => self.session.fail(fault),
        }
    }

    /// Reports a violation by the peer to the driver.
    #[inline]
    pub(crate) fn checked<T>(&self, result: Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| self.session.fail(fault))
    }
}

/// Checks that a message of this length may be sent on this connection, and returns the length.
#[inline]
pub(crate) fn checked_len(session: &Session, len: Option<usize>) -> Result<usize> {
    let most = session.peer_max_message;
    match len {
        Some(len) if len as u64 <= most => Ok(len),
        _ => Err(too_large(len, most)),
    }
}

fn too_large(len: Option<usize>, most: u64) -> Error {
    let len = len.map_or("more bytes than there is memory".to_owned(), |len| {
        format!("{len} bytes")
    });
    Error::new(
        ErrorKind::TooLarge,
        format!("the message has {len}, the peer takes at most {most}; raise its max_message"),
    )
}

#[cold]
pub(crate) fn not_in_time(deadline: Deadline) -> Error {
    match deadline {
        Deadline::Now => {
            Error::timed_out(&"there is no room now, or another thread is sending", true)
        }
        _ => Error::timed_out(
            &"the peer did not make room in time; this was not sent",
            false,
        ),
    }
}
