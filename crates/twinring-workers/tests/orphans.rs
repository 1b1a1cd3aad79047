//! Workers end with their supervisor's process, at whatever moment that is killed.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::io::ErrorKind;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, Parent, Place, Random, Side, Times, Watchdog, amount, peers, rounds};
use twinring_workers::{Event, Supervisor, VARIABLE, parent};
use workers::{command, my_parent, roles};

peers!(
    supervises,
    supervises_and_leaves,
    supervises_one_that_says_it
);
roles!(
    never_connects,
    works,
    is_slow_to_connect,
    stays_with_a_closed_link,
    looks_for_its_parent,
    says_when_alone
);

const WORKERS: usize = 3;
const HOURS: Duration = Duration::from_secs(3600);

/// Knows nothing of a supervisor.
fn never_connects() {
    thread::sleep(HOURS);
}

/// Never looks at its connection.
fn works() {
    let _parent = my_parent();
    thread::sleep(HOURS);
}

fn is_slow_to_connect() {
    thread::sleep(Duration::from_millis(20));
    match parent() {
        Ok(_parent) => thread::sleep(HOURS),
        Err(e) => assert!(e.kind() == ErrorKind::NotFound || cfg!(windows), "{e}"),
    }
}

/// The end of the connection is no longer what tells it.
fn stays_with_a_closed_link() {
    drop(my_parent());
    thread::sleep(HOURS);
}

/// Workers that have this process's output: it is open until all of them have ended.
fn workers_of(role: &'static str) -> Supervisor {
    let builder = Supervisor::of(move |_| command(role)).workers(WORKERS);
    builder.grace(HOURS).start().unwrap()
}

/// Says when it begins, and when all its workers have connected.
fn supervises(parent: &'static Parent) {
    let role = parent.next_line();
    let role: &str = [
        "never_connects",
        "works",
        "is_slow_to_connect",
        "stays_with_a_closed_link",
    ]
    .into_iter()
    .find(|name| *name == role)
    .unwrap();
    // Windows starts a process in steps, of which the last ones are this process's: who is killed there leaves a process that
    // has never run, and never will.
    if cfg!(not(windows)) {
        parent.say("begins");
    }
    let mut workers = workers_of(role);
    if cfg!(windows) {
        parent.say("begins");
    }
    let mut started = 0;
    loop {
        match workers.next() {
            Some(Event::Started { .. }) => started += 1,
            other => panic!("{other:?}"),
        }
        if started == WORKERS {
            parent.say("all have connected");
        }
    }
}

/// Ends as programs do.
fn supervises_and_leaves(parent: &'static Parent) {
    let mut workers = workers_of("works");
    for _ in 0..WORKERS {
        assert!(matches!(workers.next(), Some(Event::Started { .. })));
    }
    parent.say("all have connected");
    parent.expect("exit");
    std::process::exit(0);
}

fn supervises_one_that_says_it(parent: &'static Parent) {
    let mut workers = Supervisor::of(|_| command("says_when_alone"))
        .start()
        .unwrap();
    assert!(matches!(workers.next(), Some(Event::Started { .. })));
    parent.say("it has connected");
    workers.next();
}

/// How long after its death the last one that has its output has ended.
fn until_all_have_ended(mut child: common::Child) -> Duration {
    let start = Instant::now();
    child.kill_now();
    while child.next_line_or_end().is_some() {}
    start.elapsed()
}

fn killed_when_all_have_connected(role: &str, count: usize) {
    let mut times = Times::default();
    for _ in 0..count {
        let mut child = Place::new().start("supervises", Side::Host);
        child.say(role);
        child.expect("begins");
        child.expect("all have connected");
        times.push(until_all_have_ended(child));
    }
    times.print(&format!(
        "{role}: from the death to the end of the last worker"
    ));
}

