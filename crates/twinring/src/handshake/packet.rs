//! The six messages of the handshake, byte by byte. `docs/format.md` describes the same in prose.
//!
//! ```text
//! guest ── KNOCK ──► host      who I want, what I speak
//! guest ◄── WAIT ─── host      only while others are before it; from then on no deadline
//! guest ◄── HELLO ── host      the connection, and its memory and doorbells beside it
//! guest ── ACK ────► host      I have mapped it
//! guest ◄─ WELCOME ─ host      you are the one; both sides are connected
//!            REFUSE            from either, in the place of any of these: why not
//! ```
//!
//! Each has 512 bytes, so no length has to be trusted. All numbers are little-endian; bytes that
//! a message does not use are zero.

use crate::error::{Error, ErrorKind};
use crate::os::endpoint::{HANDOVER, PACKET, Packet};
use crate::os::memory::Pages;
use crate::segment::Shape;

const MAGIC: [u8; 8] = *b"twinring";

/// The versions of the protocol that this library speaks.
pub(crate) const VERSIONS: Versions = Versions { min: 1, max: 1 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl Versions {
    /// The highest version that both speak.
    fn common(self, other: Versions) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min && highest >= other.min).then_some(highest)
    }
}

const KIND: std::ops::Range<usize> = 8..12;
const VERSION_MIN: std::ops::Range<usize> = 12..16;
const VERSION_MAX: std::ops::Range<usize> = 16..20;
const FEATURES: std::ops::Range<usize> = 20..24;
/// The feature that a guest requests if it accepts memory whose pages are not reserved.
const PAGES_ON_DEMAND: u32 = 1;
/// KNOCK: the guest receives handles, and wants a channel for them. HELLO: the offer has one.
const HANDLE_CHANNEL: u32 = 2;
const MAX_MESSAGE: std::ops::Range<usize> = 24..32;
const ID: std::ops::Range<usize> = 32..48;
/// The same bytes as the connection's id.
const CLIENT: std::ops::Range<usize> = ID;
const CAPACITIES: [std::ops::Range<usize>; 2] = [48..56, 56..64];
const REASON: std::ops::Range<usize> = 64..68;
const TEXT_LEN: std::ops::Range<usize> = 68..72;
const TEXT: std::ops::Range<usize> = 72..72 + TEXT_MAX;
/// The same bytes as the reason.
const PLACE: std::ops::Range<usize> = REASON;
/// The longest text: a link's name, or the reason for a refusal.
pub(crate) const TEXT_MAX: usize = 255;

const _: () = assert!(TEXT.end <= HANDOVER.start && HANDOVER.end <= PACKET);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Knock {
        versions: Versions,
        /// What the guest accepts.
        pages: Pages,
        /// It receives handles.
        handles: bool,
        max_message: u64,
        /// Random, and the same for all connections of the guest's link; zeros if it says none.
        client: [u8; 16],
        name: String,
    },
    Hello {
        version: u32,
        /// The offer has a channel for handles.
        handles: bool,
        max_message: u64,
        shape: Shape,
    },
    Ack {
        id: [u8; 16],
    },
    Welcome {
        id: [u8; 16],
    },
    Refuse {
        reason: Reason,
        text: String,
    },
    Wait {
        /// In the host's queue; the next has the place 1.
        place: u32,
    },
}

/// Why one side does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Busy = 1,
    Version = 2,
    WrongOwner = 3,
    Protocol = 4,
    OutOfMemory = 5,
    AccessDenied = 6,
    OutOfHandles = 7,
    Os = 8,
    TimedOut = 9,
}

