//! The guest's half of the handshake, as a machine that does no input or output: it says what to
//! do next and is told what came of it. `docs/lifecycle.md` has the same states.
//!
//! ```text
//! Identify ─► Knock ─► AwaitHello ─► Check ─► Map ─► Ack ─► AwaitWelcome ─► Up
//!     │         │          │           │       │      │          │
//!     └─────────┴──────────┴───────────┴───────┴──────┴──────────┴──► an error; REFUSE by Check, Map
//! ```

use super::super::options::Options;
use super::super::packet::{Message, VERSIONS};
use super::{Act, heard, not_asked, unexpected};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::Packet;
use crate::os::process::Peer;
use crate::segment::Shape;

/// Where a guest's half stands. Each state has what the later ones need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// Nothing is known of the host yet, and nothing is told to it.
    Identify,
    Knock,
    AwaitHello,
    /// It offers memory, which has not been touched. May what it says of it be believed?
    Check(Host, Shape),
    /// The memory is taken and looked at.
    Map(Host, Shape),
    Ack(Host, Shape),
    /// All is ready here; the host has the last word.
    AwaitWelcome(Host, Shape),
    Up(Host, Shape),
}

/// What a HELLO says of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    version: u32,
    /// The longest message that it takes.
    pub(super) max_message: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Guest<'a> {
    name: &'a str,
    options: &'a Options,
    pub(super) state: State,
}

impl<'a> Guest<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> Guest<'a> {
        Guest {
            name,
            options,
            state: State::Identify,
        }
    }

    /// What is to be done now. It is answered by the method named.
    pub(super) fn next(&self) -> Act {
        match self.state {
            State::Identify => Act::Identify,
            State::Knock => Act::Send(Message::Knock {
                versions: VERSIONS,
                pages: self.options.pages,
                max_message: self.options.max_message,
                name: self.name.to_owned(),
            }),
            State::AwaitHello => Act::ReceiveOffer,
            State::Check(..) => Act::Check,
            State::Map(_, shape) => Act::TakeHandover(shape, self.options.pages),
            State::Ack(_, shape) => Act::Send(Message::Ack { id: shape.id }),
            State::AwaitWelcome(..) => Act::Receive,
            State::Up(..) => Act::Done,
        }
    }

    /// Whether the host is told of an error: only of what is wrong with its offer. Before that
    /// there is nothing to refuse, and after that the channel that is closed says all.
    pub(super) fn refuses(&self) -> bool {
        matches!(self.state, State::Check(..) | State::Map(..))
    }

    /// Answers [`Act::Identify`]: what the kernel says of the host.
    pub(super) fn identified(&mut self, peer: &Peer) -> Result<()> {
        if !self.options.access.trusts(peer) {
            // Nothing has been sent yet, and nothing is: whoever it is learns nothing from us.
            return Err(Error::new(
                ErrorKind::WrongOwner,
                format!(
                    "the host of this name is {peer}, and only a host of {} is trusted; end that \
                     process or, if it is the right one, name its user in this guest's Access::Users",
                    self.options.access.hosts_text()
                ),
            ));
        }
        self.state = State::Knock;
        Ok(())
    }

    /// Answers [`Act::Send`].
    pub(super) fn sent(&mut self) {
        self.state = match self.state {
            State::Knock => State::AwaitHello,
            State::Ack(host, shape) => State::AwaitWelcome(host, shape),
            _ => not_asked(),
        };
    }

    /// Answers [`Act::ReceiveOffer`] and [`Act::Receive`].
    pub(super) fn received(&mut self, packet: &Packet) -> Result<()> {
        let message = heard(packet)?;
        self.state = match self.state {
            State::AwaitHello => match message {
                Message::Hello {
                    version,
                    max_message,
                    shape,
                } => {
                    let host = Host {
                        version,
                        max_message,
                    };
                    State::Check(host, shape)
                }
                other => return Err(unexpected(other, "HELLO")),
            },
            State::AwaitWelcome(host, shape) => match message {
                Message::Welcome { id } if id == shape.id => State::Up(host, shape),
                other => return Err(unexpected(other, "WELCOME")),
            },
            _ => not_asked(),
        };
        Ok(())
    }

    /// Answers [`Act::Check`]: judges what the host says of its memory.
    pub(super) fn check(&mut self) -> Result<()> {
        let State::Check(host, shape) = self.state else {
            not_asked()
        };
        if !(VERSIONS.min..=VERSIONS.max).contains(&host.version) {
            return Err(Error::new(
                ErrorKind::Version,
                format!(
                    "the host chose version {} of the protocol; this side speaks {} to {}",
                    host.version, VERSIONS.min, VERSIONS.max
                ),
            ));
        }
        if shape.len().is_none() {
            return Err(Error::new(
                ErrorKind::Protocol,
                format!(
                    "the host offers rings of {} and {} bytes, which is not allowed",
                    shape.capacities[0], shape.capacities[1]
                ),
            ));
        }
        self.state = State::Map(host, shape);
        Ok(())
    }

    /// Answers [`Act::TakeHandover`]: the memory is mapped, and is what HELLO says.
    pub(super) fn taken(&mut self) {
        let State::Map(host, shape) = self.state else {
            not_asked()
        };
        self.state = State::Ack(host, shape);
    }
}
