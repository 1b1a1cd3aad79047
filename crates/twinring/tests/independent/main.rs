//! A peer that shares nothing with this library but `docs/format.md`: `peer.py`, a host and a guest in Python, each of
//! which talks to this library's other side.

#![cfg(target_os = "linux")]
// Where Python needs no more ordering than its peer.py explains.
#![cfg(target_arch = "x86_64")]

#[path = "../common/mod.rs"]
mod common;
mod python;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::thread;
use std::time::Duration;

use common::{
    ABANDONED, CLOSED, CRASHED, LIMIT, Log, Parent, Place, STOPPED, Side, Watchdog, amount,
    connected, end_text, ended, kind, of_io, peers, stream_ended,
};
use python::{Python, Sleep};
use twinring::{Builder, By, Connection, End, ErrorKind, Link, Result, Timeout, Wait};

peers!(silent);

const CAPACITY: u64 = 4096;
const MAX_MESSAGE: u64 = 1 << 20;

/// What `peer.py` sends as a message of this length, and takes for a good one.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

/// A name of a length that the peer can hash.
fn place() -> Place {
    Place::named("an independent peer")
}

fn builder(place: &Place, side: Side) -> Builder {
    place
        .builder(side)
        .ring_capacity(CAPACITY)
        .max_message(MAX_MESSAGE)
        .wait(Wait::Sleep)
}

/// Connects the peer with a link, which is this side.
fn pair(place: &Place, side: Side, sleep: Sleep) -> (Link, Connection, Python) {
    let mut peer = Python::start(place, sleep);
    let (link, conn) = match side {
        Side::Host => {
            let link = builder(place, side).open().unwrap();
            peer.expect(&format!("guest 1 1 {MAX_MESSAGE}"), "connected");
            let conn = connected(&link);
            (link, conn)
        }
        Side::Guest => {
            peer.expect("listen", "listening");
            peer.begin(&format!("host {CAPACITY} 1 1 {MAX_MESSAGE}"));
            let link = builder(place, side).open().unwrap();
            assert_eq!(peer.answer(), "connected");
            let conn = connected(&link);
            (link, conn)
        }
    };
    (link, conn, peer)
}

/// The test for a link on each side, and a peer that sleeps in each way.
fn each(test: impl Fn(Connection, Python)) {
    let _watchdog = Watchdog::new(240);
    if !Python::is_there() {
        return;
    }
    for side in Side::BOTH {
        for sleep in Sleep::BOTH {
            println!("this side is the {side}, the peer sleeps by {sleep:?}");
            let place = place();
            let (_link, conn, peer) = pair(&place, side, sleep);
            test(conn, peer);
        }
    }
}

/// Long enough for either side to be asleep, however it waits.
const ASLEEP: Duration = Duration::from_millis(20);

/// Of all lengths around a frame's, a word's and the ring's.
const LENGTHS: [usize; 18] = [
    0, 1, 7, 8, 9, 64, 1000, 1015, 1016, 1017, 2039, 2040, 2041, 4095, 4096, 5000, 65_537,
    1_048_576,
];

#[test]
fn messages_small_and_large() {
    each(|conn, mut peer| {
        for len in LENGTHS {
            thread::scope(|scope| {
                // A long one does not fit into the ring: its receiver has to be there.
                scope.spawn(|| conn.send(&pattern(len)).unwrap());
                peer.expect("receive", &format!("{len} good"));
            });
            peer.begin(&format!("send {len}"));
            assert!(conn.recv().unwrap().unwrap() == pattern(len), "{len} bytes");
            assert_eq!(peer.answer(), "sent");
        }
        // Many, so that the positions go round the ring.
        let many = amount(200, 2000);
        peer.begin(&format!("echo {many}"));
        for i in 0..many {
            let message = pattern(i * 37 % 900);
            conn.send(&message).unwrap();
            assert!(conn.recv().unwrap().unwrap() == message, "message {i}");
        }
        assert_eq!(peer.answer(), "echoed");
        assert_eq!(conn.end(), None);
    });
}

