//! Files of names that nobody holds any more: the hosts that come later remove them, and nothing else.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, amount, connected, labelled, peers, until,
};
use rustix::fs::{FlockOperation, flock};
use twinring::{ErrorKind, Link};

peers!(holder, racer);

/// Is the host of as many names as it is told.
fn holder(parent: &'static Parent) {
    let count: usize = parent.next_as();
    let links: Vec<_> = (0..count)
        .map(|i| named(parent.place.directory(), parent.place.name(), i))
        .map(|place| place.host().ring_capacity(4096).open().unwrap())
        .collect();
    parent.say("opened");
    for link in &links {
        assert!(!link.status().is_connected());
    }
    parent.wait_for_the_end();
}

fn named(directory: &Path, name: &str, i: usize) -> Place {
    Place::at(&format!("{name} {i}"), directory)
}

fn key(place: &Place) -> String {
    format!(
        "{:032x}",
        xxhash_rust::xxh3::xxh3_128(place.name().as_bytes())
    )
}

fn files(place: &Place) -> BTreeSet<String> {
    fs::read_dir(place.directory())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The files of hosts of `count` names, which have been killed, and of none that live.
fn leave(place: &Place, name: &str, count: usize) {
    let mut dead = Place::at(name, place.directory()).start("holder", Side::Host);
    dead.say(count);
    dead.expect("opened");
    dead.kill();
}

#[test]
fn later_hosts_remove_what_nobody_holds() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut alive = Place::at("alive", place.directory()).start("holder", Side::Host);
    alive.say(40);
    alive.expect("opened");
    let of_the_living = files(&place);
    assert_eq!(of_the_living.len(), 80, "a lock and a socket each");
    leave(&place, "dead", 300);
    // What hosts leave that are killed at other moments: before a socket is renamed, before a lock has a text;
    // and what a cleaner of temporary files leaves.
    let at = |i, ending| {
        place.directory().join(format!(
            "{}.{ending}",
            key(&named(place.directory(), "dead", i))
        ))
    };
    for i in 0..5 {
        fs::rename(at(i, "sock"), at(i, "new")).unwrap();
        fs::write(at(i + 5, "lock"), "").unwrap();
        fs::remove_file(at(i + 10, "lock")).unwrap();
        drop(UnixListener::bind(at(i + 15, "new")).unwrap());
    }
    // Each removes some: not all at once.
    let mut left = files(&place);
    until("only the files of the living are left", || {
        drop(place.host().ring_capacity(4096).open().unwrap());
        let before = std::mem::replace(&mut left, files(&place));
        let removed = before.len().saturating_sub(left.len());
        assert!(removed <= 3 * 32, "{removed} files at once");
        assert!(left.is_superset(&of_the_living), "removed of the living");
        left == of_the_living
    });
    // And those can still be reached.
    for i in 0..40 {
        let guest = named(place.directory(), "alive", i).guest().open().unwrap();
        connected(&guest);
    }
}

#[test]
fn a_host_that_is_not_closed_removes_them_as_well() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    leave(&place, "dead", 3);
    let mut host = Place::at("alive", place.directory()).start("holder", Side::Host);
    host.say(1);
    until("only its own files are left", || {
        place.files() == ["lock", "sock"]
    });
}

/// What is only called like a link's file, and not certainly one.
#[test]
fn what_is_not_certainly_a_links_stays() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    drop(place.host().open().unwrap());
    let own = files(&place);
    let mut number = 0;
    let mut path = |ending: &str| {
        number += 1;
        place.directory().join(format!("{number:032x}.{ending}"))
    };
    let private = fs::Permissions::from_mode(0o600);
    let write = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, private.clone()).unwrap();
    };
    // Another program's text, a lock with two names, one that others can read, one that is too long.
    write(&path("lock"), "something else");
    let (twice, other) = (path("lock"), place.directory().join("other"));
    write(&twice, "process 1: x\n");
    fs::hard_link(&twice, &other).unwrap();
    let readable = path("lock");
    write(&readable, "");
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o644)).unwrap();
    write(&path("lock"), &format!("process 1: {}\n", "x".repeat(600)));
    // What is no file, and no socket, with a lock or without.
    fs::create_dir(path("lock")).unwrap();
    symlink(&other, path("lock")).unwrap();
    write(&path("new"), "");
    let no_socket = path("sock");
    write(&no_socket, "");
    write(&no_socket.with_extension("lock"), "process 1: x\n");
    // Other names.
    for name in [
        "file.lock",
        "0123456789abcdef.lock",
        "0123456789ABCDEF0123456789ABCDEF.lock",
        "0123456789abcdef0123456789abcdef.log",
        "0123456789abcdef0123456789abcdef",
    ] {
        write(&place.directory().join(name), "process 1: x\n");
    }
    // Of another user.
    if rustix::process::geteuid().is_root() {
        let others = path("lock");
        write(&others, "process 1: x\n");
        common::of_user(common::BOB, &others);
        let others = path("sock");
        drop(UnixListener::bind(&others).unwrap());
        common::of_user(common::BOB, &others);
    } else {
        println!("skipped: files of another user, which only root can make");
        assert!(std::env::var_os("CI").is_none(), "skipped in CI");
    }
    let before = files(&place);
    for _ in 0..10 {
        drop(place.host().open().unwrap());
    }
    let mut after = files(&place);
    // A lock that was made to look at what has none is not left.
    assert_eq!(after, before, "{own:?} and all others");
    after.retain(|name| name.ends_with(".lock"));
    assert_eq!(fs::read_to_string(&other).unwrap(), "process 1: x\n");
}

