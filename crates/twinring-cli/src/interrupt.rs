//! Ctrl-C (and a polite request to end): says goodbye to the peer before the program ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use twinring::Link;

use crate::exit::Exit;

static LINK: Mutex<Option<Link>> = Mutex::new(None);
static HAPPENED: AtomicBool = AtomicBool::new(false);

/// How long the program may clean up after an interrupt.
const GRACE: Duration = Duration::from_secs(2);

/// From now on an interrupt closes the link, and ends the program if that does not.
pub(crate) fn install() {
    // Without this (it cannot fail in a program that does it once) an interrupt still ends
    // the program; the peer then takes that for a crash.
    let _ = ctrlc::set_handler(|| {
        HAPPENED.store(true, Ordering::SeqCst);
        let link = LINK.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(link) = link {
            // Every call on the link now returns; the main thread cleans up and exits.
            link.close();
            std::thread::sleep(GRACE);
        }
        std::process::exit(Exit::Interrupted.code());
    });
}

/// The link that an interrupt closes, in place of an earlier one.
pub(crate) fn watch(link: Option<&Link>) {
    *LINK.lock().unwrap_or_else(PoisonError::into_inner) = link.cloned();
    if HAPPENED.load(Ordering::SeqCst) {
        link.inspect(|link| link.close());
    }
}

/// Whether there has been an interrupt.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}
