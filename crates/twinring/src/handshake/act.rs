//! What the two machines have in common: what they ask for, and how they treat a packet.

use super::packet::{Message, Reason};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::Packet;
use crate::os::memory::Pages;
use crate::segment::Shape;

/// What a machine wants done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Ask the kernel who is at the other end.
    Identify,
    /// Send this.
    Send(Message),
    /// Host: send this, and the offer with it.
    SendOffer(Message),
    /// Wait for a message without a handover.
    Receive,
    /// Guest: wait for the message with the offer.
    ReceiveOffer,
    /// Host: ask whether it is this guest's turn.
    AskTurn,
    /// Host: the guest has been told to wait. Ask again when its turn may have come.
    AwaitTurn,
    /// Host: create memory and doorbells for this connection alone.
    MakeOffer {
        pages: Pages,
        /// With a channel for handles.
        handles: bool,
    },
    /// Guest: let the machine check what was said about the offer.
    Check,
    /// Guest: map the memory, if it is as announced.
    TakeHandover {
        shape: Shape,
        pages: Pages,
        /// A channel for handles comes with it.
        handles: bool,
    },
    /// The machine has done its part.
    Done,
}

/// A machine got an answer it had not asked for, or asked for something that cannot be there yet: a bug
/// of ours, never the peer's doing.
pub(super) fn not_asked() -> ! {
    unreachable!("the handshake is out of step")
}

/// What a host answers when there is no room in its queue for this guest.
pub(crate) fn crowded() -> Error {
    Error::new(
        ErrorKind::Busy,
        "too many guests of this user wait for the host already; connect when some have gone",
    )
}

/// Why a guest that waits is not connected.
pub(crate) fn queued(place: u32) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!(
            "the host is connected to another guest; this one is number {place} in its queue, \
             and is connected when its turn comes"
        ),
    )
}

/// The message in a packet, or an error if it is a REFUSE.
pub(super) fn decoded(packet: &Packet) -> Result<Message> {
    match Message::decode(packet)? {
        Message::Refuse { reason, text } => Err(Error::new(
            reason.kind(),
            format!("the other side refuses: {}", printable(&text)),
        )),
        message => Ok(message),
    }
}

/// The packet that tells the other side why.
pub(super) fn refusal(e: &Error) -> Packet {
    let refusal = Message::Refuse {
        reason: Reason::of(e.kind()),
        text: e.message().to_owned(),
    };
    refusal.encode()
}

/// Text from the peer, made safe for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

pub(super) fn unexpected(message: Message, expected: &str) -> Error {
    let got = match message {
        Message::Knock { .. } => "KNOCK",
        Message::Hello { .. } => "HELLO",
        Message::Ack { .. } => "ACK",
        Message::Welcome { .. } => "WELCOME",
        Message::Refuse { .. } => "REFUSE",
        Message::Wait { .. } => "WAIT",
    };
    Error::new(
        ErrorKind::Protocol,
        format!("the other side sent {got} where {expected} of this connection belongs"),
    )
}
