//! The handshake. The peer is believed nothing: who it is comes from the kernel, what it says is
//! judged from copied bytes, and memory is mapped only after that.
//!
//! What each side does next, and what it makes of what came of it, is decided by two machines that do
//! no input or output: [`host::Host`] and [`guest::Guest`]. Here is what does as they say, on a real
//! [`Channel`]. `model` does so in a kernel of its own, in every order that there is.

mod guest;
mod host;
#[cfg(test)]
mod model;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::guest::Guest;
use self::host::Host;
use super::connection::Parts;
use super::options::Options;
use super::packet::{Message, Reason};
use crate::error::{Error, ErrorKind, Result};
use crate::os::OsHandle;
use crate::os::endpoint::{Blank, Channel, Handover, Offer, Packet, Received, Taken};
use crate::os::event::{Alarm, Deadline, Sleeper};
use crate::os::memory::{Memory, Pages};
use crate::os::process::{Peer, Process};
use crate::segment::{Segment, Shape, Side};

/// What a machine wants done next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    /// Ask the kernel who is at the other end.
    Identify,
    /// Send this.
    Send(Message),
    /// Host: send this, and the offer with it.
    SendOffer(Message),
    /// Wait for a message that brings nothing else.
    Receive,
    /// Guest: wait for the message that brings the offer.
    ReceiveOffer,
    /// Host: ask whether a live guest is connected right now.
    AskOccupied,
    /// Host: make memory and bells for this connection alone.
    MakeOffer(Pages),
    /// Guest: let the machine judge what was said of the offer.
    Check,
    /// Guest: map the memory, if it is what was said.
    TakeHandover(Shape, Pages),
    /// The machine has done its part.
    Done,
}

/// A machine was answered what it had not asked, or asked for what cannot be there yet: a fault of
/// ours, never of the peer.
fn not_asked() -> ! {
    unreachable!("the handshake is out of step")
}

/// A guest that has done its part; the host has the last word.
pub(crate) struct Candidate {
    channel: Channel,
    ready: host::Ready,
    process: Process,
    peer: Peer,
    made: Made,
}

/// What a host makes for one connection.
struct Made {
    offer: Offer,
    segment: Arc<Segment>,
    over: Alarm,
}

impl Candidate {
    /// Takes the guest: from here on both sides are connected.
    pub(crate) fn welcome(self, sleeper: &dyn Sleeper, deadline: Deadline) -> Result<Parts> {
        send(
            &self.channel,
            &self.ready.welcome(),
            None,
            deadline,
            sleeper,
        )?;
        Ok(Parts {
            side: Side::Host,
            segment: self.made.segment,
            bells: self.made.offer.accepted(self.channel).map_err(unusable)?,
            process: self.process,
            peer: self.peer,
            peer_max_message: self.ready.max_message,
            over: self.made.over,
        })
    }

    /// Sends the guest away: another was first.
    pub(crate) fn refuse_busy(self, sleeper: &dyn Sleeper, deadline: Deadline) {
        refuse(&self.channel, &busy(), deadline, sleeper);
    }
}

/// What a host answers while it has a guest.
pub(crate) fn busy() -> Error {
    Error::new(
        ErrorKind::Busy,
        "the host is connected to another guest; connect when that one has gone",
    )
}

/// The host's half, up to the point where one of several guests has to be chosen.
///
/// `occupied` tells whether a live guest is connected right now.
pub(crate) fn host(
    channel: Channel,
    name: &str,
    options: &Options,
    spare: &Spare,
    sleeper: &dyn Sleeper,
    occupied: impl Fn() -> bool,
) -> Result<Candidate> {
    let deadline = Deadline::after(options.handshake_timeout);
    match host_half(&channel, name, options, spare, deadline, sleeper, occupied) {
        Ok(((process, peer), made, ready)) => Ok(Candidate {
            channel,
            ready,
            process,
            peer,
            made,
        }),
        Err(e) => {
            refuse(&channel, &e, deadline, sleeper);
            Err(e)
        }
    }
}

