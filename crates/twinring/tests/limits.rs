//! Deadlines, full rings, messages that are too long, names and options.

mod common;

use std::time::{Duration, Instant};

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, check, connected, labelled, message, peers,
    read_label,
};
use twinring::{ErrorKind, Link, MAX_NAME_LEN};

peers!(listener, echo, frugal);

const CAPACITY: usize = 64 * 1024;

/// Receives as often as it is told to, and says what came.
fn listener(parent: &'static Parent) {
    let link = parent
        .builder()
        .ring_capacity(CAPACITY as u64)
        .open()
        .unwrap();
    connected(&link);
    loop {
        for _ in 0..parent.next_as() {
            match link.recv() {
                Ok(bytes) => parent.say(match read_label(&bytes) {
                    Ok((_, sequence)) => format!("{sequence}"),
                    Err(_) => format!("filling of {}", bytes.len()),
                }),
                Err(e) => parent.say(format!("{:?}", e.kind())),
            }
        }
    }
}

/// Calls with a deadline end when it has passed, and not before.
#[track_caller]
fn times_out<T: std::fmt::Debug>(timeout: Duration, call: impl FnOnce() -> twinring::Result<T>) {
    let start = Instant::now();
    let e = call().unwrap_err();
    let took = start.elapsed();
    assert_eq!(e.kind(), ErrorKind::TimedOut, "{e}");
    assert!(e.is_temporary());
    // Windows counts in ticks of up to 16 ms and may be one early.
    let early = Duration::from_millis(if cfg!(windows) { 17 } else { 0 });
    assert!(
        took + early >= timeout,
        "too early: {took:?} of {timeout:?}"
    );
    assert!(
        took < timeout + LIMIT / 6,
        "too late: {took:?} instead of {timeout:?}"
    );
}

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn calls_end_at_their_deadline() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place
            .builder(side)
            .ring_capacity(CAPACITY as u64)
            .open()
            .unwrap();
        // Without a peer.
        times_out(SHORT, || link.recv_timeout(SHORT));
        times_out(SHORT, || link.wait_connected(SHORT));
        times_out(Duration::ZERO, || link.recv_timeout(Duration::ZERO));
        times_out(Duration::ZERO, || link.wait_connected(Duration::ZERO));
        assert_eq!(link.try_recv().unwrap(), None);

        let mut child = place.start("listener", side.opposite());
        connected(&link);
        // Beside a peer that says nothing.
        times_out(SHORT, || link.recv_timeout(SHORT));
        times_out(SHORT, || link.recv_into_timeout(&mut Vec::new(), SHORT));
        assert_eq!(link.try_recv().unwrap(), None);
        link.send_timeout(&labelled(1, 0, 0), SHORT).unwrap();

        // And one that does not read.
        let filled = fill(&link);
        times_out(SHORT, || link.send_timeout(&labelled(1, 1, 1000), SHORT));
        times_out(SHORT, || {
            link.send_timeout(&labelled(1, 1, 1_000_000), SHORT)
        });
        times_out(Duration::ZERO, || {
            link.send_timeout(&labelled(1, 1, 0), Duration::ZERO)
        });

        // Nothing of what failed is delivered.
        child.say(1 + filled.len() + 1);
        child.expect("0");
        for len in filled {
            child.expect(&format!("filling of {len}"));
        }
        link.send_timeout(&labelled(1, 2, 1_000_000), LIMIT)
            .unwrap();
        child.expect("2");
    }
}

/// Sends until not even an empty message fits; the lengths of what was sent. None of them can be
/// taken for a labelled message.
fn fill(link: &Link) -> Vec<usize> {
    let mut lens = Vec::new();
    for len in [1000, 8, 0] {
        let e = loop {
            match link.try_send(&vec![0xff; len]) {
                Ok(()) => lens.push(len),
                Err(e) => break e,
            }
        };
        assert_eq!(e.kind(), ErrorKind::Full, "{e}");
        assert!(e.is_temporary());
    }
    lens
}

/// A large message that is given up half-way: the receiver is told once, and gets what follows.
#[test]
fn a_message_given_up_half_way_is_told() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("listener", side.opposite());
        let link = place
            .builder(side)
            .ring_capacity(CAPACITY as u64)
            .open()
            .unwrap();
        connected(&link);
        for round in 0..20 {
            link.send(&labelled(1, 2 * round, 10)).unwrap();
            // Begins, since there is room, and cannot end, since nobody reads.
            times_out(SHORT / 4, || {
                link.send_timeout(&labelled(9, 9, 3 * CAPACITY), SHORT / 4)
            });
            child.say(3);
            child.expect(&(2 * round).to_string());
            child.expect("Aborted");
            link.send(&labelled(1, 2 * round + 1, 3 * CAPACITY))
                .unwrap();
            child.expect(&(2 * round + 1).to_string());
        }
        // All the ring is there again: no room was lost to what was given up.
        let room = fill(&link).into_iter().map(|len| len + 8).sum::<usize>();
        assert!(
            room > CAPACITY - 2000,
            "{room} bytes of {CAPACITY} can be used"
        );
    }
}

