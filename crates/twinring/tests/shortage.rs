//! A process runs out of memory: in a control group that may have little (Linux, by root).
//!
//! The system ends it then. It cannot be asked for an error instead, nor can the other side of the memory;
//! but the peer is told, and has the next one.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{
    CRASHED, Child, LIMIT, Parent, Place, Side, Watchdog, check, connected, end_text, message,
    peers, until,
};
use twinring::Link;

peers!(fills, reserves, greets);

const MIB: u64 = 1 << 20;
/// What the child may have in all, of which it takes a few for itself.
const ALLOWED: u64 = 32 * MIB;
const CAPACITY: u64 = 64 * MIB;
const LEN: usize = 50_000;

/// A control group with little memory.
struct Shortage(PathBuf);

impl Shortage {
    /// `None`, and it says so, where no such group can be made.
    fn new(name: &str) -> Option<Shortage> {
        // Of the first version, or the second.
        for (root, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let group = Path::new(root).join(format!("twinring-{name}-{}", std::process::id()));
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let shortage = Shortage(group);
            if fs::write(shortage.0.join(limit), ALLOWED.to_string()).is_ok() {
                return Some(shortage);
            }
        }
        println!("skipped: no control group can be made for little memory");
        None
    }

    fn befalls(&self, child: &Child) {
        fs::write(self.0.join("cgroup.procs"), child.pid().to_string()).unwrap();
    }

    /// How many processes the system has ended for it.
    fn killed(&self) -> u64 {
        ["memory.oom_control", "memory.events"]
            .iter()
            .filter_map(|file| fs::read_to_string(self.0.join(file)).ok())
            .find_map(|text| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("oom_kill "))?;
                line.parse().ok()
            })
            .expect("the system counts them")
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        until("nobody is in the group", || fs::remove_dir(&self.0).is_ok());
    }
}

/// Opens a link, without a reservation or with one.
fn opened(parent: &'static Parent, reserve: bool) -> Link {
    parent.expect("go");
    let builder = parent.builder().ring_capacity(CAPACITY);
    builder.reserve_memory(reserve).open().unwrap()
}

/// Sends through ever more of its ring, which is more than it may have.
fn fills(parent: &'static Parent) {
    let link = opened(parent, false);
    let conn = connected(&link);
    for i in 0.. {
        conn.send(&message(0, i, LEN)).unwrap();
    }
}

/// Reserves both rings, if it is the host.
fn reserves(parent: &'static Parent) {
    let link = opened(parent, true);
    let _conn = connected(&link);
    parent.say("connected");
}

/// The one after these.
fn greets(parent: &'static Parent) {
    let link = opened(parent, false);
    let conn = connected(&link);
    conn.send(b"hello").unwrap();
    parent.expect("end");
}

/// The peer of the dead has another one.
fn goes_on(place: &Place, link: &Link, side: Side) {
    let mut next = place.start("greets", side);
    next.say("go");
    let conn = connected(link);
    assert_eq!(conn.recv().unwrap().unwrap(), b"hello");
    next.say("end");
    next.finish();
}

#[test]
fn what_is_not_reserved_may_not_be_there() {
    let _watchdog = Watchdog::new(120);
    let Some(shortage) = Shortage::new("touch") else {
        return;
    };
    for (side, killed) in Side::BOTH.into_iter().zip(1..) {
        let place = Place::new();
        let builder = place.builder(side.opposite()).ring_capacity(CAPACITY);
        let link = builder.reserve_memory(false).open().unwrap();
        let mut child = place.start("fills", side);
        shortage.befalls(&child);
        child.say("go");
        let conn = connected(&link);
        let mut received = 0;
        let end = loop {
            match conn.within(LIMIT).recv() {
                Ok(bytes) => check(&bytes.unwrap(), 0, received, LEN),
                Err(e) => break end_text(e.end().unwrap()),
            }
            received += 1;
        };
        assert_eq!(end, CRASHED);
        assert!(received * (LEN as u64) < ALLOWED, "{received} messages");
        assert_eq!(shortage.killed(), killed);
        goes_on(&place, &link, side);
    }
}

/// A reservation is no way around that: the group's limit is not looked at before it is reached.
#[test]
fn a_host_reserves_more_than_it_may_have() {
    let _watchdog = Watchdog::new(120);
    let Some(shortage) = Shortage::new("reserve") else {
        return;
    };
    let place = Place::new();
    let link = place.guest().open().unwrap();
    let mut child = place.start("reserves", Side::Host);
    shortage.befalls(&child);
    child.say("go");
    assert_eq!(child.next_line_or_end(), None);
    assert_eq!(shortage.killed(), 1);
    goes_on(&place, &link, Side::Host);
}
