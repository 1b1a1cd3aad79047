//! The guest's side of a handshake: carries out what the machine says, on a real channel, without waiting.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use super::act::{Act, decoded, not_asked, refusal};
use super::admission::{Admission, Admitting};
use super::errors::{
    Stop, broken_off, is_hang_up, stopped, undecided, unidentified, unusable, wrong,
};
use super::guest::{GuestMachine, GuestState};
use super::memory::{most_handles, new_event};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{Accepted, Channel, Handover};
use crate::os::event::{Deadline, LocalEvent};
use crate::os::memory::Pages;
use crate::os::process::{Peer, Process};
use crate::segment::{Segment, Shape, Side};
use crate::transfer::{Options, Parts};

pub(crate) struct GuestHandshake {
    channel: Arc<Channel>,
    deadline: Deadline,
    state: GuestState,
    /// Counts what the machine has asked for.
    steps: u32,
    identity: Option<(Process, Peer)>,
    admission: Admission,
    over: Option<LocalEvent>,
    offered: Option<Handover>,
    mapped: Option<Mapped>,
    /// How we know that the host has hung up. What it has said before may still be there.
    hang_up: Option<io::Error>,
}

/// What a guest takes of what the host created.
struct Mapped {
    taken: Accepted,
    segment: Arc<Segment>,
}

impl GuestHandshake {
    pub(crate) fn new(channel: Arc<Channel>, options: &Options) -> GuestHandshake {
        GuestHandshake {
            channel,
            deadline: Deadline::after(options.handshake_timeout),
            state: GuestState::Identify,
            steps: 0,
            identity: None,
            admission: Admission::default(),
            over: None,
            offered: None,
            mapped: None,
            hang_up: None,
        }
    }

    /// How far it has come.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// When it ends at the latest.
    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Its place in the host's queue, while it waits there.
    pub(crate) fn place(&self) -> Option<u32> {
        match self.state {
            GuestState::Wait(place) => Some(place),
            _ => None,
        }
    }

