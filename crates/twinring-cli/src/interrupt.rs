//! Ctrl-C (and a polite request to end): says goodbye to the peer before the program ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::exit::Exit;

/// What an interrupt does.
type Leave = Box<dyn FnOnce() + Send>;

static LEAVE: Mutex<Option<Leave>> = Mutex::new(None);
static HAPPENED: AtomicBool = AtomicBool::new(false);

/// How long the program may clean up after an interrupt.
const GRACE: Duration = Duration::from_secs(2);

/// From now on an interrupt does what is [watched](watch), and ends the program if that does not.
pub(crate) fn install() {
    // Without this (it cannot fail in a program that does it once) an interrupt still ends
    // the program; the peer then takes that for a crash.
    let _ = ctrlc::set_handler(|| {
        HAPPENED.store(true, Ordering::SeqCst);
        if let Some(leave) = take() {
            // Every call that waits now returns; the main thread cleans up and exits.
            leave();
            std::thread::sleep(GRACE);
        }
        std::process::exit(Exit::Interrupted.code());
    });
}

fn take() -> Option<Leave> {
    LEAVE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What an interrupt does from now on, in place of an earlier one: closes what the program has open.
pub(crate) fn watch(leave: impl FnOnce() + Send + 'static) {
    *LEAVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(leave));
    if happened() {
        take().into_iter().for_each(|leave| leave());
    }
}

/// There is nothing to close any more.
pub(crate) fn unwatch() {
    drop(take());
}

/// Whether there has been an interrupt.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}
