//! What one side has set last outlives it: two processes, both sides.

mod common;

use std::thread;
use std::time::Duration;

use common::{Parent, Place, Random, Side, Watchdog, amount, connected, peers, rounds, until};
use twinring::{Connection, End, ErrorKind, MAX_CHECKPOINT_LEN};

peers!(counter, idler);

/// The checkpoint of this number: its length and all of its bytes follow from it.
fn numbered(number: u64) -> Vec<u8> {
    let len = 8 + number as usize % (MAX_CHECKPOINT_LEN - 7);
    number.to_le_bytes().into_iter().cycle().take(len).collect()
}

/// The number of what the peer has set last, of which not a byte is another one's.
fn look(conn: &Connection) -> u64 {
    let Some(checkpoint) = conn.peer_checkpoint() else {
        return 0;
    };
    let number = checkpoint.number();
    assert_eq!(checkpoint[..], numbered(number));
    number
}

/// Sets one after the other, reads its peer's, and says by a message now and then how far it is.
fn counter(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let mut seen = 0;
    for number in 1.. {
        conn.set_checkpoint(&numbered(number)).unwrap();
        if number % 1000 == 0 {
            conn.send(&number.to_le_bytes()).unwrap();
        }
        if number % 16 == 0 {
            let peers = look(&conn);
            assert!(peers >= seen, "{peers} after {seen}");
            seen = peers;
        }
    }
}

/// `side` is the one that reads it.
fn last_of_one_that_is_killed(side: Side) {
    let _watchdog = Watchdog::new(300);
    let place = Place::new();
    let link = place.builder(side).open().unwrap();
    let mut random = Random::unrepeatable();
    let mut before = None;
    for _ in 0..amount(rounds(20, 5), rounds(300, 20)) {
        let mut child = place.start("counter", side.opposite());
        let conn = connected(&link);
        let mut number = 0;
        let (mut seen, mut said) = (0, 0);
        let mut looks = 5000 + random.below(20_000);
        // Both sides set and read all the time, until it is well under way.
        while looks > 0 || said == 0 {
            looks = looks.saturating_sub(1);
            number += 1;
            conn.set_checkpoint(&numbered(number)).unwrap();
            let now = look(&conn);
            assert!(now >= seen, "{now} after {seen}");
            seen = now;
            if looks % 64 == 0 {
                let at_once = conn.within(twinring::Timeout::Now);
                while let Ok(Some(message)) = at_once.recv() {
                    said = u64::from_le_bytes(message.try_into().unwrap());
                }
                assert!(look(&conn) >= said, "older than a message after it");
            }
        }
        child.kill();
        assert_eq!(ended_after_all(&conn), End::Crashed);
        let last = look(&conn);
        assert!(last >= seen, "{last} after {seen}");
        assert_eq!(look(&conn), last);
        // Not the next connection's.
        if let Some((before, number)) = before.replace((conn, last)) {
            assert_eq!(look(&before), number);
        }
    }
}

/// How it ends, after everything that has arrived.
fn ended_after_all(conn: &Connection) -> End {
    loop {
        match conn.recv() {
            Ok(message) => assert!(message.is_some(), "finished"),
            Err(e) => return e.end().unwrap().clone(),
        }
    }
}

#[test]
fn of_a_killed_guest() {
    last_of_one_that_is_killed(Side::Host);
}

#[test]
fn of_a_killed_host() {
    last_of_one_that_is_killed(Side::Guest);
}

/// Sets what it is told, by however many threads, and leaves when it is told to.
fn idler(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    loop {
        match parent.next_line().as_str() {
            "leave" => break,
            "threads" => thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..1000 {
                            conn.set_checkpoint(b"x").unwrap();
                        }
                    });
                }
            }),
            "longest" => conn.set_checkpoint(&[7; MAX_CHECKPOINT_LEN]).unwrap(),
            "too long" => {
                let e = conn.set_checkpoint(&[8; MAX_CHECKPOINT_LEN + 1]);
                assert_eq!(e.unwrap_err().kind(), ErrorKind::TooLarge);
            }
            text => conn.set_checkpoint(text.as_bytes()).unwrap(),
        }
        parent.say("done");
    }
    conn.close(3, "leaving");
    let e = conn.set_checkpoint(b"late").unwrap_err();
    assert!(matches!(e.end(), Some(End::Closed { .. })), "{e}");
    parent.say("left");
}

#[test]
fn any_length_any_thread_any_time() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("idler", side.opposite());
        let conn = connected(&link);
        assert_eq!(conn.peer_checkpoint(), None);
        let mut set = |what: &str| {
            child.say(what);
            child.expect("done");
            let checkpoint = conn.peer_checkpoint().unwrap();
            (checkpoint.number(), checkpoint.to_vec())
        };
        assert_eq!(set("page 1"), (1, b"page 1".to_vec()));
        assert_eq!(set(""), (2, vec![]));
        assert_eq!(set("longest"), (3, vec![7; 64]));
        assert_eq!(set("too long"), (3, vec![7; 64]));
        assert_eq!(set("threads"), (4003, b"x".to_vec()));
        // Nobody is woken, and nothing is received.
        let soon = conn.within(Duration::from_millis(10));
        assert!(soon.recv().unwrap_err().is_timeout());
        child.say("leave");
        child.expect("left");
        assert!(matches!(
            ended_after_all(&conn),
            End::Closed { code: 3, .. }
        ));
        until("the end", || conn.end().is_some());
        let checkpoint = conn.peer_checkpoint().unwrap();
        assert_eq!((checkpoint.number(), &checkpoint[..]), (4003, &b"x"[..]));
        let e = conn.set_checkpoint(b"late").unwrap_err();
        assert!(matches!(e.end(), Some(End::Closed { .. })), "{e}");
    }
}
