//! Linux 5.16 and later: futex_waitv(2), which waits for several futexes at once.
//!
//! The word is shared with the peer, the alarms are this process's own. A hostile peer can wake us for
//! nothing, or not wake us, as with any bell; it cannot keep an alarm from waking us.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::thread::ClockId;
use rustix::thread::futex::{
    Flags, Timespec, Wait, WaitFlags, WaitPtr, WaitvFlags, waitv, wake as futex_wake,
};
use rustix::time::clock_gettime;

use super::{Deadline, Source};

/// A receiver waits for its word, the end of the connection and an interruption.
const MOST: usize = 4;

pub(super) fn can_wait() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    // Nothing to wait for is refused as such by a kernel that knows the call.
    *CAN.get_or_init(|| {
        let refused = waitv(&[], WaitvFlags::empty(), None, ClockId::Monotonic);
        refused == Err(Errno::INVAL)
    })
}

pub(super) fn wake(word: &AtomicU32) {
    // One, the thread whose turn it is to send or to receive: a peer that has others sleep there only
    // harms itself. Cannot fail for an address that is mapped.
    let _ = futex_wake(word, Flags::empty(), 1);
}

/// Wakes those of this process who sleep on a word of its own.
pub(in crate::os::event) fn wake_private(word: &AtomicU32) {
    // As above.
    let _ = futex_wake(word, Flags::PRIVATE, i32::MAX as u32);
}

pub(super) fn wait(
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
        if let Source::Alarm(alarm) = source {
            add(alarm.word(), 0, WaitFlags::SIZE_U32 | WaitFlags::PRIVATE);
        }
    }
    let until = deadline.left().map(after_now);
    let woken = waitv(
        &waits[..count],
        WaitvFlags::empty(),
        until.as_ref(),
        ClockId::Monotonic,
    );
    let set = |source: &Source<'_>| matches!(source, Source::Alarm(alarm) if alarm.word().load(Ordering::Acquire) != 0);
    match woken {
        Err(Errno::TIMEDOUT) if deadline.passed() => Ok(None),
        // Woken, or something had changed before we slept, or for nothing: what is set tells.
        Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {
            Ok(Some(sources.iter().position(set).unwrap_or(sources.len())))
        }
        // A filter that was set up after the first question.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Err(io::ErrorKind::Unsupported.into()),
        Err(e) => Err(e.into()),
    }
}

/// The moment so far from now, by the clock that the call is told.
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
