//! Linux 5.16 and later: futex_waitv(2), which waits for several futexes at once.
//!
//! The word is shared with the peer, the events are this process's own. A hostile peer can wake us
//! without a reason, or not wake us, as with any doorbell; it cannot keep an event from waking us.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::thread::ClockId;
use rustix::thread::futex::{
    Flags, Timespec, Wait, WaitFlags, WaitPtr, WaitvFlags, waitv, wake as futex_wake,
};
use rustix::time::clock_gettime;

use crate::os::event::{Deadline, Source};

/// A receiver waits for its word, the end of the connection and an interrupt.
const MOST: usize = 4;

pub(crate) fn can_wait_on_words() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    // A kernel that knows the call refuses an empty list as invalid.
    *CAN.get_or_init(|| {
        let refused = waitv(&[], WaitvFlags::empty(), None, ClockId::Monotonic);
        refused == Err(Errno::INVAL)
    })
}

pub(crate) fn wake_word(word: &AtomicU32) {
    // One: the thread that has the right to send or to receive. A peer that lets others sleep there
    // only harms itself. Cannot fail for a mapped address.
    let _ = futex_wake(word, Flags::empty(), 1);
}

pub(crate) fn wait_on_word(
    word: &AtomicU32,
    expected: u32,
    sources: &[Source<'_>],
    deadline: Deadline,
) -> io::Result<Option<usize>> {
    let mut waits = [Wait::new(); MOST];
    let mut count = 0;
    let mut add = |word: &AtomicU32, expected: u32, flags| {
        waits[count].uaddr = WaitPtr::new(word.as_ptr().cast());
        waits[count].val = expected.into();
        waits[count].flags = flags;
        count += 1;
    };
    add(word, expected, WaitFlags::SIZE_U32);
    for source in sources {
        if let Source::LocalEvent(event) = source {
            add(event.word(), 0, WaitFlags::SIZE_U32 | WaitFlags::PRIVATE);
        }
    }
    let until = deadline.left().map(after_now);
    let woken = waitv(
        &waits[..count],
        WaitvFlags::empty(),
        until.as_ref(),
        ClockId::Monotonic,
    );
    let set = |source: &Source<'_>| matches!(source, Source::LocalEvent(event) if event.word().load(Ordering::Acquire) != 0);
    match woken {
        Err(Errno::TIMEDOUT) if deadline.passed() => Ok(None),
        // Woken, or something had changed before we slept, or no reason at all: see what is set.
        Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {
            Ok(Some(sources.iter().position(set).unwrap_or(sources.len())))
        }
        // A filter that was installed after `can_wait_on_words` asked.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Err(io::ErrorKind::Unsupported.into()),
        Err(e) => Err(e.into()),
    }
}

/// The moment `left` from now, by the clock that the call uses.
fn after_now(left: std::time::Duration) -> Timespec {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = now.tv_nsec + i64::from(left.subsec_nanos());
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    Timespec {
        tv_sec: now
            .tv_sec
            .saturating_add(seconds)
            .saturating_add(nanos / 1_000_000_000),
        tv_nsec: nanos % 1_000_000_000,
    }
}