/// It may be a file of another program, which would be written to.
#[test]
fn a_lock_with_two_names_is_not_written_to() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    drop(place.host().open().unwrap());
    let lock = place.directory().join(format!("{}.lock", key(&place)));
    let other = place.directory().join("precious");
    fs::write(&other, "precious").unwrap();
    fs::hard_link(&other, &lock).unwrap();
    let e = place.host().open().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::RuntimeDirectory, "{e}");
    for part in [lock.to_str().unwrap(), "2 hard links", "remove it"] {
        assert!(e.to_string().contains(part), "{e} does not say {part:?}");
    }
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    fs::remove_file(&lock).unwrap();
    drop(place.host().open().unwrap());
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
}

const NAMES: usize = 4;

/// A file that the host of a name has locked while it is one. It says so when it lets go; so who finds it locked,
/// and then let go of and not left by a dead one, was a host at the same time.
struct Witness(File);

impl Witness {
    fn open(parent: &Parent, i: usize) -> Witness {
        let path = witnesses(parent.place.directory()).join(i.to_string());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        Witness(file)
    }

    fn write(&mut self, text: &[u8; 4]) {
        self.0.rewind().unwrap();
        self.0.write_all(text).unwrap();
    }

    fn begin(&mut self) {
        if flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_err() {
            flock(&self.0, FlockOperation::LockExclusive).unwrap();
            let mut text = [0; 4];
            self.0.rewind().unwrap();
            self.0.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"held", "two hosts of one name");
        }
        self.write(b"held");
    }

    fn end(mut self) {
        self.write(b"free");
        flock(&self.0, FlockOperation::Unlock).unwrap();
    }
}

fn witnesses(directory: &Path) -> PathBuf {
    directory.with_extension("witnesses")
}

/// Opens and closes names that others use too, and one of its own, in turn.
fn racer(parent: &'static Parent) {
    let mut random = Random::new(u64::from(std::process::id()));
    let inode = |path: &Path| fs::metadata(path).map(|file| file.ino()).ok();
    for round in 0.. {
        let i = random.below(NAMES);
        let is_own = round % 2 == 0;
        let place = match is_own {
            // Whether it is the last time or the first that a process uses it.
            true => Place::at(
                &format!("own {}", std::process::id()),
                parent.place.directory(),
            ),
            false => named(parent.place.directory(), "shared", i),
        };
        let errors = common::Log::new();
        let opened = place
            .host()
            .ring_capacity(4096)
            .on_error(errors.errors())
            .open();
        let host = match opened {
            Ok(host) => host,
            Err(e) if e.kind() == ErrorKind::NameInUse && !is_own => continue,
            Err(e) => {
                parent.say(format!("own: {is_own}, {e}"));
                return;
            }
        };
        let witness = (!is_own).then(|| {
            let mut witness = Witness::open(parent, i);
            witness.begin();
            witness
        });
        let file = |ending| {
            parent
                .place
                .directory()
                .join(format!("{}.{ending}", key(&place)))
        };
        let (lock, socket) = (file("lock"), file("sock"));
        let before = (inode(&lock), inode(&socket));
        speak(&host, &place, round);
        let after = (inode(&lock), inode(&socket));
        if before.0.is_none() || before.1.is_none() || before != after || !errors.lines().is_empty()
        {
            parent.say(format!("lost: {before:?}, {after:?}, {:?}", errors.lines()));
            return;
        }
        if let Some(witness) = witness {
            witness.end();
        }
        drop(host);
        if round % 16 == 0 {
            parent.say("goes on");
        }
    }
}

/// A guest finds this host.
fn speak(host: &Link, place: &Place, round: u64) {
    let guest = place.guest().open().unwrap();
    let there = connected(&guest);
    // Or it would connect again when the connection is dropped.
    drop(guest);
    let message = labelled(std::process::id().into(), round, 100);
    there.send(&message).unwrap();
    let conn = connected(host);
    assert_eq!(conn.within(LIMIT).recv().unwrap().unwrap(), message);
}

/// Hosts of the same names come, go and are killed at any moment, and all of them remove what they find: never are
/// there two hosts of one name, none loses its files, and a name that only one process uses is always to be had.
#[test]
fn many_remove_and_claim_at_once() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    drop(place.host().open().unwrap());
    let witnesses = witnesses(place.directory());
    fs::create_dir(&witnesses).unwrap();
    for i in 0..NAMES {
        fs::write(witnesses.join(i.to_string()), "free").unwrap();
    }
    let shared = Place::at("shared", place.directory());
    let start = || shared.start("racer", Side::Host);
    let mut racers: Vec<_> = (0..5).map(|_| start()).collect();
    let mut random = Random::new(u64::from(std::process::id()));
    let began = Instant::now();
    let (mut killed, mut rounds) = (0, 0);
    while began.elapsed() < Duration::from_secs(amount(8, 60)) {
        std::thread::sleep(Duration::from_micros(random.below(40_000) as u64));
        let i = random.below(racers.len());
        let said = racers[i].kill();
        killed += 1;
        racers[i] = start();
        for line in said {
            assert_eq!(line, "goes on", "after {killed} kills");
            rounds += 16;
        }
    }
    for mut racer in racers {
        for line in racer.kill() {
            assert_eq!(line, "goes on", "after {killed} kills");
            rounds += 16;
        }
    }
    println!("{rounds} links and more, {killed} kills");
    assert!(
        killed > 10 && rounds > 10,
        "{killed} kills, {rounds} rounds"
    );
    fs::remove_dir_all(&witnesses).unwrap();
    // All of it goes in the end.
    until("nothing is left", || {
        drop(place.host().open().unwrap());
        place.files().is_empty()
    });
}
