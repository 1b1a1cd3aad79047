//! The outgoing side of a connection: who may write to the ring, one thread at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::holder_thread::HolderThread;
use super::link_state::LinkState;
use super::outgoing::{Outgoing, not_in_time};
use super::session::Session;
use super::spinner::Spinner;
use super::taken::Taken;
use crate::error::{End, Error, ErrorKind, Result};
use crate::frame::{Untaken, max_claim};
use crate::os::event::Deadline;
use crate::ring::Producer;
use crate::segment::layout::{GOODBYE_NONE, RECEIVING_SEALED, SENDING_ABANDONED, SENDING_FINISHED};
use crate::sync::{Aside, FairLock, FairLockGuard, Visit, pause};

#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) link: Arc<LinkState>,
    pub(crate) session: Arc<Session>,
    /// Held for one frame by its sender, also while that waits for room, except for a large
    /// message beside others. Set aside for the length of a reservation: nobody but senders must wait while a
    /// program fills that.
    lane: FairLock<Outgoing>,
    /// Held for the length of a large message, so that there is one at a time.
    large: FairLock<()>,
    pub(crate) large_holder: HolderThread,
    pub(crate) reservation_holder: HolderThread,
    /// What the next thread that has the lane writes into the ring: bits of [`ABORT`], [`FINISH`] and
    /// [`ABANDON`].
    due: AtomicU8,
}

/// The large message has been given up, without the peer having been told.
const ABORT: u8 = 1;
/// Nothing more comes, once what has begun is sent.
const FINISH: u8 = 2;
/// Nothing more comes, and the program did not say so.
const ABANDON: u8 = 4;
/// Not to be written: a task wants to look into the lane.
const TASK: u8 = 8;

/// The right to write to the ring.
pub(crate) type Lane<'a> = FairLockGuard<'a, Outgoing>;

/// How long a flush sleeps with the lane, before it lets others send.
const FLUSH_TURN: Duration = Duration::from_millis(1);

/// How often a sender that waits for the lane looks whether the connection has ended.
const LANE_TURN: Duration = Duration::from_millis(100);

/// How often to look whether a peer that still reads has come to an end, or the lane has been set aside.
const LOOK: Duration = Duration::from_millis(1);

impl Outbox {
    pub(crate) fn new(link: &Arc<LinkState>, session: &Arc<Session>) -> Outbox {
        let ring = Producer::new(session.out().clone());
        Outbox {
            lane: FairLock::new(Outgoing::new(link.clone(), session.clone(), ring)),
            link: link.clone(),
            session: session.clone(),
            large: FairLock::new(()),
            large_holder: HolderThread::default(),
            reservation_holder: HolderThread::default(),
            due: AtomicU8::new(0),
        }
    }

    /// What every sending call does before and after.
    #[inline(always)]
    pub(crate) fn sending<T>(&self, send: impl FnOnce() -> Result<T>) -> Result<T> {
        self.link.check_forked()?;
        let sent = send();
        self.flush_due();
        sent.map_err(|e| self.link.named(e))
    }

