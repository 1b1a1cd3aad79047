//! A host and a guest that Windows lets do less with each other than it lets two programs of one user: they connect,
//! and each is told when the other is killed. `faults` says what each denial stands for.
//!
//! Wine denies nothing of this by itself, so there is something in this file only in builds with
//! `--cfg twinring_faults`, as `ci/check-rights` makes. `ci/windows-proof.ps1` does the same with real users.
#![cfg(all(windows, twinring_faults))]

mod common;

use common::{Child, LIMIT, Parent, Place, Side, Watchdog, peers};
use twinring::{Connection, faults};

peers!(talks, attempts);

/// What a host may be denied; and a guest. A process that may not be watched may not be opened either.
const HOSTS: [&str; 5] = [
    "",
    "open-guest",
    "open-guest,watch-guest",
    "open-guest,watch-guest,global",
    "duplicate",
];
const GUESTS: [&str; 4] = ["", "open-host", "open-host,watch-host", "duplicate"];

/// Several times the ring.
const LARGE: usize = 100_000;

fn exchange(conn: &Connection) {
    let theirs = std::thread::scope(|scope| {
        scope.spawn(|| conn.send(&[7; LARGE]).unwrap());
        conn.recv().unwrap().unwrap()
    });
    assert_eq!(theirs, [7; LARGE]);
}

/// Talks to each peer that comes, and says how each has ended.
fn talks(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    loop {
        let conn = link.within(LIMIT).next().unwrap();
        exchange(&conn);
        let by_name = faults::seen().contains("OpenFileMappingW");
        parent.say(if by_name { "by name" } else { "by handle" });
        let end = conn.recv().unwrap_err();
        parent.say(format!("{:?}", end.end().unwrap()));
    }
}

fn start(place: &Place, role: &str, side: Side, denied: &str) -> Child {
    place.start_with(role, side, |command| {
        command.env("TWINRING_DENY", denied);
    })
}

#[test]
fn whatever_is_denied() {
    let _watchdog = Watchdog::new(600);
    for for_host in HOSTS {
        for for_guest in GUESTS {
            let case = format!("host without {for_host:?}, guest without {for_guest:?}");
            let way = match (for_host.is_empty(), for_guest.is_empty()) {
                (false, false) => "by name",
                _ => "by handle",
            };
            let place = Place::new();
            let start = |side| match side {
                Side::Host => start(&place, "talks", side, for_host),
                Side::Guest => start(&place, "talks", side, for_guest),
            };
            let (mut host, mut guest) = (start(Side::Host), start(Side::Guest));
            assert_eq!(guest.next_line(), way, "{case}");
            assert_eq!(
                host.next_line(),
                "by handle",
                "a host opens nothing by name"
            );
            guest.kill();
            assert_eq!(host.next_line(), "Crashed", "{case}");
            guest = start(Side::Guest);
            assert_eq!(guest.next_line(), way, "{case}");
            host.expect("by handle");
            host.kill();
            assert_eq!(guest.next_line(), "Crashed", "{case}");
            host = start(Side::Host);
            assert_eq!(guest.next_line(), way, "{case}");
            host.expect("by handle");
        }
    }
}

/// A token of the pipe's is not the only way to know who calls; but there must be one.
#[test]
fn who_cannot_be_identified_is_refused() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut host = start(&place, "talks", Side::Host, "impersonate");
    let mut guest = start(&place, "talks", Side::Guest, "");
    guest.expect("by handle");
    host.expect("by handle");

    let place = Place::new();
    let _host = start(&place, "talks", Side::Host, "impersonate,watch-guest");
    let mut guest = start(&place, "attempts", Side::Guest, "");
    // It may also have gone away again before the guest has read why.
    guest.wait_for_line(|line| line.contains("cannot tell who the other side is"));
}

/// Says why it does not connect.
fn attempts(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_error(|e| parent.say(e.to_string()))
        .open()
        .unwrap();
    let _ = link.next();
}
