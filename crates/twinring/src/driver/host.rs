//! A host in the event loop: takes the guests that call, and chooses one of them.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::core::{Core, FinishGuard};
use super::guest_slot::Slot;
use super::handshake_task::{HandshakeTask, Rest};
use super::host_endpoint::HostEndpoint;
use super::link_task::{LinkTask, NextStep, Readiness};
use super::peer_watch::PeerWatch;
use super::registration::Registration;
use super::threads::spawn;
use crate::error::{Error, ErrorKind, Result};
use crate::handshake::HostHandshake;
use crate::os::event::Deadline;
use crate::transfer::Parts;

/// Handshakes that a host has open at once; further guests wait in the system's queue.
const MAX_HANDSHAKES: usize = 8;

/// How soon a host tries again after it could not accept a call.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often a host checks that guests can still find it, while the system does not report changes or
/// it could not restore its place.
const PLACE_RETRY: Duration = Duration::from_secs(1);

/// The pause after the first attempt, which may have met a process that is still removing things.
const PLACE_FIRST_RETRY: Duration = Duration::from_millis(20);

/// Dropped in this order, so that the name is free when `close` returns.
pub(super) struct Host {
    handshakes: Vec<HandshakeTask<HostHandshake>>,
    watch: Option<PeerWatch>,
    /// The parts of the next connection, while the previous one is being ended.
    next: Option<Parts>,
    /// When to accept calls again after a failure.
    retry: Option<Deadline>,
    /// When to look at the place, unless a change is reported before.
    look: Deadline,
    /// A change was reported while a job looked, which may have seen it or not.
    changed: bool,
    /// The last attempt to restore the place failed.
    lost: bool,
    slot: Slot,
    core: Arc<Core>,
    open: Option<Open>,
}

/// What is released last.
struct Open {
    endpoint: HostEndpoint,
    _finish: FinishGuard,
    registration: Registration,
}

impl Host {
    pub(super) fn new(
        core: &Arc<Core>,
        endpoint: HostEndpoint,
        registration: Registration,
    ) -> Host {
        Host {
            handshakes: Vec::new(),
            watch: None,
            next: None,
            retry: None,
            look: Deadline::Now,
            changed: false,
            lost: false,
            slot: Slot::new(&core.link),
            core: core.clone(),
            open: Some(Open {
                endpoint,
                _finish: FinishGuard(core.clone()),
                registration,
            }),
        }
    }

    fn poll_open(&mut self, open: &mut Open, ready: &Readiness) -> NextStep {
        let Open {
            endpoint,
            registration,
            ..
        } = open;
        // Asked once: the thread that closes the link notifies the driver again, and a guest must not be
        // forgotten because the link was closed after this look.
        let closing = self.core.link.is_closing();
        if closing {
            self.handshakes.clear();
        }
        self.watch_guest(ready, registration, closing);
        if let Some(looked) = endpoint.looked(registration) {
            self.looked(looked);
        }
        if closing {
            return match (&self.watch, endpoint.is_here()) {
                (None, true) => NextStep::Finished,
                (Some(watch), _) => NextStep::Wait(watch.due()),
                // The job notifies the driver.
                (None, false) => NextStep::Wait(Deadline::Never),
            };
        }
        self.changed |= ready.name;
        if endpoint.is_here() && (self.changed || self.look.passed()) {
            self.changed = false;
            self.look = Deadline::Never;
            endpoint.look(&self.core.link);
            if let Some(looked) = endpoint.looked(registration) {
                self.looked(looked);
            }
        }
        if ready.called {
            endpoint.called();
        }
        self.take_calls(endpoint, registration);
        let spins = self.shake_hands(registration);
        // Watch those that are done, and take guests that have called meanwhile.
        self.take_calls(endpoint, registration);
        if self.handshakes.is_empty() {
            self.slot.tidy();
        }
        if spins {
            return NextStep::Spin;
        }
        let handshakes = self.handshakes.iter().map(|task| task.handshake.deadline());
        let others = [
            self.look,
            self.retry.unwrap_or(Deadline::Never),
            self.watch.as_ref().map_or(Deadline::Never, PeerWatch::due),
        ];
        NextStep::Wait(Deadline::first(handshakes.chain(others)))
    }

    fn watch_guest(&mut self, ready: &Readiness, registration: &Registration, closing: bool) {
        let over = match &mut self.watch {
            Some(watch) => watch.poll(ready, &self.core, registration, closing),
            None => false,
        };
        if over {
            self.watch = None;
            self.slot.set_taken(false);
        }
        if self.watch.is_some() {
            return;
        }
        if let Some(parts) = self.next.take() {
            let mut watch = PeerWatch::new(parts, &self.core);
            if watch.poll(ready, &self.core, registration, closing) {
                return self.slot.set_taken(false);
            }
            self.watch = Some(watch);
        }
    }

