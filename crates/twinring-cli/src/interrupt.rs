//! Ctrl-C, and polite requests to end: the peer is told before the program ends.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::exit::Exit;
use crate::os::{self, Signal};

/// What an interrupt does.
struct Leave {
    first: Box<dyn FnOnce() + Send>,
    /// If that has not ended the program after this time.
    grace: Duration,
    last: Box<dyn FnOnce() + Send>,
}

static LEAVE: Mutex<Option<Leave>> = Mutex::new(None);
/// The first signal, or 0.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// From now on an interrupt does what is [watched](watch), and ends the program if that does not.
pub(crate) fn install() {
    // Without this an interrupt still ends the program; the peer then takes that for a crash.
    let _ = os::watch_signals(|signal| {
        let first = SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok() {
            // On a thread of its own, so that a second signal finds this one.
            let _ = std::thread::Builder::new()
                .name("interrupt".into())
                .spawn(leave);
        } else {
            die();
        }
    });
}

fn leave() {
    if let Some(leave) = take() {
        // Every call that waits now returns; the main thread cleans up and ends the program.
        (leave.first)();
        std::thread::sleep(leave.grace);
        (leave.last)();
    }
    die();
}

fn take() -> Option<Leave> {
    LEAVE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What an interrupt does from now on, in place of an earlier one: `first`, and `last` if the program goes on after
/// `grace`.
pub(crate) fn watch(
    first: impl FnOnce() + Send + 'static,
    grace: Duration,
    last: impl FnOnce() + Send + 'static,
) {
    *LEAVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Leave {
        first: Box::new(first),
        grace,
        last: Box::new(last),
    });
}

/// There is nothing to close any more.
pub(crate) fn unwatch() {
    drop(take());
}

/// The signal that has asked the program to end.
pub(crate) fn signal() -> Option<Signal> {
    Some(SIGNAL.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// Ends the program as whoever interrupted it expects.
pub(crate) fn die() -> ! {
    if let Some(signal) = signal() {
        os::die_of(signal);
    }
    std::process::exit(Exit::Interrupted.code())
}
