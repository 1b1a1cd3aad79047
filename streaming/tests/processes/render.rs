//! The renderer, whose worker is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::amount;
use crate::os;

/// Renders a picture while so many workers are killed at random moments; returns how many were, and the file.
fn render(path: &Path, kills: usize) -> (usize, Vec<u8>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_render"))
        .args(["--width", "1000", "--height", "800", "--iterations", "500"])
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut killed, mut said) = (0, Vec::new());
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        said.push(line.unwrap());
        let line = said.last().unwrap();
        assert!(!line.contains("panicked"), "{said:#?}");
        // Each tells the process that renders now.
        if let Some((_, pid)) = line.split_once(" on by process ")
            && killed < kills
        {
            thread::sleep(Duration::from_micros(fastrand::u64(..200_000)));
            os::kill(pid.parse().unwrap());
            killed += 1;
        }
    }
    assert!(child.wait().unwrap().success(), "{said:#?}");
    let ended = said.iter().filter(|line| line.contains(" has ended: "));
    (ended.count(), std::fs::read(path).unwrap())
}

#[test]
fn a_picture_is_whole_whoever_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("picture.png");
    let (_, undisturbed) = render(&path, 0);
    let mut killed = 0;
    while killed < amount(5, 50) {
        let (ended, picture) = render(&path, 3);
        assert!(picture == undisturbed);
        killed += ended;
    }
}
