//! Many clients, and those that say much.

use std::time::{Duration, Instant};

use crate::application::start;
use crate::collector;
use crate::common::Place;
use crate::records::Records;

/// It stays within its rate, drops what it has no room for, and tells of that.
#[test]
fn an_application_that_floods() {
    let place = Place::new();
    let args = ["-o", "out", "--rate", "64K", "--ring-capacity", "64K"];
    let collector = collector(&place, &args);
    let mut flood = start(&place, "meets 5000 50000");
    flood.says("met");
    let begin = Instant::now();
    flood.write(b"go\n");
    start(&place, "good 100").wait().code(0).says("dropped 0");
    flood.wait().code(0);
    // What fits into its ring and its buffer is more than it may say in a second and has saved up.
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(500), "{took:?}");
    collector.killed();
    let records = Records::read(&place);
    records.are_exact();
    assert!(records.dropped() > 0);
    assert_eq!(records.count() + records.dropped(), 5101);
}

/// That others wait is said; they are served when there is room.
#[cfg(target_os = "linux")]
#[test]
fn as_many_as_the_limit_of_files_allows() {
    use crate::common::Running;
    use std::process::Command;

    let place = Place::new();
    let script = "ulimit -n 64 && exec \"$0\" log \"$1\" -o out";
    let args = ["-c", script, env!("CARGO_BIN_EXE_twinring"), &place.name];
    let collector = Running::start(place.prepared(Command::new("sh"), args));
    collector.says("waiting for applications");
    let mut first = start(&place, "meets 0");
    first.says("met");
    collector.says("connected applications: 1, as many as can be");
    let second = start(&place, "burst 10 4000000");
    second.says("logged");
    first.write(b"go\n");
    first.wait().code(0);
    second.wait().code(0).says("dropped 0");
    collector.killed();
    assert_eq!(Records::read(&place).count(), 11);
}

/// One that ends at once is nothing to complain of.
#[cfg(unix)]
#[test]
fn clients_that_vanish() {
    use std::os::unix::net::UnixStream;

    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    let names = Place::names(place.runtime());
    let socket = names.iter().find(|name| name.ends_with(".sock")).unwrap();
    for _ in 0..50 {
        drop(UnixStream::connect(place.runtime().join(socket)).unwrap());
    }
    start(&place, "good 1").wait().code(0);
    let said = collector.killed().stderr;
    assert_eq!(said.lines().count(), 1, "{said}");
}
