//! The thread that owns the life of a link: finds the peer, notices its end, tells everyone.
//!
//! It alone decides that a connection is over. Nothing here waits for a peer without a deadline,
//! and nothing but the system is waited for without one.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::connection::{Connection, End};
use super::core::{Core, spawn};
use super::handshake::{self, Candidate};
use super::name::Name;
use super::options::Options;
use super::status::DisconnectReason;
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{Channel, Claim, Listener, Place};
use crate::os::event::{Deadline, Source, wait};
use crate::segment::Side;

/// A keeper that has what it needs but has not begun.
pub(crate) enum Keeper {
    Host { claim: Claim, listener: Listener },
    Guest { place: Place },
}

/// Gets what can fail at once: a host's claim on the name, a guest's place to look.
pub(crate) fn prepare(side: Side, name: &Name, options: &Options) -> Result<Keeper> {
    let place = Place::new(&name.key(), &options.place())?;
    match side {
        Side::Guest => Ok(Keeper::Guest { place }),
        Side::Host => {
            let Some(claim) = place.claim(name.as_str())? else {
                let who = place
                    .claimant()
                    .unwrap_or_else(|| "another process".to_owned());
                return Err(Error::new(
                    ErrorKind::NameInUse,
                    format!("{who} hosts a link of this name; close that one or use another name"),
                ));
            };
            let listener = claim.listen()?;
            Ok(Keeper::Host { claim, listener })
        }
    }
}

impl Keeper {
    /// Keeps the link until it is closed.
    pub(crate) fn run(self, core: &Arc<Core>) {
        match self {
            Keeper::Host { claim, listener } => {
                Host::new(core, listener).run();
                drop(claim);
            }
            Keeper::Guest { place } => guest(core, &place),
        }
    }
}

/// Handshakes that a host has open at once; further guests wait in the system's queue.
const MOST_HANDSHAKES: usize = 8;

/// How long a guest that was chosen may take to accept 512 bytes.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon a host that could not take a call tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

struct Host<'a> {
    core: &'a Arc<Core>,
    listener: Listener,
    /// The connection, also seen by the handshakes, which ask whether its peer lives.
    current: Arc<Mutex<Option<Arc<Connection>>>>,
    handshakes: usize,
    done: (Sender<Result<Candidate>>, Receiver<Result<Candidate>>),
}

