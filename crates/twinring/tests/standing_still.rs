//! Peers that stand still: a frozen process is alive, and an idle link costs nothing.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Child, LIMIT, Parent, Place, Random, Side, Watchdog, connected, freeze, labelled,
    longest_pause, peers, read_label, rounds, thaw, until,
};
use twinring::{By, Connection, End, ErrorKind};

#[cfg(not(unix))]
peers!(counter, comer);
#[cfg(unix)]
peers!(counter, comer, idler);

/// Sends back what it gets, and says how the connection ended.
fn counter(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(4096).open().unwrap();
    let conn = connected(&link);
    parent.say("connected");
    let e = loop {
        match conn.recv() {
            // If the connection is over, the next `recv` tells.
            Ok(bytes) => drop(conn.send(&bytes.unwrap())),
            Err(e) if e.kind() == ErrorKind::StreamEnded => parent.say("given up"),
            Err(e) => break e,
        }
    };
    parent.say(e.end().unwrap());
}

/// What a peer says that was told so by `close(7, "")`.
const CLOSED: &str = "the peer closed the connection, code 7";

/// Freezes a child and lets it run on, at random moments, until `done`.
fn flicker(child: &Child, done: impl Fn() -> bool) -> usize {
    let mut random = Random::unrepeatable();
    let mut times = 0;
    while !done() {
        freeze(child);
        thread::sleep(Duration::from_micros(random.below(5000) as u64));
        thaw(child);
        thread::sleep(Duration::from_micros(random.below(2000) as u64));
        times += 1;
    }
    times
}

/// Frozen at random moments, a peer loses nothing and is never taken for dead.
#[test]
fn a_frozen_peer_is_alive() {
    let _watchdog = Watchdog::new(240);
    let count = rounds(20_000, 4000) as u64;
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        let mut child = place.start("counter", side.opposite());
        child.expect("connected");
        let conn = connected(&link);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for i in 0..count {
                    conn.send(&labelled(1, i, (i % 300) as usize)).unwrap();
                }
            });
            let receiver = scope.spawn(|| {
                for i in 0..count {
                    assert_eq!(read_label(&conn.recv().unwrap().unwrap()), Ok((1, i)));
                }
            });
            let times = flicker(&child, || sender.is_finished() && receiver.is_finished());
            println!("the {} was frozen {times} times", side.opposite());
        });
        // It has got everything, and so have we.
        conn.within(LIMIT).flush().unwrap();
        assert_eq!(conn.taken().unwrap().messages, count);
        link.close(7, "");
        child.expect(CLOSED);
        child.finish();
    }
}

/// Calls with a deadline keep it although the peer is frozen again and again; what they gave up is
/// not delivered, what they did is, in order.
#[test]
fn deadlines_hold_beside_a_frozen_peer() {
    let _watchdog = Watchdog::new(240);
    let count = rounds(1000, 200) as u64;
    let short = Duration::from_millis(2);
    // Calls `attempt` until it is in time, and counts how often it was not.
    let insist = |late: &AtomicU64, attempt: &mut dyn FnMut() -> twinring::Result<()>| {
        loop {
            let start = Instant::now();
            let outcome = attempt();
            let took = start.elapsed();
            assert!(took < LIMIT / 6, "{took:?} instead of {short:?}");
            match outcome {
                Ok(()) => return,
                Err(e) => assert!(e.is_timeout(), "{e}"),
            }
            late.fetch_add(1, Ordering::Relaxed);
        }
    };
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        let mut child = place.start("counter", side.opposite());
        child.expect("connected");
        let conn = connected(&link);
        let soon = conn.within(short);
        let late = [const { AtomicU64::new(0) }; 2];
        let late = late.each_ref();
        thread::scope(|scope| {
            freeze(&child);
            let sender = scope.spawn(|| {
                for i in 0..count {
                    // Some are larger than the ring, and are given up half-way.
                    let message = labelled(1, i, Random::new(i).len(300, 5, 10_000));
                    insist(late[0], &mut || soon.send(&message));
                }
            });
            let receiver = scope.spawn(|| {
                for i in 0..count {
                    let mut bytes = Vec::new();
                    insist(late[1], &mut || soon.recv_into(&mut bytes).map(drop));
                    assert_eq!(read_label(&bytes), Ok((1, i)));
                }
            });
            // However fast this machine is, both have met a frozen peer.
            let met = || late.iter().all(|late| late.load(Ordering::Relaxed) > 0);
            until("each gives up once", met);
            thaw(&child);
            let times = flicker(&child, || sender.is_finished() && receiver.is_finished());
            println!("frozen {times} times; {late:?} sends and receives gave up");
        });
        link.close(7, "");
        child.wait_for_line(|line| line == CLOSED);
    }
}

