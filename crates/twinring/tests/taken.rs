//! What the peer has taken, and what comes back if it has not: two processes, both sides.

mod common;

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::Duration;

use common::{
    LIMIT, Parent, Place, Random, STOPPED, Side, Watchdog, connected, ended, labelled, peers,
    read_label, rounds, until,
};
use twinring::{Connection, ErrorKind, Timeout};

peers!(takes, half, closer, collector);

/// Receives as it is told, one message at a time, and keeps what it got.
fn takes(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let mut views = VecDeque::new();
    let mut batch = None;
    loop {
        let line = parent.next_line();
        match line.as_str() {
            "recv" => {
                conn.recv().unwrap().unwrap();
            }
            "view" => views.push_back(conn.recv_in_place().unwrap().unwrap()),
            "drop first" => drop(views.pop_front().unwrap()),
            "drop last" => drop(views.pop_back().unwrap()),
            "batch" => batch = conn.recv_batch().unwrap(),
            "next" => {
                batch.as_mut().unwrap().next_message().unwrap();
            }
            "take" => batch.as_mut().unwrap().take(),
            "unbatch" => drop(batch.take()),
            "stop" => conn.stop(0, ""),
            "stopped" => assert_eq!(ended(conn.recv()), STOPPED),
            "close" => conn.close(0, ""),
            other => panic!("{other}"),
        }
        parent.say("done");
    }
}

/// Sends messages of these lengths, and has them taken as the steps say. After each step, so many have been
/// taken; at the end the child is killed, and the rest comes back.
fn case(side: Side, lens: &[usize], steps: &[(&str, u64)]) {
    let place = Place::new();
    let link = place.builder(side).open().unwrap();
    let mut child = place.start("takes", side.opposite());
    let conn = connected(&link);
    let messages: Vec<Vec<u8>> = lens
        .iter()
        .enumerate()
        .map(|(i, len)| labelled(0, i as u64, *len))
        .collect();
    for message in &messages {
        conn.send(message).unwrap();
    }
    for (step, taken) in steps {
        child.say(step);
        child.expect("done");
        let now = conn.taken().unwrap();
        assert_eq!(now.messages, *taken, "{side}: {step}: {now:?}");
        assert_eq!(now.waiting, lens.len() as u64 - taken, "{side}: {step}");
    }
    assert_eq!(
        conn.take_unread().map(drop).map_err(|e| e.kind()),
        match steps.last() {
            Some(("stop", _)) => Ok(()),
            _ => Err(ErrorKind::Unsupported),
        }
    );
    child.kill();
    until("the end", || conn.end().is_some());
    let taken = conn.taken().unwrap();
    let mut unread = conn.take_unread().unwrap();
    let partial = unread.partial();
    let unread: Vec<_> = unread.by_ref().collect();
    assert_eq!(unread, messages[taken.messages as usize..]);
    assert!(!partial);
    assert_eq!(conn.take_unread().unwrap().count(), 0, "a second time");
}

#[test]
fn exactly_what_was_taken() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let lens = [20, 100, 20, 30_000, 70_000, 20];
        case(side, &lens, &[]);
        case(
            side,
            &lens,
            &[
                ("recv", 1),
                ("recv", 2),
                ("recv", 3),
                ("recv", 4),
                ("recv", 5),
                ("recv", 6),
            ],
        );
        // Views count in order, whatever order they are dropped in.
        let steps = [
            ("view", 0),
            ("view", 0),
            ("recv", 0),
            ("drop last", 0),
            ("drop first", 3),
            ("view", 3),
        ];
        case(side, &lens, &steps);
        // A batch counts when it says so; what it does not take comes again.
        let steps = [
            ("batch", 0),
            ("next", 0),
            ("next", 0),
            ("take", 2),
            ("next", 2),
            ("unbatch", 2),
            ("recv", 3),
            ("batch", 3),
            ("unbatch", 3),
            ("batch", 3),
            ("next", 3),
            ("take", 4),
        ];
        case(side, &lens, &steps);
        // Given back, then taken one after the other in each way.
        let steps = [
            ("batch", 0),
            ("unbatch", 0),
            ("batch", 0),
            ("next", 0),
            ("take", 1),
            ("unbatch", 1),
            ("view", 1),
            ("recv", 1),
            ("drop first", 3),
        ];
        case(side, &lens, &steps);
    }
}

