//! What the two directions of a connection share: its memory, its doorbells, its peer, and how it ended.
//!
//! The driver creates it and decides when it is over. Senders and receivers hold it while they use
//! it, so that nothing is unmapped or closed under them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::checkpoint::Checkpoints;
use super::net;
use super::notify::NotifyDriver;
use super::returned::Returned;
use crate::error::{By, End, Error, ErrorKind};
use crate::os::event::{
    Deadline, Doorbells, LocalEvent, Source, can_wait_on_words, wait, wait_on_word, wake_word,
};
use crate::os::handles::HandleChannel;
use crate::os::process::{Peer, Process};
use crate::ring::{Fault, Kept, Wake, wake_if_waiting};
use crate::segment::layout::{
    GOODBYE_ABANDONED, GOODBYE_CLOSED, GOODBYE_FAULT, GOODBYE_FINISHED, GOODBYE_NONE,
    RECEIVING_OPEN, RECEIVING_SEALED, RECEIVING_STOPPED, SENDING_ABANDONED, SENDING_FINISHED,
    SENDING_OPEN, WAIT_ASLEEP, WAKE_BY_BOTH, WAKE_BY_DOORBELL, WAKE_BY_WORD,
};
use crate::segment::{Cause, CauseOf, RingMemory, Segment, Shared32, Side};
use crate::sync::{Listeners, Wakers, full_fence};

/// What the handshake yields.
pub(crate) struct Parts {
    pub(crate) side: Side,
    pub(crate) segment: Arc<Segment>,
    pub(crate) doorbells: Doorbells,
    /// If one of the sides receives handles.
    pub(crate) handles: Option<HandleChannel>,
    pub(crate) process: Process,
    pub(crate) peer: Peer,
    /// The longest message that the peer accepts.
    pub(crate) peer_max_message: u64,
    /// Created before the handshake is over, so that nothing can fail afterwards.
    pub(crate) over: LocalEvent,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// Counts the connections of this process, from 1.
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    pub(crate) peer_max_message: u64,
    pub(crate) doorbells: Doorbells,
    pub(crate) handles: Option<HandleChannel>,
    pub(crate) process: Process,
    /// Set once the connection is over: wakes every thread that waits for the peer.
    pub(crate) over: LocalEvent,
    segment: Arc<Segment>,
    side: Side,
    /// The ring we write, and the one we read.
    out: RingMemory,
    into: RingMemory,
    /// We sleep on the wait flags themselves instead of waiting for our doorbells.
    on_words: AtomicBool,
    /// Calls a receiver that waits for its doorbell, where we cannot ring our own. Made when one first does.
    called: OnceLock<LocalEvent>,
    /// How often the second look found what the peer had published without waking us; see `net`.
    pub(crate) caught: AtomicU64,
    /// The doorbells, of [`DATA`] and [`SPACE`], that could not be rung: the driver rings them later.
    unrung: AtomicU8,
    /// What has been received and not released.
    pub(crate) kept: Arc<Kept>,
    /// What was received and not taken.
    pub(crate) returned: Returned,
    /// Tasks that wait for data, and those that wait for room.
    pub(crate) receiving_tasks: Wakers,
    pub(crate) sending_tasks: Wakers,
    /// There have been tasks: the peer knows that it has to ring.
    has_tasks: AtomicBool,
    /// Who listens for tasks that wait for data, and for those that wait for room.
    listeners: [Listeners; 2],
    /// Held while the driver takes a ring back, and while the program begins to listen: what comes after that is the program's.
    hearing: [Mutex<()>; 2],
    /// Threads that sleep on a doorbell, or are about to: for data, and for room.
    sleepers: [AtomicU32; 2],
    driver: Arc<dyn NotifyDriver>,
    /// Set once, by this process or by the driver.
    end: OnceLock<Ended>,
    /// Nothing is to be sent any more: it has ended, or this side has finished.
    mute: AtomicBool,
    /// This side has stopped, and takes nothing more once nothing is held.
    seals: AtomicBool,
    /// Messages that have overtaken a stream have not been received.
    overtaken: AtomicBool,
    /// Handles that were sent are kept until the peer has taken them.
    keeps_handles: AtomicBool,
    /// We want no more than what is there.
    stop: OnceLock<End>,
    pub(crate) checkpoints: Checkpoints,
    /// The first violation that one of our senders or receivers found.
    fault: OnceLock<Fault>,
}