/// `close` ends at once whatever the peer was doing when it was frozen; the next peer is served,
/// and the frozen one is told when it runs again.
#[test]
fn close_does_not_wait_for_the_frozen() {
    let _watchdog = Watchdog::new(240);
    let mut random = Random::unrepeatable();
    for side in Side::BOTH {
        let place = Place::new();
        for _ in 0..rounds(25, 4) {
            let link = place.builder(side).ring_capacity(4096).open().unwrap();
            let mut child = place.start("counter", side.opposite());
            child.expect("connected");
            let conn = connected(&link);
            // Talking, and with a message half-way that nobody will take.
            thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let mut sent: Vec<usize> = Vec::new();
                    loop {
                        let len = [0, 100, 5000][sent.len() % 3];
                        match conn.send(&labelled(1, sent.len() as u64, len)) {
                            Ok(()) => sent.push(len),
                            Err(e) => return e,
                        }
                    }
                });
                let receiver = scope.spawn(|| {
                    loop {
                        if let Err(e) = conn.recv() {
                            return e;
                        }
                    }
                });
                thread::sleep(Duration::from_micros(random.below(5000) as u64));
                freeze(&child);
                let start = Instant::now();
                link.close(7, "");
                let took = start.elapsed();
                assert!(took < LIMIT / 6, "close took {took:?}");
                for e in [sender.join().unwrap(), receiver.join().unwrap()] {
                    let local = matches!(e.end(), Some(End::Closed { by: By::Local, .. }));
                    assert!(local, "{e}");
                }
            });
            if side == Side::Host {
                let again = place.host().ring_capacity(4096).open().unwrap();
                let mut next = place.start("counter", Side::Guest);
                next.expect("connected");
                connected(&again);
            }
            thaw(&child);
            child.wait_for_line(|line| line == CLOSED);
            child.finish();
        }
    }
}

/// Says when it is about to open the link, each error, and when it is connected.
fn comer(parent: &'static Parent) {
    parent.say("opening");
    let link = parent
        .builder()
        .on_error(|e| parent.say(format!("error {:?}", e.kind())))
        .open()
        .unwrap();
    let conn = connected(&link);
    parent.say("connected");
    // Until it is killed, or the connection ends.
    let e = conn.recv().unwrap_err();
    parent.say(e.end().unwrap());
    parent.wait_for_the_end();
}

/// From the first system call of the handshake to its end, at random.
fn somewhere_in_the_handshake(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(longest_pause(2000, 20_000)) as u64)
}

/// A guest that is frozen in its handshake holds up nobody. One that is frozen once it is
/// connected keeps its place, being alive; killed while it is frozen, it makes room.
#[test]
fn a_guest_frozen_at_any_moment() {
    let _watchdog = Watchdog::new(300);
    let mut random = Random::unrepeatable();
    let (mut passed, mut busy) = (0, 0);
    for round in 0.. {
        // Both have to be met, which is a matter of chance.
        if round >= rounds(60, 10) && passed > 0 && busy > 0 {
            break;
        }
        assert!(round < 1000, "{passed} passed, {busy} were told busy");
        let place = Place::new();
        // Only the frozen one waits for this deadline.
        let hour = Duration::from_secs(3600);
        let host = place.host().handshake_timeout(hour).open().unwrap();
        let mut frozen = place.start("comer", Side::Guest);
        frozen.expect("opening");
        if round % 4 == 0 {
            frozen.expect("connected");
        } else {
            // Half of them at once: a guest whose host is there is connected in a fifth of a
            // millisecond, which a sleep rarely meets.
            if round % 2 == 0 {
                thread::sleep(somewhere_in_the_handshake(&mut random));
            }
        }
        freeze(&frozen);
        let mut next = place.start("comer", Side::Guest);
        next.expect("opening");
        match next.next_line().as_str() {
            "connected" => passed += 1,
            "error Busy" => {
                busy += 1;
                let conn = connected(&host);
                assert_eq!(conn.peer().pid, frozen.pid());
                frozen.kill();
                next.expect("connected");
                assert_eq!(conn.recv().unwrap_err().end(), Some(&End::Crashed));
            }
            other => panic!("{other}"),
        }
        assert_eq!(connected(&host).peer().pid, next.pid());
    }
    println!("{passed} were not held up, {busy} were told busy");
}

