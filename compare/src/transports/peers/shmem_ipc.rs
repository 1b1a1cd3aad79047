//! shmem-ipc: a ring per direction, written and read in place. It is a stream of items; a message
//! here is its length and its bytes, in whole words, so that no length is cut by the ring's end.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use ::shmem_ipc::sharedring;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::cell::Spec;
use crate::common::{MIB, Result};
use crate::link::{Receiver, Sender, Transport};
use crate::machine::unique_name;
use crate::payload::Buffer;
use crate::transports::entry::{Entry, Waits};

const CAPACITY: usize = 4 * MIB;
const PREFIX: usize = 8;
/// Memory and two signals, of each ring.
const DESCRIPTORS: usize = 6;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "shmem-ipc-spin",
            "shmem-ipc, polling",
            Waits::Spins,
            ShmemIpc { spins: true },
            "sharedring of u8, 4 MiB per direction, length and bytes; one send_raw per message; read \
             in place where it lies in one piece; read_count and write_count are polled; threads \
             send under a lock",
        ),
        Entry::new(
            "shmem-ipc",
            "shmem-ipc",
            Waits::Sleeps,
            ShmemIpc { spins: false },
            "the same with its eventfds: block_until_readable, block_until_writable",
        ),
    ]
}

struct ShmemIpc {
    spins: bool,
}

struct Host {
    listener: UnixListener,
    out: sharedring::Sender<u8>,
    into: sharedring::Receiver<u8>,
}

impl Transport for ShmemIpc {
    type Tx = ShmemSender;
    type Rx = ShmemReceiver;
    type Listener = Host;

    fn listen(&self, _: &Spec) -> Result<(Host, String)> {
        let name = unique_name("shmem-ipc");
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        let host = Host {
            listener,
            out: sharedring::Sender::new(CAPACITY)?,
            into: sharedring::Receiver::new(CAPACITY)?,
        };
        Ok((host, name))
    }

    fn accept(&self, host: Host, _: &Spec) -> Result<(ShmemSender, ShmemReceiver)> {
        let (socket, _) = host.listener.accept()?;
        let descriptors = [
            host.out.memfd().as_file().as_fd(),
            host.out.empty_signal().as_fd(),
            host.out.full_signal().as_fd(),
            host.into.memfd().as_file().as_fd(),
            host.into.empty_signal().as_fd(),
            host.into.full_signal().as_fd(),
        ];
        send_descriptors(&socket, &descriptors)?;
        Ok(self.ends(host.out, host.into))
    }

    fn connect(&self, name: &str, _: &Spec) -> Result<(ShmemSender, ShmemReceiver)> {
        let socket = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        let mut files = receive_descriptors(&socket)?.into_iter().map(File::from);
        let mut next = || files.next().ok_or("a descriptor is missing");
        let into = sharedring::Receiver::open(CAPACITY, next()?, next()?, next()?)?;
        let out = sharedring::Sender::open(CAPACITY, next()?, next()?, next()?)?;
        Ok(self.ends(out, into))
    }
}

impl ShmemIpc {
    fn ends(
        &self,
        out: sharedring::Sender<u8>,
        into: sharedring::Receiver<u8>,
    ) -> (ShmemSender, ShmemReceiver) {
        let sender = ShmemSender {
            ring: out,
            spins: self.spins,
        };
        let receiver = ShmemReceiver {
            ring: into,
            spins: self.spins,
            message: Buffer::received(),
        };
        (sender, receiver)
    }
}

fn send_descriptors(socket: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err("no room for the descriptors".into());
    }
    let bytes = [IoSlice::new(b"!")];
    sendmsg(socket, &bytes, &mut control, SendFlags::empty())?;
    Ok(())
}

fn receive_descriptors(socket: &UnixStream) -> Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut got = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            got.extend(descriptors);
        }
    }
    Ok(got)
}

/// A look at the other side, again and again.
fn pause(times: &mut u32) {
    *times = times.wrapping_add(1);
    if times.is_multiple_of(64) {
        std::thread::yield_now();
    }
    std::hint::spin_loop();
}

pub(crate) struct ShmemSender {
    ring: sharedring::Sender<u8>,
    spins: bool,
}

impl ShmemSender {
    fn wait(&mut self) -> Result<()> {
        if self.spins {
            let mut times = 0;
            while self.ring.sender_mut().write_count()? == 0 {
                pause(&mut times);
            }
        } else {
            self.ring.block_until_writable()?;
        }
        Ok(())
    }
}

impl Sender for ShmemSender {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let len = (message.len() as u64).to_ne_bytes();
        let all = PREFIX + message.len().next_multiple_of(8);
        let mut done = 0;
        while done < all {
            let before = done;
            self.ring.send_raw(|to, room| {
                let end = all.min(done + room);
                let mut at = to;
                if done == 0 {
                    // SAFETY: the ring is a whole number of words, and so is all that was sent.
                    unsafe {
                        at.copy_from_nonoverlapping(len.as_ptr(), PREFIX);
                        at = at.add(PREFIX);
                    }
                    done = PREFIX;
                }
                let from = done - PREFIX;
                let until = (end - PREFIX).min(message.len());
                // SAFETY: there is room up to `end`.
                unsafe {
                    at.copy_from_nonoverlapping(message[from..until].as_ptr(), until - from);
                }
                let written = end - before;
                done = end;
                written
            })?;
            if done == before {
                self.wait()?;
            }
        }
        Ok(())
    }
}

pub(crate) struct ShmemReceiver {
    ring: sharedring::Receiver<u8>,
    spins: bool,
    message: Buffer,
}

impl ShmemReceiver {
    fn wait(&mut self) -> Result<()> {
        if self.spins {
            let mut times = 0;
            while self.ring.receiver_mut().read_count()? == 0 {
                pause(&mut times);
            }
        } else {
            self.ring.block_until_readable()?;
        }
        Ok(())
    }
}

impl Receiver for ShmemReceiver {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let mut read = Some(read);
        // Length of the message, how much of it has come, and whether it was read in place.
        let (mut len, mut done) = (None, 0);
        while read.is_some() {
            let mut moved = false;
            let message = &mut self.message;
            self.ring.receive_raw(|from, count| {
                moved = true;
                let (mut from, mut count, mut taken) = (from, count, 0);
                let total = *len.get_or_insert_with(|| {
                    // SAFETY: whole words come, and the ring begins at one.
                    let total = unsafe { from.cast::<u64>().read_unaligned() } as usize;
                    // SAFETY: as above.
                    from = unsafe { from.add(PREFIX) };
                    (count, taken) = (count - PREFIX, PREFIX);
                    total
                });
                let padded = total.next_multiple_of(8);
                if done == 0 && count >= padded {
                    if let Some(read) = read.take() {
                        // SAFETY: these bytes came, and the peer, which is ours, leaves them alone
                        // until we return.
                        read(unsafe { std::slice::from_raw_parts(from, total) });
                    }
                    return taken + padded;
                }
                if done == 0 {
                    message.take(padded);
                }
                let part = count.min(padded - done);
                // SAFETY: so many bytes came, and there is room for them.
                unsafe {
                    message.all()[done..]
                        .as_mut_ptr()
                        .copy_from_nonoverlapping(from, part);
                }
                done += part;
                taken + part
            })?;
            if let Some(total) = len
                && done > 0
                && done == total.next_multiple_of(8)
                && let Some(read) = read.take()
            {
                read(&self.message.all()[..total]);
            }
            if !moved {
                self.wait()?;
            }
        }
        Ok(())
    }
}
