//! `twinring log` beside real applications, which are this program again (`log/application.rs`).

#[path = "log/application.rs"]
mod application;
#[path = "log/clients.rs"]
mod clients;
mod common;
#[path = "log/files.rs"]
mod files;
#[path = "log/hostile.rs"]
mod hostile;
#[path = "log/reading.rs"]
mod reading;
#[path = "log/records.rs"]
mod records;

use std::fs;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use application::start;
use common::{Place, Running, is_long, until};
use records::Records;

fn collector(place: &Place, args: &[&str]) -> Running {
    let collector = place.start("log", args);
    collector.says("waiting for applications");
    collector
}

/// Stopped as a supervisor does, where there is such a signal.
fn stop(collector: Running) {
    if cfg!(unix) {
        let id = collector.child.id().to_string();
        let sent = std::process::Command::new("kill").arg(&id).status();
        assert!(sent.unwrap().success());
        let _ = collector.wait();
    } else {
        collector.killed();
    }
}

/// Many applications, collectors that are stopped and killed, files that are rotated: each record is there once, or is told
/// as dropped.
#[test]
fn exact_over_restarts() {
    let (applications, count, restarts) = match (is_long(), cfg!(windows)) {
        (true, false) => (100, 10_000, 20),
        (true, true) => (10, 2_000, 10),
        (false, false) => (10, 1_000, 8),
        (false, true) => (3, 500, 3),
    };
    let place = Place::new();
    let args = ["-o", "out", "--rotate", "1M", "--keep", "1000", "--quiet"];
    // Some have so small a buffer that they drop.
    let running: Vec<Running> = (0..applications)
        .map(|index| {
            let buffer = if index % 4 == 0 { 20_000 } else { 4 << 20 };
            let millis = 150 * restarts;
            start(&place, &format!("paced {count} {buffer} {millis}"))
        })
        .collect();
    let mut random = u64::from(std::process::id());
    for round in 0..restarts {
        let mut collector = place.start("log", &args);
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        thread::sleep(Duration::from_millis(50 + (random >> 33) % 150));
        assert!(collector.is_running());
        if round % 3 == 0 {
            stop(collector);
        } else {
            collector.killed();
        }
    }
    let last = place.start("log", &args);
    let mut dropped = 0;
    for application in running {
        let said = application.wait().code(0).stderr;
        let (_, number) = said.rsplit_once("dropped ").expect(&said);
        dropped += number.trim().parse::<u64>().unwrap();
    }
    last.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.clients(), applications);
    assert_eq!(records.dropped(), dropped);
    assert_eq!(records.count() + dropped, applications as u64 * count);
    println!("{} records, {dropped} dropped", records.count());
}

#[test]
fn committed_records_survive_the_application() {
    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    let rounds = if cfg!(windows) { 3 } else { 20 };
    for _ in 0..rounds {
        let application = start(&place, "commits");
        application.says("committed");
        application.killed();
    }
    until("all have arrived", || {
        Records::read(&place).with_message("the last word") == rounds
    });
    collector.killed();
    Records::read(&place).are_exact();
}

/// As many clients as the system allows, whatever the shell's own limit is.
#[cfg(target_os = "linux")]
#[test]
fn it_raises_its_limit_of_files() {
    let place = Place::new();
    let script = "ulimit -S -n 64 && exec \"$0\" log \"$1\"";
    let args = ["-c", script, env!("CARGO_BIN_EXE_twinring"), &place.name];
    let collector = Running::start(place.prepared(Command::new("sh"), args));
    collector.says("waiting for applications");
    let limits = fs::read_to_string(format!("/proc/{}/limits", collector.child.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let [.., soft, hard, _] = files.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{files}")
    };
    assert_ne!(soft, "64");
    assert_eq!(soft, hard);
}

/// Programs that end before they can have met the collector that is there.
#[test]
fn programs_that_end_at_once() {
    let place = Place::new();
    start(&place, "ends").wait().code(0);
    let collector = collector(&place, &["-o", "out"]);
    let rounds = if cfg!(windows) { 5 } else { 40 };
    for _ in 0..rounds {
        start(&place, "ends").wait().code(0);
    }
    collector.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.count(), rounds);
}

/// A collector that does not run is killed with records in its ring; the next one gets them.
#[cfg(unix)]
#[test]
fn a_frozen_collector_s_records_go_to_the_next() {
    let place = Place::new();
    let frozen = collector(&place, &["-o", "out"]);
    let mut application = start(&place, "meets 100");
    application.says("met");
    let id = frozen.child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-STOP", &id])
        .status();
    assert!(sent.unwrap().success());
    application.write(b"go\n");
    application.says("logged");
    frozen.killed();
    let next = collector(&place, &["-o", "out"]);
    application.wait().code(0);
    next.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.count(), 101);
}