/// A full ring takes exactly as much again as is read from it, and `try_send` sees that at once.
#[test]
fn try_send_goes_on_where_it_was_full() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("listener", side.opposite());
        let link = place
            .builder(side)
            .ring_capacity(CAPACITY as u64)
            .open()
            .unwrap();
        connected(&link);
        let (mut sent, mut read) = (0, 0);
        let mut random = Random::new(7);
        for _ in 0..50 {
            loop {
                match link.try_send(&labelled(1, sent, 1000)) {
                    Ok(()) => sent += 1,
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Full, "{e}");
                        break;
                    }
                }
            }
            // 1024 bytes each, and padding where the ring wraps.
            let fit = (CAPACITY / 1024) as u64;
            assert!(
                (fit - 2..=fit).contains(&(sent - read)),
                "{} fit",
                sent - read
            );
            let some = 1 + random.below(20);
            child.say(some);
            for _ in 0..some {
                child.expect(&read.to_string());
                read += 1;
            }
        }
        // Several at once, if all chunks fit, and else none of them.
        child.say(sent - read);
        while read < sent {
            child.expect(&read.to_string());
            read += 1;
        }
        let chunks = 2 * CAPACITY / 4;
        link.try_send(&labelled(1, sent, chunks)).unwrap();
        let e = link.try_send(&labelled(1, 9999, chunks)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Full, "{e}");
        let e = link.try_send(&labelled(1, 9999, CAPACITY)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Full, "{e}");
        child.say(2);
        child.expect(&sent.to_string());
        link.send(&labelled(1, sent + 1, 0)).unwrap();
        child.expect(&(sent + 1).to_string());
    }
}

/// Takes messages of 100,000 bytes at most.
fn frugal(parent: &'static Parent) {
    let link = parent.builder().max_message(100_000).open().unwrap();
    connected(&link);
    loop {
        match parent.next_line().as_str() {
            "receive" => parent.say(link.recv().unwrap().len()),
            // The limit is for what it receives, not for what it sends.
            "send" => link.send(&message(1, 0, 200_000)).unwrap(),
            other => panic!("{other}"),
        }
    }
}

type Send = fn(&Link, &[u8]) -> twinring::Result<()>;

#[test]
fn max_message_is_the_receivers_word() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("frugal", side.opposite());
        let link = place.builder(side).open().unwrap();
        connected(&link);
        for _ in 0..2 {
            let sends: [Send; 3] = [
                |link, message| link.send(message),
                |link, message| link.try_send(message),
                |link, message| link.send_timeout(message, LIMIT),
            ];
            for send in sends {
                send(&link, &[1; 100_000]).unwrap();
                child.say("receive");
                child.expect("100000");
                for len in [100_001, 10_000_000] {
                    let e = send(&link, &vec![1; len]).unwrap_err();
                    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
                    assert!(!e.is_disconnect() && !e.is_temporary());
                    assert!(e.to_string().contains("100000"), "{e}");
                }
            }
            child.say("send");
            check(&link.recv().unwrap(), 1, 0, 200_000);
        }
        assert_eq!(link.generation(), 1, "the connection goes on");
    }
}

fn echo(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    connected(&link);
    assert_eq!(link.name(), parent.place.name());
    let message = link.recv().unwrap();
    link.send(&message).unwrap();
    assert_eq!(link.recv().unwrap_err().kind(), ErrorKind::Closed);
}

/// Any Unicode text is a name, and names that differ in a byte are different links.
#[test]
fn odd_names() {
    let _watchdog = Watchdog::new(120);
    let names = [
        "a name with blanks",
        "../../etc/passwd",
        r"C:\Windows\..\?*<>|\pipe",
        "ünïcödé 日本語 \u{1F980}\u{200d}\u{202e}",
        "'\"`$(x) %PATH% \u{a0}\u{3000}",
        "Case",
        "case",
    ];
    let links: Vec<_> = names
        .iter()
        .map(|name| {
            let place = Place::named(name);
            let link = place.host().open().unwrap();
            let child = place.start("echo", Side::Guest);
            (place, link, child)
        })
        .collect();
    for (place, link, child) in links {
        connected(&link);
        assert_eq!(link.name(), place.name());
        link.send(place.name().as_bytes()).unwrap();
        assert_eq!(link.recv().unwrap(), place.name().as_bytes());
        link.close();
        child.finish();
    }
}

#[test]
fn the_longest_names() {
    let _watchdog = Watchdog::new(60);
    for filling in ["x", "日"] {
        let room = MAX_NAME_LEN - Place::named("").name().len() - 1;
        let place = Place::named(&filling.repeat(room / filling.len()));
        assert!(place.name().len() > MAX_NAME_LEN - 4 && place.name().len() <= MAX_NAME_LEN);
        let link = place.host().open().unwrap();
        let child = place.start("echo", Side::Guest);
        connected(&link);
        link.send(b"far").unwrap();
        assert_eq!(link.recv().unwrap(), b"far");
        link.close();
        child.finish();
    }
}

#[test]
fn bad_names_are_refused() {
    let long = "x".repeat(MAX_NAME_LEN + 1);
    let long_in_bytes = "é".repeat(MAX_NAME_LEN / 2 + 1);
    let bad = [
        "",
        "\0",
        "a\0b",
        "line\n",
        "\ttab",
        "\u{7f}",
        "\u{85}",
        &long,
        &long_in_bytes,
    ];
    for name in bad {
        for builder in [Link::host(name), Link::guest(name)] {
            let e = builder.open().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidName, "{name:?}: {e}");
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let place = Place::new();
    for side in Side::BOTH {
        let refused = |builder: twinring::Builder, option: &str| {
            let e = builder.open().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidOption, "{e}");
            assert_eq!(e.link(), Some(place.name()));
            assert!(e.to_string().contains(option), "{e} does not name {option}");
        };
        for capacity in [
            0,
            1,
            2048,
            4095,
            4097,
            5000,
            (1 << 30) + 1,
            1 << 31,
            1 << 63,
            u64::MAX,
        ] {
            refused(place.builder(side).ring_capacity(capacity), "ring_capacity");
        }
        refused(
            place.builder(side).handshake_timeout(Duration::ZERO),
            "handshake_timeout",
        );
        for path in ["", "relative", "./relative"] {
            refused(place.builder(side).directory(path), "directory");
        }
    }
    // None of them took the name.
    place.host().open().unwrap();
}
