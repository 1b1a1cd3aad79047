//! A guest that goes through the handshake as it should, and then has all that a guest is given: the memory
//! and the two sockets.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::common::Place;
use crate::fds;
use crate::victim::CAPACITY;
use crate::wire::{ACK, HELLO, Stranger, WELCOME, knock, packet, put, u32_at, u64_at};

pub(crate) const LEN: usize = 16 * 1024;
pub(crate) const RING: usize = CAPACITY as usize;

/// Where the words of the ring are that the host writes, and those of the guest's; and the bytes of both.
pub(crate) const THEIRS: usize = 1024;
pub(crate) const OURS: usize = 3072;
pub(crate) const BYTES: usize = 8192;

/// Words of a ring, by their offsets.
pub(crate) const TAIL: usize = 0;
pub(crate) const HEAD: usize = 128;
pub(crate) const DATA_WAIT: usize = 256;
pub(crate) const SPACE_WAIT: usize = 384;
pub(crate) const GOODBYE: usize = 512;
pub(crate) const SENDING: usize = 768;
pub(crate) const RECEIVING: usize = 896;
pub(crate) const STOPPED_STREAM: usize = 1024;

/// What a guest holds of a connection.
pub(crate) struct Intruder {
    pub(crate) connection: Stranger,
    pub(crate) space: OwnedFd,
    /// The channel for handles, if there is one.
    pub(crate) handles: Option<OwnedFd>,
    base: *mut u8,
}

impl Drop for Intruder {
    fn drop(&mut self) {
        // SAFETY: mapped by `enter`, and nothing refers to it any more.
        unsafe { munmap(self.base.cast(), LEN) }.unwrap();
    }
}

impl Intruder {
    /// Connects by the book.
    pub(crate) fn enter(place: &Place) -> Intruder {
        let mut connection = Stranger::connect(place);
        connection.send(&knock(place.name()));
        let (hello, mut fds) = fds::receive(&connection.0);
        assert_eq!(
            u32_at(&hello, 8),
            HELLO,
            "{:?}",
            String::from_utf8_lossy(&hello)
        );
        assert_eq!([u64_at(&hello, 48), u64_at(&hello, 56)], [CAPACITY; 2]);
        let handles = (fds.len() == 3).then(|| fds.pop().unwrap());
        let space = fds.pop().unwrap();
        let memory = fds.pop().unwrap();
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, of a file that has this length for ever.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                LEN,
                prot,
                MapFlags::SHARED,
                &memory,
                0,
            )
        };
        let mut ack = packet(ACK);
        put(&mut ack, 32, &hello[32..48]);
        connection.send(&ack);
        let (welcome, _) = fds::receive(&connection.0);
        assert_eq!(u32_at(&welcome, 8), WELCOME);
        Intruder {
            connection,
            space,
            handles,
            base: base.unwrap().cast(),
        }
    }

    pub(crate) fn u64_at(&self, offset: usize) -> &AtomicU64 {
        assert!(offset % 8 == 0 && offset + 8 <= LEN);
        // SAFETY: aligned, within the mapping, which lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }
    }

    pub(crate) fn u32_at(&self, offset: usize) -> &AtomicU32 {
        assert!(offset % 4 == 0 && offset + 4 <= LEN);
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast()) }
    }

    /// A word of the ring that the guest writes.
    pub(crate) fn ours(&self, word: usize) -> &AtomicU64 {
        self.u64_at(OURS + word)
    }

    /// A word of the ring that the host writes.
    pub(crate) fn theirs(&self, word: usize) -> &AtomicU64 {
        self.u64_at(THEIRS + word)
    }

    /// Writes frame headers and lengths, one after the other, from the beginning of our ring, and
    /// publishes up to `tail`.
    pub(crate) fn frames(&self, frames: &[(usize, u64)], tail: u64) {
        for (at, header) in frames {
            self.u64_at(BYTES + RING + at).store(*header, Relaxed);
        }
        self.ours(TAIL).store(tail, Relaxed);
        self.ring();
    }

    /// Rings both doorbells, and wakes a thread that sleeps on a wait flag, whether or not there is one.
    pub(crate) fn ring(&self) {
        use rustix::net::{SendFlags, send};
        use rustix::thread::futex;
        for flag in [THEIRS + SPACE_WAIT, OURS + DATA_WAIT] {
            let flag = self.u32_at(flag);
            flag.swap(0, Relaxed);
            futex::wake(flag, futex::Flags::empty(), 1).unwrap();
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = send(&self.connection.0, &[1], flags);
        let _ = send(&self.space, &[1], flags);
    }
}

/// A frame's header.
pub(crate) const fn frame(len: u32, kind: u8, flags: u8) -> u64 {
    len as u64 | (kind as u64) << 32 | (flags as u64) << 40
}