/// A flush ends when everything is taken, and not before.
#[test]
fn flushing() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("takes", side.opposite());
        let conn = connected(&link);
        conn.flush().unwrap();
        conn.send(b"one").unwrap();
        conn.send(b"two").unwrap();
        let soon = conn.within(Duration::from_millis(20));
        assert!(soon.flush().unwrap_err().is_timeout());
        assert!(conn.within(Timeout::Now).flush().unwrap_err().is_timeout());
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let conn = &conn;
            scope.spawn(move || tell.send(conn.flush()).unwrap());
            for _ in 0..2 {
                assert!(told.recv_timeout(Duration::from_millis(30)).is_err());
                child.say("recv");
                child.expect("done");
                // Others may send meanwhile, which the flush does not wait for.
                conn.send(b"later").unwrap();
            }
            told.recv_timeout(LIMIT).unwrap().unwrap();
        });
        assert!(conn.within(Timeout::Now).flush().is_err());
        child.kill();
        let e = conn.flush().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Ended);
        assert_eq!(conn.take_unread().unwrap().count(), 2);
    }
}

/// Takes one message, drops the half that receives, and goes on with the other.
fn half(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let (_sends, receives) = connected(&link).split();
    receives.recv().unwrap().unwrap();
    drop(receives);
    parent.say("done");
    parent.wait_for_the_end();
}

/// A receiver that has stopped takes what is there, or says that it does not.
#[test]
fn what_a_peer_that_has_stopped_takes() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("takes", side.opposite());
        let conn = connected(&link);
        conn.send(b"one").unwrap();
        conn.send(b"two").unwrap();
        let soon = conn.within(Duration::from_millis(20));
        let mut tell = |what: &str| {
            child.say(what);
            child.expect("done");
        };
        tell("view");
        tell("stop");
        tell("recv");
        tell("stopped");
        // It still has its view.
        assert!(soon.flush().unwrap_err().is_timeout());
        assert!(soon.take_unread().unwrap_err().is_timeout());
        tell("drop first");
        conn.flush().unwrap();
        tell("stopped");
        assert_eq!(conn.take_unread().unwrap().count(), 0);
        assert_eq!(conn.end(), None);

        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("half", side.opposite());
        let conn = connected(&link);
        conn.send_batch(&["one", "two", "three"]).unwrap();
        child.expect("done");
        assert_eq!(ended(conn.flush()), STOPPED);
        let unread: Vec<_> = conn.take_unread().unwrap().collect();
        assert_eq!(unread, [&b"two"[..], b"three"]);
        assert_eq!(conn.end(), None);
    }
}

/// Whoever closes or drops reads no more, and what it had not read goes back.
#[test]
fn what_a_closed_peer_had_not_read() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("takes", side.opposite());
        let conn = connected(&link);
        for i in 0..5 {
            conn.send(&labelled(0, i, 20)).unwrap();
        }
        for line in ["recv", "view", "close", "drop first"] {
            child.say(line);
            child.expect("done");
        }
        until("the end", || conn.end().is_some());
        // The view was dropped after the end, so its message is unread.
        let unread: Vec<_> = conn.take_unread().unwrap().collect();
        let rest: Vec<_> = (1..5).map(|i| labelled(0, i, 20)).collect();
        assert_eq!(unread, rest);
    }
}

/// On each connection: takes messages in turn in place and by `recv`, and closes it meanwhile, at any moment. Says
/// the number of the last one that `recv` returned.
fn closer(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let mut random = Random::unrepeatable();
    for (number, conn) in link.connections().enumerate() {
        // The other side may have missed the one before.
        let _ = conn.send(number.to_string().as_bytes());
        let last = std::thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let mut last = None;
                loop {
                    // Its room is returned by another way than that of the next.
                    drop(conn.recv_in_place());
                    match conn.recv() {
                        Ok(message) => last = Some(read_label(&message.unwrap()).unwrap().1),
                        Err(_) => return last,
                    }
                }
            });
            std::thread::sleep(Duration::from_micros(random.below(300) as u64));
            conn.close(0, "");
            receiving.join().unwrap()
        });
        parent.say(format!("{number} {}", last.map_or(-1, |last| last as i64)));
    }
}