fn host_half(
    channel: &Channel,
    name: &str,
    options: &Options,
    spare: &Spare,
    deadline: Deadline,
    sleeper: &dyn Sleeper,
    occupied: impl Fn() -> bool,
) -> Result<((Process, Peer), Made, host::Ready)> {
    let mut machine = Host::new(name, options);
    let mut identity = None;
    let mut ahead = None;
    let mut made = None;
    loop {
        match (machine.next(), &mut identity, &made) {
            (Act::Identify, identity, _) => {
                let found = channel.identify().map_err(unidentified)?;
                let (process, peer) = identity.insert(found);
                machine.identified(peer, options.access.lets_in(process, peer))?;
            }
            (Act::Receive, ..) => {
                let wanted = made.is_none() && ahead.is_none() && !spare.is_there();
                if wanted && may_make_ahead(options) && !occupied() {
                    ahead = Some(reserve_memory(options, sleeper));
                }
                let Received { packet, handover } = receive(channel, deadline, sleeper)?;
                machine.received(&packet)?;
                handover.none_expected().map_err(wrong)?;
            }
            (Act::AskOccupied, ..) => machine.asked(occupied())?,
            (Act::MakeOffer(pages), Some((process, _)), _) => {
                let memory = match (ahead.take().or_else(|| spare.take().map(Ok)), pages) {
                    (Some(memory), _) => memory,
                    (None, Pages::Reserved) => reserve_memory(options, sleeper),
                    (None, Pages::OnDemand) => make_memory(options, Pages::OnDemand),
                }?;
                let shape = memory.shape;
                made = Some(make(channel, process, memory)?);
                machine.made(shape);
            }
            (Act::SendOffer(hello), Some((process, peer)), Some(made)) => {
                send(channel, &hello, Some(&made.offer), deadline, sleeper)?;
                machine.sent();
                // The guest is at work meanwhile.
                process.complete(peer);
            }
            _ => break,
        }
    }
    match (machine.state, identity, made) {
        (host::State::Ready(ready), Some(identity), Some(made)) => Ok((identity, made, ready)),
        _ => not_asked(),
    }
}

/// A connection that there has never been.
fn new_shape(options: &Options) -> Result<Shape> {
    let mut id = [0u8; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::from_io("cannot get random bytes", io::Error::other(e)))?;
    Ok(Shape {
        capacities: [options.ring_capacity; 2],
        id,
    })
}

/// Whether memory is made before it is known that a guest may have it, since to reserve pages takes
/// longer than all else. Not much of it: a guest that never says its first word costs as much.
fn may_make_ahead(options: &Options) -> bool {
    options.pages == Pages::Reserved && options.ring_capacity <= MOST_AHEAD
}

/// Rings of up to this capacity are made ahead.
const MOST_AHEAD: u64 = 4 << 20;

/// Memory for a host's first guest, made before there is one. For a later guest, who may be there
/// already, it is made while that is at work on its first message.
pub(crate) struct Spare(Mutex<Option<NewMemory>>);

impl Spare {
    /// What cannot be had now is tried again in the handshake, which tells why.
    pub(crate) fn new(options: &Options) -> Spare {
        let memory = may_make_ahead(options).then(|| make_memory(options, Pages::Reserved));
        Spare(Mutex::new(memory.and_then(Result::ok)))
    }

    fn memory(&self) -> MutexGuard<'_, Option<NewMemory>> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_there(&self) -> bool {
        self.memory().is_some()
    }

    fn take(&self) -> Option<NewMemory> {
        self.memory().take()
    }
}

/// The memory of one connection, and what goes with it.
struct NewMemory {
    shape: Shape,
    segment: Arc<Segment>,
    handle: OsHandle,
    blank: Blank,
    over: Alarm,
}

/// Some 300 microseconds for each MiB.
fn reserve_memory(options: &Options, sleeper: &dyn Sleeper) -> Result<NewMemory> {
    sleeper.busy();
    make_memory(options, Pages::Reserved)
}

fn make_memory(options: &Options, pages: Pages) -> Result<NewMemory> {
    let shape = new_shape(options)?;
    let too_big = || Error::new(ErrorKind::OutOfMemory, "the rings exceed the address space");
    let len = shape.len().ok_or_else(too_big)?;
    let (memory, handle) = Memory::create(len, pages)
        .map_err(|e| Error::from_io(&format!("cannot make {len} bytes of shared memory"), e))?;
    Ok(NewMemory {
        shape,
        segment: Segment::format(memory, shape).ok_or_else(too_big)?,
        handle,
        blank: Blank::new().map_err(unoffered)?,
        over: new_alarm()?,
    })
}