    /// Goes on as far as possible; pending until the channel is ready. Must be called with the same `name`
    /// and `options` each time; any thread may call it. Once it is ready, both sides are connected or it
    /// has failed.
    pub(crate) fn poll(&mut self, name: &str, options: &Options) -> Poll<Result<()>> {
        let mut machine = GuestMachine::new(name, options);
        machine.state = self.state;
        let worked = self.work(&mut machine, options);
        self.state = machine.state;
        match worked {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Stop::Pending) if !self.deadline.passed() => Poll::Pending,
            Err(Stop::Pending) => Poll::Ready(Err(match self.awaits_decision() {
                Some(host) => undecided(host),
                None => broken_off(io::ErrorKind::TimedOut.into()),
            })),
            Err(Stop::Failed(e)) => {
                if machine.refuses() {
                    // The host waits for an answer, and has room for it. It may have gone already;
                    // then there is nobody to tell.
                    let _ = self.channel.send(&refusal(&e), None);
                }
                Poll::Ready(Err(e))
            }
        }
    }

    fn work(&mut self, machine: &mut GuestMachine<'_>, options: &Options) -> Result<(), Stop> {
        loop {
            if self.hang_up.is_some() {
                return Err(self.last_words());
            }
            match (machine.next(), &mut self.identity) {
                (Act::Identify, None) => {
                    self.identity = Some(self.channel.identify().map_err(unidentified)?);
                    // Not a step: it may be one for the program first.
                    continue;
                }
                (Act::Identify, Some((process, peer))) => {
                    if options.access.trusts(peer) {
                        self.admission.check(options, process, peer)?;
                    }
                    machine.identified(peer)?;
                }
                (Act::Send(message), _) => match self.channel.send(&message.encode(), None) {
                    Ok(()) => machine.sent(),
                    Err(e) => {
                        self.note_hang_up(e)?;
                        self.channel.reset();
                        continue;
                    }
                },
                // Meanwhile the host is at work.
                (Act::ReceiveOffer, Some((process, peer))) if self.over.is_none() => {
                    self.over = Some(new_event()?);
                    process.complete(peer);
                }
                (Act::ReceiveOffer, _) => {
                    let (packet, handover) = match self.channel.receive() {
                        Ok(received) => received,
                        Err(e) => {
                            self.note_hang_up(e)?;
                            continue;
                        }
                    };
                    let waited = matches!(machine.state, GuestState::Wait(_));
                    machine.received(&packet)?;
                    if let GuestState::Wait(_) = machine.state {
                        handover.none_expected().map_err(wrong)?;
                        self.deadline = Deadline::Never;
                    } else {
                        self.offered = Some(handover);
                    }
                    if waited {
                        self.deadline = Deadline::after(options.handshake_timeout);
                    }
                }
                (Act::Receive, _) => {
                    let (packet, handover) = match self.channel.receive() {
                        Ok(received) => received,
                        Err(e) => {
                            self.note_hang_up(e)?;
                            continue;
                        }
                    };
                    machine.received(&packet)?;
                    handover.none_expected().map_err(wrong)?;
                    if let GuestState::Wait(_) = machine.state {
                        self.mapped = None;
                        self.deadline = Deadline::Never;
                    }
                }
                (Act::Check, _) => machine.check()?,
                (
                    Act::TakeHandover {
                        shape,
                        pages,
                        handles,
                    },
                    Some((process, _)),
                ) => {
                    let handover = self.offered.take().unwrap_or_else(|| not_asked());
                    let mapped = map(handover, process, shape, pages, handles)?;
                    // Before the host can send anything.
                    let takes = most_handles(options, mapped.taken.handle_channel());
                    mapped.segment.set_max_handles(Side::Guest, takes);
                    self.mapped = Some(mapped);
                    machine.taken();
                }
                (Act::Done, _) => return Ok(()),
                _ => not_asked(),
            }
            self.steps += 1;
        }
    }

    /// The channel does not go on; an error unless the host has hung up.
    fn note_hang_up(&mut self, e: io::Error) -> Result<(), Stop> {
        if !is_hang_up(&e) {
            return Err(stopped(e));
        }
        self.hang_up = Some(e);
        Ok(())
    }

    /// A host that refuses says so and hangs up at once: what it has said can still be read.
    fn last_words(&mut self) -> Stop {
        let told = |e: &io::Error| e.kind() == io::ErrorKind::ConnectionReset;
        let heard = match self.channel.receive() {
            // Linux tells once that it has hung up without having read all of ours.
            Err(e) if told(&e) => self.channel.receive(),
            heard => heard,
        };
        match heard.map(|(packet, _)| decoded(&packet)) {
            Ok(Err(refused)) => refused.into(),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Stop::Pending,
            _ => broken_off(self.hang_up.take().unwrap_or_else(|| not_asked())).into(),
        }
    }

    /// The parts of the connection, after [`GuestHandshake::poll`] was ready. By then, nobody else may have
    /// the channel.
    pub(crate) fn finish(self) -> Result<Parts> {
        let (GuestState::Up(host, _), Some((mut process, peer)), Some(mapped), Some(over)) =
            (self.state, self.identity, self.mapped, self.over)
        else {
            not_asked()
        };
        let channel = Arc::into_inner(self.channel).unwrap_or_else(|| not_asked());
        let finished = channel.finish_guest(mapped.taken, &mut process);
        let (doorbells, handles) = finished.map_err(unusable)?;
        Ok(Parts {
            side: Side::Guest,
            segment: mapped.segment,
            doorbells,
            handles,
            process,
            peer,
            peer_max_message: host.max_message,
            over,
        })
    }
}

impl Admitting for GuestHandshake {
    fn awaits_decision(&self) -> Option<&Peer> {
        let (_, peer) = self.identity.as_ref()?;
        let asks = matches!(self.state, GuestState::Identify) && self.admission.is_open();
        asks.then_some(peer)
    }

    fn decided(&mut self, admitted: Result<bool>) {
        self.admission.decide(admitted);
    }
}

fn map(
    handover: Handover,
    host: &mut Process,
    shape: Shape,
    pages: Pages,
    handles: bool,
) -> Result<Mapped> {
    // Checked before the machine asks for this, so it has a length.
    let len = shape.len().unwrap_or_else(|| not_asked());
    let (memory, taken) = handover.open(host, len, pages, handles).map_err(|e| {
        // On Windows, handles cannot be taken from a host that was killed.
        if host.has_ended() {
            broken_off(io::ErrorKind::ConnectionReset.into())
        } else {
            wrong(e)
        }
    })?;
    let segment = Segment::attach(memory, shape).map_err(|what| {
        Error::new(
            ErrorKind::Protocol,
            format!("the memory handed over is not a valid segment: {what}"),
        )
    })?;
    Ok(Mapped { taken, segment })
}
