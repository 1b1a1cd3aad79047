//! A host's part of the keeper's work: the claim, the calls, and which of several guests it takes.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::connection::{Connection, End, Parts};
use super::core::Core;
use super::errand::{Errand, Shaken};
use super::handshake::{self, Spare};
use super::keeper::{Heard, Next, Post, Sound};
use super::name::Name;
use super::options::Options;
use super::status::DisconnectReason;
use super::vigil::Vigil;
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{Channel, Claim, Listener, Place, Watch};
use crate::os::event::{Deadline, Sleeper, Watched};

/// Handshakes that a host has open at once; further guests wait in the system's queue.
const MOST_HANDSHAKES: usize = 8;

/// How long a guest that was chosen may take to accept 512 bytes.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon a host that could not take a call tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often a host looks whether guests can still find it, while the system would not tell it or
/// it could not get its place back.
const PLACE_RETRY: Duration = Duration::from_secs(1);

/// How soon after the first attempt, which whoever is just removing things may have spoilt.
const PLACE_FIRST_RETRY: Duration = Duration::from_millis(20);

/// How long whoever opens a host waits for a name that is taken. A process that was killed may hold it
/// for some milliseconds after its peer has noticed the end, and it is the peer's word by which a
/// supervisor starts the next one.
const GRACE: Duration = Duration::from_millis(100);

/// The claim on the name, and the ear at the endpoint. Given back in this order.
pub(super) struct Door {
    listening: Watched<Listener>,
    listener: Arc<Listener>,
    claim: Claim,
    watch: Watch,
    /// Whether a call will be heard; it is once.
    armed: bool,
}

impl Door {
    /// Gets what can fail at once.
    pub(super) fn open(post: &Post, name: &Name, options: &Options) -> Result<Door> {
        let place = Place::new(&name.key(), &options.place())?;
        let claim = claim_patiently(&place, name)?;
        let listener = Arc::new(claim.listen()?);
        Ok(Door {
            listening: listen(post, &listener)?,
            listener,
            claim,
            watch: watch(post, &place)?,
            // A call before the keeper has begun with this link is not heard.
            armed: false,
        })
    }

    /// Whether somebody has removed what guests find us by: a cleaner of temporary files, the end
    /// of the login that the runtime directory belonged to.
    fn is_lost(&mut self) -> bool {
        self.watch.renew();
        self.listener.is_lost() || self.claim.is_lost()
    }

    /// Puts it back.
    fn reopen(&mut self, post: &Post, core: &Core) -> Result<()> {
        if self.claim.is_lost() {
            let place = Place::new(&core.name.key(), &core.options.place())?;
            self.claim = claim(&place, &core.name)?;
            self.watch = watch(post, &place)?;
        }
        let listener = Arc::new(self.claim.listen()?);
        self.listening = listen(post, &listener)?;
        self.listener = listener;
        self.armed = false;
        Ok(())
    }
}