impl<'a> Host<'a> {
    fn new(core: &'a Arc<Core>, listener: Listener) -> Host<'a> {
        Host {
            core,
            listener,
            current: Arc::default(),
            handshakes: 0,
            done: mpsc::channel(),
        }
    }

    fn current(&self) -> Option<Arc<Connection>> {
        occupant(&self.current)
    }

    fn set_current(&self, connection: Option<Arc<Connection>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn run(&mut self) {
        let mut hung_up = false;
        let mut retry = Deadline::Never;
        loop {
            // First whether the peer has gone: a newcomer takes the place of a dead one.
            if let Some(connection) = self.current() {
                let end = match connection.verdict(hung_up) {
                    _ if self.core.is_closing() => Some(End::ClosedHere),
                    verdict => verdict.map(End::Disconnected),
                };
                if let Some(end) = end {
                    self.set_current(None);
                    self.core.disconnected(&connection, end);
                }
            }
            if self.core.is_closing() {
                return;
            }
            while let Ok(outcome) = self.done.1.try_recv() {
                self.handshakes -= 1;
                self.handshake_done(outcome);
            }

            let current = self.current();
            // While too much is unread no newcomer is served, unless only to be told "busy".
            let full = current.is_none() && self.core.inbox.is_full();
            if full {
                self.core.failed(self.core.inbox.full());
            }
            let listening = retry == Deadline::Never && self.handshakes < MOST_HANDSHAKES && !full;
            let sources = [
                self.core.nudge.source(),
                current
                    .as_ref()
                    .map_or(Source::Never, |c| c.bells.hung_up()),
                current
                    .as_ref()
                    .map_or(Source::Never, |c| c.process.ended()),
                if listening {
                    self.listener.source()
                } else {
                    Source::Never
                },
            ];
            let woken = wait(&sources, retry);
            hung_up = matches!(woken, Ok(Some(1)));
            retry = Deadline::Never;
            match woken {
                Ok(Some(0)) => self.core.nudge.clear(),
                Ok(Some(3)) => {
                    if let Err(e) = self.take_call() {
                        self.core.failed(e);
                        retry = Deadline::after(ACCEPT_RETRY);
                    }
                }
                Ok(_) => {}
                Err(e) => {
                    self.core
                        .failed(Error::from_io("cannot wait for a guest", e));
                    std::thread::sleep(ACCEPT_RETRY);
                }
            }
        }
    }

    /// Accepts a guest and starts its handshake, on a thread of its own: a guest that does not
    /// answer holds up nobody else.
    fn take_call(&mut self) -> Result<()> {
        let accepted = self
            .listener
            .accept()
            .map_err(|e| Error::from_io("cannot accept a guest", e))?;
        let Some(channel) = accepted else {
            return Ok(());
        };
        let core = self.core.clone();
        let done = self.done.0.clone();
        let current = self.current.clone();
        spawn("twinring-hello", move || {
            let outcome = shake_hands(&core, channel, &current);
            // Fails only if the keeper has ended; then nobody wants to know.
            let _ = done.send(outcome);
            core.nudge.set();
        })?;
        self.handshakes += 1;
        Ok(())
    }

    fn handshake_done(&mut self, outcome: Result<Candidate>) {
        let welcomed = outcome.and_then(|candidate| {
            let deadline = Deadline::after(WELCOME_TIMEOUT);
            if self.current().is_some_and(|c| !c.process.has_ended()) {
                candidate.refuse_busy(&self.core.stop, deadline);
                return Err(handshake::busy());
            }
            candidate.welcome(&self.core.stop, deadline)
        });
        match welcomed {
            Ok(parts) => {
                // One whose end had not been noticed yet.
                if let Some(old) = self.current() {
                    let reason = old.verdict(false).unwrap_or(DisconnectReason::Crashed);
                    self.core.disconnected(&old, End::Disconnected(reason));
                }
                let connection = self.core.connected(parts);
                self.set_current(Some(connection));
            }
            // A guest sent away is its own business.
            Err(e) if e.kind() == ErrorKind::Busy => {}
            Err(e) => self.core.failed(e),
        }
    }
}

fn occupant(current: &Mutex<Option<Arc<Connection>>>) -> Option<Arc<Connection>> {
    current
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn shake_hands(
    core: &Core,
    channel: Channel,
    current: &Mutex<Option<Arc<Connection>>>,
) -> Result<Candidate> {
    handshake::host(
        channel,
        core.name.as_str(),
        &core.options,
        &core.stop,
        // Asked of the kernel, right now.
        || occupant(current).is_some_and(|c| !c.process.has_ended()),
    )
}

/// A guest's first pause between two attempts.
const RETRY_FIRST: Duration = Duration::from_millis(1);
/// Its longest pause while it cannot be told that a host has come, or one has but is busy.
const RETRY_LONGEST: Duration = Duration::from_millis(100);
/// Its longest pause while it is told; only a notice that was lost costs this.
const RETRY_WATCHED: Duration = Duration::from_secs(1);

fn guest(core: &Arc<Core>, place: &Place) {
    let watch = place.watch();
    let mut pause = RETRY_FIRST;
    while !core.is_closing() {
        // Before looking for a host, so that one which comes after the look is noticed.
        watch.clear();
        let mut absent = false;
        if core.inbox.is_full() {
            core.failed(core.inbox.full());
        } else {
            match knock(core, place) {
                Ok(Some(connection)) => {
                    accompany(core, &connection);
                    pause = RETRY_FIRST;
                    continue;
                }
                Ok(None) => {
                    absent = true;
                    core.absent();
                }
                Err(e) => core.failed(e),
            }
        }
        let longest = if absent && !watch.is_blind() {
            RETRY_WATCHED
        } else {
            RETRY_LONGEST
        };
        pause = pause.min(longest);
        match wait(
            &[core.nudge.source(), watch.source()],
            Deadline::after(pause),
        ) {
            Ok(Some(0)) => core.nudge.clear(),
            Ok(Some(_)) => pause = RETRY_FIRST,
            Ok(None) => pause = (pause * 2).min(longest),
            Err(e) => {
                core.failed(Error::from_io("cannot wait for a host", e));
                std::thread::sleep(RETRY_LONGEST);
            }
        }
    }
}

/// One attempt to connect; `None` if no host is there.
fn knock(core: &Arc<Core>, place: &Place) -> Result<Option<Arc<Connection>>> {
    let channel = place
        .connect()
        .map_err(|e| Error::from_io("cannot reach the host", e))?;
    let Some(channel) = channel else {
        return Ok(None);
    };
    let parts = handshake::guest(channel, core.name.as_str(), &core.options, &core.stop)?;
    Ok(Some(core.connected(parts)))
}

/// Stays with a connection until it is over.
fn accompany(core: &Core, connection: &Connection) {
    let mut hung_up = false;
    loop {
        let end = match connection.verdict(hung_up) {
            _ if core.is_closing() => Some(End::ClosedHere),
            verdict => verdict.map(End::Disconnected),
        };
        if let Some(end) = end {
            core.disconnected(connection, end);
            return;
        }
        let sources = [
            core.nudge.source(),
            connection.bells.hung_up(),
            connection.process.ended(),
        ];
        match wait(&sources, Deadline::Never) {
            Ok(Some(0)) => core.nudge.clear(),
            Ok(woken) => hung_up = woken == Some(1),
            Err(e) => {
                core.failed(Error::from_io("cannot watch the peer", e));
                std::thread::sleep(RETRY_LONGEST);
            }
        }
    }
}
