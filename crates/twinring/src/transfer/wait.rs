//! Waiting for the peer, for data or for room: the only place where a call does so.

use std::time::Instant;

use super::connection::{Awaited, Connection, Woken};
use super::spinner::Spinner;
use crate::error::{Error, Result};
use crate::frame::{Reader, Writer};
use crate::os::event::{Deadline, LocalEvent};
use crate::os::system_error;
use crate::ring::Fault;

/// What a call waits for at one end of a ring.
pub(crate) trait Condition {
    const AWAITED: Awaited;

    /// Whether it is met.
    fn is_met(&mut self) -> Result<bool, Fault>;

    /// Announces the wait to the peer. Returns whether the condition is met after all.
    fn announce(&mut self) -> Result<bool, Fault>;

    /// The wait is over.
    fn retract(&mut self);
}

/// There is a frame.
pub(crate) struct HasFrame<'a>(pub(crate) &'a mut Reader);

impl Condition for HasFrame<'_> {
    const AWAITED: Awaited = Awaited::Data;

    #[inline]
    fn is_met(&mut self) -> Result<bool, Fault> {
        self.0.has_frame()
    }

    fn announce(&mut self) -> Result<bool, Fault> {
        self.0.begin_wait()
    }

    fn retract(&mut self) {
        self.0.end_wait();
    }
}

/// There is room for what [`Writer::need`] says.
pub(crate) struct HasRoom<'a> {
    pub(crate) writer: &'a mut Writer,
    pub(crate) need: u64,
}

impl Condition for HasRoom<'_> {
    const AWAITED: Awaited = Awaited::Room;

    #[inline]
    fn is_met(&mut self) -> Result<bool, Fault> {
        self.writer.has_room(self.need)
    }

    fn announce(&mut self) -> Result<bool, Fault> {
        self.writer.begin_wait(self.need)
    }

    fn retract(&mut self) {
        self.writer.end_wait();
    }
}

/// Why a call cannot go on.
pub(crate) enum Failure {
    /// Only this call fails; the connection goes on.
    Call(Error),
    /// The peer broke the protocol.
    Peer(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Peer(fault)
    }
}

/// Waits until the condition may be met, the connection is over, `interrupt` is set, or the deadline
/// passes: spins as long as that pays, then sleeps. [`Woken::TimedOut`] if the deadline has passed already.
pub(crate) fn wait<C: Condition>(
    mut condition: C,
    connection: &Connection,
    spinner: &mut Spinner,
    interrupt: Option<&LocalEvent>,
    deadline: Deadline,
) -> Result<Woken, Failure> {
    if deadline.passed() {
        return Ok(Woken::TimedOut);
    }
    let spun = spinner.spin(deadline, || {
        if connection.end().is_some() {
            return Some(Ok(()));
        }
        match condition.is_met() {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(fault) => Some(Err(fault)),
        }
    });
    match spun {
        Some(found) => Ok(found.map(|()| Woken::LookAgain)?),
        None => sleep(condition, connection, spinner, interrupt, deadline),
    }
}

/// Like [`wait`], without the spin.
pub(crate) fn sleep<C: Condition>(
    mut condition: C,
    connection: &Connection,
    spinner: &mut Spinner,
    interrupt: Option<&LocalEvent>,
    deadline: Deadline,
) -> Result<Woken, Failure> {
    let woken = match condition.announce() {
        Ok(false) => {
            let start = Instant::now();
            // A violation is found again by the next look.
            let look = || condition.is_met() != Ok(false);
            let woken = connection.sleep(C::AWAITED, interrupt, deadline, look);
            spinner.slept(start.elapsed());
            match woken {
                // What was waited for may be there all the same.
                Ok(Woken::TimedOut) => Ok(Woken::LookAgain),
                Ok(woken) => Ok(woken),
                Err(e) => Err(Failure::Call(system_error("cannot wait for the peer", e))),
            }
        }
        Ok(true) => Ok(Woken::LookAgain),
        Err(fault) => Err(Failure::Peer(fault)),
    };
    condition.retract();
    woken
}