fn claim_patiently(place: &Place, name: &Name) -> Result<Claim> {
    let until = Deadline::after(GRACE);
    let mut pause = Duration::from_millis(1);
    loop {
        match claim(place, name) {
            Err(e) if e.kind() == ErrorKind::NameInUse && !until.passed() => {
                thread::sleep(pause);
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
}

fn claim(place: &Place, name: &Name) -> Result<Claim> {
    place.claim(name.as_str())?.ok_or_else(|| {
        let who = place
            .claimant()
            .unwrap_or_else(|| "another process".to_owned());
        Error::new(
            ErrorKind::NameInUse,
            format!("{who} hosts a link of this name; close that one or use another name"),
        )
    })
}

fn listen(post: &Post, listener: &Arc<Listener>) -> Result<Watched<Listener>> {
    post.listen(listener, Listener::source, Sound::Called)
}

fn watch(post: &Post, place: &Place) -> Result<Watch> {
    post.lookout()
        .for_host(post.hub(), place, post.key(Sound::Place))
        .map_err(|e| Error::from_io("cannot watch the link's place", e))
}

pub(super) struct Host {
    core: Arc<Core>,
    door: Door,
    /// When to take calls again, after that failed.
    retry: Option<Deadline>,
    /// When to look at the place, if not when something is heard of it.
    look: Deadline,
    /// The last attempt to get the place back has failed.
    lost: bool,
    seat: Arc<Seat>,
    vigil: Option<Vigil>,
    handshakes: usize,
    done: (Sender<Result<Parts>>, Receiver<Result<Parts>>),
}

impl Host {
    pub(super) fn new(core: &Arc<Core>, door: Door) -> Host {
        Host {
            core: core.clone(),
            door,
            retry: None,
            look: Deadline::Now,
            lost: false,
            seat: Arc::new(Seat {
                state: Mutex::default(),
                spare: Spare::new(&core.options),
            }),
            vigil: None,
            handshakes: 0,
            done: mpsc::channel(),
        }
    }

    pub(super) fn attend(&mut self, post: &Post, heard: &Heard, errands: &mut Vec<Errand>) -> Next {
        // Asked once: whoever closes the link calls the keeper again, and a guest must not be
        // forgotten because the link was closed after the look at it.
        let closing = self.core.is_closing();
        while let Ok(outcome) = self.done.1.try_recv() {
            self.handshakes -= 1;
            self.handshake_done(outcome, post);
        }
        if let Some(vigil) = &mut self.vigil {
            vigil.hear(heard);
            if vigil.is_over(&self.core, closing) {
                self.vigil = None;
                self.seat.leave();
            }
        }
        if closing {
            // Those who shake hands have been told, and come back at once.
            return match self.handshakes {
                0 => Next::Finished,
                _ => Next::Until(Deadline::Never),
            };
        }
        if heard.place || self.look.passed() {
            self.look_at_place(post);
        }
        if heard.called {
            self.door.armed = false;
        }
        self.take_calls(errands);
        let deadlines = [
            self.look,
            self.retry.unwrap_or(Deadline::Never),
            self.vigil.as_ref().map_or(Deadline::Never, Vigil::due),
        ];
        Next::Until(Deadline::first(deadlines))
    }

    fn look_at_place(&mut self, post: &Post) {
        let reopened = match self.door.is_lost() {
            true => self.door.reopen(post, &self.core),
            false => Ok(()),
        };
        self.look = match reopened {
            // What happened until the watch was on the new place is not told.
            Ok(()) if !self.door.is_lost() && !self.door.watch.is_blind() => {
                self.lost = false;
                Deadline::Never
            }
            Err(e) if self.lost => {
                self.core.failed(e);
                Deadline::after(PLACE_RETRY)
            }
            Err(_) => {
                self.lost = true;
                Deadline::after(PLACE_FIRST_RETRY)
            }
            Ok(()) => Deadline::after(PLACE_RETRY),
        };
    }

    /// Takes the calls of guests that are waiting, unless there is too much to do already.
    fn take_calls(&mut self, errands: &mut Vec<Errand>) {
        // While too much is unread no newcomer is served, unless only to be told "busy".
        if self.vigil.is_none() && self.core.inbox.is_full() {
            return self.core.failed(self.core.inbox.full());
        }
        if self.retry.is_some_and(|at| !at.passed()) || self.door.armed {
            return;
        }
        self.retry = None;
        while self.handshakes < MOST_HANDSHAKES {
            match self.take_call(errands) {
                Ok(true) => {}
                Ok(false) => {
                    self.door.armed = self.door.listening.again().is_ok();
                    break;
                }
                Err(e) => {
                    self.core.failed(e);
                    self.retry = Some(Deadline::after(ACCEPT_RETRY));
                    break;
                }
            }
        }
        if !self.door.armed && self.retry.is_none() && self.handshakes == 0 {
            // The system would not let us wait for a call.
            self.retry = Some(Deadline::after(ACCEPT_RETRY));
        }
    }

    /// Accepts a guest, with whom hands are then to be shaken. `false` if none calls.
    fn take_call(&mut self, errands: &mut Vec<Errand>) -> Result<bool> {
        let accepted = self
            .door
            .listener
            .accept()
            .map_err(|e| Error::from_io("cannot accept a guest", e))?;
        let Some(channel) = accepted else {
            return Ok(false);
        };
        let seat = self.seat.clone();
        let done = &self.done.0;
        let shake_hands = move |core: &Core, sleeper: &dyn Sleeper| {
            Shaken::Over(shake_hands(core, channel, &seat, sleeper))
        };
        errands.push(Errand::new(&self.core, done, Box::new(shake_hands)));
        self.handshakes += 1;
        Ok(true)
    }

    fn handshake_done(&mut self, outcome: Result<Parts>, post: &Post) {
        match outcome {
            Ok(parts) => {
                // A guest that has gone, whose end had not been noticed yet.
                if let Some(old) = self.seat.leave() {
                    let reason = old.verdict(false).unwrap_or(DisconnectReason::Crashed);
                    self.core.disconnected(&old, End::Disconnected(reason));
                }
                let connection = self.core.connected(parts);
                self.seat.take(connection.clone());
                self.vigil = Some(Vigil::new(connection, post, &self.core));
            }
            // A guest sent away is its own business.
            Err(e) if e.kind() == ErrorKind::Busy => {}
            Err(e) => self.core.failed(e),
        }
    }
}

/// One guest's handshake to its end: it has been told that it is the one, or why not.
fn shake_hands(core: &Core, channel: Channel, seat: &Seat, sleeper: &dyn Sleeper) -> Result<Parts> {
    let candidate = handshake::host(
        channel,
        core.name.as_str(),
        &core.options,
        &seat.spare,
        sleeper,
        || seat.is_taken(),
    )?;
    let deadline = Deadline::after(WELCOME_TIMEOUT);
    if !seat.reserve() {
        candidate.refuse_busy(sleeper, deadline);
        return Err(handshake::busy());
    }
    candidate
        .welcome(sleeper, deadline)
        .inspect_err(|_| seat.give_up())
}

/// The place of the one guest, for which several may be shaking hands.
struct Seat {
    state: Mutex<Seated>,
    spare: Spare,
}

#[derive(Default)]
struct Seated {
    guest: Option<Arc<Connection>>,
    /// For one that is being told that it is the one.
    reserved: bool,
}

impl Seated {
    fn is_taken(&self) -> bool {
        // Asked of the kernel, right now: a newcomer takes the place of a dead one.
        let lives = |guest: &Arc<Connection>| !guest.process.has_ended();
        self.reserved || self.guest.as_ref().is_some_and(lives)
    }
}

impl Seat {
    fn state(&self) -> MutexGuard<'_, Seated> {
        // Nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_taken(&self) -> bool {
        self.state().is_taken()
    }

    /// Keeps the place for a candidate, if it is free.
    fn reserve(&self) -> bool {
        let mut state = self.state();
        let free = !state.is_taken();
        state.reserved |= free;
        free
    }

    /// The candidate could not be told.
    fn give_up(&self) {
        self.state().reserved = false;
    }

    /// The candidate has become the guest.
    fn take(&self, guest: Arc<Connection>) {
        *self.state() = Seated {
            guest: Some(guest),
            reserved: false,
        };
    }

    fn leave(&self) -> Option<Arc<Connection>> {
        self.state().guest.take()
    }
}
