//! The two halves of the handshake. The peer is believed nothing: who it is comes from the kernel,
//! what it says is judged from copied bytes, and memory is mapped only after that.

use std::io;
use std::sync::Arc;

use super::connection::Parts;
use super::options::Options;
use super::packet::{Message, Reason, VERSIONS, agree};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::{Channel, Handover, Offer, Received};
use crate::os::event::{Alarm, Deadline};
use crate::os::process::{Peer, Process};
use crate::segment::{Segment, Shape, Side};

/// A guest that has done its part; the host has the last word.
pub(crate) struct Candidate {
    channel: Channel,
    offer: Offer,
    segment: Arc<Segment>,
    process: Process,
    peer: Peer,
    peer_max_message: u64,
    id: [u8; 16],
    over: Alarm,
}

impl Candidate {
    /// Takes the guest: from here on both sides are connected.
    pub(crate) fn welcome(self, stop: &Alarm, deadline: Deadline) -> Result<Parts> {
        let welcome = Message::Welcome { id: self.id };
        send(&self.channel, &welcome, None, deadline, stop)?;
        Ok(Parts {
            side: Side::Host,
            segment: self.segment,
            bells: self.offer.accepted(self.channel).map_err(unusable)?,
            process: self.process,
            peer: self.peer,
            peer_max_message: self.peer_max_message,
            over: self.over,
        })
    }

