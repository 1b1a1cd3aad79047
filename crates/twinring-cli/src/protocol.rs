//! The messages between `send` and `recv`: version 1 of the file protocol. `docs/format.md` describes the same in prose.
//!
//! One link message is one of these. The first byte says which; integers are little-endian.
//!
//! ```text
//! sender                                   receiver
//!   Start  0x01 "TWFILES\0" version:u32
//!          files:u64                 ──►
//!                                    ◄──   Welcome 0x81 version:u32
//!   Missing 0x07 length:u16 name text ──►  for each file that cannot be sent
//!   for each other file
//!   File   0x02 size:u64 flags:u8
//!          seconds:i64 nanos:u32
//!          mode:u32 name             ──►
//!                                    ◄──   Accept 0x82, or Refused
//!   Data   0x03 bytes…               ──►   as often as needed
//!   End    0x04 length:u64 xxh3:u128 ──►
//!                                    ◄──   Stored 0x83, or Refused 0x84 reason:u8 text
//!   Done   0x06                      ──►
//! ```
//!
//! There are as many of `File` and `Missing` as `Start` says. A file has exactly one final answer: `Stored`
//! or `Refused`. `Refused` may come at any time after `File`. A sender that sees it before its `End` sends
//! `Cancel` (0x05 text) instead, as it does when it cannot read on, or the file has changed meanwhile. The
//! receiver ignores data of a file that it has refused. A size of all ones means unknown. Flags: 1 there
//! is a time, 2 there is a mode, 4 the source has holes.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version that this program speaks.
pub(crate) const VERSION: u32 = 1;
/// Bytes in each `Data` except a file's last.
pub(crate) const BLOCK: usize = 1024 * 1024;
/// The longest message to a receiver.
pub(crate) const MAX_TO_RECEIVER: u64 = BLOCK as u64 + 1;
/// The longest message to a sender.
pub(crate) const MAX_TO_SENDER: u64 = 64 * 1024;
/// The longest text in a message; a longer one is cut.
const MAX_TEXT: usize = 4096;

const MAGIC: &[u8; 8] = b"TWFILES\0";
const UNKNOWN: u64 = u64::MAX;

const HAS_TIME: u8 = 1;
const HAS_MODE: u8 = 2;
const SPARSE: u8 = 4;

const START: u8 = 0x01;
const FILE: u8 = 0x02;
/// First byte of a data block, which is built in place.
pub(crate) const DATA: u8 = 0x03;
const END: u8 = 0x04;
const CANCEL: u8 = 0x05;
const DONE: u8 = 0x06;
const MISSING: u8 = 0x07;
const WELCOME: u8 = 0x81;
const ACCEPT: u8 = 0x82;
const STORED: u8 = 0x83;
const REFUSED: u8 = 0x84;

/// From the sender to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToReceiver<'a> {
    Start {
        version: u32,
        files: u64,
    },
    File(Header),
    Data(&'a [u8]),
    End {
        length: u64,
        hash: u128,
    },
    Cancel(String),
    /// A file that was announced and does not come.
    Missing {
        name: Vec<u8>,
        why: String,
    },
    Done,
}

/// What is known about a file before its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    /// If it is known, that many bytes come, or the file has changed and counts as failed.
    pub(crate) size: Option<u64>,
    pub(crate) modified: Option<Timestamp>,
    /// Who may read, write and run it: nine bits.
    pub(crate) mode: Option<u32>,
    /// The source has holes: runs of zeros need no room at the receiver.
    pub(crate) sparse: bool,
}

/// A time as seconds since 1970 (possibly before it) and nanoseconds after that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// From the receiver to the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToSender {
    Welcome { version: u32 },
    Accept,
    Stored,
    Refused { reason: Reason, text: String },
}

/// Why a file was refused, for programs; the text with it is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Exists,
    BadName,
    NoSpace,
    Mismatch,
    Other,
}