impl Reason {
    /// The kind of the error that the refused side reports.
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Reason::Busy => ErrorKind::Busy,
            Reason::Version => ErrorKind::Version,
            Reason::WrongOwner => ErrorKind::WrongOwner,
            Reason::Protocol => ErrorKind::Protocol,
            Reason::OutOfMemory => ErrorKind::OutOfMemory,
            Reason::AccessDenied => ErrorKind::AccessDenied,
            Reason::OutOfHandles => ErrorKind::OutOfHandles,
            Reason::Os => ErrorKind::Os,
            Reason::TimedOut => ErrorKind::TimedOut,
        }
    }

    /// The reason to give the other side for an error of ours.
    pub(crate) fn of(kind: ErrorKind) -> Reason {
        match kind {
            ErrorKind::Busy => Reason::Busy,
            ErrorKind::Version => Reason::Version,
            ErrorKind::WrongOwner => Reason::WrongOwner,
            ErrorKind::AccessDenied => Reason::AccessDenied,
            ErrorKind::OutOfMemory => Reason::OutOfMemory,
            ErrorKind::OutOfHandles => Reason::OutOfHandles,
            ErrorKind::Os => Reason::Os,
            ErrorKind::TimedOut => Reason::TimedOut,
            _ => Reason::Protocol,
        }
    }
}

/// The version that both sides speak, or the error that says there is none.
pub(crate) fn agree(theirs: Versions) -> Result<u32, Error> {
    VERSIONS.common(theirs).ok_or_else(|| {
        Error::new(
            ErrorKind::Version,
            format!(
                "the guest speaks versions {} to {} of the protocol, the host {} to {}; \
                 update the older side",
                theirs.min, theirs.max, VERSIONS.min, VERSIONS.max
            ),
        )
    })
}

impl Message {
    pub(crate) fn encode(&self) -> Packet {
        let mut packet = [0u8; PACKET];
        packet[..8].copy_from_slice(&MAGIC);
        let mut put = |at: std::ops::Range<usize>, bytes: &[u8]| {
            packet[at.start..at.start + bytes.len()].copy_from_slice(bytes);
        };
        let (kind, text): (u32, &str) = match self {
            Message::Knock {
                versions,
                pages,
                handles,
                max_message,
                client,
                name,
            } => {
                put(CLIENT, client);
                let features = match pages {
                    Pages::Reserved => 0,
                    Pages::OnDemand => PAGES_ON_DEMAND,
                } | feature(*handles);
                put(FEATURES, &features.to_le_bytes());
                put(VERSION_MIN, &versions.min.to_le_bytes());
                put(VERSION_MAX, &versions.max.to_le_bytes());
                put(MAX_MESSAGE, &max_message.to_le_bytes());
                (1, name)
            }
            Message::Hello {
                version,
                handles,
                max_message,
                shape,
            } => {
                put(FEATURES, &feature(*handles).to_le_bytes());
                put(VERSION_MIN, &version.to_le_bytes());
                put(VERSION_MAX, &version.to_le_bytes());
                put(MAX_MESSAGE, &max_message.to_le_bytes());
                put(ID, &shape.id);
                for (at, capacity) in CAPACITIES.into_iter().zip(shape.capacities) {
                    put(at, &capacity.to_le_bytes());
                }
                (2, "")
            }
            Message::Ack { id } => {
                put(ID, id);
                (3, "")
            }
            Message::Welcome { id } => {
                put(ID, id);
                (4, "")
            }
            Message::Refuse { reason, text } => {
                put(REASON, &(*reason as u32).to_le_bytes());
                // Cut to fit, between two characters.
                (5, cut(text))
            }
            Message::Wait { place } => {
                put(PLACE, &place.to_le_bytes());
                (6, "")
            }
        };
        put(KIND, &kind.to_le_bytes());
        put(TEXT_LEN, &(text.len() as u32).to_le_bytes());
        put(TEXT, text.as_bytes());
        packet
    }