/// How the two directions of a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What we sent.
    pub(crate) sending: End,
    /// What we received.
    pub(crate) receiving: End,
    /// This side ended it: nothing more is received.
    pub(crate) local: bool,
}

/// What a side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Data,
    Room,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// What was waited for may be there, or the connection may be over.
    LookAgain,
    Interrupted,
    TimedOut,
}

impl Woken {
    /// From the index of what is ready; the first is the interrupt.
    fn of(ready: Option<usize>) -> Woken {
        match ready {
            None => Woken::TimedOut,
            Some(0) => Woken::Interrupted,
            Some(_) => Woken::LookAgain,
        }
    }
}

/// How often a receiver looks whether another thread has called it, if the system has nothing to call it with.
const LOOK_FOR_CALL: std::time::Duration = std::time::Duration::from_millis(100);

/// Doorbells as bits.
const DATA: u8 = 1;
const SPACE: u8 = 2;

impl Ended {
    /// By this side, both directions alike.
    pub(crate) fn here(end: End) -> Ended {
        Ended {
            sending: end.clone(),
            receiving: end,
            local: true,
        }
    }

    /// The first end that is not the good one.
    pub(crate) fn whole(&self) -> &End {
        match &self.receiving {
            End::Finished => &self.sending,
            other => other,
        }
    }
}

