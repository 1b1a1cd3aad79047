//! Deadlines, full rings, messages that are too long, names and options.

mod common;

use std::io::IoSlice;
use std::time::{Duration, Instant};

use common::{
    ABANDONED, CLOSED, LIMIT, Parent, Place, Random, Side, Watchdog, check, connected, end_text,
    ended, labelled, message, peers, read_label,
};
use twinring::{Connection, ErrorKind, Link, MAX_NAME_LEN, Timeout};

peers!(listener, echo, frugal, signalled);

const CAPACITY: usize = 64 * 1024;

/// Receives as often as it is told to, and says what came.
fn listener(parent: &'static Parent) {
    let link = parent
        .builder()
        .ring_capacity(CAPACITY as u64)
        .open()
        .unwrap();
    let conn = connected(&link);
    loop {
        for _ in 0..parent.next_as() {
            parent.say(match conn.recv() {
                Ok(Some(bytes)) => match read_label(&bytes) {
                    Ok((_, sequence)) => format!("{sequence}"),
                    Err(_) => format!("filling of {}", bytes.len()),
                },
                Ok(None) => "finished".to_owned(),
                Err(e) => format!("{:?} {}", e.kind(), end_text(e.end().unwrap())),
            });
        }
    }
}

/// Calls with a deadline end when it has passed, and not before.
#[track_caller]
fn times_out<T: std::fmt::Debug>(timeout: Duration, call: impl FnOnce() -> twinring::Result<T>) {
    let start = Instant::now();
    let e = call().unwrap_err();
    let took = start.elapsed();
    assert!(e.is_timeout(), "{e}");
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
        times_out(SHORT, || link.within(SHORT).next());
        for none in [Timeout::Now, Duration::ZERO.into(), Instant::now().into()] {
            times_out(Duration::ZERO, || link.within(none).next());
        }

        let mut child = place.start("listener", side.opposite());
        let conn = connected(&link);
        // Beside a peer that says nothing.
        let soon = conn.within(SHORT);
        times_out(SHORT, || soon.recv());
        times_out(SHORT, || soon.recv_into(&mut Vec::new()));
        times_out(SHORT, || soon.recv_in_place());
        times_out(SHORT, || soon.recv_batch());
        times_out(SHORT, || soon.recv_stream());
        // One moment for several calls.
        let together = conn.within(Instant::now() + SHORT);
        times_out(SHORT, || together.recv());
        times_out(Duration::ZERO, || together.recv());
        for none in [Timeout::Now, Duration::ZERO.into()] {
            times_out(Duration::ZERO, || conn.within(none).recv());
        }
        soon.send(&labelled(1, 0, 0)).unwrap();

        // And one that does not read.
        let filled = fill(&conn);
        times_out(SHORT, || soon.send(&labelled(1, 1, 1000)));
        times_out(SHORT, || soon.send(&labelled(1, 1, 1_000_000)));
        times_out(SHORT, || soon.send_batch(&[labelled(1, 1, 0)]));
        times_out(SHORT, || soon.reserve(1000));
        times_out(SHORT, || soon.flush());
        let at_once = conn.within(Duration::ZERO);
        times_out(Duration::ZERO, || at_once.send(&labelled(1, 1, 0)));

        // Nothing of what failed is delivered.
        child.say(1 + filled.len() + 1);
        child.expect("0");
        for len in filled {
            child.expect(&format!("filling of {len}"));
        }
        conn.within(LIMIT).send(&labelled(1, 2, 1_000_000)).unwrap();
        child.expect("2");
        conn.within(LIMIT).flush().unwrap();
    }
}

/// Sends until not even an empty message fits; the lengths of what was sent. None of them can be
/// taken for a labelled message.
fn fill(conn: &Connection) -> Vec<usize> {
    let mut lens = Vec::new();
    for len in [1000, 8, 0] {
        let e = loop {
            match conn.within(Timeout::Now).send(&vec![0xff; len]) {
                Ok(()) => lens.push(len),
                Err(e) => break e,
            }
        };
        assert!(e.is_timeout(), "{e}");
        assert_eq!(
            std::io::Error::from(e).kind(),
            std::io::ErrorKind::WouldBlock
        );
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
        let conn = connected(&link);
        for round in 0..20 {
            conn.send(&labelled(1, 2 * round, 10)).unwrap();
            // Begins, since there is room, and cannot end, since nobody reads.
            let soon = conn.within(SHORT / 4);
            times_out(SHORT / 4, || soon.send(&labelled(9, 9, 3 * CAPACITY)));
            child.say(3);
            child.expect(&(2 * round).to_string());
            child.expect(&format!("StreamEnded {ABANDONED}"));
            conn.send(&labelled(1, 2 * round + 1, 3 * CAPACITY))
                .unwrap();
            child.expect(&(2 * round + 1).to_string());
        }
        conn.flush().unwrap();
        assert_eq!(conn.taken().unwrap().messages, 40, "and none of the others");
        // All the ring is there again: no room was lost to what was given up.
        let room = fill(&conn).into_iter().map(|len| len + 8).sum::<usize>();
        assert!(
            room > CAPACITY - 2000,
            "{room} bytes of {CAPACITY} can be used"
        );
    }
}