#[test]
fn messages_in_chunks() {
    each(|conn, mut peer| {
        // A stream of ours, with a message of another thread in between.
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = conn.send_stream().unwrap();
                let content = pattern(50_000);
                stream.write_all(&content[..20_000]).unwrap();
                conn.send(&pattern(33)).unwrap();
                stream.write_all(&content[20_000..]).unwrap();
                stream.finish().unwrap();
            });
            peer.expect("receive", "33 good");
            peer.expect("receive", "50000 good");
        });
        // A stream of the peer's, in chunks of each size up to the longest.
        for chunk in [1, 8, 100, 1016, 2040] {
            peer.begin(&format!("send 10000 {chunk}"));
            let mut content = Vec::new();
            conn.recv_stream()
                .unwrap()
                .unwrap()
                .read_to_end(&mut content)
                .unwrap();
            assert!(content == pattern(10_000), "in chunks of {chunk}");
            assert_eq!(peer.answer(), "sent");
        }
        // A message that overtakes it.
        peer.begin("overtake 10000 1000 77");
        assert!(conn.recv().unwrap().unwrap() == pattern(77));
        assert!(conn.recv().unwrap().unwrap() == pattern(10_000));
        assert_eq!(peer.answer(), "sent");
        // In place, as long as that can be.
        let mut reserved = conn.reserve(CAPACITY as usize / 2 - 8).unwrap();
        reserved.write_all(&pattern(2040)).unwrap();
        reserved.commit().unwrap();
        peer.expect("receive", "2040 good");
        assert_eq!(conn.end(), None);
    });
}

/// Both sides sleep without a limit before each message, so a wake-up that is lost is a hang.
#[test]
fn each_wakes_the_other() {
    const ROUNDS: u64 = 20;
    each(|conn, mut peer| {
        // For data.
        peer.begin(&format!("echo {ROUNDS}"));
        for i in 0..ROUNDS {
            thread::sleep(ASLEEP);
            conn.send(&i.to_le_bytes()).unwrap();
            assert_eq!(conn.recv().unwrap().unwrap(), i.to_le_bytes());
        }
        assert_eq!(peer.answer(), "echoed");
        let [slept, _] = peer.count();
        assert!(slept >= ROUNDS / 2, "the peer slept {slept} times");

        let [_, before] = peer.count();
        for i in 0..ROUNDS {
            thread::scope(|scope| {
                let receiver = scope.spawn(|| conn.recv().unwrap().unwrap());
                thread::sleep(ASLEEP);
                peer.expect("send 20", "sent");
                assert_eq!(receiver.join().unwrap(), pattern(20), "message {i}");
            });
        }
        let [_, after] = peer.count();
        let woke = after - before;
        assert!(woke >= ROUNDS / 2, "the peer found us asleep {woke} times");

        // For room: ours to write, and the peer's.
        let [_, before] = peer.count();
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for _ in 0..ROUNDS {
                    conn.send(&pattern(1000)).unwrap();
                }
            });
            for _ in 0..ROUNDS {
                thread::sleep(ASLEEP);
                peer.expect("receive", "1000 good");
            }
            sender.join().unwrap();
        });
        let [slept, after] = peer.count();
        let woke = after - before;
        assert!(woke >= ROUNDS / 2, "the peer found us asleep {woke} times");
        peer.begin("send 20000");
        thread::sleep(ASLEEP);
        assert!(conn.recv().unwrap().unwrap() == pattern(20_000));
        assert_eq!(peer.answer(), "sent");
        let [now, _] = peer.count();
        assert!(now > slept, "the peer slept for room");
    });
}

// Ends.

const CLOSED_7: &str = r#"Closed { by: Peer, code: 7, reason: "all-is-said" }"#;
const STOPPED_8: &str = r#"Stopped { code: 8, reason: "too-much" }"#;

/// How the whole connection has ended, as soon as it has.
fn end_of(conn: &Connection) -> String {
    common::until("it ends", || conn.end().is_some());
    end_text(&conn.end().unwrap())
}

/// What the peer did, that a call says it may not.
#[track_caller]
fn fault_of<T: std::fmt::Debug>(result: Result<T>) -> String {
    let e = result.unwrap_err();
    match e.end() {
        Some(End::Fault {
            by: By::Peer, what, ..
        }) => what.clone(),
        other => panic!("{other:?}: {e}"),
    }
}