    /// Checks a packet. The part that describes the handover is left to `os`.
    pub(crate) fn decode(packet: &Packet) -> Result<Message, Error> {
        let wrong = |what: &str| Error::new(ErrorKind::Protocol, what.to_owned());
        let u32_at = |at: std::ops::Range<usize>| {
            u32::from_le_bytes(std::array::from_fn(|i| packet[at.start + i]))
        };
        let u64_at = |at: std::ops::Range<usize>| {
            u64::from_le_bytes(std::array::from_fn(|i| packet[at.start + i]))
        };
        if packet[..8] != MAGIC {
            return Err(wrong(
                "the other side does not speak this protocol (wrong magic number)",
            ));
        }
        let versions = Versions {
            min: u32_at(VERSION_MIN),
            max: u32_at(VERSION_MAX),
        };
        let features = u32_at(FEATURES);
        let pages = match features & PAGES_ON_DEMAND {
            0 => Pages::Reserved,
            _ => Pages::OnDemand,
        };
        let handles = features & HANDLE_CHANNEL != 0;
        let max_message = u64_at(MAX_MESSAGE);
        let id: [u8; 16] = std::array::from_fn(|i| packet[ID.start + i]);
        let kind = u32_at(KIND);
        let text = packet[TEXT]
            .get(..u32_at(TEXT_LEN) as usize)
            .and_then(|text| std::str::from_utf8(text).ok())
            .map(str::to_owned);
        // Another version may have another first message: check the version before the rest.
        if kind == 1 && VERSIONS.common(versions).is_none() {
            return Ok(Message::Knock {
                versions,
                pages,
                handles,
                max_message,
                client: id,
                name: text.unwrap_or_default(),
            });
        }
        let text = text.ok_or_else(|| wrong("a handshake message holds text that is none"))?;
        let message = match kind {
            1 => Message::Knock {
                versions,
                pages,
                handles,
                max_message,
                client: id,
                name: text,
            },
            2 => Message::Hello {
                version: versions.min,
                handles,
                max_message,
                shape: Shape {
                    capacities: CAPACITIES.map(u64_at),
                    id,
                },
            },
            3 => Message::Ack { id },
            4 => Message::Welcome { id },
            5 => Message::Refuse {
                reason: match u32_at(REASON) {
                    1 => Reason::Busy,
                    2 => Reason::Version,
                    3 => Reason::WrongOwner,
                    5 => Reason::OutOfMemory,
                    6 => Reason::AccessDenied,
                    7 => Reason::OutOfHandles,
                    8 => Reason::Os,
                    9 => Reason::TimedOut,
                    _ => Reason::Protocol,
                },
                text,
            },
            6 if u32_at(PLACE) == 0 => {
                return Err(wrong(
                    "a handshake message names a place 0, and they begin at 1",
                ));
            }
            6 => Message::Wait {
                place: u32_at(PLACE),
            },
            _ => return Err(wrong("a handshake message is of unknown kind")),
        };
        // A refusal is taken as it is, since it ends the handshake anyway.
        if matches!(message, Message::Refuse { .. }) {
            return Ok(message);
        }
        if features & !(PAGES_ON_DEMAND | HANDLE_CHANNEL) != 0 {
            return Err(wrong("a handshake message asks for unknown features"));
        }
        // What is not used must be zero: encoding again shows whether anything else was there.
        if message.encode()[..HANDOVER.start] != packet[..HANDOVER.start] {
            return Err(wrong(
                "a handshake message has bytes set that must be zero, or numbers out of range",
            ));
        }
        Ok(message)
    }
}

/// The feature of a channel for handles, if there is to be one.
fn feature(handles: bool) -> u32 {
    if handles { HANDLE_CHANNEL } else { 0 }
}