fn make(channel: &Channel, guest: &Process, memory: NewMemory) -> Result<Made> {
    let offer = Offer::make(memory.blank, channel, guest, memory.handle).map_err(unoffered)?;
    Ok(Made {
        offer,
        segment: memory.segment,
        over: memory.over,
    })
}

/// The guest's half, as far as it has come. It can be left and gone on with, by another thread too.
pub(crate) struct Knock {
    channel: Channel,
    deadline: Deadline,
    state: guest::State,
    identity: Option<(Process, Peer)>,
    over: Option<Alarm>,
    offered: Option<Handover>,
    mapped: Option<Mapped>,
}

/// How far it has come when its thread stops.
pub(crate) enum Knocked {
    Over(Result<Parts>),
    /// The sleeper would not wait for the host's next word.
    Unfinished(Knock),
}

/// What a guest takes of what the host made.
struct Mapped {
    taken: Taken,
    segment: Arc<Segment>,
}

/// Why the guest's half does not go on.
enum Stop {
    Failed(Error),
    Impatient,
}

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Failed(e)
    }
}

/// The sleeper's word, or that the channel failed.
fn stopped(e: io::Error) -> Stop {
    match e.kind() {
        io::ErrorKind::WouldBlock => Stop::Impatient,
        _ => broken_off(e).into(),
    }
}

impl Knock {
    pub(crate) fn new(channel: Channel, options: &Options) -> Knock {
        Knock {
            channel,
            deadline: Deadline::after(options.handshake_timeout),
            state: guest::State::Identify,
            identity: None,
            over: None,
            offered: None,
            mapped: None,
        }
    }

    /// From where it stands to its end, or for as long as the sleeper waits. With the same `name` and
    /// `options` each time.
    pub(crate) fn go_on(mut self, name: &str, options: &Options, sleeper: &dyn Sleeper) -> Knocked {
        let mut machine = Guest::new(name, options);
        machine.state = self.state;
        let stopped = self.work(&mut machine, sleeper);
        self.state = machine.state;
        match stopped {
            Ok(()) => Knocked::Over(self.finish()),
            Err(Stop::Impatient) => Knocked::Unfinished(self),
            Err(Stop::Failed(e)) => {
                if machine.refuses() {
                    refuse(&self.channel, &e, self.deadline, sleeper);
                }
                Knocked::Over(Err(e))
            }
        }
    }

