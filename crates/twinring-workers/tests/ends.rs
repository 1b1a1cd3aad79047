//! What the program is told of each end of a worker, and what follows.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod workers;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, Watchdog};
use twinring::End;
use twinring_workers::{Backoff, Cause, Event, Exited, Restart, SendError, Supervisor, Then};
use workers::{my_parent, next, next_exited, next_message, roles, supervisor, until_started};

roles!(
    ends_as_told,
    exits_at_once,
    never_connects,
    leaves_its_link,
    leaves_and_exits,
    finishes_and_goes_on,
    says_and_exits,
    hears_nothing,
);

/// A time that nobody waits for.
const HOURS: Duration = Duration::from_secs(3600);

/// The first message is its exit code; 255 is to crash.
fn ends_as_told() {
    let parent = my_parent();
    let Some(code) = parent.recv().unwrap() else {
        parent.finish().unwrap();
        return;
    };
    match code[..] {
        [255] => std::process::abort(),
        [code] => std::process::exit(code.into()),
        _ => panic!(),
    }
}

fn exits_at_once() {
    std::process::exit(3);
}

fn never_connects() {
    thread::sleep(HOURS);
}

fn leaves_its_link() {
    my_parent().connection().close(5, "enough");
    thread::sleep(HOURS);
}

fn leaves_and_exits() {
    drop(my_parent());
    thread::sleep(Duration::from_millis(100));
    std::process::exit(4);
}

/// Says nothing more, and echoes to its checkpoint what it gets.
fn finishes_and_goes_on() {
    let parent = my_parent();
    parent.finish().unwrap();
    while let Some(message) = parent.recv().unwrap() {
        parent.set_checkpoint(&message).unwrap();
    }
}

/// Has not been connected for a moment when it ends.
fn says_and_exits() {
    let parent = my_parent();
    for number in 0..100u8 {
        parent.send(&[number]).unwrap();
    }
    std::process::exit(6);
}

fn hears_nothing() {
    let parent = my_parent();
    parent.set_checkpoint(b"here").unwrap();
    parent.send(b"ready").unwrap();
    thread::sleep(HOURS);
}

fn is_over(supervisor: &mut Supervisor) -> bool {
    matches!(supervisor.next_within(LIMIT), Ok(None))
}

fn one_that_ends(code: u8, restart: Restart) -> (Supervisor, Exited) {
    let mut supervisor = supervisor("ends_as_told").restart(restart).start().unwrap();
    until_started(&mut supervisor);
    supervisor.send(0, &[code]).unwrap();
    let exited = next_exited(&mut supervisor);
    (supervisor, exited)
}

#[test]
fn the_status_and_the_policy() {
    let _watchdog = Watchdog::new(300);
    for (code, restart, again) in [
        (0, Restart::Always, true),
        (0, Restart::OnFailure, false),
        (0, Restart::Never, false),
        (9, Restart::Always, true),
        (9, Restart::OnFailure, true),
        (9, Restart::Never, false),
    ] {
        let (mut supervisor, exited) = one_that_ends(code, restart);
        assert_eq!(exited.status.code(), Some(code.into()), "{exited}");
        assert_eq!(
            (exited.cause, exited.end.clone()),
            (Cause::Itself, Some(End::Crashed)),
            "{exited}"
        );
        assert!(
            exited.pid != 0
                && exited.started.is_some()
                && exited.complete
                && exited.unread.is_empty()
        );
        if again {
            assert_eq!(exited.then, Then::Restart(Duration::ZERO), "{exited}");
            assert_ne!(until_started(&mut supervisor), exited.pid);
        } else {
            assert_eq!(exited.then, Then::Done, "{exited}");
            assert!(is_over(&mut supervisor));
            assert!(matches!(supervisor.send(0, b"late"), Err(SendError::Over)));
        }
    }
}

#[test]
fn a_crash_is_no_success() {
    let _watchdog = Watchdog::new(120);
    let (_, exited) = one_that_ends(255, Restart::OnFailure);
    assert!(!exited.status.success(), "{exited}");
    assert!(matches!(exited.then, Then::Restart(_)));
}

#[test]
fn one_that_does_not_connect() {
    let _watchdog = Watchdog::new(120);
    let mut quick = supervisor("exits_at_once")
        .restart(Restart::Never)
        .start()
        .unwrap();
    let exited = next_exited(&mut quick);
    assert_eq!(
        (exited.status.code(), exited.cause, exited.end),
        (Some(3), Cause::Itself, None)
    );

    let limit = Duration::from_millis(500);
    let slow = supervisor("never_connects")
        .restart(Restart::Never)
        .connect_within(limit);
    let (start, mut slow) = (Instant::now(), slow.start().unwrap());
    let exited = next_exited(&mut slow);
    assert_eq!((exited.cause, exited.end), (Cause::NeverConnected, None));
    assert!(!exited.status.success() && start.elapsed() >= limit);
}

#[test]
fn one_that_ends_its_connection_and_goes_on() {
    let _watchdog = Watchdog::new(120);
    let grace = Duration::from_millis(300);
    let builder = supervisor("leaves_its_link")
        .restart(Restart::Never)
        .grace(grace);
    let mut workers = builder.start().unwrap();
    workers.send(0, b"what it never takes").unwrap();
    until_started(&mut workers);
    let start = Instant::now();
    let exited = next_exited(&mut workers);
    assert!(start.elapsed() >= grace / 2 && !exited.status.success());
    assert_eq!(exited.cause, Cause::LeftLink);
    assert!(
        matches!(exited.end, Some(End::Closed { code: 5, .. })),
        "{exited}"
    );
    assert_eq!(exited.unread, [b"what it never takes"]);

    // Within its time: the connection ends first, and then the process.
    let mut workers = supervisor("leaves_and_exits")
        .restart(Restart::Never)
        .start()
        .unwrap();
    let exited = next_exited(&mut workers);
    assert_eq!(
        (exited.status.code(), exited.cause),
        (Some(4), Cause::Itself)
    );
    assert!(
        matches!(exited.end, Some(End::Abandoned { .. })),
        "{exited}"
    );
}

