//! The program as its user runs it: every cell, briefly, and whether it notices what is wrong.
//!
//! No time is judged here: machines that run tests have other things to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const LIGHT: &str = if cfg!(windows) {
    "line,memcpy,bare-spin,twinring-spin,twinring,twinring-sleep,twinring-calls,\
     twinring-calls-sleep,named-pipe,named-pipe-1m,udp,tcp"
} else {
    "line,memcpy,bare-spin,bare-hybrid,mirror-spin,mirror-hybrid,twinring-spin,twinring,\
     twinring-sleep,twinring-calls,twinring-calls-sleep,pipe,pipe-1m,unix,udp,tcp"
};

fn folder(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(test)
}

fn compare(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(args)
        .output()
        .unwrap()
}

/// Runs cells briefly; gives the rows of the runs, and whether the program was content.
fn short(test: &str, transports: &str, workloads: &str, more: &[&str]) -> (Vec<Value>, bool) {
    let rows = folder(test).join("rows.jsonl");
    let rows = rows.to_str().unwrap();
    let limit: &[&str] = match more.contains(&"--limit") {
        true => &[],
        false => &["--limit", "120"],
    };
    let args = [
        &[
            "short",
            "--ms",
            "3",
            "--out",
            rows,
            "--transports",
            transports,
            "--workloads",
            workloads,
        ],
        limit,
        more,
    ]
    .concat();
    let output = compare(&args);
    let text = std::fs::read_to_string(rows)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|row: &Value| row["kind"] == "run")
        .collect();
    (rows, output.status.success())
}

fn is_right(rows: &[Value]) {
    for row in rows {
        assert!(row.get("failed").is_none(), "{row}");
        if row.get("skipped").is_none() {
            assert!(row["checked"].as_u64() > Some(0), "{row}");
        }
    }
}

#[test]
fn every_light_cell_runs_and_is_right() {
    let workloads = "round-trip/64,round-trip/65536,one-way/64,one-way/1000,one-way/16777216,\
                     both-ways/64,both-ways/65536,both-ways/1048576,connect,footprint,threads/1,\
                     threads/8,links/10";
    let (rows, content) = short("every", LIGHT, workloads, &[]);
    is_right(&rows);
    assert!(content);
    assert_eq!(rows.len(), LIGHT.split(',').count() * 13);
    for row in rows.iter().filter(|row| row["workload"] == "links/10") {
        let (trips, cpu) = (&row["trips_per_s"], &row["cpu_us_per_trip"]);
        let measured = trips.as_f64() > Some(0.0) && cpu.as_f64() >= Some(0.0);
        assert!(measured || row.get("skipped").is_some(), "{row}");
    }
    // Every transport was measured in something.
    let measured: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.get("skipped").is_none())
        .filter_map(|row| row["transport"].as_str())
        .collect();
    assert_eq!(measured, LIGHT.split(',').collect());
    let report = std::fs::read_to_string(folder("every").join("report.md")).unwrap();
    assert!(report.contains("| twinring, default |"), "{report}");
    assert!(report.contains("## Failed\n\nNone."), "{report}");
    for picture in ["latency.svg", "throughput.svg", "both-ways.svg"] {
        let svg = std::fs::read_to_string(folder("every").join(picture)).unwrap();
        assert!(svg.contains(">twinring, default</text>"), "{svg}");
    }
}

#[test]
fn a_small_message_overtakes_a_long_one() {
    let (rows, content) = short("overtake", "twinring", "overtake", &[]);
    is_right(&rows);
    assert!(content);
    let row = &rows[0];
    // Where there is no memory for it, it says so.
    assert!(
        row.get("skipped").is_some() || row["samples"].as_u64() > Some(0),
        "{row}"
    );
}

#[test]
fn one_altered_byte_fails_a_cell() {
    let workloads = "round-trip/64,one-way/64,one-way/65536,both-ways/1024,threads/2,\
                     links/10";
    let (rows, content) = short("altered", LIGHT, workloads, &["--spoil", "0"]);
    assert!(!content, "the program has to fail as well");
    let mut tried = 0;
    for row in &rows {
        // The cache line carries nothing that could be altered.
        if row.get("skipped").is_some() || row["transport"] == "line" {
            continue;
        }
        tried += 1;
        let fault = row["failed"]
            .as_str()
            .unwrap_or_else(|| panic!("not noticed: {row}"));
        assert!(fault.contains("altered"), "{row}");
        assert!(
            row.get("p50_us").is_none() && row.get("bytes_per_s").is_none(),
            "{row}"
        );
    }
    assert!(tried >= 30, "only {tried} cells");
    let report = std::fs::read_to_string(folder("altered").join("report.md")).unwrap();
    assert!(
        report.contains("ERR") && report.contains("bytes were altered"),
        "{report}"
    );
}

#[test]
fn a_cell_that_takes_too_long_is_ended_and_shown() {
    let (rows, content) = short("hung", "tcp", "round-trip/64", &["--limit", "0"]);
    assert!(!content);
    let fault = rows[0]["failed"].as_str().unwrap();
    assert!(fault.contains("hung"), "{fault}");
    let report = std::fs::read_to_string(folder("hung").join("report.md")).unwrap();
    assert!(
        report.contains("tcp round-trip/64, round 1: hung"),
        "{report}"
    );
}

#[test]
fn wrong_arguments_say_what_is_right() {
    for (args, expected) in [
        (&["short", "--transports", "pigeon"][..], "has line, memcpy"),
        (&["short", "--workloads", "one-way/2"], "64 to"),
        (&["short", "--workloads", "dance"], "round-trip/LEN"),
        (&["short", "--ring", "5000"], "power of two"),
        (&["short", "--rounds", "0"], "--rounds"),
        (&["report", "no-such-file"], "cannot read no-such-file"),
        (&["fly"], "unrecognized subcommand"),
    ] {
        let output = compare(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}");
        assert!(text.contains(expected), "{args:?}: {text}");
    }
}

#[test]
fn the_list_names_what_there_is() {
    let output = compare(&["list"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in LIGHT.split(',').chain(["round-trip/64", "overtake"]) {
        assert!(text.contains(&format!("  {name}")), "no {name} in {text}");
    }
}

/// As `compare list | head` does, once `head` has seen enough.
#[test]
fn nobody_has_to_read_what_it_prints() {
    let (reader, out) = std::io::pipe().unwrap();
    let (other, err) = std::io::pipe().unwrap();
    drop((reader, other));
    let status = Command::new(env!("CARGO_BIN_EXE_compare"))
        .arg("list")
        .stdout(out)
        .stderr(err)
        .status();
    assert!(status.unwrap().success());
}