#[test]
fn both_finish() {
    // This side first, the peer first; and whoever takes the last message.
    for peer_is_last in [false, true] {
        each(|conn, mut peer| {
            conn.send(&pattern(100)).unwrap();
            peer.expect("send 200", "sent");
            conn.finish().unwrap();
            peer.expect("finish", "finished");
            assert_eq!(kind(conn.send(b"more")), ErrorKind::Closed);
            let take = |peer: &mut Python| {
                peer.expect("receive", "100 good");
                peer.expect("receive", "finished");
            };
            if !peer_is_last {
                take(&mut peer);
            }
            assert_eq!(conn.recv().unwrap().unwrap(), pattern(200));
            assert_eq!(conn.recv().unwrap(), None);
            if peer_is_last {
                assert!(conn.end().is_none());
                take(&mut peer);
            }
            assert_eq!(end_of(&conn), "Finished");
            assert_eq!(conn.recv().unwrap(), None);
            peer.expect("receive", "finished");
            peer.expect("sent", "finished");
            conn.flush().unwrap();
        });
    }
}

/// A side that sleeps is told, and the other direction goes on.
#[test]
fn one_side_finishes() {
    each(|conn, mut peer| {
        peer.begin("receive");
        thread::sleep(ASLEEP);
        conn.finish().unwrap();
        assert_eq!(peer.answer(), "finished");
        thread::scope(|scope| {
            let receiver = scope.spawn(|| conn.recv());
            thread::sleep(ASLEEP);
            peer.expect("send 20", "sent");
            assert_eq!(receiver.join().unwrap().unwrap().unwrap(), pattern(20));
            let receiver = scope.spawn(|| conn.recv());
            thread::sleep(ASLEEP);
            peer.expect("finish", "finished");
            assert_eq!(receiver.join().unwrap().unwrap(), None);
        });
        assert_eq!(end_of(&conn), "Finished");
    });
}

/// What a finished side had said holds, however it ends.
#[test]
fn the_peer_finishes_and_leaves() {
    for (leave, sending) in [
        ("end 4", STOPPED),
        ("end 1 7 all-is-said", CLOSED_7),
        ("crash", CRASHED),
    ] {
        each(|conn, mut peer| {
            conn.send(&pattern(50)).unwrap();
            peer.expect("send 100", "sent");
            peer.expect("finish", "finished");
            peer.begin(leave);
            assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
            assert_eq!(conn.recv().unwrap(), None);
            assert_eq!(end_of(&conn), sending);
            assert_eq!(ended(conn.send(b"x")), sending);
            assert_eq!(ended(conn.flush()), sending);
            let unread: Vec<_> = conn.take_unread().unwrap().collect();
            assert_eq!(unread, [pattern(50)]);
        });
    }
}

/// This side, dropped after `finish`.
#[test]
fn this_side_finishes_and_leaves() {
    each(|conn, mut peer| {
        conn.send(&pattern(100)).unwrap();
        peer.expect("send 50", "sent");
        conn.finish().unwrap();
        drop(conn);
        peer.expect("receive", "100 good");
        peer.expect("receive", "finished");
        peer.expect("sent", "stopped 0 ");
        peer.expect("send 20000", "over stopped 0 ");
    });
}

#[test]
fn the_peer_closes() {
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.expect("send 200", "sent");
        peer.expect("end 1 7 all-is-said", "ended");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(200));
        assert_eq!(ended(conn.recv()), CLOSED_7);
        assert_eq!(ended(conn.send(b"x")), CLOSED_7);
        assert_eq!(end_of(&conn), CLOSED_7);
    });
}

#[test]
fn the_peer_closes_while_this_side_sleeps() {
    each(|conn, mut peer| {
        thread::scope(|scope| {
            let receiver = scope.spawn(|| ended(conn.recv()));
            let sender = scope.spawn(|| {
                loop {
                    let sent = conn.send(&pattern(1000));
                    if sent.is_err() {
                        break ended(sent);
                    }
                }
            });
            thread::sleep(ASLEEP);
            peer.expect("end 1 7 all-is-said", "ended");
            assert_eq!(receiver.join().unwrap(), CLOSED_7);
            assert_eq!(sender.join().unwrap(), CLOSED_7);
        });
    });
}

