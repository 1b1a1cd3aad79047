//! A host in the event loop: takes the guests that call, and connects as many as it has seats for.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::core::{Core, FinishGuard};
use super::handshake_task::{HandshakeTask, Rest};
use super::host_endpoint::HostEndpoint;
use super::link_task::{LinkTask, NextStep, Readiness};
use super::peers::Peers;
use super::queue::GRACE;
use super::registration::Registration;
use super::seats::Seats;
use super::threads::{JOB, spawn};
use crate::error::{Error, ErrorKind, Result};
use crate::handshake::{HostHandshake, crowded};
use crate::os::endpoint::NameClaim;
use crate::os::event::Deadline;
use crate::os::process::User;
use crate::transfer::SeatLimit;

/// Guests that a host has beside those that are connected, in handshakes or waiting.
const MAX_GUESTS: usize = 128;

/// As many may be of one user, so that none keeps the others out.
const MAX_OF_USER: usize = 32;

/// Calls that are taken before other links have their turn.
const CALLS_AT_ONCE: usize = 16;

/// How soon a host tries again after it could not accept a call.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often a host checks that guests can still find it, while the system does not report changes or
/// it could not restore its place.
const PLACE_RETRY: Duration = Duration::from_secs(1);

/// When a host removes what others left in its place: not while its first guest is waiting for it.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// The pause after the first attempt, which may have met a process that is still removing things.
const PLACE_FIRST_RETRY: Duration = Duration::from_millis(20);

/// Dropped in this order, so that the name is free when `close` returns.
pub(super) struct Host {
    handshakes: Vec<HandshakeTask<HostHandshake>>,
    peers: Peers,
    /// When to accept calls again after a failure.
    retry: Option<Deadline>,
    /// When to look at the place, unless a change is reported before.
    look: Deadline,
    /// A change was reported while a job looked, which may have seen it or not.
    changed: bool,
    /// When to remove what others left in the place; never again.
    tidy: Deadline,
    /// The last attempt to restore the place failed.
    lost: bool,
    seats: Seats,
    core: Arc<Core>,
    open: Option<Open>,
    registration: Registration,
}

/// What is released when the link is closed. The program may have a connection for longer.
struct Open {
    endpoint: HostEndpoint,
    _finish: FinishGuard,
}

impl Host {
    pub(super) fn new(
        core: &Arc<Core>,
        endpoint: HostEndpoint,
        registration: Registration,
    ) -> Host {
        Host {
            handshakes: Vec::new(),
            peers: Peers::new(core),
            retry: None,
            look: Deadline::Now,
            changed: false,
            tidy: Deadline::after(TIDY_AFTER),
            lost: false,
            seats: Seats::new(&core.link),
            core: core.clone(),
            open: Some(Open {
                endpoint,
                _finish: FinishGuard(core.clone()),
            }),
            registration,
        }
    }

    /// `None` once the link is closed.
    fn poll_open(&mut self, open: &mut Open, ready: &Readiness) -> Option<NextStep> {
        let endpoint = &mut open.endpoint;
        // Asked once: the thread that closes the link notifies the driver again, and a guest must not be
        // forgotten because the link was closed after this look.
        let may_end = self.core.link.may_end();
        let closing = self.core.link.is_closing();
        if closing {
            self.handshakes.clear();
        }
        self.peers.poll(ready, &mut self.seats, &self.registration);
        if let Some(looked) = endpoint.looked(&self.registration) {
            self.looked(looked);
        }
        if closing {
            return match may_end && endpoint.is_here() {
                true => None,
                // The job, or the thread that closes the link, notifies the driver.
                false => Some(NextStep::Wait(self.peers.due())),
            };
        }
        self.changed |= ready.name;
        let tidies = self.tidies(endpoint);
        if endpoint.is_here() && (self.changed || self.look.passed() || tidies) {
            self.changed = false;
            self.look = Deadline::Never;
            endpoint.look(&self.core.link, tidies);
            if let Some(looked) = endpoint.looked(&self.registration) {
                self.looked(looked);
            }
        }
        if ready.called {
            endpoint.called();
        }
        let more = self.take_calls(endpoint);
        let spins = self.shake_hands(ready.handshake) | more;
        self.make_room();
        if self.handshakes.is_empty() {
            self.seats.tidy();
        }
        if spins {
            return Some(NextStep::Spin);
        }
        let handshakes = self.handshakes.iter().map(|task| task.handshake.deadline());
        let others = [
            self.look,
            self.tidy,
            self.retry.unwrap_or(Deadline::Never),
            self.seats.due(),
            self.peers.due(),
        ];
        Some(NextStep::Wait(Deadline::first(handshakes.chain(others))))
    }

