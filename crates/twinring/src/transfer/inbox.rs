//! The incoming side of a connection: who may receive, one thread at a time.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::holder_thread::HolderThread;
use super::incoming::{Event, Incoming, ReceiveMode, timed_out, too_long};
use super::link_state::LinkState;
use super::overtaken::RingPlace;
use super::session::Session;
use crate::error::{End, Error, ErrorKind, Result};
use crate::frame::Reader;
use crate::os::event::{Deadline, LocalEvent};
use crate::os::handles::Handle;
use crate::ring::{Consumer, Wake};
use crate::segment::Span;
use crate::segment::layout::RECEIVING_SEALED;
use crate::sync::{FairLock, FairLockGuard};

/// The right to receive.
pub(crate) type Current<'a> = FairLockGuard<'a, Incoming>;

#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) link: Arc<LinkState>,
    pub(crate) session: Arc<Session>,
    /// Locked by the one receiver.
    current: FairLock<Incoming>,
    /// Held for as long as the ring is lent to a stream.
    lending: FairLock<()>,
    pub(crate) holder: HolderThread,
}

/// What the callback thread is told.
#[derive(Debug)]
pub(crate) enum News {
    /// A message is in the buffer, and came with these handles.
    Message(Vec<Handle>),
    /// A large message was given up.
    GivenUp(End),
    /// Everything has been received; how the direction ended.
    Over(End),
    /// It was called away.
    Interrupted,
}

/// Where a message is that was received in place.
#[derive(Debug)]
pub(crate) enum InPlace {
    /// There, and it has to be told to [`Session::kept`] when it is done.
    InRing(Range<u64>, Span),
    /// In the buffer: it came in chunks, or had been received before. Then its place in the ring may have to be told
    /// as well.
    InBuffer(Option<Range<u64>>),
}

/// Steps between two looks at the clock; a step takes at most a chunk of a large message.
const STEPS_PER_LOOK: u32 = 64;

/// How long a receiver waits for a stream to be over before it looks again.
const LENDING_TURN: Duration = Duration::from_millis(5);

/// At most this many bytes are copied for one batch, unless one message has more.
const MAX_BATCH: usize = 256 * 1024;

impl Inbox {
    pub(crate) fn new(link: &Arc<LinkState>, session: &Arc<Session>) -> Inbox {
        let options = &link.options;
        let ring = Consumer::new(session.incoming_ring().clone());
        let can_take = session.handles.as_ref().is_some_and(|c| c.can_take());
        let max_handles = if can_take { options.max_handles } else { 0 };
        let reader = Reader::new(ring, options.max_message, options.max_stream);
        let reader = reader.accept_handles(max_handles);
        Inbox {
            current: FairLock::new(Incoming::new(session.clone(), reader, options.wait)),
            link: link.clone(),
            session: session.clone(),
            lending: FairLock::new(()),
            holder: HolderThread::default(),
        }
    }

    /// What the callback thread is to tell next; `interrupt` calls it away from its wait. What it was told
    /// before is done.
    pub(crate) fn next_news(&self, message: &mut Vec<u8>, interrupt: &LocalEvent) -> Result<News> {
        self.link.check_forked()?;
        let deadline = Deadline::Never;
        let current = self.current.lock(deadline);
        let mut current = current.ok_or_else(|| timed_out(deadline))?;
        current.end_pending();
        let mut steps = 0;
        let news = loop {
            let mode = ReceiveMode::Told(message);
            match self.step(&mut current, mode, deadline, Some(interrupt), &mut steps) {
                Ok(Event::Copied) => break Ok(News::Message(mem::take(&mut current.handles))),
                Ok(Event::Aborted) => break Ok(News::GivenUp(current.why_given_up())),
                Ok(Event::TooLong) => break Err(too_long()),
                Ok(Event::Interrupted) => break Ok(News::Interrupted),
                Ok(Event::Over) => {
                    let end = current.over().cloned();
                    break Ok(News::Over(end.unwrap_or(End::Crashed)));
                }
                Ok(Event::InRing { .. } | Event::Begun | Event::Again) => {}
                Err(e) => break Err(e),
            }
        };
        // The callback may take long.
        current.wake_peer();
        release(current, &self.session);
        news
    }