impl Session {
    /// `driver`: how to reach it for the link.
    pub(crate) fn new(parts: Parts, driver: &dyn NotifyDriver) -> Session {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (segment, side) = (parts.segment, parts.side);
        let on_words = can_wait_on_words();
        if on_words {
            segment.set_wake_mode(side, WAKE_BY_WORD);
        }
        let into = segment.ring_from(side.opposite());
        Session {
            id,
            peer: parts.peer,
            peer_max_message: parts.peer_max_message,
            doorbells: parts.doorbells,
            handles: parts.handles,
            process: parts.process,
            over: parts.over,
            out: segment.ring_from(side),
            kept: Arc::new(Kept::new(into.clone())),
            returned: Returned::default(),
            into,
            segment,
            side,
            on_words: AtomicBool::new(on_words),
            called: OnceLock::new(),
            caught: AtomicU64::new(0),
            unrung: AtomicU8::new(0),
            receiving_tasks: Wakers::default(),
            sending_tasks: Wakers::default(),
            has_tasks: AtomicBool::new(false),
            listeners: Default::default(),
            hearing: Default::default(),
            sleepers: Default::default(),
            driver: driver.of_connection(id),
            end: OnceLock::new(),
            mute: AtomicBool::new(false),
            seals: AtomicBool::new(false),
            overtaken: AtomicBool::new(false),
            keeps_handles: AtomicBool::new(false),
            stop: OnceLock::new(),
            checkpoints: Checkpoints::default(),
            fault: OnceLock::new(),
        }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The ring that we write.
    #[inline]
    pub(crate) fn out(&self) -> &RingMemory {
        &self.out
    }

    /// Our side of the connection.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The ring that we read.
    #[inline]
    pub(crate) fn incoming_ring(&self) -> &RingMemory {
        &self.into
    }

    /// How it ended, if it has. A caller that asks before looking at the ring, and finds the ring empty,
    /// has seen everything that came.
    #[inline]
    pub(crate) fn end(&self) -> Option<&Ended> {
        self.end.get()
    }

    /// Ends it, unless it has ended. Returns whether this call did.
    pub(crate) fn finish(&self, end: Ended) -> bool {
        let first = self.end.set(end).is_ok();
        if first {
            self.set_mute();
            self.over.set();
            self.doorbells.ring_own();
            self.wake_tasks();
        }
        first
    }

    /// Whether nothing is to be sent any more.
    #[inline]
    pub(crate) fn is_mute(&self) -> bool {
        // Acquire: pairs with `set_mute`, so that the end is seen.
        self.mute.load(Ordering::Acquire)
    }

    /// Nothing is to be sent from now on.
    pub(crate) fn set_mute(&self) {
        // Release: pairs with `is_mute`.
        self.mute.store(true, Ordering::Release);
    }

    /// We want no more than what is there: the peer is told, and a receiver that waits is called. Does not
    /// wait.
    pub(crate) fn stop(&self, cause: &Cause) {
        let end = End::Stopped {
            code: cause.code,
            reason: cause.text.clone(),
        };
        if self.stop.set(end).is_err() {
            return;
        }
        self.segment.write_cause(self.side, CauseOf::Stop, cause);
        self.into.words().end_receiving(RECEIVING_STOPPED);
        // The peer may wait for room, and one of our own threads for data.
        if wake_if_waiting(&self.into.words().space_wait.0) == Wake::Needed {
            self.wake_for_space();
        }
        self.call_receiver();
    }

    /// Makes a receiver of ours that waits for data look again. It announces its wait before it looks for
    /// what this is about.
    pub(crate) fn call_receiver(&self) {
        if wake_if_waiting(&self.into.words().data_wait.0) == Wake::Needed {
            wake_word(self.into.words().data_wait.0.word());
            self.doorbells.ring_own_data();
            if let Some(called) = self.called.get() {
                called.set();
            }
        }
        self.receiving_tasks.wake();
    }

    pub(crate) fn tasks(&self, what: Awaited) -> &Wakers {
        match what {
            Awaited::Data => &self.receiving_tasks,
            Awaited::Room => &self.sending_tasks,
        }
    }

    /// From now on the peer rings the doorbells, whatever this side's threads sleep on, and the driver listens to the one for
    /// `what` unless the task `has_listener`. After a task's waker was added, and before its wait is announced, so that the peer
    /// knows by then.
    pub(crate) fn let_tasks_be_woken(&self, what: Awaited, has_listener: bool) {
        // Acquire: pairs with the Release below, so that the wake mode is told before any task's announcement.
        if !self.has_tasks.load(Ordering::Acquire) {
            if self.on_words.load(Ordering::Relaxed) {
                self.segment.set_wake_mode(self.side, WAKE_BY_BOTH);
            }
            self.has_tasks.store(true, Ordering::Release);
        }
        if !has_listener && self.listeners[what as usize].need_driver() {
            self.notify_driver();
        }
    }

    /// Whether the driver is to listen to a doorbell.
    pub(crate) fn driver_listens(&self, what: Awaited) -> bool {
        self.listeners[what as usize].has_driver()
    }

    /// The program listens to a doorbell, in the driver's place. Tasks that need the driver all the same ask it again.
    pub(crate) fn begin_to_listen(&self, what: Awaited) {
        let driver_listened = {
            let _hearing = self.hearing(what);
            self.listeners[what as usize].begin()
        };
        if driver_listened {
            self.notify_driver();
            self.tasks(what).wake();
        }
    }

    /// It no longer does. Tasks see to it that somebody else listens.
    pub(crate) fn end_to_listen(&self, what: Awaited) {
        self.listeners[what as usize].end();
        self.tasks(what).wake();
    }

    /// Makes all tasks look again.
    pub(crate) fn wake_tasks(&self) {
        self.receiving_tasks.wake();
        self.sending_tasks.wake();
    }

    /// Whether tasks wait.
    pub(crate) fn tasks_wait(&self) -> bool {
        self.receiving_tasks.any() || self.sending_tasks.any()
    }

    /// The peer has rung, and the driver has heard it. Threads that sleep on the doorbell are to hear it too, and the program
    /// if it has begun to listen meanwhile.
    pub(crate) fn rung(&self, what: Awaited) {
        {
            let _hearing = self.hearing(what);
            self.pass_on(what, self.listeners[what as usize].is_programs());
        }
        self.tasks(what).wake();
    }

    /// The peer has rung, and the program has heard it.
    pub(crate) fn heard(&self, what: Awaited) {
        self.pass_on(what, false);
        self.tasks(what).wake();
    }

    fn hearing(&self, what: Awaited) -> MutexGuard<'_, ()> {
        // Nothing can panic while it is held.
        let hearing = self.hearing[what as usize].lock();
        hearing.unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(&self, what: Awaited, others: bool) {
        let others = others || self.sleepers[what as usize].load(Ordering::Relaxed) > 0;
        match what {
            Awaited::Data => self.doorbells.heard_data(others),
            Awaited::Room => self.doorbells.heard_space(others),
        }
    }

    /// A thread of ours is about to announce that it waits for `what`, and to sleep; to be passed to
    /// [`Session::end_sleep`].
    pub(crate) fn begin_sleep(&self, what: Awaited) -> u32 {
        let on_doorbell = u32::from(!self.on_words.load(Ordering::Relaxed));
        // Relaxed: the announcement follows, which the peer sees before it rings.
        self.sleepers[what as usize].fetch_add(on_doorbell, Ordering::Relaxed);
        on_doorbell
    }

    /// It has taken its announcement back, and with it that of tasks: they announce theirs again.
    pub(crate) fn end_sleep(&self, what: Awaited, on_doorbell: u32) {
        self.sleepers[what as usize].fetch_sub(on_doorbell, Ordering::Relaxed);
        self.tasks(what).wake();
    }

    /// Whether the driver is to look when handles that were sent have been taken. With the lane locked.
    pub(crate) fn set_keeps_handles(&self, keeps: bool) {
        // Relaxed: the driver is notified after this.
        self.keeps_handles.store(keeps, Ordering::Relaxed);
    }

    pub(crate) fn keeps_handles(&self) -> bool {
        self.keeps_handles.load(Ordering::Relaxed)
    }

    /// We want no more than what is there.
    #[inline]
    pub(crate) fn stopping(&self) -> Option<&End> {
        self.stop.get()
    }

    /// Makes the driver look at it.
    pub(crate) fn notify_driver(&self) {
        self.driver.notify();
    }

    /// Whether the peer wants no more of what we send.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.out.words().receiving() != RECEIVING_OPEN
    }