#[test]
fn this_side_closes() {
    each(|conn, mut peer| {
        conn.send(&pattern(100)).unwrap();
        conn.send(&pattern(200)).unwrap();
        conn.close(7, "all is said");
        peer.expect("receive", "100 good");
        peer.expect("receive", "200 good");
        peer.expect("receive", "closed 7 all is said");
        peer.expect("send 20000", "over closed 7 all is said");
    });
    // While the peer sleeps.
    each(|conn, mut peer| {
        peer.begin("receive");
        thread::sleep(ASLEEP);
        conn.close(0, &"\u{e4}".repeat(200));
        let text = "\u{e4}".repeat(127);
        assert_eq!(peer.answer(), format!("closed 0 {text}"));
    });
}

#[test]
fn either_leaves_without_a_word() {
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.expect("end 3", "ended");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        assert_eq!(ended(conn.recv()), ABANDONED);
        assert_eq!(ended(conn.send(b"x")), ABANDONED);
    });
    each(|conn, mut peer| {
        conn.send(&pattern(100)).unwrap();
        drop(conn);
        peer.expect("receive", "100 good");
        peer.expect("receive", "abandoned");
    });
    // One direction: the other goes on.
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.expect("abandon", "abandoned");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        assert_eq!(ended(conn.recv()), ABANDONED);
        conn.send(&pattern(100)).unwrap();
        peer.expect("receive", "100 good");
        assert_eq!(conn.end(), None);
    });
    each(|conn, mut peer| {
        let (sends, receives) = conn.split();
        sends.send(&pattern(100)).unwrap();
        drop(sends);
        peer.expect("receive", "100 good");
        peer.expect("receive", "abandoned");
        peer.expect("send 200", "sent");
        assert_eq!(receives.recv().unwrap().unwrap(), pattern(200));
    });
    each(|conn, mut peer| {
        let (sends, receives) = conn.split();
        drop(receives);
        peer.expect("send 200", "over stopped 0 ");
        sends.send(&pattern(100)).unwrap();
        peer.expect("receive", "100 good");
    });
}

#[test]
fn either_stops_the_other() {
    each(|conn, mut peer| {
        conn.send(&pattern(100)).unwrap();
        peer.expect("stop 8 too-much", "stopped");
        assert_eq!(ended(conn.send(b"x")), STOPPED_8);
        peer.expect("receive", "100 good");
        peer.expect("receive", "stopped here");
        // The other direction goes on.
        peer.expect("send 100", "sent");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        assert_eq!(conn.end(), None);
    });
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        conn.stop(8, "too much");
        peer.expect("send 100", "over stopped 8 too much");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        let stopped = r#"Stopped { code: 8, reason: "too much" }"#;
        assert_eq!(ended(conn.recv()), stopped);
        conn.send(&pattern(100)).unwrap();
        peer.expect("receive", "100 good");
    });
    // While the other waits for room.
    each(|conn, mut peer| {
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                loop {
                    let sent = conn.send(&pattern(1000));
                    if sent.is_err() {
                        break ended(sent);
                    }
                }
            });
            thread::sleep(ASLEEP);
            peer.expect("stop 8 too-much", "stopped");
            assert_eq!(sender.join().unwrap(), STOPPED_8);
        });
        for _ in 0..4 {
            peer.expect("send 1000", "sent");
        }
        peer.begin("send 1000");
        thread::sleep(ASLEEP);
        conn.stop(8, "too much");
        assert_eq!(peer.answer(), "over stopped 8 too much");
    });
}

#[test]
fn messages_that_are_given_up() {
    each(|conn, mut peer| {
        // By the peer, with a cause and without.
        for (order, told) in [
            (
                "abort 9 no-more-rows",
                r#"Aborted { code: 9, reason: "no-more-rows" }"#,
            ),
            ("abort", ABANDONED),
        ] {
            peer.expect("begin 500", "begun");
            peer.expect(order, "given up");
            assert_eq!(stream_ended(conn.recv()), told);
        }
        // By this side.
        let begin = || {
            let mut stream = conn.send_stream().unwrap();
            stream.write_all(&pattern(3000)).unwrap();
            stream
        };
        begin().abort(9, "no more rows");
        peer.expect("receive", "aborted 9 no more rows");
        drop(begin());
        peer.expect("receive", "given up");
        // The connection goes on.
        conn.send(&pattern(9)).unwrap();
        peer.expect("receive", "9 good");
        assert_eq!(conn.end(), None);
    });
}

