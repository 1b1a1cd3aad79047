//! The driver's watch of one connection, from its beginning to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Core;
use super::link_task::Readiness;
use super::registration::Registration;
use super::token::{EventKind, MAX_WATCH};
use crate::error::Result;
use crate::os::event::{Deadline, Watched};
use crate::transfer::{Connection, DisconnectReason, End, Parts};

/// A connection, and what tells the driver that its peer may have gone.
pub(super) struct PeerWatch {
    connection: Arc<Connection>,
    number: u32,
    stage: Stage,
    hung_up: bool,
    /// Since when there has been a doorbell that cannot be rung.
    unrung: Option<Instant>,
    /// Dropped before the connection.
    sources: Sources,
}

enum Stage {
    /// A sender is still busy with the previous connection.
    Connecting,
    Connected,
    /// Everyone has been told; a sender is still busy with it.
    Ending(End),
    Over,
}

enum Sources {
    /// The driver has not polled this watch yet.
    New,
    Watched {
        _hung_up: Watched<Connection>,
        _ended: Watched<Connection>,
    },
    /// The system has no resources for them, so the driver checks now and then.
    None,
}

/// How often to check a peer that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How soon to ask a sender that was busy again, or to ring a doorbell that the system had no memory for.
const SOON: Duration = Duration::from_millis(1);

/// How long to keep ringing a doorbell.
const MAX_UNRUNG: Duration = Duration::from_millis(100);

impl PeerWatch {
    pub(super) fn new(parts: Parts, core: &Core) -> PeerWatch {
        let connection = core.new_connection(parts);
        let mut watch = PeerWatch {
            // Like the generations, which count from 1 for each link.
            number: connection.generation as u32 & MAX_WATCH,
            connection,
            stage: Stage::Connecting,
            hung_up: false,
            unrung: None,
            sources: Sources::New,
        };
        watch.connect(core);
        watch
    }

    /// Whether the connection goes on and the peer lives, according to the kernel right now.
    pub(super) fn is_alive(&self) -> bool {
        let goes_on = matches!(self.stage, Stage::Connecting | Stage::Connected);
        goes_on && !self.connection.process.has_ended()
    }

    fn connect(&mut self, core: &Core) {
        if core.connect(&self.connection) {
            self.stage = Stage::Connected;
        }
    }

    /// Ends the connection if it is over or the link is being closed. Returns whether it has ended.
    pub(super) fn poll(
        &mut self,
        ready: &Readiness,
        core: &Core,
        registration: &Registration,
        closing: bool,
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
        self.hung_up |= ready.hung_up.contains(&self.number);
        if let Sources::None = self.sources {
            self.hung_up |= self.connection.has_hung_up();
        }
        if let Stage::Connecting = self.stage {
            self.connect(core);
        }
        if let Stage::Connected = self.stage {
            self.ring_again();
            let end = if closing {
                Some(End::ClosedHere)
            } else {
                self.connection.verdict(self.hung_up).map(End::Disconnected)
            };
            if let Some(end) = end {
                self.end(core, end);
            }
        }
        self.finish(core);
        matches!(self.stage, Stage::Over)
    }

    fn watch(&self, registration: &Registration) -> Result<Sources> {
        let hung_up = EventKind::HungUp(self.number);
        let connection = &self.connection;
        Ok(Sources::Watched {
            _hung_up: registration.watch(connection, |c| c.doorbells.hung_up(), hung_up)?,
            _ended: registration.watch(connection, |c| c.process.ended(), EventKind::Ended)?,
        })
    }

    /// Another guest is connected: this one has gone, though that has not been noticed yet.
    pub(super) fn replace(&mut self, core: &Core) {
        if let Stage::Connected = self.stage {
            let reason = self.connection.verdict(false);
            let reason = reason.unwrap_or(DisconnectReason::Crashed);
            self.end(core, End::Disconnected(reason));
        }
    }

    fn end(&mut self, core: &Core, end: End) {
        core.end(&self.connection, &end);
        self.stage = Stage::Ending(end);
    }

    fn finish(&mut self, core: &Core) {
        if let Stage::Ending(end) = &self.stage {
            if core.finish(&self.connection, end) {
                self.stage = Stage::Over;
            }
        }
    }

    fn ring_again(&mut self) {
        self.unrung = match self.connection.has_unrung() {
            true => Some(self.unrung.unwrap_or_else(Instant::now)),
            false => None,
        };
        if self
            .unrung
            .is_some_and(|since| since.elapsed() > MAX_UNRUNG)
        {
            // Better no connection than one whose peer sleeps for ever; ending it takes no memory.
            self.connection.doorbells.hang_up();
        }
    }

    /// When to poll this watch at the latest.
    pub(super) fn due(&self) -> Deadline {
        match (&self.stage, &self.sources) {
            (Stage::Connecting | Stage::Ending(_), _) => Deadline::after(SOON),
            _ if self.unrung.is_some() => Deadline::after(SOON),
            (_, Sources::None) => Deadline::after(LOOK_AGAIN),
            _ => Deadline::Never,
        }
    }
}

/// Only after a fault of ours there is a connection left: nobody may wait on it.
impl Drop for PeerWatch {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            self.connection.finish(End::ClosedHere);
            self.connection.doorbells.hang_up();
        }
    }
}