    /// Sends the guest away: another was first.
    pub(crate) fn refuse_busy(self, stop: &Alarm, deadline: Deadline) {
        refuse(&self.channel, &busy(), deadline, stop);
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
    stop: &Alarm,
    occupied: impl Fn() -> bool,
) -> Result<Candidate> {
    let deadline = Deadline::after(options.handshake_timeout);
    match host_half(&channel, name, options, deadline, stop, occupied) {
        Ok(half) => Ok(Candidate {
            channel,
            offer: half.offer,
            segment: half.segment,
            process: half.process,
            peer: half.peer,
            peer_max_message: half.peer_max_message,
            id: half.id,
            over: half.over,
        }),
        Err(e) => {
            refuse(&channel, &e, deadline, stop);
            Err(e)
        }
    }
}

/// A [`Candidate`] without the channel.
struct HostHalf {
    offer: Offer,
    segment: Arc<Segment>,
    process: Process,
    peer: Peer,
    peer_max_message: u64,
    id: [u8; 16],
    over: Alarm,
}

fn host_half(
    channel: &Channel,
    name: &str,
    options: &Options,
    deadline: Deadline,
    stop: &Alarm,
    occupied: impl Fn() -> bool,
) -> Result<HostHalf> {
    let (process, peer) = channel.identify().map_err(unidentified)?;
    if !options.access.lets_in(&process, &peer) {
        // It is also told to the stranger, whom it does not concern who may.
        return Err(Error::new(
            ErrorKind::WrongOwner,
            format!(
                "{peer} wants to connect, which this host's access does not allow; to let that \
                 user in, name it in the host's Access::Users"
            ),
        ));
    }
    let (versions, peer_max_message, wanted) = match receive(channel, deadline, stop)? {
        (
            Message::Knock {
                versions,
                max_message,
                name,
            },
            handover,
        ) => {
            handover.none_expected().map_err(wrong)?;
            (versions, max_message, name)
        }
        (other, _) => return Err(unexpected(other, "KNOCK")),
    };
    let version = agree(versions)?;
    if wanted != name {
        return Err(Error::new(
            ErrorKind::Protocol,
            format!("the guest wants a link of another name, {wanted:?}"),
        ));
    }
    if occupied() {
        return Err(busy());
    }

    let mut id = [0u8; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::from_io("cannot get random bytes", io::Error::other(e)))?;
    let shape = Shape {
        capacities: [options.ring_capacity; 2],
        id,
    };
    let too_big = || Error::new(ErrorKind::OutOfMemory, "the rings exceed the address space");
    let len = shape.len().ok_or_else(too_big)?;
    let (offer, memory) = Offer::make(channel, &process, len).map_err(|e| {
        Error::from_io(
            &format!("cannot make {len} bytes of shared memory and its bells"),
            e,
        )
    })?;
    let segment = Segment::format(memory, shape).ok_or_else(too_big)?;
    let over = new_alarm()?;
    let hello = Message::Hello {
        version,
        max_message: options.max_message,
        shape,
    };
    send(channel, &hello, Some(&offer), deadline, stop)?;
    match receive(channel, deadline, stop)? {
        (Message::Ack { id: echoed }, handover) if echoed == id => {
            handover.none_expected().map_err(wrong)?;
        }
        (other, _) => return Err(unexpected(other, "ACK")),
    }
    Ok(HostHalf {
        offer,
        segment,
        process,
        peer,
        peer_max_message,
        id,
        over,
    })
}

/// The guest's half.
pub(crate) fn guest(
    channel: Channel,
    name: &str,
    options: &Options,
    stop: &Alarm,
) -> Result<Parts> {
    let deadline = Deadline::after(options.handshake_timeout);
    let (mut process, peer) = channel.identify().map_err(unidentified)?;
    if !options.access.trusts(&peer) {
        // Nothing has been sent yet, and nothing is: whoever it is learns nothing from us.
        return Err(Error::new(
            ErrorKind::WrongOwner,
            format!(
                "the host of this name is {peer}, and only a host of {} is trusted; end that \
                 process or, if it is the right one, name its user in this guest's Access::Users",
                options.access.hosts_text()
            ),
        ));
    }
    let knock = Message::Knock {
        versions: VERSIONS,
        max_message: options.max_message,
        name: name.to_owned(),
    };
    send(&channel, &knock, None, deadline, stop)?;
    let (version, peer_max_message, shape, handover) = match receive(&channel, deadline, stop)? {
        (
            Message::Hello {
                version,
                max_message,
                shape,
            },
            handover,
        ) => (version, max_message, shape, handover),
        (other, _) => return Err(unexpected(other, "HELLO")),
    };
    let mapped = check_hello(version, shape).and_then(|len| {
        let (memory, taken) = handover.open(&channel, &mut process, len).map_err(|e| {
            // On Windows handles cannot be taken any more from a host that was killed.
            if process.has_ended() {
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
        Ok((segment, taken, new_alarm()?))
    });
    let (segment, taken, over) = match mapped {
        Ok(mapped) => mapped,
        Err(e) => {
            refuse(&channel, &e, deadline, stop);
            return Err(e);
        }
    };
    send(
        &channel,
        &Message::Ack { id: shape.id },
        None,
        deadline,
        stop,
    )?;
    match receive(&channel, deadline, stop)? {
        (Message::Welcome { id }, handover) if id == shape.id => {
            handover.none_expected().map_err(wrong)?;
        }
        (other, _) => return Err(unexpected(other, "WELCOME")),
    }
    Ok(Parts {
        side: Side::Guest,
        segment,
        bells: taken.accepted(channel).map_err(unusable)?,
        process,
        peer,
        peer_max_message,
        over,
    })
}

fn new_alarm() -> Result<Alarm> {
    Alarm::new().map_err(|e| Error::from_io("cannot make an event", e))
}

/// The length of the segment that a HELLO promises, if it may be believed.
fn check_hello(version: u32, shape: Shape) -> Result<usize> {
    if !(VERSIONS.min..=VERSIONS.max).contains(&version) {
        return Err(Error::new(
            ErrorKind::Version,
            format!(
                "the host chose version {version} of the protocol; this side speaks {} to {}",
                VERSIONS.min, VERSIONS.max
            ),
        ));
    }
    shape.len().ok_or_else(|| {
        Error::new(
            ErrorKind::Protocol,
            format!(
                "the host offers rings of {} and {} bytes, which is not allowed",
                shape.capacities[0], shape.capacities[1]
            ),
        )
    })
}

fn send(
    channel: &Channel,
    message: &Message,
    offer: Option<&Offer>,
    deadline: Deadline,
    stop: &Alarm,
) -> Result<()> {
    channel
        .send(&message.encode(), offer, deadline, stop)
        .map_err(broken_off)
}

fn receive(channel: &Channel, deadline: Deadline, stop: &Alarm) -> Result<(Message, Handover)> {
    let Received { packet, handover } = channel.receive(deadline, stop).map_err(broken_off)?;
    match Message::decode(&packet)? {
        Message::Refuse { reason, text } => Err(Error::new(
            reason.kind(),
            format!("the other side refuses: {}", printable(&text)),
        )),
        message => Ok((message, handover)),
    }
}

/// Tells the other side why, as far as it still listens.
fn refuse(channel: &Channel, e: &Error, deadline: Deadline, stop: &Alarm) {
    let refusal = Message::Refuse {
        reason: Reason::of(e.kind()),
        text: e.message().to_owned(),
    };
    // It may have gone already; then there is nobody to tell.
    let _ = channel.send(&refusal.encode(), None, deadline, stop);
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
