//! A guest in the event loop: looks for the host and connects to it.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use super::core::{Core, FinishGuard};
use super::handshake_task::{HandshakeTask, Rest};
use super::link_task::{LinkTask, NextStep, Readiness};
use super::peer_watch::PeerWatch;
use super::registration::Registration;
use super::threads::{Job, fault};
use crate::error::{Error, ErrorKind, Result};
use crate::handshake::{GuestHandshake, queued};
use crate::os::endpoint::{Channel, NameWatch, Rendezvous};
use crate::os::event::{Deadline, wait};
use crate::os::system_error;
use crate::transfer::{Name, Options};

/// The first pause between two attempts.
const RETRY_FIRST: Duration = Duration::from_millis(1);
/// The longest pause while there is a host that is busy, or does not let us in.
const RETRY_HOST: Duration = Duration::from_millis(100);
/// The longest pause while there is one that has not taken the last call. There is no queue for calls on Windows:
/// whoever tries often is let in sooner.
const RETRY_CALL: Duration = Duration::from_millis(10);
/// After so long, calls that are not taken are worth telling.
const UNTAKEN: Duration = Duration::from_secs(1);
/// The longest pause while there is none. Mostly a new one is reported; of another user's host on Windows there are no
/// reports, but the pause is never longer than the host has been missing.
const RETRY_NO_HOST: Duration = Duration::from_secs(1);

/// How long the thread that opens a link waits for the host in all; after that the driver goes on
/// with the handshake. A host that is not held up needs a tenth of it.
const PATIENCE: Duration = Duration::from_millis(2);

/// A host has not taken our calls for a while.
fn untaken() -> Error {
    Error::new(
        ErrorKind::Busy,
        "the host takes no calls now: it is stopped, or very many call it; this guest tries again",
    )
}

/// Where to look for the host.
pub(super) struct GuestEndpoint {
    rendezvous: Rendezvous,
    watch: NameWatch,
}

impl GuestEndpoint {
    /// Takes everything that can fail at once.
    pub(super) fn new(
        registration: &Registration,
        name: &Name,
        options: &Options,
    ) -> Result<GuestEndpoint> {
        let rendezvous = Rendezvous::new(&name.key(), &options.rendezvous())?;
        let watch = registration.name_watches().watch(&rendezvous)?;
        Ok(GuestEndpoint { rendezvous, watch })
    }

    fn call(&mut self) -> io::Result<Option<Channel>> {
        // Before the look, so that a host that comes after it is noticed.
        self.watch.renew();
        self.rendezvous.connect()
    }
}

/// Dropped in this order.
pub(super) struct Guest {
    phase: Phase,
    /// `None` while a job has it.
    endpoint: Option<GuestEndpoint>,
    pause: Duration,
    /// Since when the host has not taken our calls.
    untaken: Option<Instant>,
    /// A change was reported while a job looked, which may have seen it or not.
    changed: bool,
    /// Too much of earlier connections was unread at the last look: look again whenever notified.
    full: bool,
    core: Arc<Core>,
    /// `None` once the link is closed, and only a connection is left.
    finish: Option<FinishGuard>,
    registration: Registration,
}

enum Phase {
    /// There is no host, or none that accepts us. Looks again at this deadline.
    Looking(Deadline),
    /// A job looks for it.
    Calling(Job<(GuestEndpoint, io::Result<Option<Channel>>)>),
    Handshaking(Box<HandshakeTask<GuestHandshake>>),
    Connected(PeerWatch),
}

impl Guest {
    pub(super) fn new(
        core: &Arc<Core>,
        endpoint: GuestEndpoint,
        registration: Registration,
    ) -> Guest {
        Guest {
            phase: Phase::Looking(Deadline::Now),
            endpoint: Some(endpoint),
            pause: RETRY_FIRST,
            untaken: None,
            changed: false,
            full: false,
            core: core.clone(),
            finish: Some(FinishGuard(core.clone())),
            registration,
        }
    }

    /// The first attempt, by the thread that opens the link, before the driver gets it: starting the
    /// driver's thread, and being woken by it, takes longer than the handshake.
    pub(super) fn try_at_once(&mut self) {
        if !Rendezvous::CONNECTS_ON_ANY_THREAD {
            return;
        }
        // Anything else is found by the driver when it looks, and later changes are reported to it.
        let Some(endpoint) = &mut self.endpoint else {
            return;
        };
        let Ok(Some(channel)) = endpoint.rendezvous.connect() else {
            return;
        };
        self.knock(channel);
        let until = Deadline::after(PATIENCE);
        while !until.passed() && self.shake_hands() {
            let Phase::Handshaking(task) = &mut self.phase else {
                return;
            };
            if task.handshake.place().is_some() {
                return;
            }
            if task.spins(task.handshake.steps()) {
                // The host may be waiting for this processor.
                thread::yield_now();
            } else if wait(&[task.channel().source()], until).is_err() {
                return;
            }
        }
    }

    /// Looks for a host, if it is time, and sends KNOCK.
    fn look(&mut self) {
        let Phase::Looking(at) = &self.phase else {
            return;
        };
        if !at.passed() && !self.full {
            return;
        }
        if self.core.link.has_served() {
            self.phase = Phase::Looking(Deadline::Never);
            return;
        }
        self.full = self.core.is_full();
        if self.full {
            let e = self.core.full();
            return self.no_luck(e);
        }
        let Some(mut endpoint) = self.endpoint.take() else {
            return self.no_luck(fault());
        };
        if endpoint.rendezvous.may_be_slow() {
            let call = move || {
                let called = endpoint.call();
                (endpoint, called)
            };
            self.phase = Phase::Calling(Job::start(&self.core.link.driver, call));
        } else {
            let called = endpoint.call();
            self.called(endpoint, called);
        }
    }

