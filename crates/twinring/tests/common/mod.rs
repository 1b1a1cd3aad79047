//! Two real processes in every test: the test, and children of it that are this executable again.
//!
//! ```text
//! test:  Place::new ─ start("role", side) ─► Child ─ say, next_line ──┐ lines on
//! child: peers!(role, …) ─ fn role(parent) ◄── Parent ─ say, hear ┘ stdin and stdout
//! ```
//!
//! Every wait here is bounded by a watchdog, which fails the test; no test passes because time
//! has passed.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file uses some of it"
)]

mod asleep;
mod audit;
mod child;
mod ends;
mod executor;
#[cfg(target_os = "linux")]
mod filter;
mod freeze;
mod log;
mod long;
mod parent;
mod payload;
mod place;
mod random;
mod times;
#[cfg(unix)]
mod users;
mod watchdog;
mod wine;

pub(crate) use asleep::until_asleep;
pub(crate) use audit::{AUDITED, count, raise_limit_of_files, slope};
#[cfg(target_os = "linux")]
pub(crate) use audit::{Audit, count_of};
pub(crate) use child::Child;
pub(crate) use ends::{
    ABANDONED, ABANDONED_HERE, CLOSED, CLOSED_HERE, CRASHED, STOPPED, end_text, ended, kind, of_io,
    stream_ended,
};
pub(crate) use executor::{block_on, when_ready};
#[cfg(target_os = "linux")]
pub(crate) use filter::refuse;
pub(crate) use freeze::{freeze, thaw};
pub(crate) use log::{Log, numbered, text};
pub(crate) use long::{amount, amount_or, is_long};
pub(crate) use parent::{Parent, play, run_beside};
pub(crate) use payload::{LABEL, check, labelled, message, read_label};
pub(crate) use place::{Place, Side};
pub(crate) use random::Random;
pub(crate) use times::{Times, between, microseconds};
#[cfg(unix)]
pub(crate) use users::{ALICE, BOB, are_there_other_users, of_user, start_as};
pub(crate) use watchdog::{LIMIT, Watchdog};
pub(crate) use wine::is_wine;

use std::time::{Duration, Instant};

use twinring::{Connection, Link};

/// What the children of a test file do: functions that take a `&'static Parent`.
macro_rules! peers {
    ($($role:ident),+ $(,)?) => {
        #[test]
        #[ignore = "what the children of the other tests run"]
        fn peer_main() {
            $crate::common::play(&[$((stringify!($role), $role)),+]);
        }
    };
}
pub(crate) use peers;

/// A count, and a smaller one for Wine, where a process takes 150 ms to start.
pub(crate) fn rounds(usual: usize, wine: usize) -> usize {
    if is_wine() { wine } else { usual }
}

/// The longest pause of a kind in microseconds. Windows takes longer than Linux to start a process and for a
/// handshake, Wine longer still.
pub(crate) fn longest_pause(linux: usize, windows: usize) -> usize {
    if cfg!(windows) { windows } else { linux }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for a peer, and gives the connection to it.
#[track_caller]
pub(crate) fn connected(link: &Link) -> Connection {
    link.within(LIMIT).next().expect("a peer connects")
}

/// Memory that programs could get now, in bytes, where the system tells.
pub(crate) fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// The process at the other end, if there is one now.
pub(crate) fn peer_of(link: &Link) -> Option<u32> {
    match link.status() {
        twinring::Status::Connected(conn) => Some(conn.peer().pid),
        _ => None,
    }
}
