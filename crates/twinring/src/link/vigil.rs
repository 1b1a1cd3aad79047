//! The keeper's watch over one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, End};
use super::core::Core;
use super::keeper::{Heard, Post, Sound, VIGILS};
use crate::error::Result;
use crate::os::event::{Deadline, Watched};

/// A connection, and what tells the keeper that its peer may have gone.
pub(super) struct Vigil {
    connection: Arc<Connection>,
    number: u32,
    hung_up: bool,
    /// Since when there is a bell that cannot be rung.
    unrung: Option<Instant>,
    /// `None` if the system has no room for it: then the keeper looks now and then.
    watched: Option<[Watched<Connection>; 2]>,
}

/// How often a peer is looked after that cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How soon a bell is rung again for which the system had no memory, and for how long.
const RING_AGAIN: Duration = Duration::from_millis(1);
const MOST_UNRUNG: Duration = Duration::from_millis(100);

impl Vigil {
    pub(super) fn new(connection: Arc<Connection>, post: &Post, core: &Core) -> Vigil {
        // As the generations go, which are counted from 1 for each link.
        let number = connection.generation as u32 & VIGILS;
        let watch = || -> Result<_> {
            let hung_up = Sound::HungUp(number);
            Ok([
                post.listen(&connection, |c| c.bells.hung_up(), hung_up)?,
                post.listen(&connection, |c| c.process.ended(), Sound::Ended)?,
            ])
        };
        let watched = watch().map_err(|e| core.failed(e)).ok();
        Vigil {
            connection,
            number,
            hung_up: false,
            unrung: None,
            watched,
        }
    }

    pub(super) fn hear(&mut self, heard: &Heard) {
        self.hung_up |= heard.hung_up.contains(&self.number);
        if self.watched.is_none() {
            self.hung_up |= self.connection.has_hung_up();
        }
        self.unrung = match self.connection.has_unrung() {
            true => Some(self.unrung.unwrap_or_else(Instant::now)),
            false => None,
        };
        if self
            .unrung
            .is_some_and(|since| since.elapsed() > MOST_UNRUNG)
        {
            // Rather no connection than one whose peer sleeps for ever: to end it takes no memory.
            self.connection.bells.hang_up();
        }
    }

    /// Ends the connection if it is over, or the link is being closed; whether it is.
    pub(super) fn is_over(&self, core: &Core, closing: bool) -> bool {
        let end = if closing {
            Some(End::ClosedHere)
        } else {
            self.connection.verdict(self.hung_up).map(End::Disconnected)
        };
        match end {
            Some(end) => {
                core.disconnected(&self.connection, end);
                true
            }
            None => false,
        }
    }

    /// Until when the keeper may leave it alone.
    pub(super) fn due(&self) -> Deadline {
        match self.watched {
            _ if self.unrung.is_some() => Deadline::after(RING_AGAIN),
            Some(_) => Deadline::Never,
            None => Deadline::after(LOOK_AGAIN),
        }
    }
}