/// What a call has returned does not come back to the sender, also if another thread closes at that moment.
#[test]
fn closed_while_a_message_is_taken() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("closer", side.opposite());
        for _ in 0..rounds(300, 30) {
            let conn = connected(&link);
            let sent = (0..).take_while(|i| conn.send(&labelled(0, *i, 8)).is_ok());
            let sent = sent.last().map_or(-1, |last| last as i64);
            let Ok(Some(number)) = conn.recv() else {
                continue;
            };
            let number = format!("{} ", String::from_utf8(number).unwrap());
            let line = child.wait_for_line(|line| line.starts_with(&number));
            let last: i64 = line[number.len()..].parse().unwrap();
            let unread: Vec<i64> = conn
                .take_unread()
                .unwrap()
                .map(|message| read_label(&message).unwrap().1 as i64)
                .collect();
            let first = unread.first().copied().unwrap_or(sent + 1);
            assert!(
                last < first,
                "{last} was received, and came back from {first} on"
            );
            // The one in place may have been dropped after the end.
            assert!(
                first <= last + 2,
                "{last} was the last, but only {first} came back"
            );
            assert_eq!(unread, (first..=sent).collect::<Vec<_>>());
        }
    }
}

/// Our own close: the peer reads on what was sent before; what it has not read when it dies comes back.
#[test]
fn after_our_own_close() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("takes", side.opposite());
        let conn = connected(&link);
        for i in 0..3 {
            conn.send(&labelled(0, i, 20)).unwrap();
        }
        conn.close(0, "");
        let soon = conn.within(Duration::from_millis(20));
        assert!(soon.take_unread().unwrap_err().is_timeout());
        child.say("recv");
        child.expect("done");
        child.kill();
        let unread: Vec<_> = conn.take_unread().unwrap().collect();
        assert_eq!(unread, [labelled(0, 1, 20), labelled(0, 2, 20)]);
    }
}

/// Writes each line that it takes to its output, and takes it then. Killed all the time.
fn collector(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    for conn in link.connections() {
        let collected = collect(parent, &conn);
        if collected.is_ok() {
            parent.say("finished");
        }
    }
}

fn collect(parent: &Parent, conn: &Connection) -> twinring::Result<()> {
    while let Some(mut lines) = conn.recv_batch()? {
        while let Some(line) = lines.next_message() {
            parent.say(String::from_utf8_lossy(line));
        }
        lines.take();
    }
    conn.finish()
}

/// A log survives its collector: the lines that were not taken go to the next one.
#[test]
fn a_log_loses_nothing() {
    const LINES: u32 = 100_000;
    let _watchdog = Watchdog::new(600);
    let deaths = rounds(30, 8);
    let place = Place::new();
    let link = place.guest().open().unwrap();
    let (fill, lines) = mpsc::sync_channel::<Vec<u8>>(1000);
    let writer = std::thread::spawn(move || {
        for i in 0..LINES {
            fill.send(format!("line {i}").into_bytes()).unwrap();
        }
    });
    // The application: its whole share of the work.
    let application = std::thread::spawn(move || {
        let mut queue = VecDeque::new();
        for conn in link.connections() {
            if feed(&conn, &lines, &mut queue).is_ok() {
                return;
            }
            let unread = conn.take_unread().unwrap();
            unread.rev().for_each(|line| queue.push_front(line));
        }
    });
    let mut seen = vec![0; LINES as usize];
    let mut random = Random::unrepeatable();
    let mut note = |text: &str| {
        let number = text.strip_prefix("line ").map(|n| n.parse::<usize>());
        if let Some(Ok(number)) = number {
            seen[number] += 1;
        }
    };
    for _ in 0..deaths {
        let mut child = place.start("collector", Side::Host);
        std::thread::sleep(Duration::from_millis(random.below(40) as u64));
        child.kill().iter().for_each(|line| note(line));
    }
    let mut child = place.start("collector", Side::Host);
    until("all is written", || {
        child.lines_so_far().iter().for_each(|line| note(line));
        application.is_finished()
    });
    child.kill().iter().for_each(|line| note(line));
    writer.join().unwrap();
    application.join().unwrap();
    let missing = seen.iter().filter(|times| **times == 0).count();
    assert_eq!(missing, 0, "of {LINES} after {deaths} deaths");
}

fn feed(
    conn: &Connection,
    lines: &mpsc::Receiver<Vec<u8>>,
    queue: &mut VecDeque<Vec<u8>>,
) -> twinring::Result<()> {
    loop {
        while let Some(line) = queue.front() {
            conn.send(line)?;
            queue.pop_front();
        }
        queue.extend(lines.try_iter().take(1000));
        if queue.is_empty() {
            // Before it sleeps: all is in the file, or comes back.
            conn.flush()?;
            match lines.recv() {
                Ok(line) => queue.push_back(line),
                Err(_) => return conn.finish(),
            }
        }
    }
}
