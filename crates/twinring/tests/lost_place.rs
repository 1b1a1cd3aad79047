//! Somebody removes what a host is found by, as a cleaner of temporary files does, or a logout.
//! The host puts it back by itself; a connected peer notices nothing.
//!
//! Unix only: on Windows a name cannot be taken from under its owner.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{
    CLOSED, LIMIT, Log, Parent, Place, Side, Watchdog, amount, connected, ended, peers, until,
};
use twinring::Link;

peers!(caller);

/// Connects, sends `hello`, and leaves when it is told to.
fn caller(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    conn.send(b"hello").unwrap();
    parent.say("sent");
    parent.expect("leave");
    link.close(0, "");
}

fn file(place: &Place, ending: &str) -> PathBuf {
    fs::read_dir(place.directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == ending))
        .unwrap_or_else(|| panic!("there is no file .{ending}"))
}

/// A guest in another process connects, and its message arrives.
fn is_found(place: &Place, host: &Link) {
    let mut guest = place.start("caller", Side::Guest);
    guest.expect("sent");
    let conn = connected(host);
    assert_eq!(conn.recv().unwrap().unwrap(), b"hello");
    guest.say("leave");
    assert_eq!(ended(conn.recv()), CLOSED);
    guest.finish();
}

/// What can be removed: its name, and how.
type Loss = (&'static str, fn(&Place));

const LOSSES: [Loss; 4] = [
    ("socket", |place| {
        fs::remove_file(file(place, "sock")).unwrap()
    }),
    ("lock", |place| {
        fs::remove_file(file(place, "lock")).unwrap()
    }),
    ("directory", |place| remove_all(place.directory())),
    ("moved", |place| {
        let aside = place.directory().with_extension("aside");
        fs::rename(place.directory(), &aside).unwrap();
        remove_all(&aside);
    }),
];

/// The host puts things back while they are being removed.
fn remove_all(directory: &Path) {
    until("the directory is gone", || {
        fs::remove_dir_all(directory).is_ok() || !directory.exists()
    });
}

#[test]
fn a_host_puts_back_what_was_removed() {
    let _watchdog = Watchdog::new(120);
    for (what, remove) in LOSSES {
        let place = Place::new();
        let log = Log::new();
        let host = place.host().on_error(log.errors()).open().unwrap();
        for round in 0..3 {
            remove(&place);
            until(&format!("{what} is back, round {round}"), || {
                place.files() == ["lock", "sock"]
            });
            is_found(&place, &host);
        }
        assert_eq!(log.lines(), Vec::<String>::new(), "{what}");
    }
}

/// The first sign of what was removed is back; the host may be about to put back more.
fn is_coming_back(what: &str, place: &Place) -> bool {
    match what {
        "socket" => place.files().iter().any(|ending| ending == "sock"),
        "lock" => place.files().iter().any(|ending| ending == "lock"),
        _ => place.directory().exists(),
    }
}

/// Removed again as soon as the host puts it back: between two of its steps, at any of them. It comes
/// back all the same, if not at the next attempt then at the one after.
#[test]
fn what_comes_back_is_removed_again() {
    let _watchdog = Watchdog::new(240);
    for (what, remove) in LOSSES {
        let place = Place::new();
        let host = place.host().open().unwrap();
        for round in 0..amount(2, 10) {
            remove(&place);
            let start = Instant::now();
            // Without a pause, in which the host would be done.
            while !is_coming_back(what, &place) {
                assert!(start.elapsed() < LIMIT, "{what} does not come back");
            }
            remove(&place);
            until(&format!("{what} is back, round {round}"), || {
                place.files() == ["lock", "sock"]
            });
            // Watched again as well.
            is_found(&place, &host);
        }
    }
}

/// Removed at once, again and again: also while the host still looks at what it has just put back.
#[test]
fn a_socket_that_is_removed_all_the_time_comes_back() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let host = place.host().open().unwrap();
    let socket = file(&place, "sock");
    for round in 0..amount(300, 3000) {
        let start = Instant::now();
        while fs::remove_file(&socket).is_err() {
            assert!(start.elapsed() < LIMIT, "it is not back in round {round}");
        }
    }
    is_found(&place, &host);
}

/// A connection that is up does not notice; the next guest finds the host again.
#[test]
fn the_connected_notice_nothing() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let host = place.host().open().unwrap();
    let mut guest = place.start("caller", Side::Guest);
    guest.expect("sent");
    let conn = connected(&host);
    assert_eq!(conn.recv().unwrap().unwrap(), b"hello");
    for (what, remove) in LOSSES {
        remove(&place);
        until(&format!("{what} is back"), || {
            place.files() == ["lock", "sock"]
        });
        assert_eq!(conn.end(), None, "{what}");
        conn.send(b"still here").unwrap();
    }
    guest.say("leave");
    assert_eq!(ended(conn.recv()), CLOSED);
    guest.finish();
    is_found(&place, &host);
}

/// A guest that waits in a directory which goes finds the host in the one that comes.
#[test]
fn a_waiting_guest_follows() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let guest = place.guest().open().unwrap();
    remove_all(place.directory());
    let host = place.host().open().unwrap();
    connected(&guest).send(b"found").unwrap();
    let received = connected(&host).recv().unwrap();
    assert_eq!(received.unwrap(), b"found");
}

/// Never two hosts: if another has the name in the place that has come, the first one says so, and
/// has it again when the other has gone.
#[cfg(target_os = "linux")]
#[test]
fn a_lost_name_may_be_taken() {
    use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let host = place.host().on_error(log.errors()).open().unwrap();
    // Another directory, in which the name is locked, takes the place of the host's in one step.
    let other = place.directory().with_extension("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(
        &other,
        fs::metadata(place.directory()).unwrap().permissions(),
    )
    .unwrap();
    let lock = file(&place, "lock");
    let taken = fs::File::create(other.join(lock.file_name().unwrap())).unwrap();
    flock(&taken, FlockOperation::NonBlockingLockExclusive).unwrap();
    renameat_with(CWD, &other, CWD, place.directory(), RenameFlags::EXCHANGE).unwrap();
    log.wait_for_last("error NameInUse");
    assert_eq!(place.files(), ["lock"], "it does not listen");
    drop(taken);
    is_found(&place, &host);
    assert_eq!(log.lines(), ["error NameInUse"]);
    remove_all(&other);
}