    fn work(
        &mut self,
        machine: &mut Guest<'_>,
        sleeper: &dyn Sleeper,
    ) -> std::result::Result<(), Stop> {
        let (channel, deadline) = (&self.channel, self.deadline);
        let receive = || channel.receive(deadline, sleeper).map_err(stopped);
        loop {
            match (machine.next(), &mut self.identity) {
                (Act::Identify, identity) => {
                    let (_, peer) = identity.insert(channel.identify().map_err(unidentified)?);
                    machine.identified(peer)?;
                }
                (Act::Send(message), _) => {
                    let packet = message.encode();
                    channel
                        .send(&packet, None, deadline, sleeper)
                        .map_err(stopped)?;
                    machine.sent();
                }
                // The host is at work meanwhile.
                (Act::ReceiveOffer, Some((process, peer))) if self.over.is_none() => {
                    self.over = Some(new_alarm()?);
                    process.complete(peer);
                }
                (Act::ReceiveOffer, _) => {
                    let Received { packet, handover } = receive()?;
                    machine.received(&packet)?;
                    self.offered = Some(handover);
                }
                (Act::Receive, _) => {
                    let Received { packet, handover } = receive()?;
                    machine.received(&packet)?;
                    handover.none_expected().map_err(wrong)?;
                }
                (Act::Check, _) => machine.check()?,
                (Act::TakeHandover(shape, pages), Some((process, _))) => {
                    let Some(handover) = self.offered.take() else {
                        not_asked()
                    };
                    self.mapped = Some(map(handover, channel, process, shape, pages)?);
                    machine.taken();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Both sides are connected.
    fn finish(self) -> Result<Parts> {
        let guest::State::Up(host, _) = self.state else {
            not_asked()
        };
        let (Some((process, peer)), Some(mapped), Some(over)) =
            (self.identity, self.mapped, self.over)
        else {
            not_asked()
        };
        Ok(Parts {
            side: Side::Guest,
            segment: mapped.segment,
            bells: mapped.taken.accepted(self.channel).map_err(unusable)?,
            process,
            peer,
            peer_max_message: host.max_message,
            over,
        })
    }
}

fn map(
    handover: Handover,
    channel: &Channel,
    host: &mut Process,
    shape: Shape,
    pages: Pages,
) -> Result<Mapped> {
    // Judged before the machine asks for this, so that it has one.
    let len = shape.len().unwrap_or_else(|| not_asked());
    let (memory, taken) = handover.open(channel, host, len, pages).map_err(|e| {
        // On Windows handles cannot be taken any more from a host that was killed.
        if host.has_ended() {
            broken_off(io::ErrorKind::ConnectionReset.into())
        } else {
            wrong(e)
        }
    })?;
    let segment = Segment::attach(memory, shape).map_err(|what| {
        Error::new(
            ErrorKind::Protocol,
            format!("the memory handed over is no segment of ours: {what}"),
        )
    })?;
    Ok(Mapped { taken, segment })
}

fn new_alarm() -> Result<Alarm> {
    Alarm::new().map_err(|e| Error::from_io("cannot make an event", e))
}

fn send(
    channel: &Channel,
    message: &Message,
    offer: Option<&Offer>,
    deadline: Deadline,
    sleeper: &dyn Sleeper,
) -> Result<()> {
    channel
        .send(&message.encode(), offer, deadline, sleeper)
        .map_err(broken_off)
}

fn receive(channel: &Channel, deadline: Deadline, sleeper: &dyn Sleeper) -> Result<Received> {
    channel.receive(deadline, sleeper).map_err(broken_off)
}

/// What a packet says, if it is not that the other side will not go on.
fn heard(packet: &Packet) -> Result<Message> {
    match Message::decode(packet)? {
        Message::Refuse { reason, text } => Err(Error::new(
            reason.kind(),
            format!("the other side refuses: {}", printable(&text)),
        )),
        message => Ok(message),
    }
}

/// Tells the other side why, as far as it still listens.
fn refuse(channel: &Channel, e: &Error, deadline: Deadline, sleeper: &dyn Sleeper) {
    let refusal = Message::Refuse {
        reason: Reason::of(e.kind()),
        text: e.message().to_owned(),
    };
    // It may have gone already; then there is nobody to tell.
    let _ = channel.send(&refusal.encode(), None, deadline, sleeper);
}

/// Text of the peer's, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn unexpected(message: Message, expected: &str) -> Error {
    let got = match message {
        Message::Knock { .. } => "KNOCK",
        Message::Hello { .. } => "HELLO",
        Message::Ack { .. } => "ACK",
        Message::Welcome { .. } => "WELCOME",
        Message::Refuse { .. } => "REFUSE",
    };
    Error::new(
        ErrorKind::Protocol,
        format!("the other side sent {got} where {expected} of this connection belongs"),
    )
}

fn wrong(e: io::Error) -> Error {
    Error::from_io("the handshake brought the wrong objects", e)
}

fn unidentified(e: io::Error) -> Error {
    match e.kind() {
        // It has gone already.
        io::ErrorKind::ConnectionReset => broken_off(e),
        _ => Error::from_io("cannot tell who the other side is", e),
    }
}

fn unoffered(e: io::Error) -> Error {
    Error::from_io("cannot make what the guest is handed over", e)
}

fn unusable(e: io::Error) -> Error {
    Error::from_io("cannot use the connection", e)
}

/// The channel failed before the handshake was over.
fn broken_off(e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::TimedOut => Error::new(
            ErrorKind::TimedOut,
            "the other side did not answer in the handshake in time",
        ),
        io::ErrorKind::Interrupted => Error::new(ErrorKind::ClosedHere, "the link is being closed"),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Error::new(
            ErrorKind::PeerGone,
            "the other side went away during the handshake",
        )
        .with_source(e),
        _ => Error::from_io("the handshake failed", e),
    }
}