/// What fits of a text, cut between two characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::says;

    fn messages() -> impl Strategy<Value = Message> {
        let text = "\\PC{0,60}";
        let id = any::<[u8; 16]>();
        prop_oneof![
            (
                any::<u32>(),
                any::<u32>(),
                any::<[bool; 2]>(),
                any::<u64>(),
                id,
                text
            )
                .prop_map(
                    |(min, max, [reserved, handles], max_message, client, name)| {
                        Message::Knock {
                            versions: Versions { min, max },
                            pages: if reserved {
                                Pages::Reserved
                            } else {
                                Pages::OnDemand
                            },
                            handles,
                            max_message,
                            client,
                            name,
                        }
                    }
                ),
            (
                any::<u32>(),
                any::<bool>(),
                any::<u64>(),
                any::<[u64; 2]>(),
                id
            )
                .prop_map(|(version, handles, max_message, capacities, id)| {
                    Message::Hello {
                        version,
                        handles,
                        max_message,
                        shape: Shape { capacities, id },
                    }
                }),
            id.prop_map(|id| Message::Ack { id }),
            id.prop_map(|id| Message::Welcome { id }),
            text.prop_map(|text| Message::Refuse {
                reason: Reason::Busy,
                text
            }),
            (1u32..).prop_map(|place| Message::Wait { place }),
        ]
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(message in messages()) {
            prop_assert_eq!(Message::decode(&message.encode()).unwrap(), message);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(mut bytes in prop::collection::vec(any::<u8>(), PACKET), keep in any::<bool>(), kind in 0u8..8) {
            if keep {
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8..12].copy_from_slice(&[kind, 0, 0, 0]);
            }
            let _ = Message::decode(&bytes.try_into().unwrap());
        }

        #[test]
        fn one_changed_byte_never_passes_unseen(message in messages(), at in 0..HANDOVER.start, flip in 1u8..) {
            let mut packet = message.encode();
            packet[at] ^= flip;
            if let Ok(other) = Message::decode(&packet) {
                // Only what is not checked any further may differ unseen.
                let unread = match &other {
                    Message::Knock { versions, .. } => VERSIONS.common(*versions).is_none(),
                    other => matches!(other, Message::Refuse { .. }),
                };
                prop_assert!(other != message || unread);
            }
        }
    }

    #[test]
    fn versions_meet_at_the_highest_common_one() {
        let v = |min, max| Versions { min, max };
        assert_eq!(v(1, 3).common(v(2, 5)), Some(3));
        assert_eq!(v(2, 5).common(v(1, 3)), Some(3));
        assert_eq!(v(1, 1).common(v(2, 2)), None);
        assert_eq!(v(3, 2).common(v(1, 9)), None, "a range the wrong way round");
    }

    #[test]
    fn the_page_says_the_same() {
        says("Handshake", &format!("exactly {PACKET} bytes"));
        for (field, name) in [
            (0..MAGIC.len(), "magic, `twinring`"),
            (KIND, "kind | 1 | 2 | 3 | 4 | 5 | 6 |"),
            (VERSION_MIN, "lowest version spoken"),
            (VERSION_MAX, "highest version spoken"),
            (FEATURES, "features. KNOCK: bit 0"),
            (MAX_MESSAGE, "`max_message`"),
            (ID, "KNOCK: client id"),
            (CAPACITIES[0].clone(), "capacity of ring 0"),
            (CAPACITIES[1].clone(), "capacity of ring 1"),
            (TEXT, "text"),
            (HANDOVER, "objects handed over"),
        ] {
            let row = format!("| {}..{} | {name}", field.start, field.end);
            says("Handshake", &row);
        }
        let reasons = [
            (Reason::Busy, "busy"),
            (Reason::Version, "version"),
            (Reason::WrongOwner, "wrong owner"),
            (Reason::Protocol, "protocol"),
            (Reason::OutOfMemory, "out of memory"),
            (Reason::AccessDenied, "access denied"),
            (Reason::OutOfHandles, "out of descriptors or handles"),
            (Reason::Os, "another error of the system"),
            (Reason::TimedOut, "not decided in time"),
        ];
        let reasons = reasons.map(|(reason, name)| format!("{} {name}", reason as u32));
        let reasons = format!("REFUSE: reason: {}. WAIT: place", reasons.join(", "));
        assert_eq!(REASON, PLACE);
        let length = format!("length of the text, 0 to {TEXT_MAX}");
        for (field, name) in [(REASON, reasons), (TEXT_LEN, length)] {
            let row = format!("| {}..{} | {name}", field.start, field.end);
            says("Handshake", &row);
        }
        assert_eq!(PAGES_ON_DEMAND, 1 << 0);
        says("History", &format!("| {} | 0.1.0 |", VERSIONS.max));
    }

    #[test]
    fn another_version_may_have_another_knock() {
        let versions = Versions { min: 7, max: 9 };
        let mut packet = Message::Knock {
            versions,
            pages: Pages::Reserved,
            handles: false,
            max_message: 0,
            client: [0; 16],
            name: String::new(),
        }
        .encode();
        packet[FEATURES.start..HANDOVER.start].fill(0xff);
        match Message::decode(&packet) {
            Ok(Message::Knock { versions: told, .. }) => assert_eq!(told, versions),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_refusal_is_cut_between_characters() {
        let text = "é".repeat(200);
        let Message::Refuse { text, .. } = Message::decode(
            &Message::Refuse {
                reason: Reason::Busy,
                text,
            }
            .encode(),
        )
        .unwrap() else {
            panic!("another kind");
        };
        assert_eq!(text, "é".repeat(127));
    }
}
