//! Each system call that a process makes for its link is made to fail, one at a time: an error at
//! worst, and the link works again.
//!
//! Windows has no ptrace, so the calls fail by `twinring::faults`, which is there only in builds with
//! `--cfg twinring_faults`. `ci/check-faults` makes one; in any other there is nothing in this file.
//! The victim is a child that opens a link, talks and closes it, again and again, and each time the
//! next one of the calls fails. Linux has `failing_calls/`, which shares the peer.
#![cfg(all(windows, twinring_faults))]

mod common;
#[path = "failing_calls/echo.rs"]
mod echo;
#[allow(dead_code, reason = "the echo uses some of it")]
#[path = "failing_calls/phase.rs"]
mod phase;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use common::{Parent, Place, Side, Watchdog, connected, count, labelled, read_label};
use echo::{echo, other};
use phase::CAPACITY;
use twinring::{Connection, Error, ErrorKind, Link, Result, Wait, faults};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY,
};

common::peers!(victim, echo);

const CODES: [u32; 3] = [
    ERROR_NO_SYSTEM_RESOURCES,
    ERROR_NOT_ENOUGH_MEMORY,
    ERROR_ACCESS_DENIED,
];

/// Bytes of the large message: several times the ring.
const LARGE: usize = 20_000;

/// How long an answer, or a connection, may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Attempts that may fail in a row. One call fails, but the same failure can be told on several
/// ways: to the call that met it, and as the end of the connection it cost.
const ATTEMPTS: u64 = 4;

/// How often in a row a call of some name must be missing until there is no such call: who waits for
/// whom, and so who makes which call, is not the same each time.
const MISSES: u32 = 3;

/// Calls that every victim makes. One that is not failed is one that the seam has lost.
const EVERY: &[&str] = &[
    "ConvertSidToStringSidW",
    "ConvertStringSecurityDescriptorToSecurityDescriptorW",
    "CreateEventW",
    "CreateThreadpoolWait",
    "GetOverlappedResult",
    "GetProcessTimes",
    "GetSecurityInfo",
    "GetTokenInformation",
    "MapViewOfFile",
    "NtQueryInformationFile",
    "OpenProcess",
    "OpenProcessToken",
    "ReadFile",
    "WaitForMultipleObjects",
    "WriteFile",
];
const OF_HOSTS: &[&str] = &[
    "ConnectNamedPipe",
    "CreateFileMappingW",
    "CreateMutexExW",
    "CreateNamedPipeW",
    "GetNamedPipeClientProcessId",
    "ImpersonateNamedPipeClient",
    "OpenEventW",
    "OpenThreadToken",
    "WaitForSingleObject",
];
const OF_GUESTS: &[&str] = &[
    "CreateEventExW",
    "CreateFileW",
    "DuplicateHandle",
    "GetNamedPipeServerProcessId",
    "NtQueryObject",
    "NtQuerySection",
    "VirtualQuery",
];

fn fail_each_call(side: Side, its: &[&str]) {
    let _watchdog = Watchdog::new(600);
    let place = Place::new();
    let mut echo = place.start("echo", side.opposite());
    echo.expect("ready");
    for code in CODES {
        let mut child = place.start("victim", side);
        child.say(code);
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut said = Vec::new();
        let mut wrong = Vec::new();
        loop {
            let line = child.next_line_or_end().unwrap_or_else(|| {
                panic!("the {side} has ended, code {code}: {wrong:#?}; at last it said {said:#?}")
            });
            if line == "through" {
                break;
            }
            // An answer that did not come in time is a wake-up that was lost.
            if line.starts_with("wrong") || line.contains("TimedOut") {
                wrong.push(line.clone());
            }
            if let Some(all) = line.strip_prefix("failed ") {
                let (name, times) = all.split_once(' ').unwrap();
                failed.insert(name.to_owned(), times.parse().unwrap());
            }
            if line.starts_with("after") {
                said.clear();
            }
            said.push(line);
        }
        child.finish();
        wrong.extend(echo.lines_so_far());
        let total: u64 = failed.values().sum();
        println!("the {side}, code {code}: {total} failures: {failed:?}");
        assert!(wrong.is_empty(), "the {side}, code {code}: {wrong:#?}");
        for name in EVERY.iter().chain(its) {
            assert!(
                failed.get(*name).is_some_and(|n| *n > 0),
                "{name} of the {side} never fails"
            );
        }
    }
}

#[test]
fn each_call_of_a_host() {
    fail_each_call(Side::Host, OF_HOSTS);
}

