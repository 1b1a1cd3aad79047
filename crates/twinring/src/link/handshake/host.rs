//! The host's half of the handshake, as a machine that does no input or output: it says what to do
//! next and is told what came of it. `docs/lifecycle.md` has the same states.
//!
//! ```text
//! Identify ─► AwaitKnock ─► Ask ─► Make ─► Hello ─► AwaitAck ─► Ready ─► (keeper: Welcome, Up)
//!     │            │         │       │       │          │          │
//!     └────────────┴─────────┴───────┴───────┴──────────┴──────────┴──► an error, and REFUSE
//! ```

use super::super::options::Options;
use super::super::packet::{Message, agree};
use super::{Act, busy, heard, not_asked, unexpected};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::Packet;
use crate::os::memory::Pages;
use crate::os::process::Peer;
use crate::segment::Shape;

/// Where a host's half stands. Each state has what the later ones need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Nothing is known of the guest yet.
    Identify,
    /// It is one that may connect; nothing that it says has been heard.
    AwaitKnock,
    /// It wants this link and speaks a common version. Is there a live guest?
    Ask(Guest),
    /// The place is free: memory and bells for this connection alone.
    Make(Guest),
    Hello(Guest, Shape),
    AwaitAck(Guest, Shape),
    /// It has mapped the memory.
    Ready(Ready),
}

/// A guest that has done its part. Whether it is the one is the keeper's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ready {
    /// The longest message that it takes.
    pub(super) max_message: u64,
    pub(super) id: [u8; 16],
}

impl Ready {
    /// What it is told if it is: with that both sides are connected.
    pub(super) fn welcome(&self) -> Message {
        Message::Welcome { id: self.id }
    }
}

/// What a KNOCK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Guest {
    version: u32,
    /// How the memory is to be made.
    pages: Pages,
    /// The longest message that it takes.
    max_message: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Host<'a> {
    name: &'a str,
    options: &'a Options,
    pub(super) state: State,
}

impl<'a> Host<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> Host<'a> {
        Host {
            name,
            options,
            state: State::Identify,
        }
    }

    /// What is to be done now. It is answered by the method named.
    pub(super) fn next(&self) -> Act {
        match self.state {
            State::Identify => Act::Identify,
            State::AwaitKnock | State::AwaitAck(..) => Act::Receive,
            State::Ask(_) => Act::AskOccupied,
            State::Make(guest) => Act::MakeOffer(guest.pages),
            State::Hello(guest, shape) => Act::SendOffer(Message::Hello {
                version: guest.version,
                max_message: self.options.max_message,
                shape,
            }),
            State::Ready(_) => Act::Done,
        }
    }

    /// Answers [`Act::Identify`]: what the kernel says of the guest, and whether the link's access
    /// lets it in.
    pub(super) fn identified(&mut self, peer: &Peer, let_in: bool) -> Result<()> {
        if !let_in {
            // It is also told to the stranger, whom it does not concern who may.
            return Err(Error::new(
                ErrorKind::WrongOwner,
                format!(
                    "{peer} wants to connect, which this host's access does not allow; to let that \
                     user in, name it in the host's Access::Users"
                ),
            ));
        }
        self.state = State::AwaitKnock;
        Ok(())
    }

    /// Answers [`Act::Receive`].
    pub(super) fn received(&mut self, packet: &Packet) -> Result<()> {
        let message = heard(packet)?;
        self.state = match self.state {
            State::AwaitKnock => State::Ask(self.knocked(message)?),
            State::AwaitAck(guest, shape) => match message {
                Message::Ack { id } if id == shape.id => State::Ready(Ready {
                    max_message: guest.max_message,
                    id,
                }),
                other => return Err(unexpected(other, "ACK")),
            },
            _ => not_asked(),
        };
        Ok(())
    }

    fn knocked(&self, message: Message) -> Result<Guest> {
        let Message::Knock {
            versions,
            pages,
            max_message,
            name,
        } = message
        else {
            return Err(unexpected(message, "KNOCK"));
        };
        let version = agree(versions)?;
        if name != self.name {
            return Err(Error::new(
                ErrorKind::Protocol,
                format!("the guest wants a link of another name, {name:?}"),
            ));
        }
        Ok(Guest {
            version,
            // Either side may insist on pages that cannot be missing later.
            pages: match self.options.pages {
                Pages::OnDemand => pages,
                Pages::Reserved => Pages::Reserved,
            },
            max_message,
        })
    }

    /// Answers [`Act::AskOccupied`].
    pub(super) fn asked(&mut self, occupied: bool) -> Result<()> {
        if occupied {
            return Err(busy());
        }
        let State::Ask(guest) = self.state else {
            not_asked()
        };
        self.state = State::Make(guest);
        Ok(())
    }

    /// Answers [`Act::MakeOffer`]: the memory that has been made.
    pub(super) fn made(&mut self, shape: Shape) {
        let State::Make(guest) = self.state else {
            not_asked()
        };
        self.state = State::Hello(guest, shape);
    }

    /// Answers [`Act::SendOffer`].
    pub(super) fn sent(&mut self) {
        let State::Hello(guest, shape) = self.state else {
            not_asked()
        };
        self.state = State::AwaitAck(guest, shape);
    }
}