#[test]
fn the_supervisor_is_killed() {
    let _watchdog = Watchdog::new(600);
    killed_when_all_have_connected("works", amount(rounds(30, 3), rounds(300, 30)));
    killed_when_all_have_connected("stays_with_a_closed_link", rounds(5, 2));
}

#[test]
fn the_supervisor_is_killed_at_a_random_moment() {
    let _watchdog = Watchdog::new(900);
    let mut random = Random::unrepeatable();
    let mut times = Times::default();
    for round in 0..amount(rounds(60, 6), rounds(600, 60)) {
        let role = ["works", "is_slow_to_connect"][round % 2];
        let mut child = Place::new().start("supervises", Side::Host);
        child.say(role);
        child.expect("begins");
        let longest = if cfg!(windows) { 300_000 } else { 40_000 };
        thread::sleep(Duration::from_micros(random.below(longest) as u64));
        times.push(until_all_have_ended(child));
    }
    times.print("from a death at a random moment to the end of the last worker");
}

/// There the system sees to it.
#[test]
#[cfg(windows)]
fn a_process_that_knows_nothing_of_its_supervisor_ends_with_it() {
    let _watchdog = Watchdog::new(120);
    for _ in 0..3 {
        let mut child = Place::new().start("supervises", Side::Host);
        child.say("never_connects");
        child.expect("begins");
        until_all_have_ended(child);
    }
}

#[test]
fn the_supervisor_exits_without_a_word() {
    let _watchdog = Watchdog::new(120);
    let mut child = Place::new().start("supervises_and_leaves", Side::Host);
    child.expect("all have connected");
    child.say("exit");
    child.finish();
}

/// Says what it found.
fn looks_for_its_parent() {
    let found = match parent() {
        Ok(None) => "no worker".to_owned(),
        Ok(Some(_)) => "a worker".to_owned(),
        Err(e) => format!("{:?}", e.kind()),
    };
    std::fs::write(std::env::var_os("TWINRING_WORKERS_FOUND").unwrap(), found).unwrap();
}

/// The supervisor has ended before its worker has connected, or has not started it.
#[test]
fn one_that_nobody_waits_for_does_not_wait() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    std::fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join("found");
    // One that has ended. On Windows its number may be another's by now; then it waits for its 10 s.
    let mut ended = command("says_when_alone");
    let mut ended = ended.stdout(Stdio::null()).spawn().unwrap();
    let pid = ended.id();
    ended.wait().unwrap();
    let ticket = |pid| format!("1 worker-{} {pid} 0 0 -", twinring::testing::unique_name());
    for (variable, found) in [
        (None, &["no worker"][..]),
        (Some(ticket(pid)), &["NotFound", "TimedOut"]),
        (Some("nonsense".to_owned()), &["InvalidInput"]),
    ] {
        let mut child = command("looks_for_its_parent");
        child
            .env("TWINRING_WORKERS_FOUND", &path)
            .stdout(Stdio::null());
        if let Some(variable) = variable {
            child.env(VARIABLE, variable);
        }
        let start = Instant::now();
        assert!(child.status().unwrap().success());
        let what = std::fs::read_to_string(&path).unwrap();
        assert!(found.contains(&&*what), "{what}");
        assert!(start.elapsed() < LIMIT);
    }
}

/// As told, and not ended by default: says so to its output.
fn says_when_alone() {
    let Some(_parent) = twinring_workers::Parent::builder()
        .on_parent_end(|| {
            println!("@twinring alone");
            std::process::exit(0);
        })
        .connect()
        .unwrap()
    else {
        return;
    };
    thread::sleep(HOURS);
}

/// Windows has ended it by then.
#[test]
#[cfg(unix)]
fn the_program_may_do_something_else() {
    let _watchdog = Watchdog::new(120);
    let mut child = Place::new().start("supervises_one_that_says_it", Side::Host);
    child.expect("it has connected");
    child.kill_now();
    child.expect("alone");
    assert_eq!(child.next_line_or_end(), None);
}