#[test]
fn streams_that_the_receiver_stops() {
    each(|conn, mut peer| {
        // The peer's, the second of them, while it waits for room.
        peer.expect("send 2000 500", "sent");
        assert!(conn.recv().unwrap().unwrap() == pattern(2000));
        peer.begin("send 100000 1000");
        let mut stream = conn.recv_stream().unwrap().unwrap();
        let mut begun = vec![0; 5000];
        stream.read_exact(&mut begun).unwrap();
        assert!(begun == pattern(100_000)[..5000]);
        thread::sleep(ASLEEP);
        stream.stop(4, "that is enough");
        assert_eq!(peer.answer(), "stream stopped 4 that is enough");
        peer.expect("send 30", "sent");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(30));

        // Ours, the second of them, while it waits for room.
        thread::scope(|scope| {
            scope.spawn(|| conn.send(&pattern(2000)).unwrap());
            peer.expect("receive", "2000 good");
            let sender = scope.spawn(|| {
                let mut stream = conn.send_stream().unwrap();
                stream_ended(of_io(stream.write_all(&pattern(100_000))))
            });
            thread::sleep(ASLEEP);
            peer.expect("stop_stream 4 enough", "stopped");
            let told = r#"Stopped { code: 4, reason: "enough" }"#;
            assert_eq!(sender.join().unwrap(), told);
        });
        // It skips what is left, up to what comes after it.
        conn.send(&pattern(30)).unwrap();
        peer.expect("receive", "30 good");
        assert_eq!(conn.end(), None);
    });
}

#[test]
fn checkpoints_of_both_sides() {
    each(|conn, mut peer| {
        assert_eq!(conn.peer_checkpoint(), None);
        peer.expect("peer_checkpoint", "0 ");
        for number in 1..=9 {
            let text = "p".repeat(7 * number);
            peer.expect(&format!("checkpoint {text}"), "set");
            let checkpoint = conn.peer_checkpoint().unwrap();
            assert_eq!(checkpoint.number(), number as u64);
            assert_eq!(&checkpoint[..], text.as_bytes());
            // The peer looks now and then only.
            conn.set_checkpoint(text.as_bytes()).unwrap();
            if number % 2 == 0 {
                peer.expect("peer_checkpoint", &format!("{number} {text}"));
            }
        }
    });
}

/// Files with messages, in order with others; either side that takes some, or both.
#[test]
fn files_that_messages_carry() {
    let _watchdog = Watchdog::new(240);
    if !Python::is_there() {
        return;
    }
    for side in Side::BOTH {
        for [ours, peers] in [[3, 3], [3, 0], [0, 3]] {
            let place = place();
            let mut peer = Python::start(&place, Sleep::Word);
            peer.expect(&format!("take_handles {peers}"), "takes them");
            let builder = builder(&place, side).max_handles(ours);
            let link = match side {
                Side::Host => {
                    let link = builder.open().unwrap();
                    peer.expect(&format!("guest 1 1 {MAX_MESSAGE}"), "connected");
                    link
                }
                Side::Guest => {
                    peer.expect("listen", "listening");
                    peer.begin(&format!("host {CAPACITY} 1 1 {MAX_MESSAGE}"));
                    let link = builder.open().unwrap();
                    assert_eq!(peer.answer(), "connected");
                    link
                }
            };
            let conn = connected(&link);
            assert_eq!(conn.peer_max_handles(), peers);
            let file = |text: &str| {
                let path = place.directory().join(format!("{text}.txt"));
                std::fs::write(&path, text).unwrap();
                File::open(path).unwrap().into()
            };
            for round in 0..100 {
                if peers > 0 {
                    let mut files = vec![file("one"), file("two")];
                    conn.send_with_handles(b"these", &mut files).unwrap();
                    conn.send(&pattern(round)).unwrap();
                    conn.send_with_handles(b"this", &mut vec![file("three")])
                        .unwrap();
                    peer.expect("receive", "these with one two");
                    peer.expect("receive", &format!("{round} good"));
                    peer.expect("receive", "this with three");
                }
                if ours > 0 {
                    peer.expect("send_files those a b c", "sent");
                    peer.expect(&format!("send {round}"), "sent");
                    let (message, handles) = conn.recv_with_handles().unwrap().unwrap();
                    assert_eq!(message, b"those");
                    let texts = handles.into_iter().map(|handle| {
                        let mut text = String::new();
                        let mut file = File::try_from(handle).unwrap();
                        file.rewind().unwrap();
                        file.read_to_string(&mut text).unwrap();
                        text
                    });
                    assert!(texts.eq(["a", "b", "c"]));
                    assert_eq!(conn.recv().unwrap(), Some(pattern(round)));
                }
            }
        }
    }
}

