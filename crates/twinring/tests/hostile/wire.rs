//! The handshake by hand, byte by byte as `docs/format.md` has it.

#![allow(dead_code, reason = "each system uses some of it")]

#[cfg(windows)]
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use crate::common::{Place, until};

pub(crate) const PACKET: usize = 512;
pub(crate) type Packet = [u8; PACKET];

pub(crate) const KNOCK: u32 = 1;
pub(crate) const HELLO: u32 = 2;
pub(crate) const ACK: u32 = 3;
pub(crate) const WELCOME: u32 = 4;
pub(crate) const REFUSE: u32 = 5;
pub(crate) const WAIT: u32 = 6;

/// Reasons of a REFUSE.
pub(crate) const BUSY: u32 = 1;
pub(crate) const VERSION: u32 = 2;
pub(crate) const PROTOCOL: u32 = 4;
pub(crate) const TIMED_OUT: u32 = 9;

/// A packet of this kind, with nothing in it yet.
pub(crate) fn packet(kind: u32) -> Packet {
    let mut packet = [0; PACKET];
    packet[..8].copy_from_slice(b"twinring");
    put(&mut packet, 8, &kind.to_le_bytes());
    packet
}

pub(crate) fn put(packet: &mut Packet, at: usize, bytes: &[u8]) {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(crate) fn u32_at(packet: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(packet[at..at + 4].try_into().unwrap())
}

#[cfg(target_os = "linux")]
pub(crate) fn u64_at(packet: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(packet[at..at + 8].try_into().unwrap())
}

pub(crate) fn put_versions(packet: &mut Packet, min: u32, max: u32) {
    put(packet, 12, &min.to_le_bytes());
    put(packet, 16, &max.to_le_bytes());
}

pub(crate) fn put_text(packet: &mut Packet, text: &[u8]) {
    put(packet, 68, &(text.len() as u32).to_le_bytes());
    put(packet, 72, text);
}

/// A KNOCK that a host of this name lets in.
pub(crate) fn knock(name: &str) -> Packet {
    let mut knock = packet(KNOCK);
    put_versions(&mut knock, 1, 1);
    put(&mut knock, 24, &(1u64 << 30).to_le_bytes());
    put_text(&mut knock, name.as_bytes());
    if cfg!(windows) {
        // "I take the handles from you."
        put(&mut knock, 384, &1u32.to_le_bytes());
    }
    knock
}

/// The name's key: what it is called in the system.
pub(crate) fn key(place: &Place) -> String {
    format!(
        "{:032x}",
        xxhash_rust::xxh3::xxh3_128(place.name().as_bytes())
    )
}

#[cfg(unix)]
pub(crate) fn socket_path(place: &Place) -> std::path::PathBuf {
    place.directory().join(format!("{}.sock", key(place)))
}

/// The end of a guest that plays by no rules.
#[derive(Debug)]
pub(crate) struct Stranger(
    #[cfg(unix)] pub(crate) std::os::unix::net::UnixStream,
    #[cfg(windows)] File,
);

impl Stranger {
    #[track_caller]
    pub(crate) fn connect(place: &Place) -> Stranger {
        let mut stranger = None;
        until("the host takes another call", || {
            stranger = Stranger::try_connect(place).ok();
            stranger.is_some()
        });
        stranger.unwrap()
    }

    #[cfg(unix)]
    pub(crate) fn try_connect(place: &Place) -> io::Result<Stranger> {
        let stream = std::os::unix::net::UnixStream::connect(socket_path(place))?;
        stream.set_read_timeout(Some(crate::common::LIMIT))?;
        Ok(Stranger(stream))
    }

    #[cfg(windows)]
    pub(crate) fn try_connect(place: &Place) -> io::Result<Stranger> {
        let user = twinring::User::current()?;
        let name = format!("twinring-1-{user}-{}", key(place));
        let open = |pipe| File::options().read(true).write(true).open(pipe);
        let file = open(format!(r"\\.\pipe\ProtectedPrefix\Administrators\{name}"))
            .or_else(|_| open(format!(r"\\.\pipe\{name}")))?;
        Ok(Stranger(file))
    }

    /// Sends as far as the other side listens.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// The next packet.
    #[track_caller]
    pub(crate) fn packet(&mut self) -> Packet {
        let mut packet = [0; PACKET];
        self.0.read_exact(&mut packet).unwrap();
        assert_eq!(packet[..8], *b"twinring");
        packet
    }

    /// Expects to be told to wait, at this place.
    #[track_caller]
    pub(crate) fn waits(&mut self, place: u32) {
        assert_eq!(self.place(), place);
    }

    /// Expects to be told to wait. Returns at which place.
    #[track_caller]
    pub(crate) fn place(&mut self) -> u32 {
        let wait = self.packet();
        assert_eq!(u32_at(&wait, 8), WAIT);
        assert!(
            wait[12..64]
                .iter()
                .chain(&wait[68..])
                .all(|byte| *byte == 0)
        );
        u32_at(&wait, 64)
    }

    /// What the other side sends until it hangs up.
    pub(crate) fn read_to_the_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            // It hung up with bytes of ours unread.
            Err(e) => assert!(
                matches!(
                    e.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ),
                "{e}"
            ),
        }
        bytes
    }

    /// Expects to be refused: the reason, and what is said about it.
    #[track_caller]
    pub(crate) fn refusal(&mut self) -> (u32, String) {
        let bytes = self.read_to_the_end();
        assert_eq!(bytes.len(), PACKET, "one packet, and then the end");
        assert_eq!(bytes[..8], *b"twinring");
        assert_eq!(u32_at(&bytes, 8), REFUSE);
        let len = u32_at(&bytes, 68) as usize;
        let text = String::from_utf8(bytes[72..72 + len].to_vec()).unwrap();
        (u32_at(&bytes, 64), text)
    }
}

/// A handshake's deadline for tests that wait for it.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
/// One that no test lives to see.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
