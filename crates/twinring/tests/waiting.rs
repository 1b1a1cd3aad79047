//! Guests that wait for a host that has another: they are connected in the order in which they came, as soon
//! as the place is free, and whoever waits in vain is told so.

mod common;

use std::time::Duration;

use common::{
    Child, LIMIT, Log, Parent, Place, Side, Times, Watchdog, between, connected, freeze,
    microseconds, peer_of, peers, rounds, thaw, until,
};
use twinring::{End, ErrorKind, Link, Timeout};

peers!(guest, host);

/// Opens a link when it is told to and closes it when it is told to, and says when what happens.
fn guest(parent: &'static Parent) {
    let mut link: Option<Link> = None;
    loop {
        match parent.next_line().as_str() {
            "open" => {
                let builder = parent.builder().on_status(|status| {
                    if status.is_connected() {
                        parent.say(format!("connected {}", microseconds()));
                    }
                });
                let builder = builder.on_error(|e| parent.say(format!("error {e:?}")));
                link = Some(builder.open().unwrap());
            }
            "wait" => {
                let e = link.as_ref().unwrap().within(Timeout::Now).next();
                parent.say(format!("failed {:?}", e.unwrap_err()));
            }
            "close" => {
                parent.say(format!("closing {}", microseconds()));
                link.take().unwrap().close(0, "");
            }
            "close and open" => {
                link.take().unwrap().close(0, "");
                link = Some(parent.builder().open().unwrap());
                // The link keeps it.
                let again = link.as_ref().unwrap();
                until("it is connected", || again.status().is_connected());
                parent.say("connected again");
            }
            #[cfg(unix)]
            "time" => parent.say(processor_time().as_micros()),
            other => panic!("{other}"),
        }
    }
}

fn host(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    parent.say("open");
    loop {
        match parent.next_line().as_str() {
            "close" => link.close(0, ""),
            #[cfg(unix)]
            "time" => parent.say(processor_time().as_micros()),
            other => panic!("{other}"),
        }
    }
}

#[cfg(unix)]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn start(place: &Place) -> Child {
    let mut child = place.start("guest", Side::Guest);
    child.say("open");
    child
}

/// It is connected; when, in microseconds.
#[track_caller]
fn is_connected(child: &mut Child) -> u64 {
    let line = child.next_line();
    let when = line.strip_prefix("connected ");
    when.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
}

/// It has been told its place, and nothing else before.
#[track_caller]
fn waits(child: &mut Child, number: usize) {
    let line = child.next_line();
    assert!(line.contains("Busy"), "{line}");
    assert!(
        line.contains(&format!("number {number} in its queue")),
        "{line}"
    );
}

#[track_caller]
fn closes(child: &mut Child) -> u64 {
    child.say("close");
    let line = child.next_line();
    line.strip_prefix("closing ").unwrap().parse().unwrap()
}

/// Waits until the host is connected to this one.
#[track_caller]
fn serves(host: &Link, child: &Child) {
    let pid = child.pid();
    until("the host is connected to the next", || {
        peer_of(host) == Some(pid)
    });
}

#[test]
fn the_place_is_taken_as_soon_as_it_is_free() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let _host = place.host().on_message(|_, _| {}).open().unwrap();
    let (mut inside, mut outside) = (start(&place), place.start("guest", Side::Guest));
    is_connected(&mut inside);
    let mut times = Times::default();
    for _ in 0..rounds(100, 30) {
        outside.say("open");
        waits(&mut outside, 1);
        outside.say("wait");
        waits(&mut outside, 1);
        let closed = closes(&mut inside);
        times.push(between(closed, is_connected(&mut outside)));
        (inside, outside) = (outside, inside);
    }
    times.print("from the call of close to the next guest's on_status");
}

#[test]
fn they_are_served_in_the_order_in_which_they_came() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let host = place.host().on_message(|_, _| {}).open().unwrap();
    let mut first = start(&place);
    is_connected(&mut first);
    let many = rounds(20, 8);
    let mut queue: Vec<Child> = (1..=many)
        .map(|number| {
            let mut child = start(&place);
            waits(&mut child, number);
            child
        })
        .collect();
    // Some go before it is their turn, in either way.
    closes(&mut queue[2]);
    queue[5].kill();
    // One that was served is the last when it comes again.
    first.say("close and open");
    for (i, child) in queue.iter_mut().enumerate() {
        if i == 2 || i == 5 {
            continue;
        }
        is_connected(child);
        serves(&host, child);
        if i % 2 == 0 {
            closes(child);
        } else {
            child.kill_now();
        }
    }
    first.expect("connected again");
    serves(&host, &first);
    for i in [2, 5] {
        assert_eq!(queue[i].lines_so_far(), [""; 0]);
    }
}

