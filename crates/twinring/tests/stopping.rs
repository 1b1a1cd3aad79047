//! Both ends in one process: what threads of one side do at the moment that the other one stops, ends or lets go. Of
//! all that `send` accepted, each message is received or given back, never both, and nobody is told of more than
//! there is.

mod common;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use common::{LIMIT, Watchdog, amount, kind, rounds, until};
use twinring::{Connection, End, ErrorKind, Link, Result, Timeout};

fn pair() -> (Connection, Connection) {
    let (host, guest) = Link::pair().unwrap();
    (host.within(LIMIT), guest.within(LIMIT))
}

fn number(message: Vec<u8>) -> u64 {
    u64::from_le_bytes(message.try_into().unwrap())
}

/// Sends numbers until the peer wants no more; how many were accepted.
fn sends(conn: &Connection, batch: usize) -> u64 {
    let mut accepted = 0;
    loop {
        let messages: Vec<_> = (accepted..).take(batch).map(u64::to_le_bytes).collect();
        match conn.send_batch(&messages) {
            Ok(n) => accepted += n as u64,
            Err(_) => return accepted,
        }
    }
}

/// What comes back from a peer that has stopped or left, which on a busy machine it may say late.
fn back(conn: &Connection) -> Vec<Vec<u8>> {
    loop {
        match conn.take_unread() {
            Ok(unread) => return unread.collect(),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}"),
        }
    }
}

fn unread(conn: &Connection) -> Vec<u64> {
    back(conn).into_iter().map(number).collect()
}

/// A receiver that stops gets what is there, its sender the rest, also by a thread that asks while another sends;
/// and `None` says that all of it has been received.
#[test]
fn a_stop_beside_a_sender() {
    let _watchdog = Watchdog::new(240);
    for round in 0..amount(60, 600) {
        let (host, guest) = pair();
        let batch = if round % 2 == 0 { 1 } else { 2000 };
        let (sender, asker) = (host.clone(), host.clone());
        let sender = thread::spawn(move || {
            let accepted = sends(&sender, batch);
            let _ = sender.finish();
            accepted
        });
        let early = round % 3 == 0;
        let asker = early.then(|| thread::spawn(move || unread(&asker)));
        let mut got: Vec<u64> = (0..1 + round % 50)
            .map(|_| number(guest.recv().unwrap().unwrap()))
            .collect();
        guest.stop(1, "enough");
        let mut ends = Vec::new();
        let mut drain = |got: &mut Vec<u64>| {
            ends.push(loop {
                match guest.recv() {
                    Ok(Some(message)) => got.push(number(message)),
                    Ok(None) => break None,
                    Err(e) => break e.end().cloned(),
                }
            });
        };
        drain(&mut got);
        let accepted = sender.join().unwrap();
        drain(&mut got);
        let back = match asker {
            Some(asker) => asker.join().unwrap(),
            None => unread(&host),
        };
        if ends.contains(&None) {
            assert_eq!(got.len() as u64, accepted, "round {round}: {ends:?}");
        }
        let all: Vec<u64> = got.into_iter().chain(back).collect();
        assert!(
            all.iter().copied().eq(0..accepted),
            "round {round}: {} of {accepted}",
            all.len()
        );
    }
}

/// A large message that was not to wait, and is stopped in its middle, is given up like any other.
#[test]
fn a_stop_beside_a_large_message() {
    let _watchdog = Watchdog::new(120);
    for round in 0..amount(40u64, 400) {
        let (host, guest) = pair();
        let sender = thread::spawn(move || {
            let now = host.within(Timeout::Now);
            loop {
                match now.send(&[7; 900_000]) {
                    Err(e) if !e.is_timeout() => break,
                    _ => {}
                }
            }
            let _ = host.finish();
            host
        });
        if round % 2 == 0 {
            guest.recv().unwrap();
        }
        thread::sleep(Duration::from_micros(round * 37 % 500));
        guest.stop(0, "");
        loop {
            match guest.recv() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(e) if e.kind() == ErrorKind::StreamEnded => {}
                Err(e) => {
                    assert!(matches!(e.end(), Some(End::Stopped { .. })), "{e}");
                    break;
                }
            }
        }
        drop(sender.join().unwrap());
    }
}