#[test]
fn one_that_has_finished_still_listens() {
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("finishes_and_goes_on").start().unwrap();
    until_started(&mut workers);
    for number in 0..100u8 {
        workers.send(0, &[number]).unwrap();
    }
    workers.stop();
    let exited = next_exited(&mut workers);
    assert_eq!(
        (exited.cause, exited.end.as_ref()),
        (Cause::Asked, Some(&End::Finished))
    );
    assert!(exited.status.success() && exited.complete, "{exited:?}");
    assert_eq!(exited.checkpoint, Some(vec![99]));
    assert!(is_over(&mut workers));
}

#[test]
fn all_that_it_said_comes_before_its_end() {
    let _watchdog = Watchdog::new(120);
    for _ in 0..common::rounds(20, 3) {
        let mut workers = supervisor("says_and_exits")
            .restart(Restart::Never)
            .start()
            .unwrap();
        for number in 0..100 {
            assert_eq!(next_message(&mut workers), [number]);
        }
        assert_eq!(next_exited(&mut workers).status.code(), Some(6));
    }
}

#[test]
fn one_that_is_asked_and_does_not_end() {
    let _watchdog = Watchdog::new(120);
    let grace = Duration::from_millis(300);
    let mut workers = supervisor("hears_nothing").grace(grace).start().unwrap();
    assert_eq!(next_message(&mut workers), b"ready");
    workers.send(0, b"one").unwrap();
    let start = Instant::now();
    workers.stop();
    assert!(matches!(workers.send(0, b"two"), Err(SendError::Over)));
    let exited = next_exited(&mut workers);
    assert!(start.elapsed() >= grace);
    assert_eq!((exited.cause, exited.then), (Cause::TooSlow, Then::Done));
    assert_eq!(
        (exited.unread, exited.checkpoint),
        (vec![b"one".to_vec()], Some(b"here".to_vec()))
    );
    assert!(is_over(&mut workers));
}

#[test]
fn one_that_is_asked_before_it_has_connected() {
    let _watchdog = Watchdog::new(120);
    let mut workers = supervisor("never_connects").workers(3).start().unwrap();
    workers.send(1, b"one").unwrap();
    workers.stop();
    for _ in 0..3 {
        let exited = next_exited(&mut workers);
        assert_eq!((exited.cause, exited.end.as_ref()), (Cause::Asked, None));
        assert_eq!(exited.unread.len(), usize::from(exited.worker == 1));
    }
    assert!(is_over(&mut workers));
}

#[test]
fn too_many_ends_in_a_row() {
    let _watchdog = Watchdog::new(120);
    let backoff = Backoff {
        first: Duration::from_millis(20),
        limit: Some(3),
        ..Backoff::default()
    };
    let mut workers = supervisor("exits_at_once")
        .backoff(backoff)
        .start()
        .unwrap();
    workers.send(0, b"for whoever comes").unwrap();
    let start = Instant::now();
    for pause in [0, 20, 40] {
        let exited = next_exited(&mut workers);
        assert_eq!(
            exited.then,
            Then::Restart(Duration::from_millis(pause)),
            "{exited}"
        );
    }
    let exited = next_exited(&mut workers);
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert_eq!(
        (exited.then, exited.unread),
        (Then::GivenUp, vec![b"for whoever comes".to_vec()])
    );
    assert!(is_over(&mut workers));
}

#[test]
fn a_program_that_is_not_there() {
    let _watchdog = Watchdog::new(120);
    let missing = || Command::new("there is no such program");
    assert!(Supervisor::of(move |_| missing()).start().is_err());

    // It was there at first.
    let mut starts = 0;
    let commands = move |_| {
        starts += 1;
        match starts {
            1 => workers::command("exits_at_once"),
            _ => missing(),
        }
    };
    let backoff = Backoff {
        limit: Some(2),
        ..Backoff::default()
    };
    let mut workers = Supervisor::of(commands).backoff(backoff).start().unwrap();
    workers.send(0, b"one").unwrap();
    next_exited(&mut workers);
    match next(&mut workers) {
        Event::NotStarted {
            then: Then::Restart(_),
            unread,
            ..
        } => assert!(unread.is_empty()),
        other => panic!("{other}"),
    }
    match next(&mut workers) {
        Event::NotStarted {
            then: Then::GivenUp,
            unread,
            ..
        } => assert_eq!(unread, [b"one"]),
        other => panic!("{other}"),
    }
    assert!(is_over(&mut workers));
}

#[test]
fn a_message_that_is_too_long_for_the_ring() {
    let _watchdog = Watchdog::new(120);
    let builder = supervisor("ends_as_told").link(|link| link.ring_capacity(4096));
    let mut workers = builder.backlog(2).start().unwrap();
    // Not known yet how long one may be.
    workers.send(0, &[0; 10_000]).unwrap();
    workers.send(0, &[7]).unwrap();
    assert!(matches!(workers.send(0, b"three"), Err(SendError::Full)));
    until_started(&mut workers);
    match next(&mut workers) {
        Event::NotSent { message, .. } => assert_eq!(message.len(), 10_000),
        other => panic!("{other}"),
    }
    assert!(matches!(
        workers.send(0, &[0; 10_000]),
        Err(SendError::Full | SendError::TooLarge(_)) | Ok(())
    ));
    assert_eq!(next_exited(&mut workers).status.code(), Some(7));
}