    fn looked(&mut self, looked: Result<bool>) {
        self.look = match looked {
            Ok(true) => {
                self.lost = false;
                Deadline::Never
            }
            Ok(false) => Deadline::after(PLACE_RETRY),
            Err(e) if self.lost => {
                self.core.failed(e);
                Deadline::after(PLACE_RETRY)
            }
            Err(_) => {
                self.lost = true;
                Deadline::after(PLACE_FIRST_RETRY)
            }
        };
    }

    /// Takes the calls of waiting guests, unless there is too much to do already.
    fn take_calls(&mut self, endpoint: &mut HostEndpoint, registration: &Registration) {
        self.retry = self.retry.filter(|at| !at.passed());
        // While too much is unread no newcomer is served, unless only to be told "busy".
        if self.watch.is_none() && self.core.inbox.is_full() {
            return self.core.failed(self.core.inbox.full());
        }
        if self.retry.is_some() || endpoint.is_armed() {
            return;
        }
        // Without one for lack of descriptors, there is nothing more that could be done.
        let _ = registration.spare().keep();
        while self.handshakes.len() < MAX_HANDSHAKES {
            match endpoint.accept() {
                Ok(Some(channel)) => {
                    let options = &self.core.link.options;
                    let begin = |channel| HostHandshake::new(channel, options);
                    self.handshakes.push(HandshakeTask::new(channel, begin));
                    self.check_guest();
                    // While the guest works on its first message.
                    self.slot.make_ahead();
                }
                Ok(None) => {
                    endpoint.arm();
                    break;
                }
                Err(e) => {
                    if e.kind() == ErrorKind::OutOfHandles {
                        let channel = endpoint.accept_with(registration.spare());
                        let refuse = |channel| HostHandshake::refusing(channel, &e);
                        let task = channel.map(|channel| HandshakeTask::new(channel, refuse));
                        self.handshakes.extend(task);
                    }
                    self.core.failed(e);
                    self.retry = Some(Deadline::after(ACCEPT_RETRY));
                    break;
                }
            }
        }
        if !endpoint.is_armed() && self.retry.is_none() && self.handshakes.is_empty() {
            // The system did not let us wait for a call.
            self.retry = Some(Deadline::after(ACCEPT_RETRY));
        }
    }

    /// Asks the kernel whether the guest lives: a newcomer replaces a dead one.
    fn check_guest(&mut self) {
        let lives = self.watch.as_ref().is_some_and(PeerWatch::is_alive);
        self.slot.set_taken(lives || self.next.is_some());
    }

    /// Goes on with the handshakes. Returns whether one of them is about to go on.
    fn shake_hands(&mut self, registration: &Registration) -> bool {
        let mut spins = false;
        for mut task in std::mem::take(&mut self.handshakes) {
            self.check_guest();
            let link = &self.core.link;
            let handshake = &mut task.handshake;
            let polled = handshake.poll(link.name.as_str(), &link.options, &mut self.slot);
            let steps = handshake.steps();
            let outcome = match polled {
                // The job notifies the driver.
                Poll::Pending if handshake.awaits_memory() => {
                    self.handshakes.push(task);
                    continue;
                }
                Poll::Pending => match task.rest(steps, registration) {
                    Ok(rest) => {
                        spins |= matches!(rest, Rest::Spin);
                        self.handshakes.push(task);
                        continue;
                    }
                    Err(e) => Err(e),
                },
                Poll::Ready(outcome) => outcome,
            };
            let handshake = task.into_handshake();
            if handshake.has_slot() {
                self.slot.unreserve();
            }
            match outcome.and_then(|()| handshake.finish()) {
                Ok(parts) => self.connect(parts, registration),
                // Not an error of this host: a guest was turned away.
                Err(e) if e.kind() == ErrorKind::Busy => {}
                Err(e) => self.core.failed(e),
            }
        }
        spins
    }

    fn connect(&mut self, parts: Parts, registration: &Registration) {
        // The previous guest has gone without its end having been noticed yet.
        if let Some(old) = &mut self.watch {
            old.replace(&self.core);
        }
        self.next = Some(parts);
        self.slot.set_taken(true);
        self.watch_guest(&Readiness::default(), registration, false);
    }
}

impl LinkTask for Host {
    fn poll(&mut self, ready: &Readiness) -> NextStep {
        let Some(mut open) = self.open.take() else {
            return NextStep::Finished;
        };
        let next = self.poll_open(&mut open, ready);
        if matches!(next, NextStep::Finished) && open.endpoint.is_slow() {
            // Removing the socket may take long. Without a thread, the other links have to wait.
            let _ = spawn("twinring-job", move || drop(open));
        } else {
            self.open = Some(open);
        }
        next
    }

    fn failed(&self, e: Error) {
        self.core.failed(e);
    }
}
