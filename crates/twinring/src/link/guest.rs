//! A guest's part of the keeper's work: looking for the host, and staying with it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::connection::Parts;
use super::core::Core;
use super::errand::Errand;
use super::handshake;
use super::keeper::{Heard, Next, Post, Sound};
use super::name::Name;
use super::options::Options;
use super::vigil::Vigil;
use crate::error::{Error, Result};
use crate::os::endpoint::{Place, Watch};
use crate::os::event::Deadline;

/// The first pause between two attempts.
const RETRY_FIRST: Duration = Duration::from_millis(1);
/// The longest pause while it cannot be told that a host has come, or one has but is busy.
const RETRY_LONGEST: Duration = Duration::from_millis(100);
/// The longest pause while it is told; only a notice that was lost costs this.
const RETRY_WATCHED: Duration = Duration::from_secs(1);

/// Where to look for the host.
pub(super) struct Outlook {
    place: Place,
    watch: Watch,
}

impl Outlook {
    /// Gets what can fail at once.
    pub(super) fn new(post: &Post, name: &Name, options: &Options) -> Result<Outlook> {
        let place = Place::new(&name.key(), &options.place())?;
        let watch = post
            .lookout()
            .for_guest(post.hub(), &place, post.key(Sound::Place))
            .map_err(|e| Error::from_io("cannot watch for a host", e))?;
        Ok(Outlook { place, watch })
    }
}

pub(super) struct Guest {
    core: Arc<Core>,
    outlook: Outlook,
    pause: Duration,
    /// Too much of earlier connections was unread at the last look: look again whenever called.
    full: bool,
    state: State,
}

enum State {
    /// There is no host, or none that takes us. Looks again then.
    Looking(Deadline),
    /// Hands are being shaken with the host.
    Knocking(Receiver<Result<Parts>>),
    With(Vigil),
}

impl Guest {
    pub(super) fn new(core: &Arc<Core>, outlook: Outlook) -> Guest {
        Guest {
            core: core.clone(),
            outlook,
            pause: RETRY_FIRST,
            full: false,
            state: State::Looking(Deadline::Now),
        }
    }

    pub(super) fn attend(&mut self, post: &Post, heard: &Heard, errands: &mut Vec<Errand>) -> Next {
        // Asked once, as by a host.
        let closing = self.core.is_closing();
        if let State::Knocking(outcome) = &self.state {
            match outcome.try_recv() {
                Ok(Ok(parts)) => {
                    let connection = self.core.connected(parts);
                    self.state = State::With(Vigil::new(connection, post, &self.core));
                }
                Ok(Err(e)) => self.no_luck(e),
                // If the link is being closed, whoever does it has been told, and is soon done.
                Err(_) => return Next::Until(Deadline::Never),
            }
        }
        if let State::With(vigil) = &mut self.state {
            vigil.hear(heard);
            if !vigil.is_over(&self.core, closing) {
                return Next::Until(vigil.due());
            }
            self.pause = RETRY_FIRST;
            self.state = State::Looking(Deadline::Now);
        }
        if closing {
            return Next::Finished;
        }
        if heard.place {
            self.pause = RETRY_FIRST;
            self.state = State::Looking(Deadline::Now);
        }
        self.look(errands);
        match self.state {
            State::Looking(again) => Next::Until(again),
            State::Knocking(_) | State::With(_) => Next::Until(Deadline::Never),
        }
    }

    /// Looks for a host, if it is time, and knocks.
    fn look(&mut self, errands: &mut Vec<Errand>) {
        let State::Looking(at) = &self.state else {
            return;
        };
        if !at.passed() && !self.full {
            return;
        }
        // Before the look, so that a host which comes after it is noticed.
        self.outlook.watch.renew();
        self.full = self.core.inbox.is_full();
        if self.full {
            return self.no_luck(self.core.inbox.full());
        }
        let called = self
            .outlook
            .place
            .connect()
            .map_err(|e| Error::from_io("cannot reach the host", e));
        match called {
            Ok(Some(channel)) => {
                let (tell, told) = mpsc::channel();
                errands.push(Errand::new(&self.core, &tell, |core, sleeper| {
                    handshake::guest(channel, core.name.as_str(), &core.options, sleeper)
                }));
                self.state = State::Knocking(told);
            }
            Ok(None) => {
                self.core.absent();
                let longest = if self.outlook.watch.is_blind() {
                    RETRY_LONGEST
                } else {
                    RETRY_WATCHED
                };
                self.look_again(longest);
            }
            Err(e) => self.no_luck(e),
        }
    }

    fn no_luck(&mut self, e: Error) {
        self.core.failed(e);
        self.look_again(RETRY_LONGEST);
    }

    fn look_again(&mut self, longest: Duration) {
        self.pause = self.pause.min(longest);
        self.state = State::Looking(Deadline::after(self.pause));
        self.pause *= 2;
    }
}