/// A receiver stops a message that becomes longer than it wants; in a frame it may not be.
#[test]
fn messages_that_are_too_long() {
    each(|conn, mut peer| {
        let too_long = MAX_MESSAGE as usize + 50_000;
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut stream = conn.send_stream().unwrap();
                stream_ended(of_io(stream.write_all(&vec![0; too_long])))
            });
            peer.expect("receive", "too long");
            peer.begin("receive");
            let told = r#"Stopped { code: 0, reason: "too long" }"#;
            assert_eq!(sender.join().unwrap(), told);
            conn.send(&pattern(30)).unwrap();
            assert_eq!(peer.answer(), "30 good");
        });
        peer.begin(&format!("send {too_long} 2000"));
        assert_eq!(kind(conn.recv()), ErrorKind::TooLarge);
        let told = peer.answer();
        assert!(told.starts_with("stream stopped 0 "), "{told}");
        peer.expect("send 30", "sent");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(30));
        assert_eq!(conn.end(), None);
    });
}

/// What a receiver that is not of this library has taken, and what comes back.
#[test]
fn what_the_peer_has_taken() {
    const LENGTHS: [usize; 5] = [10, 20, 30, 40, 50];
    for (leave, end) in [
        ("end 1 7 all-is-said", CLOSED_7),
        ("end 3", ABANDONED),
        ("crash", CRASHED),
        // It goes on sending, and takes no more.
        ("seal", STOPPED_8),
    ] {
        each(|conn, mut peer| {
            for len in LENGTHS {
                conn.send(&pattern(len)).unwrap();
            }
            let taken = conn.taken().unwrap();
            assert_eq!((taken.messages, taken.bytes, taken.waiting), (0, 0, 5));
            peer.expect("receive", "10 good");
            peer.expect("receive", "20 good");
            let taken = conn.taken().unwrap();
            assert_eq!((taken.messages, taken.bytes, taken.waiting), (2, 30, 3));
            assert!(conn.within(Timeout::Now).flush().unwrap_err().is_timeout());
            assert_eq!(kind(conn.take_unread()), ErrorKind::Unsupported);
            if leave == "seal" {
                peer.expect("stop 8 too-much", "stopped");
                let early = conn.within(Timeout::Now).take_unread();
                assert!(early.unwrap_err().is_timeout(), "it may still take");
            }
            peer.begin(leave);
            assert_eq!(ended(conn.flush()), end);
            let unread: Vec<_> = conn.take_unread().unwrap().collect();
            assert_eq!(unread, [pattern(30), pattern(40), pattern(50)]);
            assert_eq!(conn.taken().unwrap().messages, 2);
        });
    }
    // A large message, part of which the peer has.
    each(|conn, mut peer| {
        conn.send(&pattern(2500)).unwrap();
        conn.send(&pattern(60)).unwrap();
        peer.expect("take 1", "taken");
        peer.expect("end 3", "ended");
        assert_eq!(end_of(&conn), ABANDONED);
        let unread = conn.take_unread().unwrap();
        assert!(unread.partial());
        assert_eq!(unread.collect::<Vec<_>>(), [pattern(60)]);
    });
}

/// After this side's own end, the peer goes on reading for as long as it likes.
#[test]
fn what_the_peer_takes_after_the_end() {
    each(|conn, mut peer| {
        for len in [10, 20, 30] {
            conn.send(&pattern(len)).unwrap();
        }
        conn.close(7, "all is said");
        peer.expect("receive", "10 good");
        let early = conn.within(Timeout::Now).take_unread();
        assert!(early.unwrap_err().is_timeout(), "it may still take");
        peer.expect("seal", "sealed");
        let unread: Vec<_> = conn.take_unread().unwrap().collect();
        assert_eq!(unread, [pattern(20), pattern(30)]);
    });
    each(|conn, mut peer| {
        conn.send(&pattern(10)).unwrap();
        conn.close(7, "all is said");
        peer.expect("receive", "10 good");
        peer.expect("receive", "closed 7 all is said");
        assert_eq!(conn.take_unread().unwrap().count(), 0);
    });
}