    /// The lane, for a call that begins now, while no thread has reserved what comes next.
    #[inline(always)]
    pub(crate) fn take_lane(&self, deadline: Deadline) -> Result<Lane<'_>> {
        let lane = self.take_lane_again(deadline)?;
        self.check_mute(&self.session)?;
        Ok(lane)
    }

    /// Whether this side may still begin to send. `session` is this connection's: a caller that needs it for more
    /// loads it once.
    #[inline(always)]
    pub(crate) fn check_mute(&self, session: &Session) -> Result<()> {
        match session.is_mute() {
            true => Err(self.why_mute()),
            false => Ok(()),
        }
    }

    /// The lane, for a call that has begun.
    #[inline(always)]
    pub(crate) fn take_lane_again(&self, deadline: Deadline) -> Result<Lane<'_>> {
        match self.lane.try_lock() {
            Some(lane) => Ok(lane),
            None => self.wait_for_lane(deadline),
        }
    }

    #[cold]
    fn wait_for_lane(&self, deadline: Deadline) -> Result<Lane<'_>> {
        loop {
            // Whoever fills a reservation need not notice the end, and may take as long as it likes.
            if self.lane.is_aside() {
                if let Some(ended) = self.session.end() {
                    return Err(Error::ended(ended.sending.clone()));
                }
                if self.session.is_stopped() {
                    return Err(self.session.why_no_more());
                }
            }
            self.reservation_holder.check("a reservation")?;
            let turn = Deadline::first([deadline, Deadline::after(LANE_TURN)]);
            if let Some(lane) = self.lane.lock(turn) {
                return Ok(lane);
            }
            if deadline.passed() {
                return Err(not_in_time(deadline));
            }
        }
    }

    /// The lane, if nobody has it; otherwise the task is woken when it is given back.
    pub(crate) fn lane_for_task(&self) -> Option<Lane<'_>> {
        self.lane.lock(Deadline::Now).or_else(|| {
            self.note(TASK);
            self.lane.lock(Deadline::Now)
        })
    }

    /// Whether no large message is being sent; otherwise the task is woken when that is over.
    pub(crate) fn is_free_for_large(&self) -> bool {
        let free = self.large.acquire(Deadline::Now) || {
            self.note(TASK);
            self.large.acquire(Deadline::Now)
        };
        if free {
            self.large.give_back();
            // Another task may have been turned away meanwhile.
            self.flush_due();
        }
        free
    }

    /// A look into the lane, also while that is set aside.
    fn visit_lane(&self, deadline: Deadline) -> Result<Visit<'_, Outgoing>> {
        loop {
            if let Some(visit) = self.lane.try_visit() {
                return Ok(visit);
            }
            let turn = Deadline::first([deadline, Deadline::after(LOOK)]);
            if let Some(lane) = self.lane.lock(turn) {
                return Ok(Visit::with(lane));
            }
            if deadline.passed() {
                return Err(not_in_time(deadline));
            }
        }
    }

    #[cold]
    fn why_mute(&self) -> Error {
        match self.session.end() {
            Some(ended) if ended.sending != End::Finished => Error::ended(ended.sending.clone()),
            _ => Error::new(
                ErrorKind::Closed,
                "this side has finished: nothing can be sent after `finish`",
            ),
        }
    }

    /// Sets the lane aside for a reservation, on behalf of this thread.
    #[inline]
    pub(crate) fn begin_reservation(&self, lane: Lane<'_>) -> Aside {
        self.reservation_holder.hold();
        lane.set_aside()
    }

    /// The lane at the end of a reservation; afterwards call [`Outbox::flush_due`].
    #[inline]
    pub(crate) fn end_reservation(&self, aside: Aside) -> Lane<'_> {
        self.reservation_holder.let_go();
        self.lane.resume(aside)
    }

    /// The longest message that can be reserved.
    pub(crate) fn max_reservation(&self) -> usize {
        let most = max_claim(self.session.out().capacity());
        usize::try_from(self.session.peer_max_message).map_or(most, |peer| most.min(peer))
    }

    /// Takes the right to send a large message.
    pub(crate) fn take_large(&self, deadline: Deadline) -> Result<()> {
        self.large_holder.check("a stream that it sends")?;
        // The thread that sends a large message may be waiting for the reservation to end.
        self.reservation_holder.check("a reservation")?;
        match self.large.acquire(deadline) {
            true => Ok(()),
            false => Err(not_in_time(deadline)),
        }
    }

    /// The large message is over.
    pub(crate) fn end_large(&self) {
        self.large_holder.let_go();
        self.large.give_back();
        self.flush_due();
    }

    /// As [`Outbox::end_large`], for a caller that has the lane and calls [`Outbox::flush_due`] later.
    pub(crate) fn end_large_within_lane(&self) {
        self.large.give_back();
    }

    /// Notes that the peer has to be told that the large message will not be completed, for
    /// [`Outbox::flush_due`]. This does not wait for the lane, whose owner may be waiting for room for
    /// as long as it takes.
    pub(crate) fn abort(&self) {
        self.note(ABORT);
    }

    /// Says that nothing more comes, after all that has begun. Does not wait.
    pub(crate) fn finish(&self) {
        self.session.set_mute();
        self.note(FINISH);
        self.flush_due();
    }

    /// The program has dropped its sending half without having finished.
    pub(crate) fn abandon(&self) {
        self.session.set_mute();
        self.note(ABANDON);
        self.flush_due();
    }

    /// Leaves a note for the next thread that has the lane.
    ///
    /// This side leaves the note and then tries the lane; the lane's owner unlocks the lane and then
    /// looks for the note. Both pass the lane's gate in between, if they meet at all, so one of the two
    /// sees the other; the note itself orders nothing (`sync/fair_lock/model.rs`).
    fn note(&self, note: u8) {
        self.due.fetch_or(note, Ordering::Relaxed);
    }

    /// Must be called after the lane was unlocked; see [`Outbox::note`].
    #[inline]
    pub(crate) fn flush_due(&self) {
        if self.due.load(Ordering::Relaxed) != 0 {
            self.write_due();
        }
    }

    #[cold]
    fn write_due(&self) {
        self.write_due_notes();
        self.let_tasks_in();
    }

    /// Wakes the tasks that were turned away; after the lane was handed on by a call that goes on.
    #[inline]
    pub(crate) fn let_tasks_in(&self) {
        if self.due.load(Ordering::Relaxed) & TASK != 0 {
            self.due.fetch_and(!TASK, Ordering::Relaxed);
            self.session.sending_tasks.wake();
        }
    }

    fn write_due_notes(&self) {
        // Again after unlocking: another note may have been left meanwhile.
        while self.due.load(Ordering::Relaxed) & !TASK != 0 {
            let Some(mut lane) = self.lane.lock(Deadline::Now) else {
                return;
            };
            // After the end, or a violation (which the driver has been told of), there is nothing to do.
            if self.session.end().is_some() || self.write_due_abort(&mut lane).is_err() {
                return;
            }
            let due = self.due.load(Ordering::Relaxed);
            if due & (FINISH | ABANDON) == 0 {
                continue;
            }
            // Not before a large message is complete; its sender looks for the note afterwards.
            if !self.large.acquire(Deadline::Now) {
                return;
            }
            let how = match due & FINISH {
                0 => SENDING_ABANDONED,
                _ => SENDING_FINISHED,
            };
            lane.end(how);
            self.due.fetch_and(!(FINISH | ABANDON), Ordering::Relaxed);
            self.large.give_back();
            drop(lane);
            if self.session.is_complete() {
                self.session.notify_driver();
            }
        }
    }

    /// Tells the peer that a large message has been given up, if that is due.
    pub(crate) fn write_due_abort(&self, outgoing: &mut Outgoing) -> Result<()> {
        if self.due.load(Ordering::Relaxed) & ABORT != 0 {
            outgoing.abort()?;
            self.due.fetch_and(!ABORT, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The connection has ended: after this, nothing more is written to the ring. `false` if a sender still
    /// had the lane at the deadline.
    pub(crate) fn seal(&self, deadline: Deadline) -> bool {
        self.visit_lane(deadline).is_ok()
    }

    /// How much the peer has taken.
    pub(crate) fn taken(&self, deadline: Deadline) -> Result<Taken> {
        self.sending(|| self.visit_lane(deadline)?.taken())
    }

    /// Waits until the peer has taken all that was sent before. Others may send meanwhile.
    pub(crate) fn flush(&self, deadline: Deadline) -> Result<()> {
        self.sending(|| {
            let lane = self.visit_lane(deadline)?;
            let (position, spinner) = (lane.writer.position(), lane.spinner());
            drop(lane);
            let session = &self.session;
            // How it ended is asked first: then what was taken is final.
            let is_over = || session.end().is_some() || session.takes_no_more();
            if !self.await_read(position, spinner, deadline, is_over)? {
                return Err(self.not_flushed(deadline));
            }
            if session.has_read(position) {
                return Ok(());
            }
            Err(match session.end() {
                Some(ended) => Error::ended(ended.sending.clone()),
                None => session.why_no_more(),
            })
        })
    }

    /// Waits until the peer has read up to this position, or it is over. Others may send meanwhile. `false` if neither was so at the
    /// deadline.
    pub(crate) fn await_read(
        &self,
        position: u64,
        mut spinner: Spinner,
        deadline: Deadline,
        is_over: impl Fn() -> bool,
    ) -> Result<bool> {
        let session = &self.session;
        let ready = || {
            let over = is_over();
            (session.has_read(position) || over).then_some(())
        };
        while spinner.spin(deadline, ready).is_none() && ready().is_none() {
            if deadline.passed() {
                return Ok(false);
            }
            if session.is_stopped() {
                // It reads what is there, but nobody waits for room any more.
                std::thread::sleep(LOOK);
                continue;
            }
            let turn = Deadline::first([deadline, Deadline::after(FLUSH_TURN)]);
            let Some(mut lane) = self.lane.lock(turn) else {
                continue;
            };
            spinner = lane.sleep_until_read(position, 0, spinner, turn)?;
            lane.hand_on();
            self.let_tasks_in();
        }
        Ok(true)
    }

    #[cold]
    fn not_flushed(&self, deadline: Deadline) -> Error {
        Error::timed_out(
            &"the peer has not taken all that was sent; `taken` says how much is waiting",
            deadline == Deadline::Now,
        )
    }

    /// The messages that the peer has not taken and will not take. Waits until it can take no more.
    pub(crate) fn take_unread(&self, deadline: Deadline) -> Result<Untaken> {
        self.sending(|| {
            if self.session.end().is_none() && !self.session.is_stopped() {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "what the peer has not taken it may still take: the connection has not ended",
                ));
            }
            // The driver sets the end before it forbids to send: what is sent in between would be lost.
            let mut tries = 0;
            while self.session.end().is_some() && !self.session.is_mute() {
                pause(tries);
                tries += 1;
            }
            // A sender that has not seen yet that the peer stops may be about to publish.
            drop(self.visit_lane(deadline)?);
            while !self.reads_no_more() {
                if deadline.passed() {
                    return Err(Error::timed_out(
                        &"the peer still reads what was sent to it",
                        deadline == Deadline::Now,
                    ));
                }
                std::thread::sleep(LOOK);
            }
            self.visit_lane(deadline)?.take_unread()
        })
    }

    /// Whether the peer takes nothing more out of the ring.
    fn reads_no_more(&self) -> bool {
        let session = &self.session;
        session.out().words().receiving() == RECEIVING_SEALED
            || session.incoming_ring().words().goodbye() != GOODBYE_NONE
            || session.process.has_ended()
            || session.has_taken_all()
            // Ended by the peer: it says so when it is done, or is gone.
            || session.end().is_some_and(|ended| !ended.local)
    }
}

/// Unlocks the lane after something was published, and wakes the peer for it if it sleeps. The fence
/// between the two is the lock's; see [`FairLockGuard::leave`].
#[inline]
pub(crate) fn give_back(lane: Lane<'_>) {
    if let Some(lane) = lane.leave(|lane| lane.writer.is_awaited()) {
        lane.wake_peer();
    }
}
