//! Peers that stand still: a stopped process is alive, and an idle link costs nothing.
#![cfg(unix)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{
    Child, LIMIT, Parent, Place, Random, Side, Watchdog, connected, labelled, peers, read_label,
};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use twinring::ErrorKind;

peers!(counter, idler);

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.pid() as i32).unwrap(), signal).unwrap();
}

/// Sends back what it gets, and says how the connection ended.
fn counter(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    connected(&link);
    parent.say("connected");
    let e = loop {
        match link.recv().and_then(|bytes| link.send(&bytes)) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::Aborted => parent.say("Aborted"),
            Err(e) => break e,
        }
    };
    parent.say(format!("{:?}", e.kind()));
}

/// Stopped and continued at random moments, a peer loses nothing and is never taken for dead.
#[test]
fn a_stopped_peer_is_alive() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        let mut child = place.start("counter", side.opposite());
        child.expect("connected");
        connected(&link);
        let mut random = Random::unrepeatable();
        const COUNT: u64 = 20_000;
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for i in 0..COUNT {
                    link.send(&labelled(1, i, (i % 300) as usize)).unwrap();
                }
            });
            let receiver = scope.spawn(|| {
                for i in 0..COUNT {
                    assert_eq!(read_label(&link.recv().unwrap()), Ok((1, i)));
                }
            });
            while !sender.is_finished() || !receiver.is_finished() {
                signal(&child, Signal::STOP);
                thread::sleep(Duration::from_micros(random.below(5000) as u64));
                signal(&child, Signal::CONT);
                thread::sleep(Duration::from_micros(random.below(2000) as u64));
            }
        });
        assert_eq!(link.generation(), 1);
        link.close();
        child.expect("Closed");
        child.finish();
    }
}

/// Calls beside a stopped peer end at their deadlines, and `close` ends at once; the peer is told
/// when it runs again.
#[test]
fn a_stopped_peer_holds_nobody_up() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        let mut child = place.start("counter", side.opposite());
        child.expect("connected");
        connected(&link);
        signal(&child, Signal::STOP);

        let short = Duration::from_millis(100);
        assert_eq!(
            link.recv_timeout(short).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        let e = link.send_timeout(&[0; 100_000], short).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
        assert!(link.status().is_connected());
        if side == Side::Host {
            // Alive, so its place is taken.
            let other = place.guest().open().unwrap();
            let e = other.wait_connected(short).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
        }

        let start = Instant::now();
        link.close();
        assert!(
            start.elapsed() < LIMIT / 6,
            "close took {:?}",
            start.elapsed()
        );
        if side == Side::Host {
            // Whoever comes next is served, although the stopped one has not noticed anything.
            let again = place.host().ring_capacity(4096).open().unwrap();
            let mut next = place.start("counter", Side::Guest);
            next.expect("connected");
            connected(&again);
        }
        signal(&child, Signal::CONT);
        // The message that had no time, and the end.
        child.expect("Aborted");
        child.expect("Closed");
        child.finish();
    }
}

/// Waits for a message, and says how much processor time it has taken.
fn idler(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    let receiver = thread::spawn(move || link.recv().unwrap());
    loop {
        parent.say("waiting");
        match parent.hear().as_str() {
            "time" => parent.say(processor_time().as_micros()),
            _ => break,
        }
    }
    assert_eq!(receiver.join().unwrap(), b"wake up");
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// An idle link, with a thread that waits for messages, uses no processor time.
#[test]
fn an_idle_link_costs_nothing() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("idler", side.opposite());
        connected(&link);
        let mut time = || {
            child.expect("waiting");
            child.say("time");
            child.hear().parse::<u64>().unwrap()
        };
        time();
        let before = time();
        thread::sleep(Duration::from_secs(1));
        let used = Duration::from_micros(time() - before);
        println!(
            "the {}: {used:?} of processor time in a second",
            side.opposite()
        );
        assert!(used < Duration::from_millis(20), "{used:?} in a second");
        link.send(b"wake up").unwrap();
        child.expect("waiting");
        child.say("end");
        child.finish();
    }
}
