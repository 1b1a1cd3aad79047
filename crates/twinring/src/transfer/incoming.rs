//! The incoming side of one connection: takes one frame at a time out of its ring, and waits for it.

use std::ops::Range;
use std::sync::Arc;

use super::net;
use super::options::Wait;
use super::overtaken::{Overtaken, RingPlace};
use super::session::{Session, Woken, fault_end};
use super::spinner::Spinner;
use super::wait::{Condition, Failure, HasFrame, wait};
use crate::error::{By, End, Error, ErrorKind, Result};
use crate::frame::{Frame, Next, Piece, Reader};
use crate::os::event::{Deadline, LocalEvent};
use crate::os::handles::{Handle, NotTaken};
use crate::os::system_error;
use crate::ring::{Fault, Wake};
use crate::segment::layout::{SENDING_ABANDONED, SENDING_FINISHED, SENDING_OPEN};
use crate::segment::{Cause, CauseOf};

/// Who has finished has sent everything, and half a message is not that.
const TORN: Fault = Fault::Peer("it finished within a message");

/// The incoming ring of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) session: Arc<Session>,
    pub(crate) reader: Reader,
    spinner: Spinner,
    /// Received before the rest of the ring.
    pub(crate) overtaken: Overtaken,
    /// A stream or a batch is being received: the ring is read by its owner alone.
    pub(crate) lent: bool,
    /// What the last event left in the ring, to be given back: the frame of the message that the callback
    /// has, or of what is received in place.
    pub(crate) frame: Option<Frame>,
    /// What the message that was received last came with.
    pub(crate) handles: Vec<Handle>,
    /// The peer broke the protocol: nothing more is read.
    broken: bool,
    /// Its `sending` word before the last look at the ring, once there has been one.
    before_seal: Option<u32>,
    /// What was received last had been received before: where it was in the ring.
    pub(crate) before: Option<RingPlace>,
    /// Everything has been read; this is how the direction ended.
    over: Option<End>,
}

