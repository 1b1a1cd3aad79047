//! Standard input, and how much of it has gone to a peer.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::os;

/// How far the thread has come that sends the input.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// It waits for input.
    reads: AtomicBool,
    /// It has read something that no peer has accepted.
    holds: AtomicBool,
    /// The input is at its end.
    ended: AtomicBool,
}

/// How long the thread may take to read what is there.
const READING: Duration = Duration::from_secs(1);

/// An input that has nothing for so long is waited for, where the system does not tell.
const SILENCE: Duration = Duration::from_millis(20);

impl Progress {
    pub(crate) fn set_holds(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
    }

    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether there was more input than a peer has accepted that has left by now. Input that is still to come does
    /// not count.
    pub(crate) fn is_left_over(&self) -> bool {
        let began = Instant::now();
        let mut silent = began;
        while began.elapsed() < READING {
            if self.has_ended() || self.holds.load(Ordering::SeqCst) {
                break;
            }
            let waits = self.reads.load(Ordering::SeqCst) && os::input_waits() != Some(true);
            if !waits {
                silent = Instant::now();
            } else if os::input_waits().is_some() || silent.elapsed() >= SILENCE {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.holds.load(Ordering::SeqCst)
    }
}

/// Standard input, that says when it waits.
#[derive(Debug)]
pub(crate) struct Stdin<'a>(pub(crate) &'a Progress);

impl Read for Stdin<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.reads.store(true, Ordering::SeqCst);
        let read = io::stdin().read(into);
        self.0.reads.store(false, Ordering::SeqCst);
        read
    }
}
