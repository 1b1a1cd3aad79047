//! The files of a collector, and what others do with them.

use std::fs::{self, OpenOptions};
use std::thread;
use std::time::Duration;

use crate::application::start;
use crate::collector;
use crate::common::{Place, Running, is_long};
use crate::records::Records;

/// An application whose first record is written.
fn met(place: &Place) -> Running {
    let application = start(place, "meets 100");
    application.says("met");
    application
}

/// It logs 100 more, which are written.
#[track_caller]
fn goes_on(mut application: Running) {
    application.write(b"go\n");
    application.wait().code(0).says("dropped 0");
}

#[track_caller]
fn is_exact(place: &Place, count: u64) {
    let records = Records::read(place);
    records.are_exact();
    assert_eq!(records.count(), count);
}

/// Each client's last number is in its first line.
#[track_caller]
fn is_begun_anew(place: &Place) {
    let text = fs::read_to_string(place.path("out")).unwrap();
    assert!(text.starts_with("{\"kind\":\"clients\","), "{text}");
    assert_eq!(text.matches("a record of an application").count(), 100);
}

/// As logrotate does: a rename, and with its `create` an empty file.
#[test]
fn a_file_that_others_rename() {
    for creates in [false, true] {
        let place = Place::new();
        let collector = collector(&place, &["-o", "out"]);
        let application = met(&place);
        fs::rename(place.path("out"), place.path("out.1")).unwrap();
        if creates {
            place.file("out", b"");
        }
        goes_on(application);
        is_begun_anew(&place);
        collector.killed();
        is_exact(&place, 101);
    }
}

/// The old ones become older, as logrotate does it.
fn rotate_by_hand(place: &Place) {
    let old = |number: usize| place.path(&format!("out.{number}"));
    let last = (1..).find(|number| !old(*number).exists()).unwrap();
    if place.path("out").exists() {
        for number in (1..last).rev() {
            fs::rename(old(number), old(number + 1)).unwrap();
        }
        fs::rename(place.path("out"), old(1)).unwrap();
    }
}

/// In the middle of its work, and between two collectors.
#[test]
fn renamed_and_killed_at_any_moment() {
    let place = Place::new();
    let kills = match (is_long(), cfg!(windows)) {
        (true, false) => 100,
        (false, false) => 15,
        (_, true) => 4,
    };
    let count = kills * 400;
    let application = start(&place, &format!("paced {count} 8000000 {}", kills * 60));
    for kill in 0..kills {
        let collector = collector(&place, &["-o", "out"]);
        for step in [7919, 104_729] {
            thread::sleep(Duration::from_micros(kill * step % 20_000));
            rotate_by_hand(&place);
        }
        thread::sleep(Duration::from_micros(kill * 15_485_863 % 20_000));
        collector.killed();
        if kill % 3 == 0 {
            rotate_by_hand(&place);
        }
        if kill % 4 == 0 {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(place.path("out"))
                .unwrap();
        }
    }
    let last = collector(&place, &["-o", "out"]);
    application.wait().code(0).says("dropped 0");
    last.killed();
    is_exact(&place, count);
}

#[test]
fn a_file_that_others_remove() {
    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    let application = met(&place);
    fs::remove_file(place.path("out")).unwrap();
    goes_on(application);
    is_begun_anew(&place);
    collector.killed();
}

/// As logrotate does with `copytruncate`.
#[test]
fn a_file_that_others_cut() {
    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    let application = met(&place);
    fs::copy(place.path("out"), place.path("out.1")).unwrap();
    let cut = OpenOptions::new().write(true).open(place.path("out"));
    if cfg!(windows) {
        cut.expect_err("it is the collector's");
        fs::remove_file(place.path("out.1")).unwrap();
        goes_on(application);
    } else {
        cut.unwrap().set_len(0).unwrap();
        goes_on(application);
        is_begun_anew(&place);
    }
    collector.killed();
    is_exact(&place, 101);
}

/// What somebody has added is kept, but nothing is written behind it.
#[cfg(unix)]
#[test]
fn a_file_that_others_write_to() {
    use std::io::Write;

    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    let application = met(&place);
    let mut file = OpenOptions::new().append(true).open(place.path("out"));
    file.as_mut().unwrap().write_all(b"half a line").unwrap();
    goes_on(application);
    collector.says("out was damaged");
    is_begun_anew(&place);
    let old = fs::read_to_string(place.path("out.1")).unwrap();
    let old = old.strip_suffix("half a line").unwrap();
    place.file("out.1", old.as_bytes());
    collector.killed();
    is_exact(&place, 101);
}

/// A machine that fails may leave zeros, or what was in another file.
#[test]
fn a_file_that_a_crash_has_damaged() {
    for damage in [
        &[0; 5000][..],
        b"\xfftext of\nanother file",
        b"{\"kind\":\"clients\",\"time\":\"now\",\"clients\":[[\0\0\0]]}\n",
    ] {
        let place = Place::new();
        let first = collector(&place, &["-o", "out"]);
        let application = met(&place);
        first.killed();
        let sound = fs::read(place.path("out")).unwrap();
        place.file("out", &[&sound, damage].concat());
        let next = place.start("log", &["-o", "out"]);
        next.says("out was damaged");
        goes_on(application);
        is_begun_anew(&place);
        next.killed();
        let old = fs::read(place.path("out.1")).unwrap();
        assert_eq!(old, [&sound, damage].concat());
        place.file("out.1", &sound);
        is_exact(&place, 101);
    }
}

/// The file that it leads to is rotated, where that is.
#[cfg(unix)]
#[test]
fn a_symbolic_link() {
    let place = Place::new();
    place.directory("logs");
    std::os::unix::fs::symlink("logs/app.log", place.path("out")).unwrap();
    let collector = collector(&place, &["-o", "out", "--rotate", "64K"]);
    start(&place, "burst 1000 4000000").wait().code(0);
    collector.killed();
    assert!(place.path("out").is_symlink());
    assert!(
        Place::names(&place.path(""))
            .iter()
            .all(|name| !name.starts_with("out."))
    );
    assert!(place.path("logs/app.log.1").is_file());
}

/// But for its first line, and the record that makes it as long.
#[test]
fn no_file_is_longer_than_it_is_to_be() {
    let place = Place::new();
    let application = start(&place, "burst 3000 4000000");
    application.says("logged");
    let args = ["-o", "out", "--rotate", "64K", "--keep", "1000"];
    let collector = collector(&place, &args);
    application.wait().code(0).says("dropped 0");
    collector.killed();
    is_exact(&place, 3000);
    let names = Place::names(&place.path(""));
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let len = fs::metadata(place.path(&name)).unwrap().len();
        assert!(len < (64 << 10) + 1000, "{name}: {len}");
    }
}

/// The name has a collector, so it is not even looked at.
#[test]
fn a_file_is_left_alone_if_the_name_is_in_use() {
    let place = Place::new();
    let _first = collector(&place, &[]);
    place.start("log", &["-o", "new"]).wait().code(4);
    assert!(!place.path("new").exists());
}

#[test]
fn an_old_file_that_is_none() {
    let place = Place::new();
    place.directory("out.1");
    place
        .start("log", &["-o", "out"])
        .wait()
        .code(6)
        .says("cannot read out.1: it is no file");
}
