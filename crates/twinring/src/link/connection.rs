//! One connection: its memory, its bells, its peer, and how it ended.
//!
//! The keeper makes it and decides when it is over; senders and receivers hold it while they use
//! it, so nothing is unmapped or closed under them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::keeper::KeeperBell;
use super::net;
use super::status::DisconnectReason;
use crate::error::{Error, ErrorKind};
use crate::os::event::{
    Alarm, Bells, Deadline, Source, can_wait_on_words, wait, wait_on_word, wake_word,
};
use crate::os::process::{Peer, Process};
use crate::ring::Fault;
use crate::segment::layout::{
    GOODBYE_CLOSED, GOODBYE_FAULT, ROUSE_BELL, ROUSE_BOTH, ROUSE_WORD, WAIT_ASLEEP,
};
use crate::segment::{RingMemory, Segment, Shared32, Side};

/// What the handshake yields.
pub(crate) struct Parts {
    pub(crate) side: Side,
    pub(crate) segment: Arc<Segment>,
    pub(crate) bells: Bells,
    pub(crate) process: Process,
    pub(crate) peer: Peer,
    /// The longest message that the peer takes.
    pub(crate) peer_max_message: u64,
    /// Made before the handshake is over, so that nothing can fail once it is.
    pub(crate) over: Alarm,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u64,
    pub(crate) peer: Peer,
    pub(crate) peer_max_message: u64,
    pub(crate) bells: Bells,
    pub(crate) process: Process,
    /// Set once the connection is over: wakes everyone who waits for the peer.
    pub(crate) over: Alarm,
    segment: Arc<Segment>,
    side: Side,
    /// The ring we write, and the one we read.
    out: RingMemory,
    into: RingMemory,
    /// We sleep on the wait flags themselves, not until our bells ring.
    on_words: AtomicBool,
    /// How often the second look found what the peer had published without waking us; see `net`.
    pub(crate) caught: AtomicU64,
    /// The bells that could not be rung, of [`DATA`] and [`SPACE`]: the keeper rings them later.
    unrung: AtomicU8,
    keeper: KeeperBell,
    end: OnceLock<End>,
    /// The first violation that a sender or receiver of ours found.
    fault: OnceLock<Fault>,
}

/// Bells.
const DATA: u8 = 1;
const SPACE: u8 = 2;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// We closed the link.
    ClosedHere,
    /// The peer, or what it did, ended it.
    Disconnected(DisconnectReason),
}

impl Connection {
    pub(crate) fn new(parts: Parts, generation: u64, keeper: KeeperBell) -> Connection {
        let (segment, side) = (parts.segment, parts.side);
        let on_words = can_wait_on_words();
        if on_words {
            segment.set_rouse(side, ROUSE_WORD);
        }
        Connection {
            generation,
            peer: parts.peer,
            peer_max_message: parts.peer_max_message,
            bells: parts.bells,
            process: parts.process,
            over: parts.over,
            out: segment.ring_from(side),
            into: segment.ring_from(side.opposite()),
            segment,
            side,
            on_words: AtomicBool::new(on_words),
            caught: AtomicU64::new(0),
            unrung: AtomicU8::new(0),
            keeper,
            end: OnceLock::new(),
            fault: OnceLock::new(),
        }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Our side of it.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// How it ended, if it has. Whoever asks before looking at the ring, and finds the ring empty,
    /// has seen all that came.
    #[inline]
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.get()
    }

    /// Ends it: the keeper's word, said once.
    pub(crate) fn finish(&self, end: End) {
        if self.end.set(end).is_ok() {
            self.over.set();
        }
    }

    /// Notes a violation. The keeper, to be woken by the caller, will end the connection for it.
    pub(crate) fn note(&self, fault: Fault) -> Error {
        let _ = self.fault.set(fault);
        fault_error(fault)
    }

    /// Sleeps until there may be something to read, the connection is over, or `interrupt` is set:
    /// returns 0, 1 or 2, or `None` at the deadline. May return for nothing. The wait has been
    /// announced to the peer. `look`: whether there is something by now; asked once, after a while.
    pub(crate) fn sleep_for_data(
        &self,
        interrupt: Option<&Alarm>,
        deadline: Deadline,
        look: impl FnOnce() -> bool,
    ) -> io::Result<Option<usize>> {
        let interrupt = interrupt.map_or(Source::Never, Alarm::source);
        let flag = &self.into.words().data_wait.0;
        self.sleep(flag, self.bells.data(), interrupt, deadline, look)
    }

    /// Whether the peer seems to have read up to this position of the ring we write. A hint, for who
    /// has not the lane.
    #[inline]
    pub(crate) fn has_read(&self, position: u64) -> bool {
        // Relaxed: whoever writes looks again, within the lane, and checks what it finds.
        self.out.words().head.0.load(Ordering::Relaxed) >= position
    }

    /// As [`Connection::sleep_for_data`], until there may be room.
    pub(crate) fn sleep_for_space(
        &self,
        deadline: Deadline,
        look: impl FnOnce() -> bool,
    ) -> io::Result<Option<usize>> {
        let flag = &self.out.words().space_wait.0;
        self.sleep(flag, self.bells.space(), Source::Never, deadline, look)
    }