    /// Whether to remove now what others have left.
    fn tidies(&mut self, endpoint: &HostEndpoint) -> bool {
        let due = self.tidy.passed() && endpoint.is_here();
        if due {
            self.tidy = Deadline::Never;
        }
        due && NameClaim::may_tidy()
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

    /// Takes the calls of guests. Returns whether there may be more of them.
    fn take_calls(&mut self, endpoint: &mut HostEndpoint) -> bool {
        self.retry = self.retry.filter(|at| !at.passed());
        // While the program has too much to take no newcomer is served, unless only to be told to wait.
        if self.peers.is_empty() && self.core.is_full() {
            self.core.failed(self.core.full());
            return false;
        }
        if self.retry.is_some() || endpoint.is_armed() {
            return false;
        }
        // Without one for lack of descriptors, there is nothing more that could be done.
        let _ = self.registration.spare().keep();
        for _ in 0..CALLS_AT_ONCE {
            match endpoint.accept() {
                Ok(Some(channel)) => {
                    let options = &self.core.link.options;
                    let begin = |channel| HostHandshake::new(channel, options);
                    self.handshakes.push(HandshakeTask::new(channel, begin));
                    self.check_seats();
                    // While the guest works on its first message.
                    self.seats.make_ahead();
                }
                Ok(None) => {
                    endpoint.arm();
                    if !endpoint.is_armed() {
                        // The system did not let us wait for a call.
                        self.retry = Some(Deadline::after(ACCEPT_RETRY));
                    }
                    return false;
                }
                Err(e) => {
                    if e.kind() == ErrorKind::OutOfHandles {
                        let channel = endpoint.accept_with(self.registration.spare());
                        let refuse = |channel| HostHandshake::refusing(channel, &e);
                        let task = channel.map(|channel| HandshakeTask::new(channel, refuse));
                        self.handshakes.extend(task);
                    }
                    self.core.failed(e);
                    self.retry = Some(Deadline::after(ACCEPT_RETRY));
                    return false;
                }
            }
        }
        true
    }

    /// Looks whether a newcomer may have a seat.
    fn check_seats(&mut self) {
        let link = &self.core.link;
        if link.options.seats == SeatLimit::One && self.seats.are_taken() {
            // The next one comes in the place of one that has died.
            self.peers.poll_all(&mut self.seats, &self.registration);
        }
        self.seats
            .withhold(self.core.is_full() || link.has_served());
    }

    /// Goes on with the handshakes. `reported`: the peer of one of them has done something. Returns whether
    /// one of them is about to go on.
    fn shake_hands(&mut self, reported: bool) -> bool {
        let mut spins = false;
        if !self.handshakes.is_empty() {
            self.check_seats();
        }
        for mut task in std::mem::take(&mut self.handshakes) {
            let handshake = &mut task.handshake;
            let waited = handshake.waits();
            // One that waits costs nothing.
            if waited && !reported && !self.seats.is_turn_of(handshake.ticket()) {
                self.handshakes.push(task);
                continue;
            }
            self.check_seats();
            let link = &self.core.link;
            task.ask(link);
            let (name, options) = (link.name.as_str(), &link.options);
            let polled = task.handshake.poll(name, options, &mut self.seats);
            if polled.is_pending() && task.ask(link) {
                // The job notifies the driver.
                self.handshakes.push(task);
                continue;
            }
            let handshake = &mut task.handshake;
            let steps = handshake.steps();
            let outcome = match polled {
                // The job notifies the driver.
                Poll::Pending if handshake.awaits_memory() => {
                    self.handshakes.push(task);
                    continue;
                }
                Poll::Pending if handshake.waits() => match task.sleep(&self.registration) {
                    Ok(()) => {
                        self.handshakes.push(task);
                        // So that it is there when a seat becomes free.
                        self.seats.make_ahead();
                        continue;
                    }
                    Err(e) => Err(e),
                },
                Poll::Pending => match task.rest(steps, &self.registration) {
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
            let seat = self.leave(&handshake);
            match outcome.and_then(|()| handshake.finish()) {
                Ok(parts) => self
                    .peers
                    .connect(parts, &mut self.seats, &self.registration),
                Err(e) => {
                    self.release(seat);
                    // Not an error of this host: a guest waits no longer.
                    if !(waited && e.kind() == ErrorKind::NotConnected) {
                        self.core.failed(e);
                    }
                }
            }
        }
        // The turn of one that was polled before those that were before it went.
        let next =
            |task: &HandshakeTask<HostHandshake>| self.seats.is_turn_of(task.handshake.ticket());
        spins || self.handshakes.iter().any(next)
    }

    /// Ends handshakes, as long as a user has too many of them, or there are too many in all.
    fn make_room(&mut self) {
        while self.handshakes.len() > MAX_OF_USER {
            let Some((user, count)) = self.busiest_user() else {
                return;
            };
            if count <= MAX_OF_USER && self.handshakes.len() <= MAX_GUESTS {
                return;
            }
            self.end_one_of(&user);
        }
    }

    /// The user that has most guests here, and how many.
    fn busiest_user(&self) -> Option<(Option<User>, usize)> {
        let mut counts: HashMap<Option<&User>, usize> = HashMap::new();
        for task in &self.handshakes {
            *counts.entry(task.handshake.user()).or_default() += 1;
        }
        let busiest = counts.into_iter().max_by_key(|(_, count)| *count);
        busiest.map(|(user, count)| (user.cloned(), count))
    }

    /// The oldest of this user's handshakes that has stalled goes; if none has, the newest.
    fn end_one_of(&mut self, user: &Option<User>) {
        let now = Instant::now();
        let theirs = || {
            let tasks = self.handshakes.iter().enumerate();
            tasks.filter(|(_, task)| task.handshake.user() == user.as_ref())
        };
        let since = |task: &HandshakeTask<HostHandshake>| task.handshake.awaits_guest_since();
        let stalled = theirs()
            .filter_map(|(i, task)| Some((since(task)?, i)))
            .filter(|(since, _)| now >= *since + GRACE)
            .min();
        let Some(i) = stalled
            .map(|(_, i)| i)
            .or_else(|| theirs().next_back().map(|(i, _)| i))
        else {
            return;
        };
        let handshake = self.handshakes.remove(i).into_handshake();
        let e = match stalled {
            Some(_) => handshake.displaced(),
            None => crowded(),
        };
        let seat = self.leave(&handshake);
        self.release(seat);
        handshake.give_up(&e);
        if stalled.is_some() {
            self.core.failed(e);
        }
    }

    /// A guest does not wait any more. Returns whose seat it has, if it has one.
    fn leave(&mut self, handshake: &HostHandshake) -> Option<User> {
        self.seats.leave(handshake.ticket());
        handshake.user().filter(|_| handshake.has_seat()).cloned()
    }

    fn release(&mut self, seat: Option<User>) {
        if let Some(user) = seat {
            self.seats.release(&user);
        }
    }
}

impl LinkTask for Host {
    fn poll(&mut self, ready: &Readiness) -> NextStep {
        if let Some(mut open) = self.open.take() {
            if let Some(next) = self.poll_open(&mut open, ready) {
                self.open = Some(open);
                return next;
            }
            if open.endpoint.is_slow() {
                // Removing the socket may take long. Without a thread, the other links have to wait.
                let _ = spawn(JOB, move || drop(open));
            }
        } else {
            self.peers.poll(ready, &mut self.seats, &self.registration);
        }
        match self.peers.is_empty() {
            false => NextStep::Wait(self.peers.due()),
            true => NextStep::Finished,
        }
    }

    fn failed(&self, e: Error) {
        self.core.failed(e);
    }
}
