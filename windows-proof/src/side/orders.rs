//! How a side is told to end, and in which way.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};

use super::{LIFE, Log};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As a program ends.
    Leave,
    /// By TerminateProcess, as a killed one.
    Die,
    /// By __fastfail, as a crashed one: Windows Error Reporting looks at it before it goes.
    FailFast,
}

impl Order {
    const ALL: [Order; 3] = [Order::Leave, Order::Die, Order::FailFast];

    fn word(self) -> &'static str {
        match self {
            Order::Leave => "leave",
            Order::Die => "die",
            Order::FailFast => "fail-fast",
        }
    }

    /// What the side says right before it does so.
    pub(crate) fn said(self) -> String {
        format!("obeys: {}", self.word())
    }

    fn obey(self, log: &Log) -> ! {
        log.say(self.said());
        match self {
            Order::Leave => std::process::exit(0),
            Order::Die => loop {
                // SAFETY: the constant for this process.
                unsafe { TerminateProcess(GetCurrentProcess(), 9) };
            },
            // On Windows this is __fastfail.
            Order::FailFast => std::process::abort(),
        }
    }
}

fn path_beside(log: &Path) -> PathBuf {
    log.with_extension("order")
}

/// Orders the side with this log.
pub(crate) fn give(log: &Path, order: Order) -> io::Result<()> {
    std::fs::write(path_beside(log), order.word())
}

/// Looks for orders from now on, and ends the process when its time is over.
pub(super) fn obey(path: &Path, log: &Log) {
    let (path, log) = (path_beside(path), log.clone());
    let end = Instant::now() + LIFE;
    thread::spawn(move || {
        loop {
            // It may not be written completely yet.
            let word = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some(order) = Order::ALL.into_iter().find(|order| order.word() == word) {
                order.obey(&log);
            }
            if Instant::now() > end {
                log.say("its time is over");
                std::process::exit(3);
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
}