/// A full ring takes exactly as much again as is read from it, and a sender that does not wait sees that at
/// once.
#[test]
fn a_full_ring_goes_on_where_it_was_full() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("listener", side.opposite());
        let link = place
            .builder(side)
            .ring_capacity(CAPACITY as u64)
            .open()
            .unwrap();
        let conn = connected(&link);
        let at_once = conn.within(Timeout::Now);
        let (mut sent, mut read) = (0, 0);
        let mut random = Random::new(7);
        for _ in 0..50 {
            loop {
                match at_once.send(&labelled(1, sent, 1000)) {
                    Ok(()) => sent += 1,
                    Err(e) => {
                        assert!(e.is_timeout(), "{e}");
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
        at_once.send(&labelled(1, sent, chunks)).unwrap();
        let e = at_once.send(&labelled(1, 9999, chunks)).unwrap_err();
        assert!(e.is_timeout(), "{e}");
        let e = at_once.send(&labelled(1, 9999, CAPACITY)).unwrap_err();
        // Which it never will.
        assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
        child.say(2);
        child.expect(&sent.to_string());
        conn.send(&labelled(1, sent + 1, 0)).unwrap();
        child.expect(&(sent + 1).to_string());
    }
}

/// Takes messages of 100,000 bytes at most.
fn frugal(parent: &'static Parent) {
    let link = parent.builder().max_message(100_000).open().unwrap();
    let conn = connected(&link);
    loop {
        match parent.next_line().as_str() {
            "receive" => parent.say(conn.recv().unwrap().unwrap().len()),
            // The limit is for what it receives, not for what it sends.
            "send" => conn.send(&message(1, 0, 200_000)).unwrap(),
            other => panic!("{other}"),
        }
    }
}

type Send = fn(&Connection, &[u8]) -> twinring::Result<()>;

#[test]
fn max_message_is_the_receivers_word() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("frugal", side.opposite());
        let link = place.builder(side).open().unwrap();
        let conn = connected(&link);
        for _ in 0..2 {
            let sends: [Send; 5] = [
                |conn, message| conn.send(message),
                |conn, message| conn.within(Timeout::Now).send(message),
                |conn, message| conn.within(LIMIT).send(message),
                |conn, message| conn.send_vectored(&[IoSlice::new(message)]),
                |conn, message| conn.send_batch(&[message]).map(|sent| assert_eq!(sent, 1)),
            ];
            for send in sends {
                send(&conn, &[1; 100_000]).unwrap();
                child.say("receive");
                child.expect("100000");
                for len in [100_001, 10_000_000] {
                    let e = send(&conn, &vec![1; len]).unwrap_err();
                    assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
                    assert!(e.to_string().contains("100000"), "{e}");
                }
            }
            child.say("send");
            check(&conn.recv().unwrap().unwrap(), 1, 0, 200_000);
        }
        assert_eq!(conn.end(), None, "the connection goes on");
    }
}

/// Takes empty messages only.
fn signalled(parent: &'static Parent) {
    let link = parent.builder().max_message(0).open().unwrap();
    let conn = connected(&link);
    while let Ok(Some(bytes)) = conn.recv() {
        parent.say(bytes.len());
        conn.send(&message(1, 0, 200_000)).unwrap();
    }
}

/// A peer may take empty messages only, which is its own affair: the connection goes on, and so does this side.
#[test]
fn a_max_message_of_0() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("signalled", side.opposite());
        let link = place.builder(side).open().unwrap();
        let conn = connected(&link);
        for _ in 0..3 {
            let too_large = |e: twinring::Error| {
                assert_eq!(e.kind(), ErrorKind::TooLarge, "{e}");
            };
            for len in [1, 8, 10_000_000] {
                too_large(conn.send(&vec![1; len]).unwrap_err());
            }
            too_large(conn.reserve(1).map(drop).unwrap_err());
            too_large(conn.send_batch(&[[1u8]]).unwrap_err());
            conn.send(b"").unwrap();
            child.expect("0");
            check(&conn.recv().unwrap().unwrap(), 1, 0, 200_000);
        }
        assert_eq!(conn.end(), None, "the connection goes on");
    }
}

fn echo(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    assert_eq!(link.name(), parent.place.name());
    let message = conn.recv().unwrap().unwrap();
    conn.send(&message).unwrap();
    assert_eq!(ended(conn.recv()), CLOSED);
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
        let conn = connected(&link);
        assert_eq!(link.name(), place.name());
        conn.send(place.name().as_bytes()).unwrap();
        assert_eq!(conn.recv().unwrap().unwrap(), place.name().as_bytes());
        conn.close(0, "");
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
        let conn = connected(&link);
        conn.send(b"far").unwrap();
        assert_eq!(conn.recv().unwrap().unwrap(), b"far");
        conn.close(0, "");
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
