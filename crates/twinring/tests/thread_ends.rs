//! Links that are dropped where little is possible: at the end of the thread that has them in a `thread_local`, and at
//! the end of the process. On Windows the first is within the loader's lock, so no thread can start or end meanwhile;
//! and in the second all other threads have been ended, wherever they were.

mod common;

use std::any::Any;
use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use common::{Parent, Place, Side, Watchdog, connected, freeze, peers, rounds, thaw, until};
use twinring::{Builder, ErrorKind, Timeout};

peers!(
    ends_threads,
    ends_threads_beside_others,
    exits,
    waits,
    listens
);

thread_local! {
    static HELD: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

fn hold(what: impl Any) {
    HELD.with_borrow_mut(|held| held.push(Box::new(what)));
}

/// A place beside the parent's.
fn beside(parent: &Parent, number: usize) -> Place {
    let name = format!("{} {number}", parent.place.name());
    Place::at(&name, parent.place.directory())
}

/// Opens a link in a thread, whose end drops it.
fn drop_with_thread(builder: impl Fn() -> Builder + Sync) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            until("the name is free", || match builder().open() {
                Ok(link) => {
                    hold(link);
                    true
                }
                // On Windows, the one dropped before may not have waited for its name.
                Err(e) if cfg!(windows) && e.kind() == ErrorKind::NameInUse => false,
                Err(e) => panic!("{e}"),
            });
        });
        thread.join().unwrap();
    });
}

/// Has no other links: the first one begins all that links need, the last one ends it.
fn ends_threads(parent: &'static Parent) {
    for _ in 0..rounds(50, 20) {
        drop_with_thread(|| parent.builder());
    }
    parent.say("done");
}

#[test]
fn the_only_link_ends_with_its_thread() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let mut child = Place::new().start("ends_threads", side);
        child.expect("done");
        child.finish();
    }
}

fn listens(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    parent.say("ready");
    let _ = link.next();
    parent.wait_for_the_end();
}

/// One link of this process waits for a host that is silent, and others come and go.
fn ends_threads_beside_others(parent: &'static Parent) {
    let silent = parent.builder().open().unwrap();
    parent.expect("go");
    let churn = thread::spawn(|| {
        for i in 0..rounds(100, 30) {
            let place = beside(parent, i);
            let host = place.host().open().unwrap();
            let guest = place.guest().open().unwrap();
            drop((connected(&host), connected(&guest)));
        }
    });
    let mut i = 1000;
    while !churn.is_finished() {
        let place = beside(parent, i);
        drop_with_thread(|| place.host());
        drop_with_thread(|| place.guest());
        i += 1;
    }
    churn.join().unwrap();
    assert!(silent.within(Timeout::Now).next().is_err());
    // Threads can still begin.
    thread::spawn(|| parent.say("done")).join().unwrap();
    std::process::exit(0);
}

#[test]
fn links_end_with_their_threads_beside_others() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut host = place.start("listens", Side::Host);
    host.expect("ready");
    freeze(&host);
    let mut child = place.start("ends_threads_beside_others", Side::Guest);
    child.say("go");
    child.expect("done");
    child.finish();
    thaw(&host);
}

fn waits(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    while conn.recv().is_ok() {}
    parent.say("ended");
    parent.wait_for_the_end();
}

/// Ends while its threads send and open links, and has some of all in its `thread_local`.
fn exits(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    for i in 0..2 {
        let conn = conn.clone();
        thread::spawn(move || while conn.send(&[i; 100]).is_ok() {});
    }
    thread::spawn(|| {
        for i in 0.. {
            drop(beside(parent, i).host().open());
        }
    });
    thread::sleep(Duration::from_millis(20));
    hold(conn.reserve(10).unwrap());
    hold(conn);
    hold(link);
    std::process::exit(0);
}

#[test]
fn the_process_ends_with_links_of_its_main_thread() {
    let _watchdog = Watchdog::new(240);
    for side in Side::BOTH {
        for _ in 0..rounds(20, 10) {
            let place = Place::new();
            let mut peer = place.start("waits", side.opposite());
            place.start("exits", side).finish();
            peer.expect("ended");
            peer.kill();
        }
    }
}
