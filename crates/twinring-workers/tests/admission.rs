//! Only the supervisor's own child gets its link.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::{LIMIT, Place, Watchdog, until};
use twinring_workers::{Event, VARIABLE, parent};
use workers::{command, my_parent, next, next_message, roles, supervisor_with, until_started};

roles!(shows_its_variable, looks_for_its_parent, starts_another);

const FILE: &str = "TWINRING_WORKERS_FILE";

fn file() -> PathBuf {
    std::env::var_os(FILE).unwrap().into()
}

/// As a whole.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Lets a stranger try first.
fn shows_its_variable() {
    write(&file(), &std::env::var(VARIABLE).unwrap());
    let tried = file().with_extension("tried");
    until("the stranger has tried", || tried.exists());
    let parent = my_parent();
    parent.send(b"it is me").unwrap();
    let _ = parent.recv();
}

fn looks_for_its_parent() {
    let found = match parent() {
        Ok(None) => "no worker".to_owned(),
        Ok(Some(_)) => "a worker".to_owned(),
        Err(e) => format!("{:?}", e.kind()),
    };
    write(&file(), &found);
}

/// A program that looks for a parent as well.
fn starts_another() {
    let parent = my_parent();
    let mut another = command("looks_for_its_parent");
    another.stdout(Stdio::null());
    assert!(another.status().unwrap().success());
    parent
        .send(std::fs::read_to_string(file()).unwrap().as_bytes())
        .unwrap();
    thread::sleep(Duration::from_secs(3600));
}

#[test]
fn a_stranger_that_knows_the_name_is_refused() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join("variable");
    let for_worker = path.clone();
    let mut workers = supervisor_with("shows_its_variable", move |command| {
        command.env(FILE, &for_worker);
    })
    .start()
    .unwrap();
    until("the worker runs", || path.exists());
    let variable = std::fs::read_to_string(&path).unwrap();
    // Another child of this process, and of the same user.
    let found = place.directory().join("found");
    let mut stranger = command("looks_for_its_parent");
    stranger
        .env(FILE, &found)
        .env(VARIABLE, variable)
        .stdout(Stdio::null());
    assert!(stranger.status().unwrap().success());
    assert_eq!(std::fs::read_to_string(&found).unwrap(), "PermissionDenied");
    assert!(workers.try_next().is_none(), "nobody has connected");
    let pid = workers.pid(0).unwrap();
    write(&path.with_extension("tried"), "");
    assert_eq!(until_started(&mut workers), pid);
    assert_eq!(next_message(&mut workers), b"it is me");
}

#[test]
fn the_worker_of_a_worker_is_none() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join("found");
    let mut workers = supervisor_with("starts_another", move |command| {
        command.env(FILE, &path);
    })
    .start()
    .unwrap();
    let found = String::from_utf8(next_message(&mut workers)).unwrap();
    // The harness has more threads than one, so that only Windows lets the variable be removed.
    assert_eq!(
        found,
        if cfg!(windows) {
            "no worker"
        } else {
            "NotFound"
        }
    );
    match workers.next_within(Duration::from_millis(1)) {
        Err(_) => {}
        Ok(event) => panic!("{event:?}"),
    }
}

/// Its peer is the child, by the kernel's word, and the start of one is not that of another.
#[test]
fn the_peer_is_the_child() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join("variable");
    write(&path.with_extension("tried"), "");
    let before = std::time::SystemTime::now();
    let mut workers = supervisor_with("shows_its_variable", move |command| {
        command.env(FILE, &path);
    })
    .start()
    .unwrap();
    let pid = workers.pid(0).unwrap();
    let Event::Started { peer, .. } = next(&mut workers) else {
        panic!("it starts first");
    };
    assert_eq!(peer.pid, pid);
    let started = peer.started.unwrap();
    // To the second, which clocks and ticks are good for.
    let second = Duration::from_secs(1);
    assert!(started + second > before && started < before + LIMIT);
    workers.kill(0);
    let exited = workers::next_exited(&mut workers);
    assert_eq!((exited.pid, exited.started), (pid, Some(started)));
}