    /// Goes on with what the job has found.
    fn look_at_call(&mut self) {
        let Phase::Calling(job) = &self.phase else {
            return;
        };
        match job.poll() {
            Poll::Pending => {}
            Poll::Ready(Some((endpoint, called))) => self.called(endpoint, called),
            Poll::Ready(None) => self.no_luck(fault()),
        }
    }

    fn called(&mut self, endpoint: GuestEndpoint, called: io::Result<Option<Channel>>) {
        self.endpoint = Some(endpoint);
        match called {
            Ok(Some(channel)) => self.knock(channel),
            Ok(None) => {
                self.core.link.absent();
                self.look_again(RETRY_NO_HOST);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let since = *self.untaken.get_or_insert_with(Instant::now);
                if since.elapsed() > UNTAKEN {
                    self.core.failed(untaken());
                }
                return self.look_again(RETRY_CALL);
            }
            Err(e) => self.no_luck(system_error("cannot reach the host", e)),
        }
        self.untaken = None;
    }

    fn knock(&mut self, channel: Channel) {
        let options = &self.core.link.options;
        let begin = |channel| GuestHandshake::new(channel, options);
        self.phase = Phase::Handshaking(Box::new(HandshakeTask::new(channel, begin)));
    }

    /// Goes on with the handshake. Returns whether it still waits for the host.
    fn shake_hands(&mut self) -> bool {
        let Phase::Handshaking(task) = &mut self.phase else {
            return false;
        };
        let link = &self.core.link;
        task.ask(link);
        let before = task.handshake.place();
        let Poll::Ready(outcome) = task.handshake.poll(link.name.as_str(), &link.options) else {
            let place = task.handshake.place().filter(|_| before.is_none());
            if let Some(place) = place {
                self.core.failed(queued(place));
            }
            return true;
        };
        if before.is_some() && matches!(&outcome, Err(e) if e.kind() == ErrorKind::NotConnected) {
            // The host it waited for has closed or ended.
            self.core.link.absent();
            self.look_again(RETRY_HOST);
        } else {
            self.handshake_done(outcome);
        }
        false
    }

    fn handshake_done(&mut self, outcome: Result<()>) {
        let looking = Phase::Looking(Deadline::Now);
        let Phase::Handshaking(task) = std::mem::replace(&mut self.phase, looking) else {
            return;
        };
        let handshake = task.into_handshake();
        match outcome.and_then(|()| handshake.finish()) {
            Ok(parts) => self.phase = Phase::Connected(PeerWatch::new(parts, &self.core)),
            Err(e) => self.no_luck(e),
        }
    }

    fn no_luck(&mut self, e: Error) {
        self.core.failed(e);
        self.look_again(RETRY_HOST);
    }

    fn look_again(&mut self, longest: Duration) {
        self.pause = self.pause.min(longest);
        self.phase = Phase::Looking(Deadline::after(self.pause));
        self.pause *= 2;
    }
}

impl LinkTask for Guest {
    fn poll(&mut self, ready: &Readiness) -> NextStep {
        // Asked once: the thread that closes the link notifies the driver again.
        let may_end = self.core.link.may_end();
        if may_end {
            // The host may have accepted us by now: then it is told that we close.
            self.shake_hands();
        }
        if let Phase::Connected(watch) = &mut self.phase {
            if !watch.poll(ready, &self.core, &self.registration) {
                if may_end {
                    // The program may have the connection for longer than the link.
                    self.endpoint = None;
                    self.finish = None;
                }
                return NextStep::Wait(watch.due());
            }
            self.pause = RETRY_FIRST;
            self.phase = Phase::Looking(Deadline::Now);
        }
        // Also if its close is what ended the connection: then there is nobody to look for.
        if self.core.link.is_closing() {
            return match &self.phase {
                // Otherwise it would reach a host that the link has nothing to do with any more.
                Phase::Calling(job) if job.poll().is_pending() => NextStep::Wait(Deadline::Never),
                _ if may_end => NextStep::Finished,
                // The thread that closes the link notifies the driver.
                _ => NextStep::Wait(Deadline::Never),
            };
        }
        self.look_at_call();
        self.changed |= ready.name;
        if let Phase::Looking(at) = &mut self.phase {
            if std::mem::take(&mut self.changed) {
                self.pause = RETRY_FIRST;
                *at = Deadline::Now;
            }
        }
        self.look();
        let waits = self.shake_hands();
        if let (true, Phase::Handshaking(task)) = (waits, &mut self.phase) {
            if task.ask(&self.core.link) {
                // The job notifies the driver.
                return NextStep::Wait(task.handshake.deadline());
            }
            let rest = match task.handshake.place() {
                Some(_) => task.sleep(&self.registration).map(|()| Rest::Watched),
                None => task.rest(task.handshake.steps(), &self.registration),
            };
            return match rest {
                Ok(Rest::Spin) => NextStep::Spin,
                Ok(Rest::Watched) => NextStep::Wait(task.handshake.deadline()),
                Err(e) => {
                    self.handshake_done(Err(e));
                    self.poll(&Readiness::default())
                }
            };
        }
        match &mut self.phase {
            Phase::Looking(again) => NextStep::Wait(*again),
            // It has been created this moment and has to be watched.
            Phase::Connected(watch) => {
                watch.poll(&Readiness::default(), &self.core, &self.registration);
                NextStep::Wait(watch.due())
            }
            Phase::Calling(_) | Phase::Handshaking(_) => NextStep::Wait(Deadline::Never),
        }
    }

    fn failed(&self, e: Error) {
        self.core.failed(e);
    }
}