/// What this side has taken, as the peer counts it.
#[test]
fn what_this_side_has_taken() {
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.expect("send 200", "sent");
        peer.expect("finish", "finished");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        let view = conn.recv_in_place().unwrap().unwrap();
        // A view that is held is not taken.
        peer.begin("sent");
        thread::sleep(ASLEEP);
        drop(view);
        assert_eq!(peer.answer(), "finished");
    });
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.expect("finish", "finished");
        let view = conn.recv_in_place().unwrap().unwrap();
        conn.close(7, "all is said");
        drop(view);
        peer.expect("sent", "closed 7 all is said");
    });
}

#[test]
fn the_peer_crashes() {
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.begin("crash");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        assert_eq!(ended(conn.recv()), CRASHED);
    });
}

/// A process of this library that says something and then nothing more.
fn silent(parent: &'static Parent) {
    let link = builder(&parent.place, parent.side).open().unwrap();
    let conn = connected(&link);
    conn.send(&pattern(100)).unwrap();
    parent.wait_for_the_end();
}

#[test]
fn this_side_crashes() {
    let _watchdog = Watchdog::new(240);
    if !Python::is_there() {
        return;
    }
    for side in Side::BOTH {
        for sleep in Sleep::BOTH {
            let place = place();
            let mut peer = Python::start(&place, sleep);
            if side == Side::Guest {
                peer.expect("listen", "listening");
                peer.begin(&format!("host {CAPACITY} 1 1 {MAX_MESSAGE}"));
            }
            let mut child = place.start("silent", side);
            if side == Side::Host {
                common::until("the host listens", || place.files() == ["lock", "sock"]);
                peer.begin(&format!("guest 1 1 {MAX_MESSAGE}"));
            }
            assert_eq!(peer.answer(), "connected");
            peer.expect("receive", "100 good");
            peer.begin("receive");
            thread::sleep(ASLEEP);
            child.kill();
            assert_eq!(peer.answer(), "crashed");
        }
    }
}

#[test]
fn either_breaks_the_protocol() {
    // A header of ones.
    each(|conn, mut peer| {
        peer.expect("word 4294967295 4294967295", "written");
        fault_of(conn.recv());
        peer.expect("receive", "fault");
    });
    // The peer says that this side has, whatever it may mean.
    each(|conn, mut peer| {
        peer.expect("end 2", "ended");
        let end = ended(conn.recv());
        assert!(end.starts_with("Fault { by: Local"), "{end}");
    });
    // Words that mean nothing, or nothing in this version.
    for goodbye in [5, 6, 7, u32::MAX] {
        each(|conn, mut peer| {
            peer.expect("send 100", "sent");
            peer.expect(&format!("end {goodbye}"), "ended");
            assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
            let what = fault_of(conn.recv());
            assert!(
                what.contains(&format!("`goodbye` has become {goodbye}")),
                "{what}"
            );
        });
    }
    each(|conn, mut peer| {
        peer.expect("end 4", "ended");
        let what = fault_of(conn.recv());
        assert!(what.contains("without having finished"), "{what}");
    });
    each(|conn, mut peer| {
        peer.expect("send 100", "sent");
        peer.expect("say sending 3", "said");
        assert_eq!(conn.recv().unwrap().unwrap(), pattern(100));
        let what = fault_of(conn.recv());
        assert!(what.contains("`sending` has become 3"), "{what}");
        peer.expect("receive", "fault");
    });
    each(|conn, mut peer| {
        peer.expect("say receiving 3", "said");
        let what = fault_of(conn.send(b"x"));
        assert!(what.contains("`receiving` has become 3"), "{what}");
        peer.expect("receive", "fault");
    });
    // A stop that the peer does not heed.
    each(|conn, mut peer| {
        peer.begin("ignore 1000");
        let mut stream = conn.recv_stream().unwrap().unwrap();
        stream.read_exact(&mut [0; 5000]).unwrap();
        stream.stop(4, "enough");
        let what = fault_of(conn.recv());
        assert!(what.contains("told to stop"), "{what}");
        assert_eq!(peer.answer(), "over fault");
    });
}

