//! The limit: a single-producer ring in shared memory with nothing around it. No kinds of frames,
//! no threads, no reconnecting, no distrust: a length word and the bytes, copied in and copied out.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::thread::futex;

/// As twinring's default, for each direction.
const CAPACITY: usize = 1024 * 1024;
/// Bytes published at a time, so that the two copies of a long message overlap.
const CHUNK: usize = 16 * 1024;
const WORDS: usize = 4096;
/// Spins before the futex: some 50 µs.
const SPINS: u32 = 2000;

#[repr(C, align(128))]
struct Line<T>(T);

#[repr(C)]
struct Words {
    tail: Line<AtomicU64>,
    head: Line<AtomicU64>,
    data_wait: Line<AtomicU32>,
    space_wait: Line<AtomicU32>,
}

/// Memory for two rings.
pub(crate) fn memory() -> OwnedFd {
    let fd = rustix::fs::memfd_create(c"bare", rustix::fs::MemfdFlags::empty()).unwrap();
    rustix::fs::ftruncate(&fd, (2 * (WORDS + CAPACITY)) as u64).unwrap();
    fd
}

/// One end: sends on one ring and receives on the other.
pub(crate) struct Bare {
    out: Half,
    into: Half,
}

struct Half {
    words: NonNull<Words>,
    bytes: NonNull<u8>,
    mine: u64,
    theirs: u64,
    /// Spin for ever, or spin and then sleep.
    sleep: bool,
}

impl Bare {
    pub(crate) fn new(fd: &OwnedFd, side: usize, sleep: bool) -> Bare {
        let len = 2 * (WORDS + CAPACITY);
        // SAFETY: a new mapping of memory that has this length.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                fd,
                0,
            )
        }
        .unwrap()
        .cast::<u8>();
        let half = |index: usize| {
            // SAFETY: both lie within the mapping, which is never unmapped.
            let words = unsafe { base.add(index * (WORDS + CAPACITY)) };
            Half {
                words: NonNull::new(words.cast()).unwrap(),
                // SAFETY: as above.
                bytes: NonNull::new(unsafe { words.add(WORDS) }).unwrap(),
                mine: 0,
                theirs: 0,
                sleep,
            }
        };
        Bare {
            out: half(side),
            into: half(1 - side),
        }
    }

    pub(crate) fn send(&mut self, message: &[u8]) {
        self.out.put(
            &(message.len() as u64).to_ne_bytes(),
            message.len() + 8 > CHUNK,
        );
        let mut chunks = message.chunks(CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            self.out.put(chunk, chunks.peek().is_some());
        }
        self.out.publish_tail();
    }

    pub(crate) fn recv(&mut self, message: &mut Vec<u8>) {
        let mut len = [0; 8];
        self.into.take(&mut len);
        message.resize(u64::from_ne_bytes(len) as usize, 0);
        for chunk in message.chunks_mut(CHUNK) {
            self.into.take(chunk);
        }
        self.into.publish_head();
    }
}

impl Half {
    fn words(&self) -> &Words {
        // SAFETY: mapped for ever, atomics only.
        unsafe { self.words.as_ref() }
    }

    fn put(&mut self, from: &[u8], publish: bool) {
        while CAPACITY as u64 - (self.mine - self.theirs) < from.len() as u64 {
            self.publish_tail();
            let theirs = self.theirs;
            self.theirs = wait(
                &self.words().head.0,
                &self.words().space_wait.0,
                self.sleep,
                theirs,
            );
        }
        let at = self.mine as usize % CAPACITY;
        let first = from.len().min(CAPACITY - at);
        // SAFETY: room for `from` was checked; the consumer leaves it alone.
        unsafe {
            let bytes = self.bytes.as_ptr();
            bytes.add(at).copy_from_nonoverlapping(from.as_ptr(), first);
            bytes.copy_from_nonoverlapping(from.as_ptr().add(first), from.len() - first);
        }
        self.mine += from.len() as u64;
        if publish {
            self.publish_tail();
        }
    }

    fn publish_tail(&mut self) {
        let words = self.words();
        words.tail.0.store(self.mine, Ordering::Release);
        wake(&words.data_wait.0, self.sleep);
    }

    fn take(&mut self, to: &mut [u8]) {
        while self.theirs - self.mine < to.len() as u64 {
            self.publish_head();
            let theirs = self.theirs;
            self.theirs = wait(
                &self.words().tail.0,
                &self.words().data_wait.0,
                self.sleep,
                theirs,
            );
        }
        let at = self.mine as usize % CAPACITY;
        let first = to.len().min(CAPACITY - at);
        // SAFETY: the bytes were published and the producer leaves them alone.
        unsafe {
            let bytes = self.bytes.as_ptr();
            to.as_mut_ptr()
                .copy_from_nonoverlapping(bytes.add(at), first);
            to.as_mut_ptr()
                .add(first)
                .copy_from_nonoverlapping(bytes, to.len() - first);
        }
        self.mine += to.len() as u64;
    }

    fn publish_head(&mut self) {
        let words = self.words();
        words.head.0.store(self.mine, Ordering::Release);
        wake(&words.space_wait.0, self.sleep);
    }
}

/// Waits until the peer's position is another one than `seen`.
fn wait(position: &AtomicU64, flag: &AtomicU32, sleep: bool, seen: u64) -> u64 {
    let mut spins = 0;
    loop {
        let now = position.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        spins += 1;
        if !sleep || spins < SPINS {
            std::hint::spin_loop();
            continue;
        }
        flag.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if position.load(Ordering::Acquire) == seen {
            let _ = futex::wait(flag, futex::Flags::empty(), 1, None);
        }
        flag.store(0, Ordering::Relaxed);
    }
}

fn wake(flag: &AtomicU32, sleep: bool) {
    if sleep {
        fence(Ordering::SeqCst);
        if flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::Relaxed) != 0 {
            let _ = futex::wake(flag, futex::Flags::empty(), 1);
        }
    }
}
