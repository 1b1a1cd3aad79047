//! The host's side of the handshake, as a state machine without input or output: it says what to do
//! next and is told the result. `docs/lifecycle.md` has the same states.
//!
//! ```text
//!                            ┌──────────────────────────────────┐ another was faster
//!                            ▼                                  │
//!                     ┌─► Tell ─► Wait ─┐ its turn               │
//!                     │                 ▼                       │
//! Identify ─► AwaitKnock ─► Ask ─────► Make ─► Hello ─► AwaitAck ─► Ready ─► (driver: Welcome, Up)
//! ```
//!
//! From each state an error, and REFUSE.

use super::act::{Act, decoded, not_asked, unexpected};
use super::packet::{Message, agree};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::Packet;
use crate::os::memory::Pages;
use crate::os::process::Peer;
use crate::segment::Shape;
use crate::transfer::Options;

/// The state of the host's side. Each state has what the later ones need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum HostState {
    /// Nothing is known of the guest yet.
    Identify,
    /// It may connect; nothing it says has been received yet.
    AwaitKnock,
    /// It wants this link and speaks a common version. Next: is it its turn?
    Ask(GuestTerms),
    /// Others are before it. Next: tell it its place in the queue.
    Tell(GuestTerms, u32),
    /// It has been told, and waits for its turn.
    Wait(GuestTerms),
    /// The slot is free. Next: memory and doorbells for this connection alone.
    Make(GuestTerms),
    Hello(GuestTerms, Shape),
    AwaitAck(GuestTerms, Shape),
    /// It has mapped the memory.
    Ready(Ready),
}

/// A guest that has done its part. The driver decides whether to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ready {
    guest: GuestTerms,
    pub(super) id: [u8; 16],
}

/// Whether it is a guest's turn to be offered the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// A guest before it has just been offered it, and is about to answer.
    Soon,
    /// Others are before it; its place among those that wait, from 1.
    Later(u32),
}

impl Ready {
    /// The longest message that the guest accepts.
    pub(super) fn max_message(&self) -> u64 {
        self.guest.max_message
    }

    /// Which of the guest's links it is for, if it says so.
    pub(super) fn client(&self) -> Option<u128> {
        let client = u128::from_le_bytes(self.guest.client);
        (client != 0).then_some(client)
    }

    /// The answer if it is taken; with it both sides are connected.
    pub(super) fn welcome(&self) -> Message {
        Message::Welcome { id: self.id }
    }
}

/// The content of a KNOCK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GuestTerms {
    version: u32,
    /// How to create the memory.
    pages: Pages,
    /// One of the sides receives handles.
    handles: bool,
    /// The longest message that it accepts.
    max_message: u64,
    client: [u8; 16],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct HostMachine<'a> {
    name: &'a str,
    options: &'a Options,
    pub(super) state: HostState,
}

impl<'a> HostMachine<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> HostMachine<'a> {
        HostMachine {
            name,
            options,
            state: HostState::Identify,
        }
    }

    /// What to do now. The method that its documentation names takes the answer.
    pub(super) fn next(&self) -> Act {
        match self.state {
            HostState::Identify => Act::Identify,
            HostState::AwaitKnock | HostState::AwaitAck(..) => Act::Receive,
            HostState::Ask(_) => Act::AskTurn,
            HostState::Tell(_, place) => Act::Send(Message::Wait { place }),
            HostState::Wait(_) => Act::AwaitTurn,
            HostState::Make(guest) => Act::MakeOffer {
                pages: guest.pages,
                handles: guest.handles,
            },
            HostState::Hello(guest, shape) => Act::SendOffer(Message::Hello {
                version: guest.version,
                handles: guest.handles,
                max_message: self.options.max_message,
                shape,
            }),
            HostState::Ready(_) => Act::Done,
        }
    }

    /// Answers [`Act::Identify`]: what the kernel says about the guest, and whether the link's access
    /// lets it in.
    pub(super) fn identified(&mut self, peer: &Peer, let_in: bool) -> Result<()> {
        if !let_in {
            // The guest gets this text too, and it is not to know who may connect.
            return Err(Error::new(
                ErrorKind::WrongOwner,
                format!(
                    "{peer} wants to connect, which this host's access does not allow; {}",
                    self.options.access.remedy()
                ),
            ));
        }
        self.state = HostState::AwaitKnock;
        Ok(())
    }

    /// Answers [`Act::Receive`].
    pub(super) fn received(&mut self, packet: &Packet) -> Result<()> {
        let message = decoded(packet)?;
        self.state = match self.state {
            HostState::AwaitKnock => HostState::Ask(self.knocked(message)?),
            HostState::AwaitAck(guest, shape) => match message {
                Message::Ack { id } if id == shape.id => HostState::Ready(Ready { guest, id }),
                other => return Err(unexpected(other, "ACK")),
            },
            _ => not_asked(),
        };
        Ok(())
    }

    fn knocked(&self, message: Message) -> Result<GuestTerms> {
        let Message::Knock {
            versions,
            pages,
            handles,
            max_message,
            client,
            name,
        } = message
        else {
            return Err(unexpected(message, "KNOCK"));
        };
        let version = agree(versions)?;
        if name != self.name {
            return Err(Error::new(
                ErrorKind::Protocol,
                format!("the guest wants a link with another name, {name:?}"),
            ));
        }
        Ok(GuestTerms {
            version,
            // Either side may insist on pages that cannot be missing later.
            pages: match self.options.pages {
                Pages::OnDemand => pages,
                Pages::Reserved => Pages::Reserved,
            },
            handles: handles || self.options.max_handles > 0,
            max_message,
            client,
        })
    }

    /// Answers [`Act::AskTurn`] and [`Act::AwaitTurn`].
    pub(super) fn asked(&mut self, turn: Turn) {
        self.state = match (self.state, turn) {
            (HostState::Ask(guest) | HostState::Wait(guest), Turn::Now) => HostState::Make(guest),
            (HostState::Ask(guest), Turn::Later(place)) => HostState::Tell(guest, place),
            (HostState::Ask(_) | HostState::Wait(_), _) => self.state,
            _ => not_asked(),
        };
    }

    /// A guest that was ready was not taken, because another was faster: it waits at this place.
    pub(super) fn passed_over(&mut self, place: u32) {
        let HostState::Ready(ready) = self.state else {
            not_asked()
        };
        self.state = HostState::Tell(ready.guest, place);
    }

    /// Answers [`Act::MakeOffer`]: the memory that has been created.
    pub(super) fn made(&mut self, shape: Shape) {
        let HostState::Make(guest) = self.state else {
            not_asked()
        };
        self.state = HostState::Hello(guest, shape);
    }

    /// Answers [`Act::Send`] and [`Act::SendOffer`].
    pub(super) fn sent(&mut self) {
        self.state = match self.state {
            HostState::Tell(guest, _) => HostState::Wait(guest),
            HostState::Hello(guest, shape) => HostState::AwaitAck(guest, shape),
            _ => not_asked(),
        };
    }
}