#[test]
fn records_from_before_the_collector() {
    let place = Place::new();
    let application = start(&place, "burst 100 4000000");
    application.says("logged");
    let collector = collector(&place, &["-o", "out"]);
    application.wait().code(0).says("dropped 0");
    collector.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.count(), 100);
}

#[test]
fn what_is_dropped_is_told() {
    let place = Place::new();
    let application = start(&place, "burst 1000 50000");
    application.says("logged");
    let collector = collector(&place, &["-o", "out"]);
    application.wait().code(0);
    collector.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert!(records.dropped() > 500);
    assert_eq!(records.count() + records.dropped(), 1000);
    assert!(
        records
            .text()
            .contains("records were dropped: the buffer was full")
    );
}

/// One that is killed again and again while it writes: nothing is missing, nothing is there twice.
#[test]
fn killed_at_any_moment() {
    let place = Place::new();
    let kills = match (is_long(), cfg!(windows)) {
        (true, false) => 200,
        (false, false) => 25,
        (_, true) => 4,
    };
    let application = start(
        &place,
        &format!("paced {} 8000000 {}", kills * 400, kills * 45),
    );
    for kill in 0..kills {
        let collector = place.start("log", &["-o", "out", "--rotate", "256K", "--keep", "1000"]);
        collector.says("waiting for");
        thread::sleep(Duration::from_micros(kill * 7919 % 30_000));
        collector.killed();
        // As one that was killed within a write leaves it.
        if kill % 5 == 0 {
            let mut text = fs::read(place.path("out")).unwrap_or_default();
            text.extend_from_slice(b"{\"client\":\"00");
            fs::write(place.path("out"), text).unwrap();
        }
    }
    let last = collector(&place, &["-o", "out"]);
    application.wait().code(0);
    last.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.count() + records.dropped(), kills * 400);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let place = Place::new();
    let application = start(&place, "burst 100 4000000");
    let full = place.start("log", &["-o", "/dev/full"]);
    full.wait()
        .code(6)
        .says("cannot write to /dev/full")
        .says("stays with the applications");
    let collector = collector(&place, &["-o", "out"]);
    application.wait().code(0).says("dropped 0");
    collector.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.count(), 100);
}

/// Full in the middle of a line: what is there stays readable, and is cut where it ends.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_becomes_full() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_twinring");
    // 1,024 blocks of 512 bytes, in which the rings have room; the signal is ignored, as a full disk sends none.
    let script = format!(
        "trap '' XFSZ; ulimit -f 1024; exec '{program}' log '{}' -o out --ring-capacity 64K",
        place.name
    );
    let application = start(&place, "burst 4000 4000000");
    let full = Running::start(place.prepared(std::process::Command::new("sh"), ["-c", &script]));
    full.wait().code(6).says("cannot write to out");
    let records = Records::read(&place);
    assert!(records.count() < 4000 && records.text().ends_with('\n'));
    let collector = collector(&place, &["-o", "out"]);
    application.wait().code(0).says("dropped 0");
    collector.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert_eq!(records.count(), 4000);
}

#[test]
fn a_second_collector_is_refused() {
    let place = Place::new();
    let _first = collector(&place, &["-o", "out"]);
    place.start("log", &[]).wait().code(4);
    place
        .start_named("log", "another name", &["-o", "out"])
        .wait()
        .code(6)
        .says("another collector writes to it");
    let thesis = place.file("thesis.txt", b"a thesis\n");
    place
        .start_named("log", "another name", &["-o", "thesis.txt"])
        .wait()
        .code(6)
        .says("it is no log");
    assert_eq!(fs::read(thesis).unwrap(), b"a thesis\n");
}

#[test]
fn lines_of_any_program() {
    let place = Place::new();
    let collector = collector(&place, &[]);
    let mut connect = place.start("connect", &[]);
    connect.write(b"hello\nsecond\n");
    collector.shows("hello");
    collector.shows("second");
    assert!(collector.stdout_len() > 0);
    connect.end_input();
    connect.wait().code(0);
}

/// Not asserted: a figure for docs/log.md.
#[test]
#[ignore = "measures"]
fn how_soon_applications_register() {
    let mut times = Vec::new();
    for _ in 0..7 {
        let place = Place::new();
        let collector = collector(&place, &["--format", "json"]);
        let mut applications: Vec<Running> = (0..20).map(|_| start(&place, "registers")).collect();
        applications.iter().for_each(|one| one.says("ready"));
        let begin = Instant::now();
        applications.iter_mut().for_each(|one| one.write(b"go\n"));
        until_fine("all are shown", || collector.stdout_lines() == 20);
        times.push(begin.elapsed());
        drop(applications);
    }
    times.sort();
    println!("20 applications, from the word to open a log until 20 records were shown: {times:?}");
}

/// As `until`, without its pauses.
fn until_fine(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < common::LIMIT, "in vain: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}