/// One after the other, in one place.
#[test]
fn they_find_each_other_again() {
    let _watchdog = Watchdog::new(240);
    if !Python::is_there() {
        return;
    }
    let place = place();
    let mut peer = Python::start(&place, Sleep::Doorbell);
    peer.expect("listen", "listening");
    let guest = builder(&place, Side::Guest).open().unwrap();
    for _ in 0..3 {
        peer.expect(&format!("host {CAPACITY} 1 1 100"), "connected");
        let conn = connected(&guest);
        conn.send(&pattern(100)).unwrap();
        peer.expect("receive", "100 good");
        peer.expect("end 1", "ended");
        assert_eq!(ended(conn.recv()), CLOSED);
    }
    guest.close(0, "");
    peer.expect("close", "closed");
    // The lock is free, so this library can have the name.
    let host = builder(&place, Side::Host).open().unwrap();
    let mut other = Python::start(&place, Sleep::Word);
    peer.expect("guest 1 1 100", "connected");
    for _ in 0..3 {
        let conn = connected(&host);
        // The host is taken, until it is not.
        other.expect("guest 1 1 100", "waits 1");
        peer.expect("end 1", "ended");
        assert_eq!(ended(conn.recv()), CLOSED);
        assert_eq!(other.answer(), "connected");
        std::mem::swap(&mut peer, &mut other);
    }
}

// Versions.

#[test]
fn a_guest_of_another_version() {
    let _watchdog = Watchdog::new(120);
    if !Python::is_there() {
        return;
    }
    let place = place();
    let log = Log::new();
    let host = builder(&place, Side::Host)
        .on_error(log.errors())
        .open()
        .unwrap();
    let mut peer = Python::start(&place, Sleep::Doorbell);
    // Only later ones, also with bytes that version 1 does not know; only earlier ones; none.
    for versions in ["2 3 0", "2 3 0 1", "0 0 0", "2 1 0"] {
        let told = peer.order(&format!("guest {versions}"));
        assert!(told.starts_with("refused 2 "), "{versions}: {told}");
        assert!(told.contains("update the older side"), "{told}");
    }
    assert_eq!(log.wait_for(1)[0], "error Version");
    // A later one that goes on speaking version 1.
    peer.expect("guest 1 7 100", "connected");
    let conn = connected(&host);
    conn.send(&pattern(100)).unwrap();
    peer.expect("receive", "100 good");
}

#[test]
fn a_host_of_another_version() {
    let _watchdog = Watchdog::new(120);
    if !Python::is_there() {
        return;
    }
    let place = place();
    let log = Log::new();
    let guest = builder(&place, Side::Guest)
        .on_error(log.errors())
        .open()
        .unwrap();
    let mut peer = Python::start(&place, Sleep::Doorbell);
    peer.expect("listen", "listening");
    // It speaks only later ones, and refuses.
    let told = peer.order(&format!("host {CAPACITY} 2 3 0"));
    let said = "the guest speaks versions 1 to 1, the host 2 to 3";
    assert_eq!(told, format!("refused 2 {said}"));
    assert_eq!(log.wait_for(1)[0], "error Version");
    // It answers with a version that was not offered.
    let told = peer.order(&format!("host {CAPACITY} 1 3 0 3"));
    assert!(told.starts_with("refused 2 "), "{told}");
    // A later one that goes on speaking version 1.
    peer.expect(&format!("host {CAPACITY} 1 3 100"), "connected");
    let conn = connected(&guest);
    conn.send(&pattern(100)).unwrap();
    peer.expect("receive", "100 good");
}

/// A side that receives no message but an empty one.
#[test]
fn no_message_is_longer_than_nothing() {
    let _watchdog = Watchdog::new(120);
    if !Python::is_there() {
        return;
    }
    let place = place();
    let host = place.host().max_message(0).open().unwrap();
    let mut peer = Python::start(&place, Sleep::Doorbell);
    peer.expect("guest 1 1 0", "connected");
    let conn = connected(&host);
    assert_eq!(kind(conn.send(b"x")), ErrorKind::TooLarge);
    conn.send(b"").unwrap();
    peer.expect("receive", "0 good");
    peer.expect("send 0", "sent");
    assert_eq!(conn.within(LIMIT).recv().unwrap().unwrap(), b"");
    // The peer writes one all the same.
    peer.expect("word 1 769 16", "written");
    let what = fault_of(conn.within(LIMIT).recv());
    assert!(what.contains("max_message"), "{what}");
}