    /// Whether the peer says that it takes nothing more of what it was sent.
    pub(crate) fn takes_no_more(&self) -> bool {
        let receiving = self.out.words().receiving();
        !matches!(receiving, RECEIVING_OPEN | RECEIVING_STOPPED)
    }

    /// Why the peer takes no more, although the connection has not ended here.
    #[cold]
    pub(crate) fn why_no_more(&self) -> Error {
        // If it has ended the connection, it has said so before it took no more, and the driver will notice.
        if let Some(ended) = self.peers_end() {
            return Error::ended(ended.sending);
        }
        match self.out.words().receiving() {
            RECEIVING_STOPPED | RECEIVING_SEALED => Error::ended(self.why_stopped(CauseOf::Stop)),
            // Also one that is open again.
            other => self.fail(Fault::Word("receiving", other)),
        }
    }

    /// Why the peer wants no more, by its own words.
    pub(crate) fn why_stopped(&self, what: CauseOf) -> End {
        let Cause { code, text } = self.segment.read_cause(self.side.opposite(), what);
        End::Stopped { code, reason: text }
    }

    /// Whether the peer wants no more of our large message of this number.
    #[inline]
    pub(crate) fn is_stream_stopped(&self, number: u64) -> bool {
        number != 0 && self.out.words().stopped_stream() == number
    }

    /// Whether we have said that nothing more comes.
    pub(crate) fn has_finished(&self) -> bool {
        self.out.words().sending() == SENDING_FINISHED
    }

    /// Whether the peer has taken all that we have sent.
    pub(crate) fn has_taken_all(&self) -> bool {
        self.segment.is_drained(self.side)
    }

    /// Messages that have overtaken a stream wait to be received, or no longer.
    pub(crate) fn set_overtaken(&self, overtaken: bool) {
        self.overtaken.store(overtaken, Ordering::Relaxed);
    }

    pub(crate) fn has_overtaken(&self) -> bool {
        self.overtaken.load(Ordering::Relaxed)
    }