/// One that is stopped keeps the next one waiting for a moment only, and does not lose its place.
#[test]
fn the_frozen_are_passed_over() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    // Nobody waits for this.
    let hour = Duration::from_secs(3600);
    let builder = place.host().on_message(|_, _| {});
    let host = builder.handshake_timeout(hour).open().unwrap();
    let mut guests: Vec<Child> = (0..5)
        .map(|number| {
            let mut child = start(&place);
            match number {
                0 => drop(is_connected(&mut child)),
                _ => waits(&mut child, number),
            }
            child
        })
        .collect();
    freeze(&guests[1]);
    freeze(&guests[2]);
    let mut next = |before: usize, next: usize, thawed: Option<usize>| {
        if let Some(thawed) = thawed {
            thaw(&guests[thawed]);
            until("it waits again, as the first", || {
                guests[thawed].say("wait");
                guests[thawed].next_line().contains("number 1 in its queue")
            });
        }
        closes(&mut guests[before]);
        is_connected(&mut guests[next]);
        serves(&host, &guests[next]);
    };
    next(0, 3, None);
    // It was offered the place, came too late, and is still before the last.
    next(3, 2, Some(2));
    next(2, 4, None);
    next(4, 1, Some(1));
}

/// Nobody waits for a host that has gone; the next one is found.
#[test]
fn the_host_goes() {
    let _watchdog = Watchdog::new(120);
    for kill in [false, true] {
        let place = Place::new();
        let mut old = place.start("host", Side::Host);
        old.expect("open");
        let mut guests: Vec<Child> = Vec::new();
        for number in 0..4 {
            let mut child = start(&place);
            match number {
                0 => drop(is_connected(&mut child)),
                _ => waits(&mut child, number),
            }
            guests.push(child);
        }
        if kill {
            old.kill();
        } else {
            old.say("close");
        }
        let builder = place.host().on_message(|_, _| {});
        let log = Log::new();
        let new = builder.on_error(log.errors()).open().unwrap();
        for _ in 0..4 {
            let mut pid = None;
            until("one is connected", || {
                pid = peer_of(&new);
                pid.is_some()
            });
            let pid = pid.unwrap();
            let i = guests.iter().position(|guest| guest.pid() == pid).unwrap();
            let mut guest = guests.swap_remove(i);
            // One may have called the old host once more, just as that went.
            let was = |line: &str, what| line.starts_with(&format!("error {what} "));
            let last = guest.wait_for_line(|line| !was(line, "Busy") && !was(line, "NotConnected"));
            assert!(last.starts_with("connected "), "{last}");
            guest.kill();
            until("the host has noticed", || peer_of(&new) != Some(pid));
        }
        // One that was killed may have been about to come.
        for line in log.lines() {
            assert_eq!(line, "error NotConnected");
        }
    }
}

/// A guest that waits can be closed, and its `next` has its deadline.
#[test]
fn who_waits_may_give_up() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let log = Log::new();
    let host = place.host().on_error(log.errors()).open().unwrap();
    let mut child = start(&place);
    is_connected(&mut child);
    for _ in 0..10 {
        let guest = place.guest().open().unwrap();
        let e = guest.within(Duration::from_millis(20)).next().unwrap_err();
        // On Windows it may not have come to its first attempt.
        if cfg!(unix) || e.kind() != ErrorKind::TimedOut {
            assert_eq!(e.kind(), ErrorKind::Busy, "{e}");
        }
        guest.close(0, "");
    }
    let next = place.guest().open().unwrap();
    closes(&mut child);
    let _conn = connected(&next);
    let e = connected(&host).within(LIMIT).recv().unwrap_err();
    assert!(matches!(e.end(), Some(End::Closed { .. })), "{e:?}");
    if cfg!(unix) {
        assert_eq!(log.lines(), [""; 0], "no error of the host's");
    }
}

/// While nothing happens, neither those that wait nor their host does anything.
#[cfg(unix)]
#[test]
fn waiting_costs_nothing() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut host = place.start("host", Side::Host);
    host.expect("open");
    let mut guests: Vec<Child> = (0..21)
        .map(|number| {
            let mut child = start(&place);
            match number {
                0 => drop(is_connected(&mut child)),
                _ => waits(&mut child, number),
            }
            child
        })
        .collect();
    let (mut first, mut last) = (guests.swap_remove(1), guests.pop().unwrap());
    let mut time = || {
        [&mut host, &mut first, &mut last].map(|child| {
            child.say("time");
            child.next_line().parse::<u64>().unwrap()
        })
    };
    time();
    let before = time();
    std::thread::sleep(Duration::from_secs(1));
    let after = time();
    for (who, (before, after)) in before.into_iter().zip(after).enumerate() {
        let used = Duration::from_micros(after - before);
        println!(
            "{}: {used:?} in a second",
            ["the host", "the first", "the last"][who]
        );
        assert!(used < Duration::from_millis(20), "{used:?} in a second");
    }
}
