//! The guest's side of the handshake, as a state machine without input or output: it says what to do
//! next and is told the result. `docs/lifecycle.md` has the same states.
//!
//! ```text
//!                          ┌─► Wait ◄─────────────────────┐ another guest was faster
//!                          │    ▼                         │
//! Identify ─► Knock ─► AwaitHello ─► Check ─► Map ─► Ack ─► AwaitWelcome ─► Up
//! ```
//!
//! From each state an error; from Check and Map also REFUSE.

use super::act::{Act, decoded, not_asked, unexpected};
use super::packet::{Message, VERSIONS};
use crate::error::{Error, ErrorKind, Result};
use crate::os::endpoint::Packet;
use crate::os::process::Peer;
use crate::segment::Shape;
use crate::transfer::Options;

/// The state of the guest's side. Each state has what the later ones need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum GuestState {
    /// Nothing is known of the host yet, and it has been told nothing.
    Identify,
    Knock,
    AwaitHello,
    /// Other guests are before this one, which has this place in the host's queue. Next: HELLO, when it
    /// is its turn.
    Wait(u32),
    /// It offers memory, which has not been touched. Next: is what it says about it valid?
    Check(HostTerms, Shape),
    /// The description is valid. Next: take the memory and check it.
    Map(HostTerms, Shape),
    Ack(HostTerms, Shape),
    /// Everything is ready here; the host decides.
    AwaitWelcome(HostTerms, Shape),
    Up(HostTerms, Shape),
}

/// The content of a HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HostTerms {
    version: u32,
    /// There is a channel for handles.
    handles: bool,
    /// The longest message that it accepts.
    pub(super) max_message: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct GuestMachine<'a> {
    name: &'a str,
    options: &'a Options,
    pub(super) state: GuestState,
}

impl<'a> GuestMachine<'a> {
    pub(super) fn new(name: &'a str, options: &'a Options) -> GuestMachine<'a> {
        GuestMachine {
            name,
            options,
            state: GuestState::Identify,
        }
    }

    /// What to do now. The method that its documentation names takes the answer.
    pub(super) fn next(&self) -> Act {
        match self.state {
            GuestState::Identify => Act::Identify,
            GuestState::Knock => Act::Send(Message::Knock {
                versions: VERSIONS,
                pages: self.options.pages,
                handles: self.options.max_handles > 0,
                max_message: self.options.max_message,
                client: self.options.client,
                name: self.name.to_owned(),
            }),
            GuestState::AwaitHello | GuestState::Wait(_) => Act::ReceiveOffer,
            GuestState::Check(..) => Act::Check,
            GuestState::Map(host, shape) => Act::TakeHandover {
                shape,
                pages: self.options.pages,
                handles: host.handles,
            },
            GuestState::Ack(_, shape) => Act::Send(Message::Ack { id: shape.id }),
            GuestState::AwaitWelcome(..) => Act::Receive,
            GuestState::Up(..) => Act::Done,
        }
    }

    /// Whether to tell the host about an error: only if something is wrong with its offer. Before that
    /// there is nothing to refuse, and after that closing the channel says enough.
    pub(super) fn refuses(&self) -> bool {
        matches!(self.state, GuestState::Check(..) | GuestState::Map(..))
    }

    /// Answers [`Act::Identify`]: what the kernel says about the host.
    pub(super) fn identified(&mut self, peer: &Peer) -> Result<()> {
        if !self.options.access.trusts(peer) {
            // Nothing has been sent, and nothing will be: the process there learns nothing from us.
            return Err(Error::new(
                ErrorKind::WrongOwner,
                format!(
                    "the host of this name is {peer}, and only a host of {} is trusted; end that \
                     process or, if it is the right one, name its user in this guest's access, as by Access::Users",
                    self.options.access.hosts_text()
                ),
            ));
        }
        self.state = GuestState::Knock;
        Ok(())
    }

    /// Answers [`Act::Send`].
    pub(super) fn sent(&mut self) {
        self.state = match self.state {
            GuestState::Knock => GuestState::AwaitHello,
            GuestState::Ack(host, shape) => GuestState::AwaitWelcome(host, shape),
            _ => not_asked(),
        };
    }

    /// Answers [`Act::ReceiveOffer`] and [`Act::Receive`].
    pub(super) fn received(&mut self, packet: &Packet) -> Result<()> {
        let message = decoded(packet)?;
        self.state = match self.state {
            GuestState::AwaitHello | GuestState::Wait(_) => match message {
                Message::Wait { place } if self.state == GuestState::AwaitHello => {
                    GuestState::Wait(place)
                }
                Message::Hello {
                    version,
                    handles,
                    max_message,
                    shape,
                } => {
                    let host = HostTerms {
                        version,
                        handles,
                        max_message,
                    };
                    GuestState::Check(host, shape)
                }
                other => return Err(unexpected(other, "HELLO")),
            },
            GuestState::AwaitWelcome(host, shape) => match message {
                Message::Welcome { id } if id == shape.id => GuestState::Up(host, shape),
                Message::Wait { place } => GuestState::Wait(place),
                other => return Err(unexpected(other, "WELCOME")),
            },
            _ => not_asked(),
        };
        Ok(())
    }

    /// Answers [`Act::Check`]: checks what the host says about its memory.
    pub(super) fn check(&mut self) -> Result<()> {
        let GuestState::Check(host, shape) = self.state else {
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
        self.state = GuestState::Map(host, shape);
        Ok(())
    }

    /// Answers [`Act::TakeHandover`]: the memory is mapped, and is as HELLO says.
    pub(super) fn taken(&mut self) {
        let GuestState::Map(host, shape) = self.state else {
            not_asked()
        };
        self.state = GuestState::Ack(host, shape);
    }
}