/// A host that is frozen in a handshake: the guest's deadlines hold, it can close, and the
/// next guest is served once the host runs again.
#[test]
fn a_host_frozen_at_any_moment() {
    let _watchdog = Watchdog::new(300);
    let mut random = Random::unrepeatable();
    for _ in 0..rounds(40, 8) {
        let place = Place::new();
        let guest = place.guest().open().unwrap();
        let mut host = place.start("comer", Side::Host);
        host.expect("opening");
        thread::sleep(somewhere_in_the_handshake(&mut random));
        freeze(&host);
        let start = Instant::now();
        if let Err(e) = guest.within(Duration::from_millis(20)).next() {
            assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
        }
        guest.close(7, "");
        assert!(start.elapsed() < LIMIT / 6, "{:?}", start.elapsed());
        let next = place.guest().open().unwrap();
        thaw(&host);
        assert_eq!(connected(&next).peer().pid, host.pid());
    }
}

/// A guest that is opened beside a frozen host is not held up, and what it has begun is not thrown
/// away: the host is not told of a guest that went away in the middle.
#[test]
fn open_does_not_wait_for_the_frozen() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut host = place.start("comer", Side::Host);
    let first = place.guest().open().unwrap();
    let _conn = connected(&first);
    first.close(7, "");
    for line in ["opening", "connected", CLOSED] {
        host.expect(line);
    }
    for close_first in [true, false] {
        freeze(&host);
        let start = Instant::now();
        let guest = place.guest().open().unwrap();
        assert!(start.elapsed() < LIMIT / 6, "{:?}", start.elapsed());
        assert!(!guest.status().is_connected());
        if close_first {
            guest.close(7, "");
            assert!(start.elapsed() < LIMIT / 6, "{:?}", start.elapsed());
            thaw(&host);
            // On Windows the driver makes the first attempt, and may not have come to it.
            if cfg!(unix) {
                host.expect("error NotConnected");
            }
        } else {
            thaw(&host);
            connected(&guest);
        }
    }
    host.kill_now();
    let late = host.next_line_or_end();
    assert!(
        late.is_none() || cfg!(windows) && late.as_deref() == Some("error NotConnected"),
        "{late:?}"
    );
}

type Call = fn(&Connection) -> twinring::Result<()>;

/// Who waits beside a frozen peer is told when that is killed, frozen as it is.
#[test]
fn killed_while_frozen() {
    let _watchdog = Watchdog::new(120);
    let calls: [Call; 2] = [
        |conn| conn.recv().map(drop),
        |conn| conn.send(&vec![0; 1_000_000]),
    ];
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(4096).open().unwrap();
        for call in calls {
            let mut child = place.start("counter", side.opposite());
            child.expect("connected");
            let conn = connected(&link);
            freeze(&child);
            thread::scope(|scope| {
                let waiting = scope.spawn(|| call(&conn));
                thread::sleep(Duration::from_millis(20));
                assert!(!waiting.is_finished());
                child.kill_now();
                let e = waiting.join().unwrap().unwrap_err();
                assert_eq!(e.end(), Some(&End::Crashed), "{e}");
            });
        }
    }
}

/// Waits for a message, and says how much processor time it has taken.
#[cfg(unix)]
fn idler(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let receiver = thread::spawn(move || conn.recv().unwrap());
    loop {
        parent.say("waiting");
        match parent.next_line().as_str() {
            "time" => parent.say(processor_time().as_micros()),
            _ => break,
        }
    }
    assert_eq!(receiver.join().unwrap().unwrap(), b"wake up");
}

#[cfg(unix)]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// An idle link, with a thread that waits for messages, uses no processor time.
#[cfg(unix)]
#[test]
fn an_idle_link_costs_nothing() {
    let _watchdog = Watchdog::new(60);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("idler", side.opposite());
        let conn = connected(&link);
        let mut time = || {
            child.expect("waiting");
            child.say("time");
            child.next_line().parse::<u64>().unwrap()
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
        conn.send(b"wake up").unwrap();
        child.expect("waiting");
        child.say("end");
        child.finish();
    }
}
