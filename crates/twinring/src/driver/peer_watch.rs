//! The driver's watch of one connection, from its beginning to its end.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::core::Core;
use super::link_task::Readiness;
use super::registration::Registration;
use super::token::{EventKind, watch_number};
use crate::error::{By, End, Result};
use crate::os::event::{Deadline, Poller, Watched};
use crate::os::process::User;
use crate::os::system_error;
use crate::transfer::{Awaited, Duplex, Ended, Owner, Parts, Session, let_go_of_handles};

/// A connection, and what tells the driver that its peer may have gone.
pub(super) struct PeerWatch {
    duplex: Arc<Duplex>,
    /// What the program has of it.
    shown: Weak<Owner>,
    number: u32,
    stage: Stage,
    hung_up: bool,
    /// Since when there has been a doorbell that cannot be rung.
    unrung: Option<Instant>,
    /// Dropped before the connection.
    sources: Sources,
    data_rings: Rings,
    room_rings: Rings,
}

enum Stage {
    Connected,
    /// Everyone here has been told; a sender or receiver is still busy with it.
    Ending,
    Over,
}

/// A doorbell, for the tasks of the program.
enum Rings {
    /// There have been no tasks, or the program listens to it.
    Unheard,
    Watched(Watched<Session>),
    /// The program has begun to listen to it, then. A wait that has ended may still take a ring (Wine's do), so the driver rings it
    /// again for a while.
    Left(Instant),
    /// The system has no resources for it, so the driver wakes the tasks now and then.
    None,
}

enum Sources {
    /// The driver has not polled this watch yet.
    New,
    Watched {
        _hung_up: Watched<Session>,
        _ended: Watched<Session>,
    },
    /// The system has no resources for them, so the driver checks now and then.
    None,
}

/// How often to check a peer that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often to wake tasks, if the doorbells cannot be listened to, or to ring one that was left to the program.
const TASKS_LOOK_AGAIN: Duration = Duration::from_millis(10);

/// For how long to ring a doorbell that was left to the program.
const RING_AFTER_LEAVING: Duration = Duration::from_secs(1);

/// How soon to ask a sender that was busy again, or to ring a doorbell that the system had no memory for.
const SOON: Duration = Duration::from_millis(1);

/// How long the driver waits for a sender or receiver before it attends to other links.
const DRIVER_WAITS: Duration = Duration::from_micros(100);

/// How long to keep ringing a doorbell.
const MAX_UNRUNG: Duration = Duration::from_millis(100);

