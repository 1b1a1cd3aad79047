//! A handshake as the driver runs it: how it waits for the peer.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::registration::Registration;
use super::threads::Job;
use super::token::EventKind;
use crate::error::Result;
use crate::handshake::Admitting;
use crate::os::endpoint::Channel;
use crate::os::event::Watched;
use crate::os::has_one_processor;
use crate::os::system_error;
use crate::transfer::LinkState;

pub(super) struct HandshakeTask<H> {
    pub(super) handshake: H,
    channel: Arc<Channel>,
    /// How far the handshake has come, and until when to look at it without waiting.
    spinning: Option<(u32, Instant)>,
    watched: Option<Watched<Channel>>,
    /// The program is asked about the peer.
    asking: Option<Job<bool>>,
}

/// How long to look at a peer without waiting: as long as its work takes, and its waking up if it
/// sleeps.
const MAX_SPIN: Duration = Duration::from_micros(100);

/// How a handshake waits.
pub(super) enum Rest {
    Spin,
    /// The link is polled when it can go on.
    Watched,
}

impl<H> HandshakeTask<H> {
    pub(super) fn new(channel: Channel, begin: impl FnOnce(Arc<Channel>) -> H) -> HandshakeTask<H> {
        let channel = Arc::new(channel);
        HandshakeTask {
            handshake: begin(channel.clone()),
            channel,
            spinning: None,
            watched: None,
            asking: None,
        }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Whether to look once more without waiting, because the peer is about to answer. `steps`: how far
    /// the handshake has come.
    pub(super) fn spins(&mut self, steps: u32) -> bool {
        if has_one_processor() {
            return false;
        }
        let now = Instant::now();
        match self.spinning {
            Some((then, until)) if then == steps => now < until,
            _ => {
                self.spinning = Some((steps, now + MAX_SPIN));
                true
            }
        }
    }

    /// It cannot go on now: makes the driver poll the link when it can.
    pub(super) fn rest(&mut self, steps: u32, registration: &Registration) -> Result<Rest> {
        if self.spins(steps) {
            return Ok(Rest::Spin);
        }
        self.sleep(registration)?;
        Ok(Rest::Watched)
    }

    /// As [`HandshakeTask::rest`], when the peer will not answer soon.
    pub(super) fn sleep(&mut self, registration: &Registration) -> Result<()> {
        match &self.watched {
            Some(watched) => {
                let again = watched.again();
                again.map_err(|e| system_error("cannot wait for an event", e))
            }
            None => {
                let source = Channel::source;
                let kind = EventKind::Handshake;
                self.watched = Some(registration.watch(&self.channel, source, kind)?);
                Ok(())
            }
        }
    }

    /// Asks the program about the peer, if that is to be done now, and passes its answer on. Returns whether the
    /// handshake waits for the answer, and not for the peer.
    pub(super) fn ask(&mut self, link: &LinkState) -> bool
    where
        H: Admitting,
    {
        let (Some(admit), Some(peer)) = (&link.options.admit, self.handshake.awaits_decision())
        else {
            return false;
        };
        if self.asking.is_none() {
            // An answer to another question notifies the driver.
            let Some(question) = admit.question(peer) else {
                return true;
            };
            match Job::start_on_thread(&link.driver, move || question.ask()) {
                Ok(job) => self.asking = Some(job),
                Err(e) => {
                    self.handshake.decided(Err(e));
                    return false;
                }
            }
        }
        match self.asking.as_ref().map(Job::poll) {
            Some(Poll::Ready(admitted)) => {
                self.handshake.decided(Ok(admitted.unwrap_or(false)));
                false
            }
            _ => true,
        }
    }

    /// The handshake alone, which then is the channel's only owner.
    pub(super) fn into_handshake(self) -> H {
        self.handshake
    }
}