/// Bytes that are not a message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not the file protocol of `twinring send` and `recv`: {}",
            self.0
        )
    }
}

impl ToReceiver<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            ToReceiver::Start { version, files } => {
                out.push(START);
                out.extend_from_slice(MAGIC);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(&files.to_le_bytes());
            }
            ToReceiver::File(header) => {
                let time = header.modified.unwrap_or(Timestamp {
                    seconds: 0,
                    nanos: 0,
                });
                out.push(FILE);
                out.extend_from_slice(&header.size.unwrap_or(UNKNOWN).to_le_bytes());
                let flag = |set: bool, flag: u8| if set { flag } else { 0 };
                out.push(
                    flag(header.modified.is_some(), HAS_TIME)
                        | flag(header.mode.is_some(), HAS_MODE)
                        | flag(header.sparse, SPARSE),
                );
                out.extend_from_slice(&time.seconds.to_le_bytes());
                out.extend_from_slice(&time.nanos.to_le_bytes());
                out.extend_from_slice(&header.mode.unwrap_or(0).to_le_bytes());
                out.extend_from_slice(&header.name);
            }
            ToReceiver::Data(data) => {
                out.push(DATA);
                out.extend_from_slice(data);
            }
            ToReceiver::End { length, hash } => {
                out.push(END);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(&hash.to_le_bytes());
            }
            ToReceiver::Cancel(text) => {
                out.push(CANCEL);
                out.extend_from_slice(cut(text).as_bytes());
            }
            ToReceiver::Missing { name, why } => {
                // A path that is no name may be longer than any.
                let name = &name[..name.len().min(MAX_TEXT)];
                out.push(MISSING);
                out.extend_from_slice(&(name.len() as u16).to_le_bytes());
                out.extend_from_slice(name);
                out.extend_from_slice(cut(why).as_bytes());
            }
            ToReceiver::Done => out.push(DONE),
        }
        out
    }

    pub(crate) fn decode(message: &[u8]) -> Result<ToReceiver<'_>, Malformed> {
        let mut fields = Fields(message);
        let decoded = match fields.u8()? {
            START => {
                if fields.take::<8>()? != *MAGIC {
                    return Err(Malformed("another greeting"));
                }
                let version = fields.u32()?;
                let files = fields.u64()?;
                if version > VERSION {
                    // A later version may say more; it is told which one we speak.
                    fields = Fields(&[]);
                }
                ToReceiver::Start { version, files }
            }
            FILE => {
                let size = fields.u64()?;
                let flags = fields.u8()?;
                let time = Timestamp {
                    seconds: i64::from_le_bytes(fields.take()?),
                    nanos: fields.u32()?,
                };
                let mode = fields.u32()?;
                if flags > HAS_TIME | HAS_MODE | SPARSE {
                    return Err(Malformed("an unknown flag"));
                }
                if time.nanos >= 1_000_000_000 {
                    return Err(Malformed("an impossible time"));
                }
                if mode > 0o777 {
                    return Err(Malformed("a mode with more than nine bits"));
                }
                ToReceiver::File(Header {
                    name: bounded(fields.rest())?.to_owned(),
                    size: (size != UNKNOWN).then_some(size),
                    modified: (flags & HAS_TIME != 0).then_some(time),
                    mode: (flags & HAS_MODE != 0).then_some(mode),
                    sparse: flags & SPARSE != 0,
                })
            }
            DATA => ToReceiver::Data(fields.rest()),
            END => ToReceiver::End {
                length: fields.u64()?,
                hash: u128::from_le_bytes(fields.take()?),
            },
            CANCEL => ToReceiver::Cancel(fields.text()?),
            MISSING => {
                let length = u16::from_le_bytes(fields.take()?);
                ToReceiver::Missing {
                    name: bounded(fields.bytes(length.into())?)?.to_owned(),
                    why: fields.text()?,
                }
            }
            DONE => ToReceiver::Done,
            _ => return Err(Malformed("an unknown message")),
        };
        fields.end()?;
        Ok(decoded)
    }
}

