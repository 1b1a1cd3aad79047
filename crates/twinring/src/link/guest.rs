//! A guest's part of the keeper's work: looking for the host, and staying with it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::connection::{Connection, Parts};
use super::core::Core;
use super::errand::{Errand, ShakeHands, Shaken};
use super::handshake::{Knock, Knocked};
use super::keeper::{Heard, Next, Post, Sound};
use super::name::Name;
use super::options::Options;
use super::vigil::Vigil;
use crate::error::{Error, Result};
use crate::os::endpoint::{Channel, Place, Watch};
use crate::os::event::{Alarm, Deadline, Sleeper, Source};

/// The first pause between two attempts.
const RETRY_FIRST: Duration = Duration::from_millis(1);
/// The longest pause while it cannot be told that a host has come, or one has but is busy.
const RETRY_LONGEST: Duration = Duration::from_millis(100);
/// The longest pause while it is told; only a notice that was lost costs this.
const RETRY_WATCHED: Duration = Duration::from_secs(1);

/// How long the thread that opens a link waits for the host in all; what is left of the handshake is
/// the keeper's then. A host that is not held up needs a tenth of it.
const PATIENCE: Duration = Duration::from_millis(2);

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
    Knocking {
        told: Receiver<Result<Parts>>,
        /// What the thread that opened the link has left of it to the keeper.
        unfinished: Option<Errand>,
    },
    /// Connected, by whatever thread; the keeper is to watch over it.
    Met(Arc<Connection>),
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
        if let State::Knocking { unfinished, .. } = &mut self.state {
            errands.extend(unfinished.take());
        }
        if !self.is_answered() {
            // If the link is being closed, whoever does it has been told, and is soon done.
            return Next::Until(Deadline::Never);
        }
        if let State::Met(connection) = &self.state {
            // Not before: what the hub reports of a link that it does not have yet, the keeper
            // forgets.
            self.state = State::With(Vigil::new(connection.clone(), post, &self.core));
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
            State::Knocking { .. } | State::Met(_) | State::With(_) => Next::Until(Deadline::Never),
        }
    }

    /// The first attempt, by the thread that opens the link, before the keeper has it: to start the
    /// keeper's thread, and be woken by it, takes longer than the handshake.
    pub(super) fn try_at_once(&mut self) {
        if !Place::CONNECTS_ON_ANY_THREAD {
            return;
        }
        // Whatever else there is, the keeper finds when it looks, and will be told of what comes then.
        let Ok(Some(channel)) = self.outlook.place.connect() else {
            return;
        };
        let left = self.knock(channel).begin(&Impatient {
            stop: &self.core.stop,
            until: Deadline::after(PATIENCE),
        });
        if let State::Knocking { unfinished, .. } = &mut self.state {
            *unfinished = left;
        }
        self.is_answered();
    }

    /// Attends to what has come of the knocking. `false` if nothing has yet.
    fn is_answered(&mut self) -> bool {
        let State::Knocking { told, .. } = &self.state else {
            return true;
        };
        match told.try_recv() {
            Ok(Ok(parts)) => self.state = State::Met(self.core.connected(parts)),
            Ok(Err(e)) => self.no_luck(e),
            Err(_) => return false,
        }
        true
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
            Ok(Some(channel)) => errands.push(self.knock(channel)),
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

    /// Hands are to be shaken.
    fn knock(&mut self, channel: Channel) -> Errand {
        let (tell, told) = mpsc::channel();
        self.state = State::Knocking {
            told,
            unfinished: None,
        };
        let knock = Knock::new(channel, &self.core.options);
        Errand::new(&self.core, &tell, shake_hands(knock))
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

fn shake_hands(knock: Knock) -> ShakeHands {
    Box::new(
        move |core, sleeper| match knock.go_on(core.name.as_str(), &core.options, sleeper) {
            Knocked::Over(outcome) => Shaken::Over(outcome),
            Knocked::Unfinished(knock) => Shaken::Unfinished(shake_hands(knock)),
        },
    )
}

/// How a thread waits that has something else to do.
struct Impatient<'a> {
    /// Tells that the link is being closed.
    stop: &'a Alarm,
    until: Deadline,
}

impl Sleeper for Impatient<'_> {
    fn sleep(&self, source: Source<'_>, deadline: Deadline) -> io::Result<()> {
        let slept = self
            .stop
            .sleep(source, Deadline::first([deadline, self.until]));
        slept.map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut if !deadline.passed() => io::ErrorKind::WouldBlock.into(),
            _ => e,
        })
    }
}