/// How a message is received.
pub(crate) enum ReceiveMode<'a> {
    /// Into this buffer.
    Copied(&'a mut Vec<u8>),
    /// In the ring, if it is there in one piece; into the buffer otherwise.
    InPlace(&'a mut Vec<u8>),
    /// Into this buffer, and the handles that came with it into [`Incoming::handles`]. In all other modes but
    /// `Told` they are closed.
    WithHandles(&'a mut Vec<u8>),
    /// Into this buffer; the last frame stays in the ring.
    Pending(&'a mut Vec<u8>),
    /// The same, with handles: for a callback.
    Told(&'a mut Vec<u8>),
    /// As a stream that is to begin: piece by piece in the ring, except for what has been read already.
    StreamBegins(&'a mut Vec<u8>),
    /// As the stream that has begun. Whole messages between its chunks are kept for later.
    StreamGoesOn,
}

impl ReceiveMode<'_> {
    #[inline]
    pub(crate) fn again(&mut self) -> ReceiveMode<'_> {
        match self {
            ReceiveMode::Copied(message) => ReceiveMode::Copied(message),
            ReceiveMode::InPlace(message) => ReceiveMode::InPlace(message),
            ReceiveMode::WithHandles(message) => ReceiveMode::WithHandles(message),
            ReceiveMode::Pending(message) => ReceiveMode::Pending(message),
            ReceiveMode::Told(message) => ReceiveMode::Told(message),
            ReceiveMode::StreamBegins(begun) => ReceiveMode::StreamBegins(begun),
            ReceiveMode::StreamGoesOn => ReceiveMode::StreamGoesOn,
        }
    }
}

/// What happens to the handles that a message came with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakeHandles {
    /// They are closed.
    No,
    /// They are taken, if the peer has not let go of them.
    IfThere,
    OrFail,
}

/// What a receiver's step came to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// A message is in the buffer. If it is to be pending, [`Incoming::frame`] is its last frame, unless that is
    /// no longer in the ring.
    Copied,
    /// A message, or the next piece of one, is in the ring: the content of [`Incoming::frame`]. `last`: the
    /// message ends with it.
    InRing {
        last: bool,
    },
    /// The buffer has what has arrived of a message that goes on as a stream.
    Begun,
    /// The peer gave up a large message; [`Incoming::why_given_up`] says why.
    Aborted,
    /// A large message has become longer than this side accepts, and was stopped.
    TooLong,
    /// Everything has been read; [`Incoming::over`] says how the direction ended.
    Over,
    Interrupted,
    /// Nothing to report; the next step may have something.
    Again,
}

impl Incoming {
    pub(crate) fn new(session: Arc<Session>, reader: Reader, wait: Wait) -> Incoming {
        Incoming {
            session,
            reader,
            spinner: Spinner::new(wait),
            overtaken: Overtaken::default(),
            lent: false,
            frame: None,
            handles: Vec::new(),
            broken: false,
            before_seal: None,
            before: None,
            over: None,
        }
    }

    /// Takes what comes next, waiting for it until the deadline. Afterwards call
    /// [`Incoming::wake_peer`], or give the inbox back as `recv` does.
    #[inline(always)]
    pub(crate) fn step(
        &mut self,
        mode: ReceiveMode<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event, Failure> {
        let mode = match self.already_here(mode) {
            Ok(event) => return Ok(event),
            Err(mode) => mode,
        };
        // Before the look at the ring: if the connection had ended by now and the ring is empty
        // after that, everything has been read.
        if self.session.end().is_some() || self.broken {
            return self.step_to_the_end(mode, deadline, interrupt);
        }
        match self.reader.peek()? {
            Some(frame) => self.take(frame, mode),
            None if self.session.returned.any() => {
                self.take_returned();
                Ok(Event::Again)
            }
            None if self.session.stopping().is_some() || self.reader.is_last() => {
                self.step_at_the_last(mode)
            }
            None => self.wait_for_data(deadline, interrupt),
        }
    }

    /// What has been taken out of the ring before.
    #[inline(always)]
    fn already_here<'a>(&mut self, mode: ReceiveMode<'a>) -> Result<Event, ReceiveMode<'a>> {
        match mode {
            ReceiveMode::StreamGoesOn => Err(mode),
            ReceiveMode::Copied(message)
            | ReceiveMode::InPlace(message)
            | ReceiveMode::WithHandles(message)
            | ReceiveMode::Pending(message)
            | ReceiveMode::Told(message)
            | ReceiveMode::StreamBegins(message)
                if !self.overtaken.is_empty() =>
            {
                Ok(match self.pop_overtaken() {
                    Some(overtaken) => {
                        *message = overtaken;
                        Event::Copied
                    }
                    None => Event::Again,
                })
            }
            ReceiveMode::StreamBegins(message) => match self.reader.take_over() {
                Some(begun) => {
                    *message = begun;
                    Ok(Event::Begun)
                }
                None => Err(ReceiveMode::StreamBegins(message)),
            },
            mode => Err(mode),
        }
    }

    #[cold]
    fn pop_overtaken(&mut self) -> Option<Vec<u8>> {
        while let Some((message, place)) = self.overtaken.pop() {
            if self.overtaken.is_empty() {
                self.session.set_overtaken(false);
            }
            // What is still in the ring goes back to its sender once this side has ended the connection.
            if place.start.is_none() || self.may_release() {
                self.before = Some(place);
                return Some(message);
            }
        }
        None
    }

    /// What was received last had been received before, and is kept in the ring here until it is done.
    pub(crate) fn take_hold(&mut self) -> Option<Range<u64>> {
        let place = self.before.take()?;
        Some(place.start?..place.end)
    }

    /// What was received and not taken comes first again.
    #[cold]
    pub(crate) fn take_returned(&mut self) {
        for (message, place) in self.session.returned.take().into_iter().rev() {
            if place.start.is_none() {
                self.session.set_overtaken(true);
            }
            self.overtaken.put_back(message, place);
        }
    }

    /// The peer says that nothing more comes, or we want no more: what is there is all.
    #[cold]
    fn step_at_the_last(&mut self, mode: ReceiveMode<'_>) -> Result<Event, Failure> {
        let sending = self.seal()?;
        if let Some(frame) = self.reader.peek()? {
            return self.take(frame, mode);
        }
        let over = match (&self.over, self.session.stopping(), sending) {
            // What has come since then goes back to its sender, whatever that says.
            (Some(stopped @ End::Stopped { .. }), ..) => stopped.clone(),
            (_, _, SENDING_FINISHED) if self.reader.is_within_message() => return Err(TORN.into()),
            (_, _, SENDING_FINISHED) => End::Finished,
            (_, Some(stopped), SENDING_OPEN | SENDING_ABANDONED) => stopped.clone(),
            (_, None, SENDING_ABANDONED) => End::Abandoned { by: By::Peer },
            // Also one that is open again.
            (_, _, other) => return Err(Fault::Word("sending", other).into()),
        };
        if let End::Stopped { .. } = over {
            self.session.seal_when_nothing_is_held();
        }
        self.over = Some(over);
        if self.session.is_complete() {
            self.session.notify_driver();
        }
        Ok(Event::Over)
    }

    /// Looks at the ring for the last time. Returns the peer's `sending` word before that: it is true of what was
    /// found, and what it says later need not be.
    pub(crate) fn seal(&mut self) -> Result<u32, Fault> {
        let words = self.session.incoming_ring().words();
        let sending = *self.before_seal.get_or_insert_with(|| words.sending());
        self.reader.seal()?;
        Ok(sending)
    }

    /// Like [`Incoming::step`], for a connection that is over or about to be.
    #[cold]
    fn step_to_the_end(
        &mut self,
        mode: ReceiveMode<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event, Failure> {
        let Some(ended) = self.session.end() else {
            // The driver is about to end it.
            return match self.session.sleep_until_over(interrupt, deadline) {
                Ok(Woken::LookAgain) => Ok(Event::Again),
                Ok(Woken::Interrupted) => Ok(Event::Interrupted),
                Ok(Woken::TimedOut) => Err(Failure::Call(timed_out(deadline))),
                Err(e) => Err(Failure::Call(cannot_wait(e))),
            };
        };
        if self.session.returned.any() {
            self.take_returned();
            return Ok(Event::Again);
        }
        let mut receiving = ended.receiving.clone();
        if !self.broken && !ended.local {
            let sending = self.seal()?;
            if let Some(frame) = self.reader.peek()? {
                return self.take(frame, mode);
            }
            // What the direction said for itself still holds.
            receiving = match (self.over.take(), self.session.stopping()) {
                (Some(over), _) => over,
                (None, Some(stopped)) if sending == SENDING_OPEN => stopped.clone(),
                (None, _) => receiving,
            };
        }
        self.over = Some(match receiving {
            End::Finished if self.reader.is_within_message() => fault_end(TORN),
            receiving => receiving,
        });
        Ok(Event::Over)
    }

    /// Whether a step would not wait, or there is something wrong. If not, the wait has been announced. It stays so, also if it was
    /// announced by another task.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.session.end().is_some() || !self.overtaken.is_empty() {
            return true;
        }
        // The driver is about to end it; the stream that has the ring is to give it back.
        if self.broken || self.lent {
            return false;
        }
        let mut news = HasFrame(&mut self.reader);
        news.is_met() != Ok(false) || news.announce() != Ok(false) || news.is_off(&self.session)
    }

    /// How the direction ended; `None` as long as there may be more.
    pub(crate) fn over(&self) -> Option<&End> {
        self.over.as_ref()
    }

    /// Whether what has been read may still be returned to the peer.
    pub(crate) fn may_release(&self) -> bool {
        !self.session.end().is_some_and(|ended| ended.local)
    }

    /// Why the large message that the last step reported was given up.
    pub(crate) fn why_given_up(&mut self) -> End {
        match self.reader.take_cause() {
            Some(cause) => End::Aborted {
                code: cause.code,
                reason: cause.text,
            },
            None => End::Abandoned { by: By::Peer },
        }
    }

    /// Returns the frame of the message that the callback had.
    #[inline]
    pub(crate) fn end_pending(&mut self) {
        if let Some(frame) = self.frame.take() {
            // What the callback has done is done, whoever learns of it.
            let _ = self.give_back_unless_sealed(frame);
        }
    }

    /// Returns a frame that was peeked at to the peer, unless the peer knows by now that nothing more is taken; then
    /// `false`: its sender gets it back.
    pub(crate) fn give_back_unless_sealed(&mut self, frame: Frame) -> bool {
        let may = self.may_release();
        if may {
            self.give_back(frame);
            self.session.notice_a_good_end();
        }
        may
    }

    /// Skips the rest of the stream that is being read, and tells the peer to stop it.
    pub(crate) fn stop_stream(&mut self, cause: &Cause) {
        if let Some(number) = self.reader.skip() {
            self.refuse(number, cause);
        }
    }

    /// A large message has become too long: its sender is told to stop.
    #[cold]
    fn too_long(&mut self) -> Event {
        let cause = Cause::new(0, "the message is longer than the receiver accepts");
        self.refuse(self.reader.begun(), &cause);
        Event::TooLong
    }

    fn refuse(&self, number: u64, cause: &Cause) {
        let session = &self.session;
        session
            .segment()
            .write_cause(session.side(), CauseOf::StopStream, cause);
        session.incoming_ring().words().stop_stream(number);
        // It may wait for room.
        self.wake_peer_now();
    }

    /// Takes the frame that was peeked at.
    #[inline(always)]
    fn take(&mut self, frame: Frame, mode: ReceiveMode<'_>) -> Result<Event, Failure> {
        let handles = match &mode {
            ReceiveMode::WithHandles(_) => TakeHandles::OrFail,
            ReceiveMode::Told(_) => TakeHandles::IfThere,
            _ => TakeHandles::No,
        };
        let (begun, buffer) = match mode {
            ReceiveMode::InPlace(_) if frame.is_whole() => (false, None),
            ReceiveMode::Pending(message) | ReceiveMode::Told(message) => {
                return self.take_pending(frame, message, handles);
            }
            ReceiveMode::StreamBegins(message) => (false, Some(message)),
            ReceiveMode::StreamGoesOn => (true, None),
            ReceiveMode::Copied(message)
            | ReceiveMode::InPlace(message)
            | ReceiveMode::WithHandles(message) => {
                return Ok(match self.reader.take(frame, message)? {
                    Next::Message => Event::Copied,
                    Next::Aborted => Event::Aborted,
                    Next::TooLong => self.too_long(),
                    Next::WithHandles => {
                        self.take_handles(handles)?;
                        self.give_back(frame);
                        Event::Copied
                    }
                    Next::Chunk => {
                        // The peer may be waiting for room to go on.
                        self.wake_peer();
                        Event::Again
                    }
                });
            }
        };
        Ok(match self.reader.piece(frame)? {
            Piece::Whole if begun => {
                let (memory, span) = (self.reader.memory(), self.reader.span(frame));
                let end = self.reader.end_of(frame);
                let kept = self.overtaken.push(memory, span, end);
                kept.map_err(Failure::Call)?;
                self.session.set_overtaken(true);
                self.give_back(frame);
                Event::Again
            }
            Piece::Whole => self.in_ring(frame, true),
            Piece::Chunk { last } => self.in_ring(frame, last),
            Piece::WithHandles => {
                // Not within a stream, so there is a buffer.
                let mut nowhere = Vec::new();
                self.reader.take(frame, buffer.unwrap_or(&mut nowhere))?;
                self.take_handles(TakeHandles::No)?;
                self.give_back(frame);
                Event::Copied
            }
            Piece::Aborted => {
                self.give_back(frame);
                Event::Aborted
            }
            Piece::Skipped => {
                self.give_back(frame);
                Event::Again
            }
            Piece::TooLong => {
                self.give_back(frame);
                self.too_long()
            }
        })
    }

    fn in_ring(&mut self, frame: Frame, last: bool) -> Event {
        self.frame = Some(frame);
        Event::InRing { last }
    }

    /// Copies what the frame has; the last frame of a message stays in the ring.
    fn take_pending(
        &mut self,
        frame: Frame,
        message: &mut Vec<u8>,
        handles: TakeHandles,
    ) -> Result<Event, Failure> {
        Ok(match self.reader.copy(frame, message)? {
            Next::Message => {
                self.frame = Some(frame);
                Event::Copied
            }
            Next::WithHandles => {
                self.take_handles(handles)?;
                self.frame = Some(frame);
                Event::Copied
            }
            Next::Aborted => {
                self.give_back(frame);
                Event::Aborted
            }
            Next::TooLong => {
                self.give_back(frame);
                self.too_long()
            }
            Next::Chunk => {
                // The peer may be waiting for room to go on.
                self.give_back(frame);
                Event::Again
            }
        })
    }

    /// Takes the handles that the message came with, or closes them. If they cannot be taken, the message stays.
    #[cold]
    fn take_handles(&mut self, how: TakeHandles) -> Result<(), Failure> {
        let entries = self.reader.take_entries();
        self.handles.clear();
        let Some(channel) = &self.session.handles else {
            return Err(Fault::Peer("it sent handles, which this side cannot take").into());
        };
        if how == TakeHandles::No {
            channel.discard(&entries);
            return Ok(());
        }
        match channel.take(&entries) {
            Ok(handles) => {
                self.handles = handles;
                Ok(())
            }
            Err(NotTaken::Peer(what)) => Err(Fault::Peer(what).into()),
            Err(NotTaken::Now(e)) => Err(Failure::Call(system_error(
                "cannot take the handles of the next message, which stays; `recv` takes it without them",
                e,
            ))),
            Err(NotTaken::Gone(_)) if how == TakeHandles::IfThere => Ok(()),
            Err(NotTaken::Gone(e)) => Err(Failure::Call(
                Error::new(
                    ErrorKind::HandlesGone,
                    "the peer has let go of the handles of the next message, which stays; `recv` takes it \
                     without them",
                )
                .with_source(e),
            )),
        }
    }

    #[inline]
    fn wait_for_data(
        &mut self,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
    ) -> Result<Event, Failure> {
        self.wake_peer();
        let frame = HasFrame(&mut self.reader);
        let session = &self.session;
        match wait(frame, session, &mut self.spinner, interrupt, deadline)? {
            Woken::LookAgain => Ok(Event::Again),
            Woken::Interrupted => Ok(Event::Interrupted),
            Woken::TimedOut => Err(Failure::Call(timed_out(deadline))),
        }
    }

    /// Returns a frame that was peeked at to the peer.
    pub(crate) fn give_back(&mut self, frame: Frame) {
        self.reader.give_back(frame);
        self.wake_peer();
    }

    /// A whole message that is known to be there, without another look at what the peer has published.
    pub(crate) fn next_known(&mut self) -> Result<Option<Frame>, Fault> {
        if self.broken || !self.reader.knows_of_more() {
            return Ok(None);
        }
        Ok(self.reader.peek()?.filter(|frame| frame.is_whole()))
    }

    /// Wakes the peer if it waits for room that was released.
    #[inline]
    pub(crate) fn wake_peer(&mut self) {
        if net::loses_a_wake() {
            return;
        }
        if self.reader.wake() == Wake::Needed {
            self.session.wake_for_space();
        }
    }

    /// Wakes the peer if it waits for room, whatever was given back.
    #[cold]
    pub(crate) fn wake_peer_now(&self) {
        if !net::loses_a_wake() && self.reader.wake_now() == Wake::Needed {
            self.session.wake_for_space();
        }
    }

    /// Turns the failure of a step into the caller's error.
    #[cold]
    pub(crate) fn failed(&mut self, failure: Failure) -> Error {
        match failure {
            Failure::Call(e) => e,
            Failure::Peer(fault) => {
                self.broken = true;
                self.session.fail(fault)
            }
        }
    }
}

#[cold]
pub(crate) fn timed_out(deadline: Deadline) -> Error {
    Error::timed_out(&"nothing arrived in time", deadline == Deadline::Now)
}

pub(crate) fn too_long() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the peer's message became longer than this side accepts and was stopped; raise max_message, or \
         receive it as a stream",
    )
}

pub(crate) fn cannot_wait(e: std::io::Error) -> Error {
    system_error("cannot wait for the peer", e)
}