/// What the program still holds when it has stopped is taken when it lets go, and its sender learns that.
#[test]
fn a_stop_with_a_view() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = pair();
    host.send(b"held").unwrap();
    host.send(b"read").unwrap();
    let view = guest.recv_in_place().unwrap();
    guest.stop(0, "");
    assert_eq!(guest.recv().unwrap().unwrap(), b"read");
    assert!(guest.recv().is_err());
    let late = host.within(Duration::from_millis(50)).take_unread();
    assert_eq!(kind(late), ErrorKind::TimedOut);
    drop(view);
    assert_eq!(host.take_unread().unwrap().count(), 0);
}

/// A stream and a batch are handles as others are: with the half that they came from gone, they go on.
#[test]
fn a_half_is_dropped_before_what_was_made_of_it() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = pair();
    let (_sending, receiving) = guest.split();
    let sender = host.clone();
    let sender = thread::spawn(move || sender.send(&vec![7; 8_000_000]));
    let mut stream = receiving.recv_stream().unwrap().unwrap();
    drop(receiving);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), 8_000_000);
    sender.join().unwrap().unwrap();
    drop(stream);
    assert!(host.send(b"nobody").is_err());

    let (host, guest) = pair();
    let (_sending, receiving) = guest.split();
    host.send(b"one").unwrap();
    host.send(b"two").unwrap();
    let mut batch = receiving.recv_batch().unwrap().unwrap();
    drop(receiving);
    assert_eq!(batch.next_message().unwrap(), b"one");
    batch.take();
    drop(batch);
    assert_eq!(back(&host), [b"two"]);
}

/// What comes back to the sender was not read to its end as well.
#[test]
fn a_close_beside_a_stream() {
    let _watchdog = Watchdog::new(120);
    // A pair takes 5 ms, under Wine 30 to 60.
    for round in 0..rounds(amount(200, 2000), 500) {
        let (host, guest) = pair();
        host.send(b"a message").unwrap();
        let mut stream = guest.recv_stream().unwrap().unwrap();
        let closer = guest.clone();
        let closer = thread::spawn(move || closer.close(0, ""));
        for _ in 0..round % 100 {
            std::hint::spin_loop();
        }
        let mut bytes = Vec::new();
        let whole = stream.read_to_end(&mut bytes).is_ok();
        closer.join().unwrap();
        drop((stream, guest));
        let back = back(&host);
        assert_eq!(usize::from(whole) + back.len(), 1, "round {round}");
    }
}

/// A receiver that waited before a message overtook the stream gets it.
#[test]
fn who_waits_gets_what_overtakes() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = pair();
    let mut sent = host.send_stream().unwrap();
    let mut chunk = [0; 100];
    let write =
        |sent: &mut twinring::SendStream| sent.write_all(&[1; 100]).and_then(|()| sent.flush());
    write(&mut sent).unwrap();
    let mut stream = guest.recv_stream().unwrap().unwrap();
    stream.read_exact(&mut chunk).unwrap();
    let waiting = guest.clone();
    let waiting = thread::spawn(move || waiting.recv());
    // It may wait by now, or only then; both must do.
    thread::sleep(Duration::from_millis(50));
    host.send(b"small").unwrap();
    write(&mut sent).unwrap();
    stream.read_exact(&mut chunk).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().unwrap(), b"small");
}

/// In whatever order batches are dropped.
#[test]
fn batches_come_again_in_order() {
    let _watchdog = Watchdog::new(60);
    for first in [true, false] {
        let (host, guest) = pair();
        let mut batches = Vec::new();
        for batch in 0..2u64 {
            for i in 0..3 {
                host.send(&(batch * 3 + i).to_le_bytes()).unwrap();
            }
            batches.push(guest.recv_batch().unwrap().unwrap());
        }
        let last = batches.pop().unwrap();
        let held = batches.pop().unwrap();
        let (one, two) = if first { (held, last) } else { (last, held) };
        drop(one);
        drop(two);
        let again: Vec<_> = (0..6)
            .map(|_| number(guest.recv().unwrap().unwrap()))
            .collect();
        assert_eq!(again, [0, 1, 2, 3, 4, 5]);
    }
}