    /// The next message, copied. `false` once the peer has finished and everything has been received.
    #[inline]
    pub(crate) fn recv(&self, message: &mut Vec<u8>, deadline: Deadline) -> Result<bool> {
        let mut current = self.begin(deadline)?;
        let mode = ReceiveMode::Copied(message);
        let received = self.next_message(&mut current, mode, deadline);
        if let Some(place) = current.take_hold() {
            self.done(place.start, place.end);
        }
        release(current, &self.session);
        match received {
            Ok(Some(_)) => Ok(true),
            Ok(None) => Ok(false),
            Err(e) => Err(self.link.named(e)),
        }
    }

    /// The next message, copied, and the handles that it came with. `None` as [`Inbox::recv`] has `false`.
    pub(crate) fn recv_with_handles(
        &self,
        message: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<Option<Vec<Handle>>> {
        let mut current = self.begin(deadline)?;
        let mode = ReceiveMode::WithHandles(message);
        let received = self.next_message(&mut current, mode, deadline);
        if let Some(place) = current.take_hold() {
            self.done(place.start, place.end);
        }
        let handles = mem::take(&mut current.handles);
        release(current, &self.session);
        match received {
            Ok(Some(_)) => Ok(Some(handles)),
            Ok(None) => Ok(None),
            Err(e) => Err(self.link.named(e)),
        }
    }

    /// The next message, which stays in the ring if it is there in one piece, and otherwise is in the
    /// buffer.
    #[inline(always)]
    pub(crate) fn recv_in_place(
        &self,
        message: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<Option<InPlace>> {
        let mut current = self.begin(deadline)?;
        if self.session.returned.any() {
            current.take_returned();
        }
        let held = self.session.kept.held();
        // What comes again needs no room; and once the connection has ended, nobody waits for room.
        if held > self.session.incoming_ring().capacity() / 2
            && current.overtaken.is_empty()
            && self.session.end().is_none()
        {
            release(current, &self.session);
            return Err(self.link.named(too_much_held(held)));
        }
        let mode = ReceiveMode::InPlace(message);
        let received = match self.next_message(&mut current, mode, deadline) {
            Ok(Some(_)) => Ok(Some(match current.frame.take() {
                Some(frame) => {
                    let span = current.reader.span(frame);
                    let place = current.reader.keep(frame, &self.session.kept);
                    InPlace::InRing(place, span)
                }
                None => InPlace::InBuffer(current.take_hold()),
            })),
            Ok(None) => Ok(None),
            Err(e) => Err(self.link.named(e)),
        };
        // The program may hold the message for long.
        current.wake_peer();
        release(current, &self.session);
        received
    }

    /// The next message, waiting for it, and then others that are known to be there, one after the other
    /// in `bytes`; `ends` has where each ends in `bytes`, and in the ring. Returns where they are kept in the ring from,
    /// if they are.
    pub(crate) fn recv_batch(
        &self,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<(usize, u64)>,
        deadline: Deadline,
    ) -> Result<Option<Option<u64>>> {
        let mut current = self.begin(deadline)?;
        let received = self.collect(&mut current, bytes, ends, deadline);
        current.wake_peer();
        release(current, &self.session);
        received.map_err(|e| self.link.named(e))
    }

    fn collect(
        &self,
        current: &mut Current<'_>,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<(usize, u64)>,
        deadline: Deadline,
    ) -> Result<Option<Option<u64>>> {
        let first = self.next_message(current, ReceiveMode::Pending(bytes), deadline)?;
        if first.is_none() {
            return Ok(None);
        }
        let Some(first) = current.frame.take() else {
            // It has been received before, and is kept in the ring or no longer there.
            let nowhere = RingPlace {
                start: None,
                end: 0,
            };
            let RingPlace { start, end } = current.before.take().unwrap_or(nowhere);
            ends.push((bytes.len(), end));
            return Ok(Some(start));
        };
        // Before a look at the next: padding is released there, but nothing before it.
        let place = current.reader.keep(first, &self.session.kept);
        let known = current.reader.known();
        bytes.reserve(MAX_BATCH.min(known as usize));
        // As if the others were as long as the first, which is a guess.
        ends.reserve(1 + (known.min(MAX_BATCH as u64) / (place.end - place.start)) as usize);
        ends.push((bytes.len(), place.end));
        let mut end = place.end;
        while bytes.len() < MAX_BATCH {
            // A fault is found again by the next call.
            let Ok(Some(frame)) = current.next_known() else {
                break;
            };
            if current.reader.append_whole(frame, bytes).is_err() {
                break;
            }
            end = current.reader.go_behind(frame);
            ends.push((bytes.len(), end));
        }
        self.session.kept.extend(end);
        Ok(Some(Some(place.start)))
    }

    /// These messages, the last ones of a batch that is kept from `start` on, if it is, were not taken: they come
    /// again.
    pub(crate) fn take_back(&self, start: Option<u64>, messages: Vec<(Vec<u8>, RingPlace)>) {
        if let Some(start) = start {
            // From now on each is taken by itself.
            let ends = messages.iter().map(|(_, place)| place.end);
            self.session.kept.split(start, ends);
        }
        self.session.returned.put(messages.into_iter());
        // A receiver may have the ring for as long as it waits for the peer: it is called.
        match self.current.lock(Deadline::Now) {
            Some(mut current) => current.take_returned(),
            None => self.session.call_receiver(),
        }
        self.session.receiving_tasks.wake();
    }

    /// What has been received up to `end`, of the part that begins at `start`, is done.
    pub(crate) fn done(&self, start: u64, end: u64) {
        if self.link.is_forked() {
            // A child has nothing mapped there.
            return;
        }
        if self.session.kept.done(start, end) == Wake::Needed {
            self.session.wake_for_space();
        }
        self.session.something_is_done();
    }

    /// The right to receive, for a caller that is not the callback thread.
    #[inline(always)]
    fn begin(&self, deadline: Deadline) -> Result<Current<'_>> {
        self.take_current(deadline).map_err(|e| self.link.named(e))
    }

    #[inline(always)]
    fn take_current(&self, deadline: Deadline) -> Result<Current<'_>> {
        self.link.check_forked()?;
        if self.link.options.callback {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the link's messages go to its on_message callback; open it without one to receive",
            ));
        }
        loop {
            let current = self.current.lock(deadline);
            let current = current.ok_or_else(|| timed_out(deadline))?;
            // What has overtaken a stream is received beside it.
            if !current.lent || !current.overtaken.is_empty() {
                return Ok(current);
            }
            release(current, &self.session);
            self.outlast_lending(deadline)?;
        }
    }

    #[cold]
    fn outlast_lending(&self, deadline: Deadline) -> Result<()> {
        // Not for longer: what overtakes the stream can be received meanwhile.
        let turn = Deadline::first([deadline, Deadline::after(LENDING_TURN)]);
        match self.take_lending(turn) {
            Ok(()) => self.lending.give_back(),
            Err(e) if e.is_timeout() && !deadline.passed() => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn take_lending(&self, deadline: Deadline) -> Result<()> {
        self.holder.check("a stream that it receives")?;
        match self.lending.acquire(deadline) {
            true => Ok(()),
            false => Err(timed_out(deadline)),
        }
    }

    /// Takes the ring for a stream; to be followed by [`Inbox::give_back`].
    pub(crate) fn lend(&self, deadline: Deadline) -> Result<()> {
        // For its checks.
        release(self.take_current(deadline)?, &self.session);
        self.take_lending(deadline)?;
        match self.current.lock(deadline) {
            Some(mut current) => {
                current.lent = true;
                release(current, &self.session);
            }
            None => {
                self.lending.give_back();
                return Err(timed_out(deadline));
            }
        }
        self.holder.hold();
        Ok(())
    }

    /// The stream that had the ring is over.
    pub(crate) fn give_back(&self) {
        self.borrowed().lent = false;
        self.holder.let_go();
        self.lending.give_back();
        self.session.receiving_tasks.wake();
    }

    /// The right to receive, for the stream that has the ring; others take it only for moments.
    pub(crate) fn borrowed(&self) -> Current<'_> {
        self.current.lock_untimed()
    }

    /// The next message: `None` once the peer has finished and everything has been received.
    #[inline(always)]
    pub(crate) fn next_message(
        &self,
        current: &mut Current<'_>,
        mut mode: ReceiveMode<'_>,
        deadline: Deadline,
    ) -> Result<Option<Event>> {
        let mut steps = 0;
        loop {
            match self.step(current, mode.again(), deadline, None, &mut steps)? {
                event @ (Event::Copied | Event::InRing { .. }) => return Ok(Some(event)),
                Event::Aborted => return Err(Error::stream_ended(current.why_given_up())),
                Event::TooLong => return Err(too_long()),
                Event::Over => return self.over(current).map(|()| None),
                Event::Begun | Event::Interrupted | Event::Again => {}
            }
        }
    }

    /// The next event. `steps` counts the steps without one, from 0.
    #[inline]
    pub(crate) fn step(
        &self,
        current: &mut Current<'_>,
        mode: ReceiveMode<'_>,
        deadline: Deadline,
        interrupt: Option<&LocalEvent>,
        steps: &mut u32,
    ) -> Result<Event> {
        match current.step(mode, deadline, interrupt) {
            Ok(Event::Again) => {
                // A sender that never pauses must not keep a call beyond its deadline: after this many
                // steps, look at the clock.
                *steps = steps.wrapping_add(1);
                if *steps % STEPS_PER_LOOK == 0 && deadline.passed() {
                    return Err(timed_out(deadline));
                }
                Ok(Event::Again)
            }
            Ok(event) => Ok(event),
            Err(failure) => Err(current.failed(failure)),
        }
    }

    /// How a call ends that finds nothing more: well if the peer has finished.
    #[cold]
    pub(crate) fn over(&self, current: &Current<'_>) -> Result<()> {
        match current.over() {
            Some(End::Finished) | None => Ok(()),
            Some(end) => Err(Error::ended(end.clone())),
        }
    }

    /// From now on nothing more is taken; to be followed by [`Inbox::tell_sealed`]. `false` if a receiver still
    /// had the right to receive at the deadline.
    pub(crate) fn seal(&self, deadline: Deadline) -> bool {
        let Some(current) = self.current.lock(deadline) else {
            return false;
        };
        // Not before: what a receiver has just taken would come back to its sender as well.
        self.session.kept.freeze();
        release(current, &self.session);
        true
    }

    /// The right to receive, if nobody has it; otherwise the task is woken when it is given back.
    pub(crate) fn current_for_task(&self) -> Option<Current<'_>> {
        self.current.lock(Deadline::Now).or_else(|| {
            self.session.receiving_tasks.turn_away();
            self.current.lock(Deadline::Now)
        })
    }

    /// Tells the peer that nothing more is taken: after the reason for it.
    pub(crate) fn tell_sealed(&self) {
        let words = self.session.incoming_ring().words();
        words.end_receiving(RECEIVING_SEALED);
    }

    /// Whether there is nothing to receive and nothing will come.
    pub(crate) fn is_spent(&self) -> bool {
        self.session.end().is_some() && self.session.is_drained()
    }
}

#[cold]
fn too_much_held(held: u64) -> Error {
    Error::new(
        ErrorKind::Held,
        format!(
            "the program holds views and batches of {held} bytes, more than half of the ring; drop some"
        ),
    )
}

/// Gives the right to receive back, and wakes the peer if it waits for what was read. The fence between
/// the two is the lock's; see [`FairLockGuard::leave`].
#[inline]
pub(crate) fn release(mut current: Current<'_>, session: &Session) {
    let released = current.reader.take_released();
    if let Some(current) = current.leave(|current| released && current.reader.is_awaited()) {
        current.wake_peer_now();
    }
    session.receiving_tasks.let_in();
}
