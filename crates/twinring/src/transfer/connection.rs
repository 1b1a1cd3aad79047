//! One connection: its memory, its doorbells, its peer, and how it ended.
//!
//! The driver creates it and decides when it is over. Senders and receivers hold it while they use
//! it, so that nothing is unmapped or closed under them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::net;
use super::notify::NotifyDriver;
use super::status::DisconnectReason;
use crate::error::{Error, ErrorKind};
use crate::os::event::{
    Deadline, Doorbells, LocalEvent, Source, can_wait_on_words, wait, wait_on_word, wake_word,
};
use crate::os::process::{Peer, Process};
use crate::ring::Fault;
use crate::segment::layout::{
    GOODBYE_CLOSED, GOODBYE_FAULT, WAIT_ASLEEP, WAKE_BY_BOTH, WAKE_BY_DOORBELL, WAKE_BY_WORD,
};
use crate::segment::{RingMemory, Segment, Shared32, Side};

/// What the handshake yields.
pub(crate) struct Parts {
    pub(crate) side: Side,
    pub(crate) segment: Arc<Segment>,
    pub(crate) doorbells: Doorbells,
    pub(crate) process: Process,
    pub(crate) peer: Peer,
    /// The longest message that the peer accepts.
    pub(crate) peer_max_message: u64,
    /// Created before the handshake is over, so that nothing can fail afterwards.
    pub(crate) over: LocalEvent,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u64,
    pub(crate) peer: Peer,
    pub(crate) peer_max_message: u64,
    pub(crate) doorbells: Doorbells,
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
    /// How often the second look found what the peer had published without waking us; see `net`.
    pub(crate) caught: AtomicU64,
    /// The doorbells, of [`DATA`] and [`SPACE`], that could not be rung: the driver rings them later.
    unrung: AtomicU8,
    driver: Arc<dyn NotifyDriver>,
    end: OnceLock<End>,
    /// The first violation that one of our senders or receivers found.
    fault: OnceLock<Fault>,
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

/// Doorbells as bits.
const DATA: u8 = 1;
const SPACE: u8 = 2;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// We closed the link.
    ClosedHere,
    /// The peer ended it, or we ended it because of what the peer did.
    Disconnected(DisconnectReason),
}

impl Connection {
    pub(crate) fn new(parts: Parts, generation: u64, driver: Arc<dyn NotifyDriver>) -> Connection {
        let (segment, side) = (parts.segment, parts.side);
        let on_words = can_wait_on_words();
        if on_words {
            segment.set_wake_mode(side, WAKE_BY_WORD);
        }
        Connection {
            generation,
            peer: parts.peer,
            peer_max_message: parts.peer_max_message,
            doorbells: parts.doorbells,
            process: parts.process,
            over: parts.over,
            out: segment.ring_from(side),
            into: segment.ring_from(side.opposite()),
            segment,
            side,
            on_words: AtomicBool::new(on_words),
            caught: AtomicU64::new(0),
            unrung: AtomicU8::new(0),
            driver,
            end: OnceLock::new(),
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

    /// How it ended, if it has. A caller that asks before looking at the ring, and finds the ring empty,
    /// has seen everything that came.
    #[inline]
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Ends it; only the driver does, once.
    pub(crate) fn finish(&self, end: End) {
        if self.end.set(end).is_ok() {
            self.over.set();
        }
    }

    /// The peer has broken the protocol. The driver will end the connection.
    #[cold]
    pub(crate) fn fail(&self, fault: Fault) -> Error {
        let _ = self.fault.set(fault);
        self.driver.notify();
        fault_error(fault)
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
            let doorbell = match what {
                Awaited::Data => self.doorbells.data(),
                Awaited::Room => self.doorbells.space(),
            };
            wait(&[interrupt, over, doorbell], deadline)?
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

    /// Whether and why the connection is over, according to the peer, the kernel and our own threads.
    /// `hung_up`: the peer's hang-up was reported.
    pub(crate) fn verdict(&self, hung_up: bool) -> Option<DisconnectReason> {
        if let Some(fault) = self.fault.get() {
            return Some(DisconnectReason::Protocol(fault_text(*fault)));
        }
        let gone = self.process.has_ended() || hung_up && Doorbells::HANG_UP_IS_FINAL;
        if !gone && !hung_up {
            return None;
        }
        // After asking whether it is gone: what it said before it went is there by now.
        match self.segment.goodbye_of(self.side.opposite()) {
            GOODBYE_CLOSED => Some(DisconnectReason::Closed),
            GOODBYE_FAULT => Some(DisconnectReason::Protocol(
                "the peer ended the connection because of what this side sent".into(),
            )),
            _ if gone => Some(DisconnectReason::Crashed),
            _ => None,
        }
    }

    /// Whether no part of what the peer sent is left unread in the ring.
    pub(crate) fn is_drained(&self) -> bool {
        self.segment.is_drained(self.side.opposite())
    }
}

impl End {
    /// The error for a call that met the end.
    pub(crate) fn error(&self) -> Error {
        match self {
            End::ClosedHere => closed_here(),
            End::Disconnected(reason) => {
                let kind = match reason {
                    DisconnectReason::Closed => ErrorKind::Closed,
                    DisconnectReason::Crashed => ErrorKind::PeerGone,
                    DisconnectReason::Protocol(_) => ErrorKind::Protocol,
                };
                Error::new(kind, reason.to_string())
            }
        }
    }

    /// What we tell the peer about it.
    pub(crate) fn goodbye(&self) -> u32 {
        match self {
            End::Disconnected(DisconnectReason::Protocol(_)) => GOODBYE_FAULT,
            _ => GOODBYE_CLOSED,
        }
    }
}

pub(crate) fn closed_here() -> Error {
    Error::new(
        ErrorKind::ClosedHere,
        "this side of the link has been closed",
    )
}

fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Peer(what) => format!("the peer wrote something that is not allowed: {what}"),
        Fault::TooLarge => "the peer sent a message longer than this side's max_message".to_owned(),
        Fault::OutOfMemory => "there is no memory for the peer's message".to_owned(),
    }
}

fn fault_error(fault: Fault) -> Error {
    let kind = match fault {
        Fault::Peer(_) => ErrorKind::Protocol,
        Fault::TooLarge => ErrorKind::TooLarge,
        Fault::OutOfMemory => ErrorKind::OutOfMemory,
    };
    Error::new(
        kind,
        format!("{}; the connection has been ended", fault_text(fault)),
    )
}
