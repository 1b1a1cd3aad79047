//! Ends a test that hangs.

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// How long a single step may take, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Ends the whole test process if it is not dropped in time: a thread that hangs in the library
/// can be ended in no other way. The children end with the test process.
pub(crate) struct Watchdog(#[allow(dead_code, reason = "its drop is the signal")] Sender<()>);

impl Watchdog {
    pub(crate) fn new(seconds: u64) -> Watchdog {
        let (alive, ended) = mpsc::channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            let limit = Duration::from_secs(seconds);
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // Not eprintln!, which the test harness would keep to itself.
                let _ = writeln!(
                    std::io::stderr(),
                    "\nwatchdog: {test} hangs: it has not ended within {limit:?}"
                );
                std::process::exit(101);
            }
        });
        Watchdog(alive)
    }
}
