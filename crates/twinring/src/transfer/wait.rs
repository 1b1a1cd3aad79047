//! Waiting for the peer, for data or for room: the only place where a call does so.

use std::time::Instant;

use super::session::{Awaited, Session, Woken};
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

    /// It is of no use any more: this side has something else, or one side does not want it.
    fn is_off(&self, _session: &Session) -> bool {
        false
    }
}

/// There is a frame, or there will be none.
pub(crate) struct HasFrame<'a>(pub(crate) &'a mut Reader);

impl Condition for HasFrame<'_> {
    const AWAITED: Awaited = Awaited::Data;

    #[inline]
    fn is_met(&mut self) -> Result<bool, Fault> {
        self.0.has_news()
    }

    fn announce(&mut self) -> Result<bool, Fault> {
        self.0.begin_wait()
    }

    fn retract(&mut self) {
        self.0.end_wait();
    }

    #[inline]
    fn is_off(&self, session: &Session) -> bool {
        session.stopping().is_some() || session.returned.any()
    }
}

/// There is room for what [`Writer::need`] says, or the peer wants no more: of anything, or of the large
/// message of this number.
pub(crate) struct HasRoom<'a> {
    pub(crate) writer: &'a mut Writer,
    pub(crate) need: u64,
    /// 0: of none.
    pub(crate) stream: u64,
}

impl Condition for HasRoom<'_> {
    const AWAITED: Awaited = Awaited::Room;

    #[inline]
    fn is_met(&mut self) -> Result<bool, Fault> {
        Ok(self.writer.has_room(self.need)? || self.writer.is_stopped())
    }

    fn announce(&mut self) -> Result<bool, Fault> {
        Ok(self.writer.begin_wait(self.need)? || self.writer.is_stopped())
    }

    fn retract(&mut self) {
        self.writer.end_wait();
    }

    #[inline]
    fn is_off(&self, session: &Session) -> bool {
        session.is_stream_stopped(self.stream)
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
    session: &Session,
    spinner: &mut Spinner,
    interrupt: Option<&LocalEvent>,
    deadline: Deadline,
) -> Result<Woken, Failure> {
    if deadline.passed() {
        return Ok(Woken::TimedOut);
    }
    let spun = spinner.spin(deadline, || {
        if session.end().is_some() || condition.is_off(session) {
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
        None => sleep(condition, session, spinner, interrupt, deadline),
    }
}

/// Like [`wait`], without the spin.
pub(crate) fn sleep<C: Condition>(
    mut condition: C,
    session: &Session,
    spinner: &mut Spinner,
    interrupt: Option<&LocalEvent>,
    deadline: Deadline,
) -> Result<Woken, Failure> {
    let on_doorbell = session.begin_sleep(C::AWAITED);
    let woken = match condition.announce() {
        // After the announcement: who changes this looks for that.
        Ok(false) if condition.is_off(session) => Ok(Woken::LookAgain),
        Ok(false) => {
            let start = Instant::now();
            // A violation is found again by the next look.
            let look = || condition.is_met() != Ok(false);
            let woken = session.sleep(C::AWAITED, interrupt, deadline, look);
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
    session.end_sleep(C::AWAITED, on_doorbell);
    woken
}
