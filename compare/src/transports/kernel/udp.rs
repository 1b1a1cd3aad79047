//! UDP on the loopback address. UDP promises neither arrival nor order, and drops what the
//! receiver's buffer has no room for; so the sender keeps within a window that the receiver
//! acknowledges. Nothing is sent again: a loss fails the cell.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use socket2::SockRef;

use crate::cell::Spec;
use crate::common::{MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::payload::Buffer;
use crate::transports::entry::{Entry, Waits};

/// What a datagram over IPv4 can carry.
const LONGEST: usize = 65_507;
/// What the kernel counts for a datagram beside its bytes.
const OVERHEAD: u64 = 1024;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "udp",
            "UDP loopback",
            Waits::Sleeps,
            Udp,
            "std's UdpSocket on 127.0.0.1, connected, one datagram per message of at most 65507 \
             bytes, SO_RCVBUF 4 MiB or what the system allows; UDP promises neither arrival nor \
             order, so the sender keeps within half of that buffer, and the receiver acknowledges \
             every eighth of it; nothing is sent again: a loss fails the cell; threads send under \
             a lock",
        )
        .longest(LONGEST),
    ]
}

struct Udp;

/// One for what is sent (and its acknowledgements), one for what is received.
struct Sockets {
    out: UdpSocket,
    into: UdpSocket,
}

impl Sockets {
    fn new() -> Result<Sockets> {
        let new = || -> Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            SockRef::from(&socket).set_recv_buffer_size(4 * MIB)?;
            Ok(socket)
        };
        Ok(Sockets {
            out: new()?,
            into: new()?,
        })
    }

    fn ends(self) -> Result<(UdpSender, UdpReceiver)> {
        // Both ends ask for the same, so that this one's buffer tells the other's.
        let window = SockRef::from(&self.into).recv_buffer_size()? as u64 / 2;
        let sender = UdpSender {
            socket: self.out,
            window,
            sent: 0,
            acknowledged: 0,
        };
        let receiver = UdpReceiver {
            socket: self.into,
            every: window / 4,
            message: Buffer::received(),
            taken: 0,
            told: 0,
        };
        Ok((sender, receiver))
    }
}

impl Transport for Udp {
    type Tx = UdpSender;
    type Rx = UdpReceiver;
    type Listener = Sockets;

    fn listen(&self, _: &Spec) -> Result<(Sockets, String)> {
        let sockets = Sockets::new()?;
        let token = format!(
            "{} {}",
            sockets.into.local_addr()?,
            sockets.out.local_addr()?
        );
        Ok((sockets, token))
    }

    fn accept(&self, sockets: Sockets, _: &Spec) -> Result<(UdpSender, UdpReceiver)> {
        for socket in [&sockets.into, &sockets.out] {
            let (_, guest) = socket.recv_from(&mut [0; 8])?;
            socket.connect(guest)?;
        }
        sockets.ends()
    }

    fn connect(&self, token: &str, _: &Spec) -> Result<(UdpSender, UdpReceiver)> {
        let (into, out) = token.split_once(' ').ok_or("a token of two addresses")?;
        let sockets = Sockets::new()?;
        for (socket, host) in [(&sockets.out, into), (&sockets.into, out)] {
            socket.connect(host.parse::<SocketAddr>()?)?;
            socket.send(b"hello")?;
        }
        sockets.ends()
    }
}

/// What a message takes of the window.
fn cost(len: usize) -> u64 {
    // The kernel rounds its buffers up, at worst to twice the length.
    2 * len as u64 + OVERHEAD
}

pub(crate) struct UdpSender {
    socket: UdpSocket,
    window: u64,
    sent: u64,
    acknowledged: u64,
}

impl Sender for UdpSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let cost = cost(message.len());
        // A message that is larger than the window goes when nothing else is under way.
        while self.sent > self.acknowledged && self.sent + cost > self.acknowledged + self.window {
            let mut taken = [0; 8];
            self.socket.recv(&mut taken)?;
            self.acknowledged = u64::from_ne_bytes(taken);
        }
        self.socket.send(message)?;
        self.sent += cost;
        Ok(())
    }
}

pub(crate) struct UdpReceiver {
    socket: UdpSocket,
    /// After so much an acknowledgement is sent.
    every: u64,
    message: Buffer,
    taken: u64,
    told: u64,
}

impl Receiver for UdpReceiver {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let room = self.message.take(LONGEST);
        let len = self.socket.recv(room)?;
        self.taken += cost(len);
        if self.taken - self.told >= self.every {
            self.socket.send(&self.taken.to_ne_bytes())?;
            self.told = self.taken;
        }
        read(&room[..len]);
        Ok(())
    }
}
