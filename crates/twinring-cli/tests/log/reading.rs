//! `twinring log --read`, and what is shown of records.

use crate::application::start;
use crate::collector;
use crate::common::{Place, Running};

fn read(place: &Place, args: &[&str]) -> String {
    let all = ["log", "--read", "out"]
        .into_iter()
        .chain(args.iter().copied());
    Running::start(place.command(all)).wait().code(0).text()
}

#[test]
fn what_is_in_a_file() {
    let place = Place::new();
    let collector = collector(&place, &["-o", "out"]);
    start(&place, "levels").wait().code(0);
    collector.killed();
    let all = read(&place, &[]);
    assert_eq!(all.lines().count(), 4, "{all}");
    assert!(
        all.contains("log::application: it failed code=3 request{id=7}\n"),
        "{all}"
    );
    assert!(
        all.contains("DEBUG") && all.contains("detail=[1, 2]"),
        "{all}"
    );
    assert!(!all.contains('\x1b'));
    assert_eq!(read(&place, &["--level", "warn"]).lines().count(), 2);
    assert_eq!(read(&place, &["--level", "ERROR"]).lines().count(), 1);
    assert_eq!(read(&place, &["--grep", "slow"]).lines().count(), 1);
    assert_eq!(read(&place, &["--grep", "request"]).lines().count(), 4);
    assert_eq!(read(&place, &["--process", "nobody"]), "");
    assert!(read(&place, &["--color", "always", "-l", "error"]).contains("\x1b[31mERROR\x1b[0m"));
    let json = read(&place, &["--format", "json", "-l", "error"]);
    let record: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["fields"]["code"], 3);
    assert_eq!(record["spans"][0]["id"], 7);
    let process = record["process"].as_str().unwrap();
    assert_eq!(read(&place, &["--process", process]).lines().count(), 4);
}

#[test]
fn a_file_that_grows_and_is_rotated() {
    let place = Place::new();
    let args = ["-o", "out", "--rotate", "64K", "--keep", "3"];
    let collector = collector(&place, &args);
    start(&place, "good 1").wait().code(0);
    let reader = Running::start(place.command(["log", "--read", "out", "--follow"]));
    reader.shows("a good record i=0");
    let count = if cfg!(windows) { 400 } else { 600 };
    start(&place, &format!("good {count}")).wait().code(0);
    reader.shows(&format!("a good record i={}\n", count - 1));
    collector.killed();
    assert!(place.path("out.1").exists());
    let text = reader.killed().text();
    assert_eq!(text.lines().count(), count + 1);
}