impl ToSender {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            ToSender::Welcome { version } => {
                out.push(WELCOME);
                out.extend_from_slice(&version.to_le_bytes());
            }
            ToSender::Accept => out.push(ACCEPT),
            ToSender::Stored => out.push(STORED),
            ToSender::Refused { reason, text } => {
                out.push(REFUSED);
                out.push(match reason {
                    Reason::Other => 0,
                    Reason::Exists => 1,
                    Reason::BadName => 2,
                    Reason::NoSpace => 3,
                    Reason::Mismatch => 4,
                });
                out.extend_from_slice(cut(text).as_bytes());
            }
        }
        out
    }

    pub(crate) fn decode(message: &[u8]) -> Result<ToSender, Malformed> {
        let mut fields = Fields(message);
        let decoded = match fields.u8()? {
            WELCOME => ToSender::Welcome {
                version: fields.u32()?,
            },
            ACCEPT => ToSender::Accept,
            STORED => ToSender::Stored,
            REFUSED => ToSender::Refused {
                reason: match fields.u8()? {
                    1 => Reason::Exists,
                    2 => Reason::BadName,
                    3 => Reason::NoSpace,
                    4 => Reason::Mismatch,
                    // Later versions may have more of them.
                    _ => Reason::Other,
                },
                text: fields.text()?,
            },
            _ => return Err(Malformed("an unknown answer")),
        };
        fields.end()?;
        Ok(decoded)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanos: after.subsec_nanos(),
            },
            Err(e) => {
                let before = e.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Timestamp {
                        seconds: -whole,
                        nanos: 0,
                    },
                    nanos => Timestamp {
                        seconds: -whole - 1,
                        nanos: 1_000_000_000 - nanos,
                    },
                }
            }
        }
    }
}

impl Timestamp {
    /// As the system's type, or `None` if that cannot represent it.
    pub(crate) fn to_system(self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.seconds.unsigned_abs());
        let second = if self.seconds < 0 {
            UNIX_EPOCH.checked_sub(seconds)?
        } else {
            UNIX_EPOCH.checked_add(seconds)?
        };
        second.checked_add(Duration::from_nanos(self.nanos.into()))
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn bounded(text: &[u8]) -> Result<&[u8], Malformed> {
    if text.len() > MAX_TEXT {
        return Err(Malformed("a text is too long"));
    }
    Ok(text)
}

/// The part of a message not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("a message is too short"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Malformed("a message is too short"))?;
        self.0 = rest;
        Ok(field)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let text = bounded(self.rest())?;
        std::str::from_utf8(text)
            .map(str::to_owned)
            .map_err(|_| Malformed("a text is not UTF-8"))
    }

    fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("a message is too long"))
        }
    }
}

#[cfg(test)]
#[path = "../../twinring/tests/common/page.rs"]
mod page;

#[cfg(test)]
mod tests {
    use super::*;
    use page::says;
    use proptest::prelude::*;

