//! The program decides who is connected.

mod common;
#[path = "hostile/wire.rs"]
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{LIMIT, Log, Parent, Place, Side, Watchdog, connected, peers, rounds, until};
use twinring::ErrorKind;
use wire::Stranger;

peers!(knocks, is_refused);

/// Says each error, and when it is connected.
fn knocks(parent: &'static Parent) {
    let link = parent
        .builder()
        .on_error(|e| parent.say(format!("{:?} {e}", e.kind())))
        .open()
        .unwrap();
    while let Ok(conn) = link.next() {
        parent.say("connected");
        let _ = conn.recv();
    }
}

#[test]
fn one_is_admitted_and_another_is_not() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let wanted = Arc::new(AtomicU32::new(0));
        let errors = Log::new();
        let link = place
            .builder(side)
            .admit({
                let wanted = wanted.clone();
                move |peer| peer.pid == wanted.load(Ordering::Relaxed)
            })
            .on_error({
                let errors = errors.clone();
                move |e| errors.push(format!("{:?} {e}", e.kind()))
            })
            .open()
            .unwrap();
        let mut stranger = place.start("knocks", side.opposite());
        let who = format!("process {}", stranger.pid());
        until("the stranger is refused", || {
            errors.lines().iter().any(|line| {
                line.starts_with("AccessDenied")
                    && line.contains(&who)
                    && line.contains("not admitted")
            })
        });
        if side == Side::Host {
            stranger.wait_for_line(|line| line.starts_with("AccessDenied"));
        }
        assert!(
            stranger
                .lines_so_far()
                .iter()
                .all(|line| line != "connected")
        );
        stranger.kill();

        let mut friend = place.start("knocks", side.opposite());
        wanted.store(friend.pid(), Ordering::Relaxed);
        friend.wait_for_line(|line| line == "connected");
        assert_eq!(connected(&link).peer().pid, friend.pid());
    }
}

/// Opens when it is dropped.
struct Gate(Arc<AtomicBool>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Neither the other links of the process, nor another guest.
#[test]
fn a_slow_decision_holds_up_nobody() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let asked = Arc::new(AtomicU32::new(0));
    let gate = Gate(Arc::default());
    let host = place
        .host()
        .handshake_timeout(LIMIT)
        .admit({
            let (asked, open) = (asked.clone(), gate.0.clone());
            move |_| {
                // The first one is asked about until the test is over.
                if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                    until("the test is over", || open.load(Ordering::Relaxed));
                }
                true
            }
        })
        .open()
        .unwrap();
    let mut first = place.start("knocks", Side::Guest);
    until("the program is asked", || {
        asked.load(Ordering::Relaxed) == 1
    });
    let mut second = place.start("knocks", Side::Guest);
    second.expect("connected");
    assert_eq!(connected(&host).peer().pid, second.pid());
    let other = Place::new();
    let (host, guest) = (other.host().open().unwrap(), other.guest().open().unwrap());
    drop((connected(&host), connected(&guest)));
    assert!(first.lines_so_far().is_empty());
}

/// However many come, and go again before it has answered: no more than 8 are asked about at once, and the others
/// have their turn.
#[test]
fn the_program_is_not_asked_about_any_number() {
    const MOST: u32 = 8;
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let asked = Arc::new(AtomicU32::new(0));
    let gate = Gate(Arc::default());
    let host = place
        .host()
        .handshake_timeout(LIMIT)
        .admit({
            let (asked, open) = (asked.clone(), gate.0.clone());
            move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                until("the gate is open", || open.load(Ordering::Relaxed));
                true
            }
        })
        .open()
        .unwrap();
    let some = |count| {
        (0..count)
            .map(|_| Stranger::connect(&place))
            .collect::<Vec<_>>()
    };
    drop(some(4));
    let strangers = some(20);
    until("the program is asked", || {
        asked.load(Ordering::Relaxed) >= MOST
    });
    thread::sleep(Duration::from_millis(100));
    assert_eq!(asked.load(Ordering::Relaxed), MOST);
    drop(strangers);
    drop(gate);
    let mut guest = place.start("knocks", Side::Guest);
    guest.expect("connected");
    assert_eq!(connected(&host).peer().pid, guest.pid());
    assert!(asked.load(Ordering::Relaxed) > MOST);
}

/// The driver's thread, which all links wait for, neither calls the function nor drops it.
#[test]
fn the_function_may_have_links() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        // Without a guest, who drops the link last is a matter of chance.
        for i in 0..20 {
            let guests = i == 0;
            let (place, inner) = (Place::new(), Place::new());
            let host = inner.host().open().unwrap();
            let guest = inner.guest().open().unwrap();
            let conn = connected(&guest);
            let asked = Arc::new(AtomicU32::new(0));
            let link = place.builder(side).admit({
                let asked = asked.clone();
                move |_| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    host.name() == guest.name() && conn.send(b"asked").is_ok()
                }
            });
            let link = link.open().unwrap();
            if guests {
                let mut child = place.start("knocks", side.opposite());
                child.wait_for_line(|line| line == "connected");
                assert!(asked.load(Ordering::Relaxed) > 0);
            }
            // Until then the driver is not asleep, and is done with the link late.
            thread::sleep(Duration::from_millis(20));
            drop(link);
            // The name that the function had is free.
            inner.host().open().unwrap();
        }
    }
}

/// A host that refuses hangs up at once: whatever the guest is doing then, it is told why.
#[test]
fn a_refusal_is_always_told() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let _host = place.host().admit(|_| false).open().unwrap();
    let mut child = place.start("is_refused", Side::Guest);
    child.wait_for_line(|line| line == "refused each time");
    child.finish();
}

fn is_refused(parent: &'static Parent) {
    for i in 0..rounds(300, 60) {
        let (tell, told) = std::sync::mpsc::channel();
        let link = parent.builder().on_error(move |e| {
            let _ = tell.send(format!("{:?} {e}", e.kind()));
        });
        let _link = link.open().unwrap();
        let error = told.recv_timeout(LIMIT).unwrap();
        let refused = error.starts_with("AccessDenied") && error.contains("not admitted");
        assert!(refused, "round {i}: {error}");
    }
    parent.say("refused each time");
}

#[test]
fn a_panic_is_a_no_and_so_is_no_answer() {
    let _watchdog = Watchdog::new(120);
    for (panics, kind) in [
        (true, ErrorKind::AccessDenied),
        (false, ErrorKind::TimedOut),
    ] {
        let place = Place::new();
        let errors = Log::new();
        let _host = place
            .host()
            .handshake_timeout(Duration::from_millis(200))
            .admit(move |_| {
                if panics {
                    // Without the text of a panic, which nobody should worry about.
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
                thread::sleep(Duration::from_secs(2));
                true
            })
            .on_error({
                let errors = errors.clone();
                move |e| errors.push(format!("{:?} {e}", e.kind()))
            })
            .open()
            .unwrap();
        let mut guest = place.start("knocks", Side::Guest);
        let kind = format!("{kind:?}");
        let is_it =
            |line: &str| line.starts_with(&kind) && (panics || line.contains("`admit` takes long"));
        until("the host says it", || {
            errors.lines().iter().any(|line| is_it(line))
        });
        guest.wait_for_line(is_it);
        assert!(guest.lines_so_far().iter().all(|line| line != "connected"));
    }
}