#[test]
fn each_call_of_a_guest() {
    fail_each_call(Side::Guest, OF_GUESTS);
}

/// Says after each call which errors it met, and `wrong ...` if it could not get through.
fn victim(parent: &'static Parent) {
    std::panic::set_hook(Box::new(|panic| {
        parent.say(format!("wrong: {panic}").replace('\n', " "));
        std::process::exit(1);
    }));
    let code: u32 = parent.next_as();
    let other = other(parent);
    let beside = connected(&other);
    let talk_beside = |nth| {
        exchange(parent, &beside, nth, 0).unwrap_or_else(|e| panic!("the other link: {e:?}"));
    };
    // What is made only once in a process is made now.
    for _ in 0..2 {
        live(parent);
    }
    let mut before = at_rest();
    let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
    // Failures show further calls.
    while let Some(name) = faults::seen()
        .into_iter()
        .find(|name| !failed.contains_key(name))
    {
        let (mut nth, mut missed) = (0, 0);
        while missed < MISSES {
            faults::arm(name, nth, code);
            live(parent);
            if faults::disarm() {
                nth += 1;
                missed = 0;
            } else {
                missed += 1;
            }
            talk_beside(nth);
            let now = handles_within(before);
            if now > before {
                parent.say(format!(
                    "wrong: {name} {nth} leaves {now} handles of {before}"
                ));
                before = now;
            }
            parent.say(format!("after {name} {nth}"));
        }
        failed.insert(name, nth);
        parent.say(format!("failed {name} {nth}"));
    }
    other.close(0, "");
    parent.say("through");
}

/// A link's life: it opens, talks and closes.
fn live(parent: &'static Parent) {
    let (link, mut conn) = open(parent);
    talk(parent, &link, &mut conn);
    link.close(0, "");
}

fn open(parent: &'static Parent) -> (Link, Connection) {
    for _ in 0..ATTEMPTS {
        let opened = parent
            .builder()
            .ring_capacity(CAPACITY)
            .wait(Wait::Sleep)
            .on_error(|e| told(parent, "on_error", e))
            .open();
        match opened {
            Ok(link) => {
                let conn = next(&link);
                return (link, conn);
            }
            Err(e) => told(parent, "open", &e),
        }
    }
    panic!("it does not open");
}

fn next(link: &Link) -> Connection {
    let conn = link.within(PATIENCE).next();
    conn.expect("it connects by itself")
}

/// A small message and a large one, there and back.
fn talk(parent: &Parent, link: &Link, conn: &mut Connection) {
    for len in [0, LARGE] {
        let through = (0..ATTEMPTS).any(|attempt| match exchange(parent, conn, attempt, len) {
            Ok(()) => true,
            Err(e) => {
                told(parent, "talk", &e);
                if conn.end().is_some() {
                    *conn = next(link);
                }
                false
            }
        });
        assert!(through, "the link works again");
    }
}

fn exchange(parent: &Parent, conn: &Connection, attempt: u64, len: usize) -> Result<()> {
    let conn = conn.within(PATIENCE);
    conn.send(&labelled(len as u64, attempt, len))?;
    let mut failures = 0;
    loop {
        match conn.recv() {
            Ok(bytes) if read_label(bytes.as_deref().unwrap()) == Ok((len as u64, attempt)) => {
                return Ok(());
            }
            // The answer to an earlier attempt.
            Ok(_) => {}
            // The answer is on its way: the peer does nothing else before it has got rid of it.
            Err(e) if e.kind() != ErrorKind::Ended && failures < ATTEMPTS => {
                told(parent, "recv", &e);
                failures += 1;
            }
            Err(e) => return Err(e),
        }
    }
}

fn told(parent: &Parent, by: &str, e: &Error) {
    parent.say(format!("{by}: {e:?}"));
}

/// How many handles this process has when nothing is going on: the fewest within half a second.
fn at_rest() -> u64 {
    let start = Instant::now();
    let mut fewest = u64::MAX;
    while start.elapsed() < Duration::from_millis(500) {
        fewest = fewest.min(handles());
        thread::sleep(Duration::from_millis(20));
    }
    fewest
}

/// How many handles there are, once they are no more than that, or for good.
fn handles_within(limit: u64) -> u64 {
    let start = Instant::now();
    loop {
        let now = handles();
        if now <= limit || start.elapsed() > Duration::from_secs(10) {
            return now;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn handles() -> u64 {
    count()[0]
}