    fn header() -> impl Strategy<Value = Header> {
        let time = prop::option::of((any::<i64>(), 0..1_000_000_000u32));
        let mode = prop::option::of(0..=0o777u32);
        let size = prop::option::of(0..u64::MAX);
        (name(), size, time, mode, any::<bool>()).prop_map(|(name, size, time, mode, sparse)| {
            Header {
                name,
                size,
                modified: time.map(|(seconds, nanos)| Timestamp { seconds, nanos }),
                mode,
                sparse,
            }
        })
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..300)
    }

    fn reason() -> impl Strategy<Value = Reason> {
        prop::sample::select(vec![
            Reason::Exists,
            Reason::BadName,
            Reason::NoSpace,
            Reason::Mismatch,
            Reason::Other,
        ])
    }

    #[test]
    fn bytes_are_fixed_for_ever() {
        // Versions of the program must understand each other: these may not change.
        let start = ToReceiver::Start {
            version: 1,
            files: 2,
        };
        assert_eq!(start.encode(), b"\x01TWFILES\0\x01\0\0\0\x02\0\0\0\0\0\0\0");
        let file = ToReceiver::File(Header {
            name: b"\xe9".into(),
            size: Some(258),
            modified: Some(Timestamp {
                seconds: -1,
                nanos: 5,
            }),
            mode: Some(0o640),
            sparse: true,
        });
        assert_eq!(
            file.encode(),
            b"\x02\x02\x01\0\0\0\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\x05\0\0\0\xa0\x01\0\0\xe9"
        );
        let missing = ToReceiver::Missing {
            name: b"\xe9".into(),
            why: "no".into(),
        };
        assert_eq!(missing.encode(), b"\x07\x01\0\xe9no");
        let refused = ToSender::Refused {
            reason: Reason::NoSpace,
            text: "no".into(),
        };
        assert_eq!(refused.encode(), b"\x84\x03no");
        assert_eq!(ToSender::Stored.encode(), b"\x83");
    }

    #[test]
    fn the_page_says_the_same() {
        for (byte, name) in [
            (START, "Start | sender |"),
            (FILE, "File | sender |"),
            (DATA, "Data | sender |"),
            (END, "End | sender |"),
            (CANCEL, "Cancel | sender |"),
            (DONE, "Done | sender |"),
            (MISSING, "Missing | sender |"),
            (WELCOME, "Welcome | receiver |"),
            (ACCEPT, "Accept | receiver |"),
            (STORED, "Stored | receiver |"),
            (REFUSED, "Refused | receiver |"),
        ] {
            says("Files", &format!("| {name} 0x{byte:02x}"));
        }
        for (n, reason, name) in [
            (1, Reason::Exists, "exists"),
            (2, Reason::BadName, "bad name"),
            (3, Reason::NoSpace, "no space"),
            (4, Reason::Mismatch, "mismatch"),
        ] {
            let text = String::new();
            assert_eq!(ToSender::Refused { reason, text }.encode(), [REFUSED, n]);
            says("Files", &format!("{n} {name}"));
        }
        says("Files", &format!("protocol of its own, version {VERSION}"));
        says(
            "Files",
            &format!("UTF-8, a name any bytes, each of at most {MAX_TEXT} bytes"),
        );
        for (flag, what) in [
            (HAS_TIME, "a time"),
            (HAS_MODE, "a mode"),
            (SPARSE, "holes"),
        ] {
            says("Files", &format!("{flag} {what}"));
        }
        assert_eq!((MAX_TO_RECEIVER, MAX_TO_SENDER), ((1 << 20) + 1, 64 << 10));
        says("Files", "at most 1 MiB and 1 byte, a sender of 64 KiB");
    }

    #[test]
    fn malformed() {
        for message in [
            &b""[..],
            b"\x00",
            b"\x07",
            b"\x01",
            b"\x01OTHERS\0\x01\0\0\0\x02\0\0\0\0\0\0\0",
            b"\x02short",
            b"\x04\0\0\0\0\0\0\0\0",
            b"\x05\xff\xfe",
            b"\x06more",
            b"\x07\x02\0n",
            b"\x07\x01\0n\xff",
            b"hello\n",
        ] {
            assert!(ToReceiver::decode(message).is_err(), "{message:?}");
        }
        for message in [
            &b""[..],
            b"\x01",
            b"\x81\0",
            b"\x82more",
            b"\x84",
            b"\x84\x01\xff",
        ] {
            assert!(ToSender::decode(message).is_err(), "{message:?}");
        }
        let file = |flags: u8, nanos: u32, mode: u32, name: &[u8]| {
            let (size, seconds) = ([0; 8], [0; 8]);
            let start = [&[FILE], &size[..], &[flags], &seconds].concat();
            let fields = [nanos.to_le_bytes(), mode.to_le_bytes()].concat();
            let message = [&start[..], &fields, name].concat();
            ToReceiver::decode(&message).map(drop)
        };
        assert_eq!(file(7, 999_999_999, 0o777, &[b'x'; MAX_TEXT]), Ok(()));
        assert!(file(8, 0, 0, b"name").is_err());
        assert!(file(1, 1_000_000_000, 0, b"name").is_err());
        assert!(file(2, 0, 0o4755, b"name").is_err());
        assert!(file(0, 0, 0, &[b'x'; MAX_TEXT + 1]).is_err());
    }

    #[test]
    fn a_later_version_is_understood_as_such() {
        let mut start = ToReceiver::Start {
            version: 9,
            files: 1,
        }
        .encode();
        start.extend_from_slice(b"and more");
        let decoded = ToReceiver::decode(&start).unwrap();
        assert!(matches!(decoded, ToReceiver::Start { version: 9, .. }));
    }

    #[test]
    fn times() {
        for (seconds, nanos) in [
            (0, 0),
            (1, 5),
            (-1, 5),
            (-1, 0),
            (1_700_000_000, 999_999_900),
        ] {
            let time = Timestamp { seconds, nanos };
            let system = time.to_system().unwrap();
            // Windows counts in units of 100 ns.
            let back = Timestamp::from(system);
            assert_eq!((back.seconds, back.nanos / 100), (seconds, nanos / 100));
        }
        // Impossible on some systems, but a panic on none.
        for seconds in [i64::MIN, i64::MAX] {
            let _ = Timestamp { seconds, nanos: 0 }
                .to_system()
                .map(Timestamp::from);
        }
    }

    proptest! {
        #[test]
        fn starts(version in 0..=VERSION, files in any::<u64>()) {
            let message = ToReceiver::Start { version, files };
            let encoded = message.encode();
            prop_assert_eq!(ToReceiver::decode(&encoded), Ok(message));
        }

        #[test]
        fn files(header in header()) {
            let message = ToReceiver::File(header);
            let encoded = message.encode();
            prop_assert!(encoded.len() as u64 <= MAX_TO_RECEIVER);
            prop_assert_eq!(ToReceiver::decode(&encoded), Ok(message));
        }

        #[test]
        fn contents(data in prop::collection::vec(any::<u8>(), 0..100), length in any::<u64>(), hash in any::<u128>()) {
            for message in [ToReceiver::Data(&data), ToReceiver::End { length, hash }, ToReceiver::Done] {
                let encoded = message.encode();
                prop_assert_eq!(ToReceiver::decode(&encoded), Ok(message));
            }
        }

        #[test]
        fn missing(name in name(), why in any::<String>()) {
            let message = ToReceiver::Missing { name, why };
            let encoded = message.encode();
            prop_assert_eq!(ToReceiver::decode(&encoded), Ok(message));
        }

        #[test]
        fn answers(version in any::<u32>(), reason in reason(), text in any::<String>()) {
            let text = cut(&text).to_owned();
            for message in [
                ToSender::Welcome { version },
                ToSender::Accept,
                ToSender::Stored,
                ToSender::Refused { reason, text },
            ] {
                let encoded = message.encode();
                prop_assert!(encoded.len() as u64 <= MAX_TO_SENDER);
                prop_assert_eq!(ToSender::decode(&encoded), Ok(message));
            }
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), first in 0..0x90u8) {
            let _ = ToReceiver::decode(&bytes);
            let _ = ToSender::decode(&bytes);
            let mut with_kind = vec![first];
            with_kind.extend_from_slice(&bytes);
            if let Ok(message) = ToReceiver::decode(&with_kind) && !matches!(message, ToReceiver::Start { .. } | ToReceiver::File(_)) {
                prop_assert_eq!(message.encode(), with_kind.clone());
            }
            let _ = ToSender::decode(&with_kind);
        }
    }
}