    fn sleep(
        &self,
        flag: &Shared32,
        bell: Source<'_>,
        interrupt: Source<'_>,
        deadline: Deadline,
        look: impl FnOnce() -> bool,
    ) -> io::Result<Option<usize>> {
        if net::is_on() {
            let soon = Deadline::first([deadline, Deadline::after(net::LOOK_AGAIN)]);
            let woken = self.sleep_until(flag, bell, interrupt, soon)?;
            if woken.is_some() || soon == deadline {
                return Ok(woken);
            }
            let found = look();
            // If it is not set any more, the peer has taken it on to wake us.
            let unnoticed = flag.load(Ordering::Relaxed) == WAIT_ASLEEP;
            if found && unnoticed {
                self.caught.fetch_add(1, Ordering::Relaxed);
            }
            if found || !unnoticed {
                return Ok(Some(0));
            }
        }
        self.sleep_until(flag, bell, interrupt, deadline)
    }

    fn sleep_until(
        &self,
        flag: &Shared32,
        bell: Source<'_>,
        interrupt: Source<'_>,
        deadline: Deadline,
    ) -> io::Result<Option<usize>> {
        let over = self.over.source();
        // Relaxed: only we change it, and whichever way is taken, `rouse` tells the peer.
        if self.on_words.load(Ordering::Relaxed) {
            let woken = wait_on_word(flag.word(), WAIT_ASLEEP, &[over, interrupt], deadline);
            return match woken {
                Ok(Some(2)) => Ok(Some(0)),
                Ok(Some(alarm)) => Ok(Some(alarm + 1)),
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                    // From the next announcement on. For this one, look again. Another thread may
                    // be asleep on a word: it was there before the refusal.
                    self.on_words.store(false, Ordering::Relaxed);
                    self.segment.set_rouse(self.side, ROUSE_BOTH);
                    Ok(Some(0))
                }
                other => other,
            };
        }
        wait(&[bell, over, interrupt], deadline)
    }

    /// Wakes the peer, which waits for something to read.
    pub(crate) fn rouse_for_data(&self) {
        let rouse = self.segment.rouse_of(self.side.opposite());
        if rouse != ROUSE_BELL {
            wake_word(self.out.words().data_wait.0.word());
        }
        if rouse != ROUSE_WORD {
            self.ring(DATA);
        }
    }

    /// Wakes the peer, which waits for room.
    pub(crate) fn rouse_for_space(&self) {
        let rouse = self.segment.rouse_of(self.side.opposite());
        if rouse != ROUSE_BELL {
            wake_word(self.into.words().space_wait.0.word());
        }
        if rouse != ROUSE_WORD {
            self.ring(SPACE);
        }
    }

    /// Rings a bell, or leaves it to the keeper: nobody who sends may wait for the system to have memory.
    fn ring(&self, bell: u8) {
        if !self.try_to_ring(bell) {
            self.keeper.ring();
        }
    }

    fn try_to_ring(&self, bell: u8) -> bool {
        let rung = match bell {
            DATA => self.bells.ring_data(),
            _ => self.bells.ring_space(),
        };
        if !rung {
            self.unrung.fetch_or(bell, Ordering::Relaxed);
        }
        rung
    }

    /// Rings the bells that could not be rung. Whether there are such still. By the keeper.
    pub(crate) fn has_unrung(&self) -> bool {
        if self.unrung.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let unrung = self.unrung.swap(0, Ordering::Relaxed);
        for bell in [DATA, SPACE] {
            if unrung & bell != 0 {
                self.try_to_ring(bell);
            }
        }
        self.unrung.load(Ordering::Relaxed) != 0
    }

    /// Whether the peer's hang-up can be heard right now.
    pub(crate) fn has_hung_up(&self) -> bool {
        matches!(wait(&[self.bells.hung_up()], Deadline::Now), Ok(Some(_)))
    }

    /// Whether and why the connection is over, by what the peer, the kernel and our own threads
    /// say. `hung_up`: the peer's hang-up was heard.
    pub(crate) fn verdict(&self, hung_up: bool) -> Option<DisconnectReason> {
        if let Some(fault) = self.fault.get() {
            return Some(DisconnectReason::Protocol(fault_text(*fault)));
        }
        let gone = self.process.has_ended() || hung_up && Bells::HANG_UP_IS_FINAL;
        if !gone && !hung_up {
            return None;
        }
        // After the question whether it is gone: what it said before it went is there by now.
        match self.segment.goodbye_of(self.side.opposite()) {
            GOODBYE_CLOSED => Some(DisconnectReason::Closed),
            GOODBYE_FAULT => Some(DisconnectReason::Protocol(
                "the peer ended the connection because of what this side sent".into(),
            )),
            _ if gone => Some(DisconnectReason::Crashed),
            _ => None,
        }
    }

    /// Whether nothing that the peer sent is left unread in the ring.
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
        Fault::Peer(what) => format!("the peer wrote what is not allowed: {what}"),
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
