//! Where guests find a host: the claim on the name, and the listener.

use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::registration::{NameWatches, Registration};
use super::threads::{Job, fault};
use super::token::EventKind;
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{Channel, HostListener, NameClaim, NameWatch, Rendezvous, Spare};
use crate::os::event::{Deadline, Watched};
use crate::os::system_error;
use crate::transfer::{LinkState, Name, Options};

/// How long opening a link waits for a name that is taken. A process that was killed may keep it
/// for some milliseconds after its peer has noticed the end, and a supervisor may start the next host
/// as soon as the peer says so.
const GRACE: Duration = Duration::from_millis(100);

/// Released in this order.
pub(super) struct HostEndpoint {
    listening: Watched<HostListener>,
    listener: Arc<HostListener>,
    place: Place,
    /// Whether the next call will be reported; each is reported once.
    armed: bool,
}

/// What is in the file system, if anything is.
struct Claimed {
    claim: NameClaim,
    watch: NameWatch,
    watches: NameWatches,
    /// Looking at it may take long.
    is_slow: bool,
}

enum Place {
    Here(Box<Claimed>),
    /// A job looks at it.
    Looking(Job<(Box<Claimed>, Look)>),
    /// Lost because a job panicked.
    Lost,
}

/// The result of a look at the place.
pub(super) struct Look {
    /// Guests can find us, and changes of the place are reported from now on.
    pub(super) is_safe: bool,
    /// The new listener, if it had to be restored.
    listener: Result<Option<Arc<HostListener>>>,
}

impl HostEndpoint {
    /// Takes everything that can fail at once.
    pub(super) fn open(
        registration: &Registration,
        name: &Name,
        options: &Options,
    ) -> Result<HostEndpoint> {
        let rendezvous = Rendezvous::new(&name.key(), &options.rendezvous())?;
        let claim = claim_patiently(&rendezvous, name)?;
        let listener = Arc::new(claim.listen()?);
        registration
            .spare()
            .keep()
            .map_err(|e| system_error("cannot keep a descriptor in reserve", e))?;
        let watches = registration.name_watches();
        Ok(HostEndpoint {
            listening: listen(registration, &listener)?,
            listener,
            place: Place::Here(Box::new(Claimed {
                claim,
                watch: watches.watch(&rendezvous)?,
                watches,
                is_slow: rendezvous.may_be_slow(),
            })),
            // A call before the driver knows this link is not reported to it.
            armed: false,
        })
    }

    /// A call has been reported.
    pub(super) fn called(&mut self) {
        self.armed = false;
    }

    /// Whether the next call will be reported.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Asks for the next call to be reported, if the system does so.
    pub(super) fn arm(&mut self) {
        self.armed = self.listening.again().is_ok();
    }

    /// Accepts a guest, if one calls.
    pub(super) fn accept(&self) -> Result<Option<Channel>> {
        let accepted = self.listener.accept();
        accepted.map_err(|e| system_error("cannot accept a guest", e))
    }

    /// Accepts a guest, if one calls, only to tell it that it cannot be served.
    pub(super) fn accept_with(&self, spare: &Spare) -> Option<Channel> {
        self.listener.accept_with(spare).ok().flatten()
    }

    /// Checks whether anyone has removed what guests find us by (a cleaner of temporary files, the end of
    /// the login that the runtime directory belonged to) and restores it. `tidies`: also removes some of what
    /// others left there.
    pub(super) fn look(&mut self, link: &Arc<LinkState>, tidies: bool) {
        match std::mem::replace(&mut self.place, Place::Lost) {
            Place::Here(mut claimed) => {
                let (name, options) = (link.name.clone(), link.options.clone());
                let is_slow = claimed.is_slow || tidies;
                let listener = self.listener.clone();
                let look = move || {
                    if tidies {
                        claimed.claim.tidy();
                    }
                    let look = claimed.look(&name, &options, &listener);
                    (claimed, look)
                };
                self.place = Place::Looking(match is_slow {
                    true => Job::start(&link.driver, look),
                    false => Job::done(look()),
                });
            }
            other => self.place = other,
        }
    }

    /// The result of the look, once.
    pub(super) fn looked(&mut self, registration: &Registration) -> Option<Result<bool>> {
        let Place::Looking(job) = &self.place else {
            return None;
        };
        let Poll::Ready(done) = job.poll() else {
            return None;
        };
        let Some((claimed, look)) = done else {
            self.place = Place::Lost;
            return Some(Err(fault()));
        };
        self.place = Place::Here(claimed);
        let listener = look.listener.and_then(|listener| match listener {
            Some(listener) => self.replace(listener, registration),
            None => Ok(()),
        });
        Some(listener.map(|()| look.is_safe))
    }

    fn replace(&mut self, listener: Arc<HostListener>, registration: &Registration) -> Result<()> {
        self.listening = listen(registration, &listener)?;
        self.listener = listener;
        self.armed = false;
        Ok(())
    }

    /// Whether it can be released: no job has it.
    pub(super) fn is_here(&self) -> bool {
        !matches!(self.place, Place::Looking(_))
    }

    /// Whether releasing it may take long.
    pub(super) fn is_slow(&self) -> bool {
        matches!(&self.place, Place::Here(claimed) if claimed.is_slow)
    }
}

impl Claimed {
    fn look(&mut self, name: &Name, options: &Options, listener: &HostListener) -> Look {
        self.watch.renew();
        let listener = match listener.is_lost() || self.claim.is_lost() {
            true => self.reopen(name, options).map(Some),
            false => Ok(None),
        };
        // What happened before the watch was on the new place is not reported.
        let is_lost = match &listener {
            Ok(Some(listener)) => listener.is_lost() || self.claim.is_lost(),
            _ => false,
        };
        Look {
            is_safe: !is_lost && !self.watch.is_blind(),
            listener,
        }
    }

    fn reopen(&mut self, name: &Name, options: &Options) -> Result<Arc<HostListener>> {
        if self.claim.is_lost() {
            let rendezvous = Rendezvous::new(&name.key(), &options.rendezvous())?;
            self.claim = claim(&rendezvous, name)?;
            self.watch = self.watches.watch(&rendezvous)?;
            self.watch.renew();
        }
        Ok(Arc::new(self.claim.listen()?))
    }
}

fn claim_patiently(rendezvous: &Rendezvous, name: &Name) -> Result<NameClaim> {
    let until = Deadline::after(GRACE);
    let mut pause = Duration::from_millis(1);
    loop {
        match claim(rendezvous, name) {
            Err(e) if e.kind() == ErrorKind::NameInUse && !until.passed() => {
                thread::sleep(pause);
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
}

fn claim(rendezvous: &Rendezvous, name: &Name) -> Result<NameClaim> {
    rendezvous.claim(name.as_str())?.ok_or_else(|| {
        let who = rendezvous
            .claimant()
            .unwrap_or_else(|| "another process".to_owned());
        Error::new(
            ErrorKind::NameInUse,
            format!("{who} hosts a link of this name; close that one or use another name"),
        )
    })
}

fn listen(
    registration: &Registration,
    listener: &Arc<HostListener>,
) -> Result<Watched<HostListener>> {
    registration.watch(listener, HostListener::source, EventKind::Called)
}