/// What comes again is taken by itself: what is taken behind it does not take it, too. Nor does what is received.
#[test]
fn what_comes_again_is_taken_one_by_one() {
    let _watchdog = Watchdog::new(60);
    for (takes, left) in [
        ("the first", vec![1, 2, 3]),
        ("the second", vec![0, 1, 2, 3]),
        ("by recv", vec![0, 1, 2, 3]),
        ("in place", vec![0, 1, 2, 3]),
        ("both", vec![2, 3]),
    ] {
        let (host, guest) = pair();
        let all: Vec<_> = (0..4u64).map(u64::to_le_bytes).collect();
        host.send_batch(&all).unwrap();
        drop(guest.recv_batch().unwrap());
        let next = || {
            let mut batch = guest.recv_batch().unwrap().unwrap();
            let message = batch.next_message().unwrap().to_vec();
            (number(message), batch)
        };
        let (number_0, mut first) = next();
        assert_eq!(number_0, 0);
        match takes {
            "by recv" => assert_eq!(number(guest.recv().unwrap().unwrap()), 1),
            "in place" => drop(guest.recv_in_place().unwrap().unwrap()),
            _ => {
                let (number_1, mut second) = next();
                assert_eq!(number_1, 1);
                if takes != "the first" {
                    second.take();
                }
                if takes != "the second" {
                    first.take();
                }
            }
        }
        guest.close(0, "");
        drop(first);
        assert_eq!(unread(&host), left, "{takes} is taken");
    }
}

/// Also what has overtaken a stream.
#[test]
fn what_has_overtaken_a_stream_comes_again_in_order() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = host.send_stream().unwrap();
            stream.write_all(b"begins").unwrap();
            stream.flush().unwrap();
            for i in 0..2u64 {
                host.send(&i.to_le_bytes()).unwrap();
            }
            stream.finish().unwrap();
            for i in 2..4u64 {
                host.send(&i.to_le_bytes()).unwrap();
            }
        });
        let mut read = Vec::new();
        let mut stream = guest.recv_stream().unwrap().unwrap();
        stream.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"begins");
        drop(stream);
        // One by one those that were overtaken, then the others.
        let batches: Vec<_> = (0..3)
            .map(|_| guest.recv_batch().unwrap().unwrap())
            .collect();
        batches.into_iter().for_each(drop);
        for i in 0..4 {
            assert_eq!(number(guest.recv().unwrap().unwrap()), i);
        }
    });
}

/// Both have finished, and this is the last that is taken.
type Last = fn(Connection) -> Result<()>;

#[test]
fn the_last_to_take_ends_it_well() {
    let _watchdog = Watchdog::new(60);
    let ways: [Last; 4] = [
        |guest| {
            drop(guest.recv_in_place()?);
            std::mem::forget(guest);
            Ok(())
        },
        |guest| {
            let view = guest.recv_in_place()?;
            assert_eq!(guest.recv()?, None);
            drop(view);
            std::mem::forget(guest);
            Ok(())
        },
        |guest| {
            let mut batch = guest.recv_batch()?.unwrap();
            batch.next_message();
            batch.take();
            std::mem::forget(guest);
            Ok(())
        },
        |guest| {
            let mut bytes = Vec::new();
            let mut stream = guest.recv_stream()?.unwrap();
            stream.read_to_end(&mut bytes).unwrap();
            drop(stream);
            std::mem::forget(guest);
            Ok(())
        },
    ];
    for take in ways {
        let (host, guest) = pair();
        host.send(b"the last").unwrap();
        host.finish().unwrap();
        guest.finish().unwrap();
        assert_eq!(host.recv().unwrap(), None);
        take(guest).unwrap();
        until("it has ended", || host.end().is_some());
        assert_eq!(host.end(), Some(End::Finished));
    }
}