    /// Whether all that has come has been received.
    pub(crate) fn has_received_all(&self) -> bool {
        self.is_drained() && !self.has_overtaken()
    }

    /// This side has stopped, and nothing more comes out of the ring: says that it takes nothing more, as soon as what
    /// the program holds is done.
    pub(crate) fn seal_when_nothing_is_held(&self) {
        self.seals.store(true, Ordering::Relaxed);
        // Between the store and the look, as `Kept::done` has one between its store and the look at `seals`: without
        // either, both might look too early, and nobody say it.
        full_fence();
        if self.kept.held() == 0 {
            self.into.words().end_receiving(RECEIVING_SEALED);
        }
    }

    /// Something that the program held is done; after the full fence of [`Kept::done`].
    pub(crate) fn something_is_done(&self) {
        if self.seals.load(Ordering::Relaxed) && self.kept.held() == 0 {
            self.into.words().end_receiving(RECEIVING_SEALED);
        }
        self.notice_a_good_end();
    }

    /// What was done last may have been all: then the connection has ended well.
    pub(crate) fn notice_a_good_end(&self) {
        if self.into.words().sending() == SENDING_FINISHED && self.is_complete() {
            self.notify_driver();
        }
    }

    /// Whether both sides have finished and have everything. Whoever may have been the last to get there
    /// asks, and notifies the driver.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_finished()
            && self.into.words().sending() == SENDING_FINISHED
            && self.has_taken_all()
            && self.has_received_all()
    }

    /// The peer has broken the protocol. The driver will end the connection.
    #[cold]
    pub(crate) fn fail(&self, fault: Fault) -> Error {
        let _ = self.fault.set(fault);
        self.driver.notify();
        match fault {
            Fault::OutOfMemory => Error::new(
                ErrorKind::OutOfMemory,
                "there is no memory for the peer's message; the connection has been ended",
            ),
            _ => Error::ended(fault_end(fault)),
        }
    }

    /// Sleeps until the peer wakes us for `what`, the connection is over, or `interrupt` is set. May
    /// return without a reason. The wait has been announced to the peer. `look`: whether what is waited
    /// for is there by now; asked once, after a while.
    pub(crate) fn sleep(
        &self,
        what: Awaited,
        interrupt: Option<&LocalEvent>,
        deadline: Deadline,
        look: impl FnOnce() -> bool,
    ) -> io::Result<Woken> {
        let flag = match what {
            Awaited::Data => &self.into.words().data_wait.0,
            Awaited::Room => &self.out.words().space_wait.0,
        };
        if net::is_on() {
            let soon = Deadline::first([deadline, Deadline::after(net::LOOK_AGAIN)]);
            let woken = self.sleep_until(flag, what, interrupt, soon)?;
            if woken != Woken::TimedOut || soon == deadline {
                return Ok(woken);
            }
            let found = look();
            // If the flag is no longer set, the peer has taken it upon itself to wake us.
            let unnoticed = flag.load(Ordering::Relaxed) == WAIT_ASLEEP;
            if found && unnoticed {
                self.caught.fetch_add(1, Ordering::Relaxed);
            }
            if found || !unnoticed {
                return Ok(Woken::LookAgain);
            }
        }
        self.sleep_until(flag, what, interrupt, deadline)
    }

    /// Sleeps until the driver has ended it.
    pub(crate) fn sleep_until_over(
        &self,
        interrupt: Option<&LocalEvent>,
        deadline: Deadline,
    ) -> io::Result<Woken> {
        let interrupt = interrupt.map_or(Source::Never, LocalEvent::source);
        Ok(Woken::of(wait(&[interrupt, self.over.source()], deadline)?))
    }

    fn sleep_until(
        &self,
        flag: &Shared32,
        what: Awaited,
        interrupt: Option<&LocalEvent>,
        deadline: Deadline,
    ) -> io::Result<Woken> {
        let over = self.over.source();
        let interrupt = interrupt.map_or(Source::Never, LocalEvent::source);
        // Relaxed: only we change it, and the wake mode tells the peer which way we take.
        let woken = if self.on_words.load(Ordering::Relaxed) {
            match wait_on_word(flag.word(), WAIT_ASLEEP, &[interrupt, over], deadline) {
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                    // From the next announcement on. For this one, look again. Another thread may be
                    // asleep on a word: it was there before the refusal.
                    self.on_words.store(false, Ordering::Relaxed);
                    self.segment.set_wake_mode(self.side, WAKE_BY_BOTH);
                    return Ok(Woken::LookAgain);
                }
                woken => woken?,
            }
        } else {
            let (doorbell, called, until) = match what {
                Awaited::Data if !Doorbells::RINGS_ITSELF => match self.called.get() {
                    Some(called) => (self.doorbells.data(), Some(called), deadline),
                    None => match LocalEvent::new() {
                        Ok(called) => {
                            // Whoever called before this could not set it.
                            let _ = self.called.set(called);
                            return Ok(Woken::LookAgain);
                        }
                        Err(_) => (self.doorbells.data(), None, Deadline::after(LOOK_FOR_CALL)),
                    },
                },
                Awaited::Data => (self.doorbells.data(), None, deadline),
                Awaited::Room => (self.doorbells.space(), None, deadline),
            };
            let until = Deadline::first([deadline, until]);
            let source = called.map_or(Source::Never, LocalEvent::source);
            let woken = wait(&[interrupt, over, doorbell, source], until)?;
            if let (Some(3), Some(called)) = (woken, called) {
                called.clear();
            }
            match woken {
                None if until != deadline => return Ok(Woken::LookAgain),
                woken => woken,
            }
        };
        Ok(Woken::of(woken))
    }

    /// Whether the peer seems to have read up to this position of the ring that we write. A hint, for
    /// threads that do not have the lane.
    #[inline]
    pub(crate) fn has_read(&self, position: u64) -> bool {
        // Relaxed: the writer looks again, with the lane locked, and checks what it finds.
        self.out.words().head.0.load(Ordering::Relaxed) >= position
    }

    /// Whether there seems to be room for this many bytes in the ring that we write. A hint, for threads that do not have
    /// the lane.
    pub(crate) fn seems_to_have_room(&self, bytes: u64) -> bool {
        let words = self.out.words();
        let (head, tail) = (&words.head.0, &words.tail.0);
        // Relaxed: a hint.
        let used = tail
            .load(Ordering::Relaxed)
            .wrapping_sub(head.load(Ordering::Relaxed));
        bytes.saturating_add(used) <= self.out.capacity()
    }

    /// Wakes the peer, which waits for something to read.
    pub(crate) fn wake_for_data(&self) {
        let wake_mode = self.segment.wake_mode_of(self.side.opposite());
        if wake_mode != WAKE_BY_DOORBELL {
            wake_word(self.out.words().data_wait.0.word());
        }
        if wake_mode != WAKE_BY_WORD {
            self.ring(DATA);
        }
    }

    /// Wakes the peer, which waits for room.
    pub(crate) fn wake_for_space(&self) {
        let wake_mode = self.segment.wake_mode_of(self.side.opposite());
        if wake_mode != WAKE_BY_DOORBELL {
            wake_word(self.into.words().space_wait.0.word());
        }
        if wake_mode != WAKE_BY_WORD {
            self.ring(SPACE);
        }
    }

    /// Rings a doorbell, or leaves it to the driver: a sender must not wait until the system has memory.
    fn ring(&self, doorbell: u8) {
        if !self.try_to_ring(doorbell) {
            self.driver.notify();
        }
    }

    fn try_to_ring(&self, doorbell: u8) -> bool {
        let rung = match doorbell {
            DATA => self.doorbells.ring_data(),
            _ => self.doorbells.ring_space(),
        };
        if !rung {
            self.unrung.fetch_or(doorbell, Ordering::Relaxed);
        }
        rung
    }

    /// Rings the doorbells that could not be rung. Returns whether there still are any. Called by the driver.
    pub(crate) fn has_unrung(&self) -> bool {
        if self.unrung.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let unrung = self.unrung.swap(0, Ordering::Relaxed);
        for doorbell in [DATA, SPACE] {
            if unrung & doorbell != 0 {
                self.try_to_ring(doorbell);
            }
        }
        self.unrung.load(Ordering::Relaxed) != 0
    }

    /// Whether the peer's hang-up is reported right now.
    pub(crate) fn has_hung_up(&self) -> bool {
        matches!(
            wait(&[self.doorbells.hung_up()], Deadline::Now),
            Ok(Some(_))
        )
    }

    /// How the connection is over by the peer's own words, if it has said them.
    pub(crate) fn peers_end(&self) -> Option<Ended> {
        match self.incoming_ring().words().goodbye() {
            GOODBYE_NONE => None,
            _ => self.verdict(true),
        }
    }

    /// Whether and how the connection is over, according to the peer, the kernel and our own threads.
    /// `hung_up`: the peer's hang-up was reported.
    pub(crate) fn verdict(&self, hung_up: bool) -> Option<Ended> {
        if let Some(ended) = self.end.get() {
            return Some(ended.clone());
        }
        if let Some(fault) = self.fault.get() {
            return Some(Ended::here(fault_end(*fault)));
        }
        if self.is_complete() {
            return Some(Ended::here(End::Finished));
        }
        let gone = self.process.has_ended() || hung_up && Doorbells::HANG_UP_IS_FINAL;
        if !gone && !hung_up {
            return None;
        }
        // After asking whether it is gone: what it said before it went is there by now.
        let by = By::Peer;
        let words = self.into.words();
        let goodbye = words.goodbye();
        let whole = match goodbye {
            GOODBYE_NONE if gone => End::Crashed,
            GOODBYE_NONE => return None,
            GOODBYE_CLOSED => {
                let cause = self
                    .segment
                    .read_cause(self.side.opposite(), CauseOf::Goodbye);
                End::Closed {
                    by,
                    code: cause.code,
                    reason: cause.text,
                }
            }
            GOODBYE_FAULT => End::Fault {
                by: By::Local,
                what: "the peer ended the connection because of what this side sent".to_owned(),
            },
            GOODBYE_ABANDONED => End::Abandoned { by },
            GOODBYE_FINISHED => self.why_stopped(CauseOf::Stop),
            other => fault_end(Fault::Word("goodbye", other)),
        };
        // What a direction said for itself still holds. The peer has taken what it will ever take.
        let all_taken = self.has_finished() && self.has_taken_all();
        Some(Ended {
            sending: match all_taken {
                true => End::Finished,
                false => whole.clone(),
            },
            receiving: match words.sending() {
                SENDING_FINISHED => End::Finished,
                SENDING_OPEN if goodbye == GOODBYE_FINISHED => {
                    fault_end(Fault::Peer("it took leave without having finished"))
                }
                SENDING_OPEN => whole,
                SENDING_ABANDONED => End::Abandoned { by },
                other => fault_end(Fault::Word("sending", other)),
            },
            local: false,
        })
    }

    /// Whether no part of what the peer sent is left unread in the ring.
    pub(crate) fn is_drained(&self) -> bool {
        self.segment.is_drained(self.side.opposite())
    }
}

impl Ended {
    /// What we tell the peer about it: one of the `GOODBYE` values.
    pub(crate) fn goodbye(&self) -> u32 {
        match self.whole() {
            End::Fault { .. } => GOODBYE_FAULT,
            End::Abandoned { by: By::Local } => GOODBYE_ABANDONED,
            End::Closed { by: By::Local, .. } => GOODBYE_CLOSED,
            // The peer knows how it ended.
            _ => GOODBYE_FINISHED,
        }
    }
}

pub(crate) fn fault_end(fault: Fault) -> End {
    End::Fault {
        by: By::Peer,
        what: fault_text(fault),
    }
}

fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Peer(what) => format!("it wrote something that is not allowed: {what}"),
        Fault::Word(word, value) => {
            format!("its word `{word}` has become {value}, which is not allowed")
        }
        Fault::TooLarge => "it sent a message longer than this side's max_message".to_owned(),
        Fault::OutOfMemory => "there is no memory for its message".to_owned(),
    }
}
