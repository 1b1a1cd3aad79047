//! Clocks that differ or jump change nothing: deadlines are counted by a clock of each side's own
//! that nobody sets, and the wall clock is read for `Peer::started` alone.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use common::{
    CLOSED, Child, LIMIT, Parent, Place, Random, Side, Watchdog, connected, ended, kind, labelled,
    peers,
};
use rustix::time::{ClockId, clock_gettime};
use twinring::{Connection, ErrorKind};

peers!(clocked);

const DAY: i64 = 24 * 3600;

/// Says what its clocks show; sends back what it gets; between two messages it waits with a
/// deadline, which has to come in its time.
fn clocked(parent: &'static Parent) {
    let monotonic = clock_gettime(ClockId::Monotonic).tv_sec;
    let wall = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    parent.say(format!("{monotonic} {}", wall()));
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    let conn = connected(&link).within(LIMIT);
    times_out(&conn);
    parent.say("waited");
    loop {
        match conn.recv() {
            Ok(bytes) if bytes.as_deref() == Some(b"the time?") => parent.say(wall()),
            Ok(bytes) => conn.send(&bytes.unwrap()).unwrap(),
            end => return parent.say(ended(end)),
        }
    }
}

/// A duration, and a moment.
fn times_out(conn: &Connection) {
    let short = Duration::from_millis(30);
    for is_moment in [false, true] {
        let start = Instant::now();
        let conn = match is_moment {
            false => conn.within(short),
            true => conn.within(start + short),
        };
        assert_eq!(kind(conn.recv()), ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!(took >= short && took < LIMIT / 6, "{took:?} of {short:?}");
    }
}

/// Exchanges messages with a [`clocked`], with deadlines on this side as well.
fn exchange(conn: &Connection, from: u64, count: u64) {
    let mut random = Random::new(from);
    for i in from..from + count {
        let message = labelled(1, i, random.len(300, 10, 12_000));
        conn.send(&message).unwrap();
        assert_eq!(conn.recv().unwrap(), Some(message));
    }
}

/// What a child's clocks show, to the second: monotonic, and the wall's.
fn clocks(child: &mut Child) -> [i64; 2] {
    let line = child.next_line();
    let (monotonic, wall) = line.split_once(' ').unwrap();
    [monotonic, wall].map(|clock| clock.parse().unwrap())
}

/// Lets the child run in a time namespace whose clocks are so many seconds off.
fn in_another_time(seconds: i64) -> impl FnOnce(&mut Command) {
    move |command| {
        let offsets = format!("monotonic {seconds} 0\nboottime {seconds} 0\n");
        let enter = move || {
            // SAFETY: it only sets the namespace that the program to be started will be in.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWTIME) }?;
            let file = rustix::fs::open(
                c"/proc/self/timens_offsets",
                rustix::fs::OFlags::WRONLY,
                rustix::fs::Mode::empty(),
            )?;
            rustix::io::write(&file, offsets.as_bytes())?;
            io::Result::Ok(())
        };
        // SAFETY: system calls only; nothing is allocated or locked in the new process.
        unsafe { command.pre_exec(enter) };
    }
}

/// Two sides whose monotonic clocks differ by days: messages, deadlines, and the end are as ever.
#[test]
fn monotonic_clocks_that_differ_by_days() {
    let _watchdog = Watchdog::new(120);
    let own = || clock_gettime(ClockId::Monotonic).tv_sec;
    for (side, seconds) in [(Side::Host, 10 * DAY), (Side::Guest, 1000 * DAY)] {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        let started = place.try_start_with("clocked", side.opposite(), in_another_time(seconds));
        let mut child = match started {
            Ok(child) => child,
            Err(e) => return println!("skipped: no time namespace can be made: {e}"),
        };
        let [monotonic, _] = clocks(&mut child);
        let ahead = monotonic - own();
        if ahead < seconds - DAY {
            // Before 6.1 only a child of the child would be in the namespace.
            return println!("skipped: this Linux does not change the time of what is started");
        }
        let conn = connected(&link).within(LIMIT);
        times_out(&conn);
        child.expect("waited");
        exchange(&conn, 0, 2000);
        conn.close(0, "");
        child.expect(CLOSED);
        child.finish();
        println!("its clock was {} days ahead of the {side}'s", ahead / DAY);
    }
}

/// The library that fakes clocks, if this system has it.
fn libfaketime() -> Option<PathBuf> {
    // For those who have it elsewhere.
    let own = std::env::var_os("TWINRING_LIBFAKETIME").map(PathBuf::from);
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    own.into_iter()
        .chain(["lib", "lib64", &format!("lib/{multiarch}")].map(|lib| {
            Path::new("/usr")
                .join(lib)
                .join("faketime/libfaketime.so.1")
        }))
        .find(|path| path.exists())
}

/// The wall clock of one side jumps by days, both ways, while messages flow.
#[test]
fn a_wall_clock_that_jumps() {
    let _watchdog = Watchdog::new(120);
    let Some(library) = libfaketime() else {
        return println!("skipped: there is no libfaketime (Debian: apt install faketime)");
    };
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        let file = std::env::temp_dir().join(format!("twinring-clock-{}", std::process::id()));
        fs::write(&file, "+0").unwrap();
        let mut child = place.start_with("clocked", side.opposite(), |command| {
            command
                .env("LD_PRELOAD", &library)
                .env("FAKETIME_TIMESTAMP_FILE", &file)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        });
        clocks(&mut child);
        let conn = connected(&link).within(LIMIT);
        child.expect("waited");
        let mut before = None;
        for (i, days) in [0, 30, -30, 3650, -1].into_iter().enumerate() {
            fs::write(&file, format!("{days:+}d")).unwrap();
            conn.send(b"the time?").unwrap();
            let wall: i64 = child.next_line().parse().unwrap();
            let jump = before.map_or(DAY, |before: i64| (wall - before).abs());
            assert!(jump >= DAY / 2, "its clock did not jump");
            before = Some(wall);
            exchange(&conn, 500 * i as u64, 500);
        }
        conn.close(0, "");
        child.expect(CLOSED);
        child.finish();
        fs::remove_file(&file).unwrap();
    }
}

/// Nothing in the library asks for the wall clock, but those who tell when the peer's process was
/// started.
#[test]
fn the_wall_clock_is_read_for_one_thing_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.clone()];
    let (mut read, mut started) = (0, 0);
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        read += 1;
        for banned in [
            "SystemTime::now",
            "REALTIME",
            "Realtime",
            "gettimeofday",
            "GetSystemTime",
            "GetLocalTime",
            "libc::time(",
        ] {
            let allowed = banned == "SystemTime::now" && path.ends_with("os/process/linux.rs");
            assert_eq!(
                text.matches(banned).count(),
                usize::from(allowed),
                "{} has {banned}",
                path.display()
            );
        }
        if text.contains("SystemTime") {
            assert!(
                path.starts_with(source.join("os/process")),
                "{} has SystemTime",
                path.display()
            );
            started += 1;
        }
    }
    assert!(read > 30 && started > 0, "{read} files, {started} of them");
}