impl PeerWatch {
    pub(super) fn new(parts: Parts, core: &Core) -> PeerWatch {
        let (duplex, shown) = core.connect(parts);
        PeerWatch {
            number: watch_number(duplex.session.id),
            duplex,
            shown,
            stage: Stage::Connected,
            hung_up: false,
            unrung: None,
            sources: Sources::New,
            data_rings: Rings::Unheard,
            room_rings: Rings::Unheard,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The peer's user.
    pub(super) fn user(&self) -> &User {
        &self.duplex.session.peer.user
    }

    /// Ends the connection if it is over. Returns whether it has ended.
    pub(super) fn poll(
        &mut self,
        ready: &Readiness,
        core: &Core,
        registration: &Registration,
    ) -> bool {
        if let Sources::New = self.sources {
            self.sources = match self.watch(registration) {
                Ok(sources) => sources,
                Err(e) => {
                    core.failed(e);
                    Sources::None
                }
            };
        }
        self.hear(Awaited::Data, ready, registration);
        self.hear(Awaited::Room, ready, registration);
        self.hung_up |= ready.hung_up.contains(&self.number);
        if let Sources::None = self.sources {
            self.hung_up |= self.duplex.session.has_hung_up();
        }
        if self.duplex.session.keeps_handles() {
            let_go_of_handles(&self.duplex);
        }
        if let Stage::Connected = self.stage {
            self.ring_again();
            if let Some(ended) = self.duplex.session.verdict(self.hung_up) {
                self.end(ended);
            }
        }
        self.finish(core);
        matches!(self.stage, Stage::Over)
    }

    /// Wakes tasks for which the peer has rung.
    fn hear(&mut self, what: Awaited, ready: &Readiness, registration: &Registration) {
        let (session, number) = (&self.duplex.session, self.number);
        let rings = match what {
            Awaited::Data => &mut self.data_rings,
            Awaited::Room => &mut self.room_rings,
        };
        let has_rung = ready.rung.contains(&(number, what));
        if let (Rings::Watched(watched), true) = (&*rings, has_rung) {
            session.rung(what);
            if Poller::REPORTS_RINGS_ONCE && watched.again().is_err() {
                *rings = Rings::None;
            }
        }
        match (&*rings, session.driver_listens(what)) {
            (Rings::Unheard | Rings::Left(_), true) => {
                let watched = watch_rings(session, number, what, registration);
                *rings = watched.map_or(Rings::None, Rings::Watched);
                // It may have rung before.
                session.tasks(what).wake();
            }
            (Rings::None, true) => session.tasks(what).wake(),
            (Rings::Watched(_) | Rings::None, false) => {
                *rings = match Poller::REPORTS_RINGS_ONCE {
                    true => Rings::Left(Instant::now()),
                    false => Rings::Unheard,
                };
                // A report that was under way has gone with the watch.
                session.rung(what);
            }
            (Rings::Left(since), false) => {
                if since.elapsed() > RING_AFTER_LEAVING {
                    *rings = Rings::Unheard;
                }
                session.rung(what);
            }
            (Rings::Unheard, false) | (Rings::Watched(_), true) => {}
        }
    }

    fn watch(&self, registration: &Registration) -> Result<Sources> {
        let (hung_up, ended) = (
            EventKind::HungUp(self.number),
            EventKind::Ended(self.number),
        );
        let session = &self.duplex.session;
        Ok(Sources::Watched {
            _hung_up: registration.watch(session, |s| s.doorbells.hung_up(), hung_up)?,
            _ended: registration.watch(session, |s| s.process.ended(), ended)?,
        })
    }

    fn end(&mut self, ended: Ended) {
        // Wakes everyone who waits for it.
        self.duplex.session.finish(ended);
        self.stage = Stage::Ending;
    }

    /// Tells the peer, if it lives, and the program.
    fn finish(&mut self, core: &Core) {
        if let Stage::Ending = self.stage {
            if self.duplex.say_goodbye(Deadline::after(DRIVER_WAITS)) {
                self.duplex.session.doorbells.hang_up();
                core.disconnected(&self.duplex, &self.shown);
                self.stage = Stage::Over;
            }
        }
    }

    fn ring_again(&mut self) {
        self.unrung = match self.duplex.session.has_unrung() {
            true => Some(self.unrung.unwrap_or_else(Instant::now)),
            false => None,
        };
        if self
            .unrung
            .is_some_and(|since| since.elapsed() > MAX_UNRUNG)
        {
            // Better no connection than one whose peer sleeps for ever; ending it takes no memory.
            self.duplex.session.doorbells.hang_up();
        }
    }

    /// Tasks wait for a doorbell that the system has no resources for, or one has been left to the program.
    fn rings_by_time(&self) -> bool {
        let by_time = |rings: &Rings| match rings {
            Rings::Left(_) => true,
            Rings::None => self.duplex.session.tasks_wait(),
            Rings::Unheard | Rings::Watched(_) => false,
        };
        by_time(&self.data_rings) || by_time(&self.room_rings)
    }

    /// When to poll this watch at the latest.
    pub(super) fn due(&self) -> Deadline {
        match (&self.stage, &self.sources) {
            (Stage::Ending, _) => Deadline::after(SOON),
            _ if self.unrung.is_some() => Deadline::after(SOON),
            _ if self.rings_by_time() => Deadline::after(TASKS_LOOK_AGAIN),
            (_, Sources::None) => Deadline::after(LOOK_AGAIN),
            _ => Deadline::Never,
        }
    }
}

fn watch_rings(
    session: &Arc<Session>,
    number: u32,
    what: Awaited,
    registration: &Registration,
) -> Result<Watched<Session>> {
    match what {
        Awaited::Data => {
            let prepared = session.doorbells.prepare_rings();
            prepared.map_err(|e| system_error("cannot listen to a doorbell", e))?;
            let event = EventKind::DataRung(number);
            registration.watch(session, |s| s.doorbells.data_rings(), event)
        }
        Awaited::Room => {
            let event = EventKind::SpaceRung(number);
            registration.watch(session, |s| s.doorbells.space_rings(), event)
        }
    }
}

/// Only after a fault of ours there is a connection left: nobody may wait on it.
impl Drop for PeerWatch {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            let end = End::Closed {
                by: By::Local,
                code: 0,
                reason: "the library failed".to_owned(),
            };
            self.duplex.session.finish(Ended::here(end));
            self.duplex.session.doorbells.hang_up();
        }
    }
}
