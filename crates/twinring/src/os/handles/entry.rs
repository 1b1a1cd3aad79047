//! What a message says of its handles.

use std::fmt;
use std::io;

use super::kind::HandleKind;
use super::sys::is_plausible;

/// What a message says of one of its handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandleEntry {
    pub(super) kind: HandleKind,
    /// An end of a link: 1 if it is the host's. Otherwise 0.
    pub(super) detail: u32,
    /// An end of a link: its number. Otherwise the number of the handle in the sender's process, where that counts.
    pub(super) value: [u8; 16],
}

impl HandleEntry {
    /// Length in bytes.
    pub(crate) const LEN: usize = 24;

    pub(crate) fn encode(&self) -> [u8; HandleEntry::LEN] {
        let mut bytes = [0; HandleEntry::LEN];
        bytes[..4].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.detail.to_le_bytes());
        bytes[8..].copy_from_slice(&self.value);
        bytes
    }

    /// `None` if it is none.
    pub(crate) fn decode(bytes: &[u8; HandleEntry::LEN]) -> Option<HandleEntry> {
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let entry = HandleEntry {
            kind: HandleKind::of(word(0))?,
            detail: word(4),
            value: std::array::from_fn(|i| bytes[8 + i]),
        };
        let fits = match entry.kind {
            HandleKind::Link => entry.detail <= 1,
            _ => entry.detail == 0 && is_plausible(&entry.value),
        };
        fits.then_some(entry)
    }

    pub(super) fn of_end(end: &UnopenedEnd) -> HandleEntry {
        HandleEntry {
            kind: HandleKind::Link,
            detail: end.is_host.into(),
            value: end.number,
        }
    }

    /// The end of a link that it is, unless it is something of the system's.
    pub(super) fn end(&self) -> Option<UnopenedEnd> {
        (self.kind == HandleKind::Link).then_some(UnopenedEnd {
            number: self.value,
            is_host: self.detail == 1,
        })
    }
}

/// One end of a link that has a number for a name.
#[derive(PartialEq, Eq)]
pub(crate) struct UnopenedEnd {
    pub(crate) number: [u8; 16],
    pub(crate) is_host: bool,
}

impl fmt::Debug for UnopenedEnd {
    /// Without the number, which nobody else is to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.is_host { "host" } else { "guest" };
        f.debug_struct("LinkEnd").field("side", &side).finish()
    }
}

/// Why handles were not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The peer did not send what it said.
    Peer(&'static str),
    /// This process cannot take them now.
    Now(io::Error),
    /// They are gone: the peer has ended, or let go of them.
    #[cfg_attr(unix, expect(dead_code, reason = "the kernel keeps them there"))]
    Gone(io::Error),
}
