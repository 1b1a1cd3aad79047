//! Handles that messages carry: two processes, both sides.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use common::{
    LIMIT, Parent, Place, Random, Side, Watchdog, amount, connected, count, labelled, message,
    peers, read_label, rounds, until,
};
use twinring::{
    Builder, Connection, ErrorKind, Handle, HandleKind, Link, LinkEnd, MAX_HANDLES, Timeout,
};

peers!(
    user, reader, sleeper, sender, leaver, plain, told, exchanger, scarce, taker, swallower
);

/// A file of this content, open for reading and writing, that nobody else has open.
fn file_of(place: &Place, name: &str, content: &str) -> File {
    // Where links have names and no files, there is none yet.
    fs::create_dir_all(place.directory()).unwrap();
    let path = place.directory().join(format!("{name}.txt"));
    fs::write(&path, content).unwrap();
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

fn content_of(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// A connection over TCP: what is to be sent, and what sees when that is closed.
fn stream() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_read_timeout(Some(LIMIT)).unwrap();
    (listener.accept().unwrap().0, ours)
}

fn is_closed(mut stream: TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "nobody has it any more");
}

fn recv(conn: &Connection) -> (Vec<u8>, Vec<Handle>) {
    conn.within(LIMIT).recv_with_handles().unwrap().unwrap()
}

fn only(mut handles: Vec<Handle>) -> Handle {
    assert_eq!(handles.len(), 1);
    handles.remove(0)
}

fn taking(builder: Builder) -> Builder {
    builder.max_handles(MAX_HANDLES)
}

/// Uses what it gets.
fn user(parent: &'static Parent) {
    let link = taking(parent.builder()).open().unwrap();
    let conn = connected(&link);
    while let Some((what, handles)) = conn.recv_with_handles().unwrap() {
        let kinds: Vec<HandleKind> = handles.iter().map(|h| h.kind().unwrap()).collect();
        let mut handles = handles.into_iter();
        let mut next = || handles.next().unwrap();
        match &what[..] {
            b"file" => {
                let mut file = File::try_from(next()).unwrap();
                file.write_all(b" and more").unwrap();
            }
            b"sockets" => {
                let mut stream = TcpStream::try_from(next()).unwrap();
                stream.write_all(b"from the child").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let listener = TcpListener::try_from(next()).unwrap();
                let mut caller = listener.accept().unwrap().0;
                caller.write_all(b"welcome").unwrap();
                drop(caller);
                let udp = UdpSocket::try_from(next()).unwrap();
                let (len, from) = udp.recv_from(&mut [0; 100]).unwrap();
                udp.send_to(len.to_string().as_bytes(), from).unwrap();
            }
            b"end" => {
                let end = LinkEnd::try_from(next()).unwrap();
                let link = end.open().unwrap();
                let other = link.within(LIMIT).next().unwrap();
                other.send(b"on another link").unwrap();
                assert_eq!(other.recv().unwrap(), None);
            }
            b"nothing" => assert!(kinds.is_empty()),
            other => panic!("{other:?}"),
        }
        conn.send(format!("{kinds:?}").as_bytes()).unwrap();
    }
    conn.finish().unwrap();
}

#[test]
fn what_arrives_is_what_was_sent() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        // It sends handles, and takes none itself.
        let link = place.builder(side).open().unwrap();
        let child = place.start("user", side.opposite());
        let conn = connected(&link);
        assert_eq!(conn.peer_max_handles(), MAX_HANDLES);
        let told = || String::from_utf8(conn.within(LIMIT).recv().unwrap().unwrap()).unwrap();

        let mut file = file_of(&place, "file", "some");
        file.seek(std::io::SeekFrom::End(0)).unwrap();
        let ours = file.try_clone().unwrap();
        conn.send_with_handles(b"file", &mut vec![file.into()])
            .unwrap();
        assert_eq!(told(), "[File]");
        assert_eq!(content_of(ours), "some and more");

        let (theirs, mut ours) = stream();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp_address = udp.local_addr().unwrap();
        let mut handles = vec![theirs.into(), listener.into(), udp.into()];
        conn.send_with_handles(b"sockets", &mut handles).unwrap();
        assert!(handles.is_empty(), "they are the peer's");
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from the child");
        let mut caller = TcpStream::connect(address).unwrap();
        text.clear();
        caller.read_to_string(&mut text).unwrap();
        assert_eq!(text, "welcome");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.send_to(&[0; 42], udp_address).unwrap();
        let mut answer = [0; 100];
        let len = udp.recv(&mut answer).unwrap();
        assert_eq!(&answer[..len], b"42");
        assert_eq!(told(), "[Socket, Socket, Socket]");

        // With nothing of the system's, and in between.
        let (one, other) = LinkEnd::pair().unwrap();
        let shown = format!("{:?}", Handle::from(LinkEnd::pair().unwrap().0));
        assert_eq!(
            shown, r#"Handle(End(LinkEnd { side: "host" }))"#,
            "its number is a secret"
        );
        conn.send_with_handles(b"end", &mut vec![other.into()])
            .unwrap();
        let second = one.open().unwrap();
        let talk = second.within(LIMIT).next().unwrap();
        assert_eq!(talk.recv().unwrap(), Some(b"on another link".to_vec()));
        talk.finish().unwrap();
        drop(talk);
        assert_eq!(told(), "[Link]");

        conn.send_with_handles(b"nothing", &mut Vec::new()).unwrap();
        assert_eq!(told(), "[]");
        conn.finish().unwrap();
        assert_eq!(conn.recv().unwrap(), None);
        child.finish();
    }
}

/// The number that a message has, and what its files say.
fn numbered(place: &Place, number: u64, files: usize) -> (Vec<u8>, Vec<Handle>) {
    let file = |i| {
        Handle::from(file_of(
            place,
            &format!("{number}-{i}"),
            &format!("{number} {i}"),
        ))
    };
    (
        labelled(0, number, 20 + number as usize % 500),
        (0..files).map(file).collect(),
    )
}

fn check_numbered(number: u64, files: usize, message: &[u8], handles: Vec<Handle>) {
    assert_eq!(read_label(message).unwrap(), (0, number));
    assert_eq!(handles.len(), files);
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(
            content_of(File::try_from(handle).unwrap()),
            format!("{number} {i}")
        );
    }
}

/// How many files go with a message.
fn files_of(number: u64) -> usize {
    [0, 1, 0, 3, 0, 0, MAX_HANDLES as usize][number as usize % 7]
}

/// Takes everything, and says how far it is.
fn reader(parent: &'static Parent) {
    let link = taking(parent.builder()).open().unwrap();
    let conn = connected(&link);
    for number in 0.. {
        let Some((message, handles)) = conn.recv_with_handles().unwrap() else {
            break;
        };
        if message.len() > 100_000 {
            assert!(handles.is_empty());
            continue;
        }
        check_numbered(
            number - number / 11,
            files_of(number - number / 11),
            &message,
            handles,
        );
    }
    conn.finish().unwrap();
}

/// Between messages with handles there are others, of any size, from several threads; a ring that is much too small for all.
#[test]
fn they_come_in_order_with_all_messages() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).ring_capacity(8192).open().unwrap();
        let child = place.start("reader", side.opposite());
        let conn = connected(&link);
        let mut number = 0;
        for i in 0..amount(100, 400) {
            if i % 11 == 10 {
                conn.send(&message(0, i as u64, 150_000)).unwrap();
                continue;
            }
            let (message, mut handles) = numbered(&place, number, files_of(number));
            conn.send_with_handles(&message, &mut handles).unwrap();
            number += 1;
        }
        conn.finish().unwrap();
        assert_eq!(conn.recv().unwrap(), None);
        child.finish();
    }
}

/// Connects, and takes nothing.
fn sleeper(parent: &'static Parent) {
    let link = taking(parent.builder()).open().unwrap();
    let _conn = connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// What is wrong is said, nothing is lost, and the connection goes on.
#[test]
fn what_cannot_be_sent_stays_here() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("plain", side.opposite());
        let conn = connected(&link);
        let mut handles: Vec<Handle> = (0..5)
            .map(|i| file_of(&place, &format!("{i}"), "it").into())
            .collect();
        let mut refused = |message: &[u8], count: usize, kind: ErrorKind| {
            let mut some = handles.drain(..count).collect();
            let e = conn.send_with_handles(message, &mut some).unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            assert_eq!(some.len(), count, "all are still here");
            handles.extend(some);
            e.to_string()
        };
        assert_eq!(conn.peer_max_handles(), 2);
        let e = refused(b"", 3, ErrorKind::TooLarge);
        assert!(e.contains("3 handles") && e.contains("at most 2"), "{e}");
        let e = refused(&[0; 40_000], 1, ErrorKind::TooLarge);
        assert!(e.contains("beside 1 handles 32728 fit"), "{e}");
        let e = refused(&[0; 60_000], 1, ErrorKind::TooLarge);
        assert!(e.contains("the peer takes at most 50000"), "{e}");
        // The other way round nobody takes any.
        child.say("send");
        child.expect("Unsupported");
        for handle in handles {
            assert_eq!(content_of(File::try_from(handle).unwrap()), "it");
        }
        conn.send(b"end").unwrap();
        assert_eq!(conn.within(LIMIT).recv().unwrap(), Some(b"end".to_vec()));
        child.finish();
    }
    let e = Link::host("x")
        .max_handles(MAX_HANDLES + 1)
        .open()
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidOption);
    assert!(e.to_string().contains("33"), "{e}");
}

/// Takes few handles and short messages, and receives by a call that takes no handles.
fn plain(parent: &'static Parent) {
    let builder = parent.builder().max_handles(2).max_message(50_000);
    let link = builder.open().unwrap();
    let conn = connected(&link);
    parent.expect("send");
    let mut handles = vec![file_of(&parent.place, "of the child", "").into()];
    let e = conn.send_with_handles(b"", &mut handles).unwrap_err();
    parent.say(format!("{:?}", e.kind()));
    loop {
        let got = conn.recv().unwrap().unwrap();
        conn.send(&got).unwrap();
        if got == b"end" {
            break;
        }
    }
    conn.flush().unwrap();
}

/// A call that receives a message.
type Call = fn(&Connection) -> Vec<u8>;

/// By any call but the one that takes them: the message comes, and its handles are closed.
#[test]
fn handles_that_are_not_wanted_are_closed() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = taking(place.builder(side)).open().unwrap();
        let mut child = place.start("sender", side.opposite());
        let conn = connected(&link).within(LIMIT);
        let calls: [(&str, Call); 6] = [
            ("recv", |conn| conn.recv().unwrap().unwrap()),
            ("recv_into", |conn| {
                let mut message = vec![1; 10];
                conn.recv_into(&mut message).unwrap();
                message
            }),
            ("in place", |conn| {
                conn.recv_in_place().unwrap().unwrap().to_vec()
            }),
            ("batch", |conn| {
                let mut batch = conn.recv_batch().unwrap().unwrap();
                let message = batch.next_message().unwrap().to_vec();
                batch.take();
                message
            }),
            ("stream", |conn| {
                let mut stream = conn.recv_stream().unwrap().unwrap();
                let mut message = Vec::new();
                while let Some(chunk) = stream.next_chunk().unwrap() {
                    message.extend_from_slice(&chunk);
                }
                message
            }),
            ("with handles", |conn| {
                let (message, handles) = conn.recv_with_handles().unwrap().unwrap();
                assert_eq!(only(handles).kind().unwrap(), HandleKind::Socket);
                message
            }),
        ];
        for (number, (what, call)) in calls.into_iter().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            child.say(listener.local_addr().unwrap().port());
            let ours = listener.accept().unwrap().0;
            assert_eq!(
                read_label(&call(&conn)).unwrap(),
                (0, number as u64),
                "{what}"
            );
            ours.set_read_timeout(Some(LIMIT)).unwrap();
            is_closed(ours);
        }
        child.say(0);
        assert_eq!(conn.recv().unwrap(), None);
        conn.finish().unwrap();
        child.finish();
    }
}

/// Connects where it is told to, and sends that.
fn sender(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    for number in 0.. {
        let port: u16 = parent.next_as();
        if port == 0 {
            break;
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let message = labelled(0, number, 100);
        conn.send_with_handles(&message, &mut vec![stream.into()])
            .unwrap();
    }
    conn.finish().unwrap();
    assert_eq!(conn.recv().unwrap(), None);
}

/// Handles on their way are closed when nobody can take them any more: the receiver is killed, or the connection dropped.
#[test]
fn what_is_never_received_is_closed() {
    let _watchdog = Watchdog::new(300);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        for kill in [true, false] {
            let mut child = place.start("sleeper", side.opposite());
            child.expect("connected");
            let conn = connected(&link);
            let mut ours = Vec::new();
            for i in 0..10 {
                let (theirs, kept) = stream();
                conn.send_with_handles(&[i], &mut vec![theirs.into()])
                    .unwrap();
                ours.push(kept);
            }
            if kill {
                child.kill();
                until("it has ended", || conn.end().is_some());
                let unread: Vec<Vec<u8>> = conn.take_unread().unwrap().collect();
                let sent: Vec<Vec<u8>> = (0..10).map(|i| vec![i]).collect();
                assert_eq!(unread, sent, "the messages come back without them");
            }
            drop(conn);
            drop(child);
            ours.into_iter().for_each(is_closed);
        }
    }
}

/// A sender waits while so many are under way that a system might refuse more, and goes on once they are taken.
#[test]
fn only_so_many_are_under_way() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("taker", side.opposite());
        let conn = connected(&link);
        let file = |n: u64| {
            let file = file_of(&place, "the same", "one");
            (
                n.to_le_bytes(),
                vec![file.try_clone().unwrap().into(), file.into()],
            )
        };
        let mut sent = 0;
        loop {
            let (message, mut handles) = file(sent);
            match conn
                .within(Timeout::Now)
                .send_with_handles(&message, &mut handles)
            {
                Ok(()) => sent += 1,
                Err(e) => {
                    assert!(e.is_timeout() && handles.len() == 2, "{e}");
                    break;
                }
            }
        }
        assert_eq!(sent, 64, "two with each, and 128 in all");
        conn.within(Timeout::Now).send(b"others go").unwrap();
        // A sender that waits for that holds up nobody else.
        let waiting = conn.clone();
        let (message, mut handles) = file(sent);
        let waiter = thread::spawn(move || waiting.send_with_handles(&message, &mut handles));
        thread::sleep(Duration::from_millis(50));
        for _ in 0..100 {
            conn.within(LIMIT).send(b"small").unwrap();
        }
        conn.within(LIMIT).send(&[0; 300_000]).unwrap();
        let mut stream = conn.within(LIMIT).send_stream().unwrap();
        stream.write_all(&[0; 100_000]).unwrap();
        stream.finish().unwrap();
        assert!(!waiter.is_finished());
        child.say("take");
        waiter.join().unwrap().unwrap();
        for number in sent + 1..1000 {
            let (message, mut handles) = file(number);
            conn.within(LIMIT)
                .send_with_handles(&message, &mut handles)
                .unwrap();
        }
        conn.finish().unwrap();
        child.expect("1103 messages, 2000 handles");
        assert_eq!(conn.recv().unwrap(), None);
        child.finish();
    }
}

/// Takes all, once it is told to.
fn taker(parent: &'static Parent) {
    let link = taking(parent.builder()).open().unwrap();
    let conn = connected(&link);
    parent.expect("take");
    let (mut messages, mut all) = (0, 0);
    while let Some((_, handles)) = conn.recv_with_handles().unwrap() {
        messages += 1;
        all += handles.len();
    }
    parent.say(format!("{messages} messages, {all} handles"));
    conn.finish().unwrap();
}

/// Sends a socket, and ends at once: without a word if it is told so.
fn leaver(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    let port: u16 = parent.next_as();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut handles = vec![stream.into()];
    conn.send(b"before").unwrap();
    conn.send_with_handles(b"with a socket", &mut handles)
        .unwrap();
    conn.send(b"after").unwrap();
    std::process::exit(0);
}

/// What a sender has sent outlives it, where the kernel has the handles. Where they end with their process, that is said, and
/// the messages stay.
#[test]
fn a_sender_that_ends_at_once() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = taking(place.builder(side)).open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = place.start("leaver", side.opposite());
        child.say(listener.local_addr().unwrap().port());
        let conn = connected(&link);
        let mut ours = listener.accept().unwrap().0;
        ours.set_read_timeout(Some(LIMIT)).unwrap();
        child.finish();
        until("it has ended", || conn.end().is_some());
        assert_eq!(recv(&conn).0, b"before");
        if cfg!(windows) {
            for _ in 0..2 {
                let e = conn.recv_with_handles().unwrap_err();
                assert_eq!(e.kind(), ErrorKind::HandlesGone, "{e}");
            }
            assert_eq!(conn.recv().unwrap(), Some(b"with a socket".to_vec()));
        } else {
            let (message, handles) = recv(&conn);
            assert_eq!(message, b"with a socket");
            let mut theirs = TcpStream::try_from(only(handles)).unwrap();
            theirs.write_all(b"it lives").unwrap();
            drop(theirs);
            let mut text = String::new();
            ours.read_to_string(&mut text).unwrap();
            assert_eq!(text, "it lives");
        }
        assert_eq!(recv(&conn).0, b"after");
    }
}

/// A callback gets them too; those that it drops are closed.
#[test]
fn a_callback_gets_them() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("told", side.opposite());
        let conn = connected(&link);
        for number in 0..50 {
            let (theirs, mut ours) = stream();
            let mut handles = vec![theirs.into(), file_of(&place, "a file", "x").into()];
            conn.send_with_handles(&labelled(0, number, 10), &mut handles)
                .unwrap();
            conn.send(b"plain").unwrap();
            let mut text = String::new();
            ours.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{number}"));
        }
        child.expect("50 without");
        drop(conn);
        child.finish();
    }
}

fn told(parent: &'static Parent) {
    let mut without = 0;
    let (say, done) = std::sync::mpsc::channel();
    let link = taking(parent.builder())
        .on_message_with_handles(move |_, message, handles| {
            if handles.is_empty() {
                without += 1;
                if without == 50 {
                    say.send(()).unwrap();
                }
                return;
            }
            let (_, number) = read_label(message).unwrap();
            let mut handles = handles.into_iter();
            let mut stream = TcpStream::try_from(handles.next().unwrap()).unwrap();
            assert_eq!(
                content_of(File::try_from(handles.next().unwrap()).unwrap()),
                "x"
            );
            write!(stream, "{number}").unwrap();
        })
        .open()
        .unwrap();
    done.recv().unwrap();
    parent.say("50 without");
    drop(link);
}

/// Either side is killed again and again, at any moment, while handles go both ways: the other has what it got and nothing more, and
/// never a wrong one.
#[test]
fn nothing_leaks_when_either_side_dies() {
    let _watchdog = Watchdog::new(1200);
    let mut random = Random::unrepeatable();
    for side in Side::BOTH {
        let place = Place::new();
        let link = taking(place.builder(side))
            .ring_capacity(8192)
            .open()
            .unwrap();
        let kills = amount(rounds(40, 10), rounds(500, 60));
        let mut before = Vec::new();
        for kill in 0..kills {
            let mut child = place.start("exchanger", side.opposite());
            let conn = connected(&link);
            let moment = Duration::from_micros(random.below(20_000) as u64);
            let killer = thread::spawn(move || {
                thread::sleep(moment);
                child.kill();
            });
            exchange(&conn, kill as u64);
            killer.join().unwrap();
            drop(conn);
            if kill == kills / 4 {
                before = settled();
            }
        }
        // Some that the library keeps for the next time may have come since.
        until("nothing is left of them", || {
            let now = count();
            let more = before
                .iter()
                .zip(&now)
                .any(|(before, now)| *now > before + 8);
            if more {
                println!("{before:?} before, {now:?} now");
            }
            !more
        });
    }
}

/// Descriptors and threads, or handles, once there are no fewer after a while: what has ended goes a little later.
fn settled() -> Vec<u64> {
    let mut least = count();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(10));
        let now = count();
        least = least.iter().zip(&now).map(|(a, b)| *a.min(b)).collect();
    }
    // Not memory.
    least.truncate(2);
    least
}

/// Sends handles and takes handles, until the connection has ended. Each is a socket that knows its number by its peer.
fn exchange(conn: &Connection, sender: u64) {
    let taking = conn.clone();
    let taker = thread::spawn(move || {
        let mut last = None;
        loop {
            match taking.recv_with_handles() {
                Ok(Some((message, handles))) => {
                    let (_, number) = read_label(&message).unwrap();
                    assert!(
                        last.is_none_or(|last| number == last + 1),
                        "{number} after {last:?}"
                    );
                    last = Some(number);
                    let udp = UdpSocket::try_from(only(handles)).unwrap();
                    // Which the sender has connected to a port that tells.
                    let port = udp.peer_addr().unwrap().port();
                    assert_eq!(u64::from(port), 1 + number % 1000);
                }
                Err(e) if e.kind() == ErrorKind::HandlesGone => {
                    taking.recv().unwrap();
                    last = last.map(|last| last + 1);
                }
                Ok(None) | Err(_) => break,
            }
        }
    });
    for number in 0.. {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect(("127.0.0.1", 1 + (number % 1000) as u16))
            .unwrap();
        let message = labelled(sender, number, 10);
        if conn
            .send_with_handles(&message, &mut vec![udp.into()])
            .is_err()
        {
            break;
        }
    }
    taker.join().unwrap();
}

/// As its parent does.
fn exchanger(parent: &'static Parent) {
    let link = taking(parent.builder()).ring_capacity(8192).open().unwrap();
    let conn = connected(&link);
    exchange(&conn, 0);
}

/// A receiver that may have no more descriptors is told so, as often as it tries; the message stays, and comes once it may.
#[test]
#[cfg(target_os = "linux")]
fn a_receiver_without_descriptors() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let link = place.builder(side).open().unwrap();
        let mut child = place.start("scarce", side.opposite());
        let conn = connected(&link);
        for number in 0..2 {
            let (message, mut handles) = numbered(&place, number, 3);
            conn.send_with_handles(&message, &mut handles).unwrap();
        }
        child.expect("both");
        drop(conn);
        child.finish();
    }
}

/// Has room for two descriptors more and gets three; and again without the limit.
fn scarce(parent: &'static Parent) {
    let link = taking(parent.builder()).open().unwrap();
    let conn = connected(&link);
    let open = count();
    #[cfg(target_os = "linux")]
    let before = limit_of_files(Some(open[0] + 20));
    let mut others: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    others.drain(..2);
    for _ in 0..3 {
        let e = conn.within(LIMIT).recv_with_handles().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::OutOfHandles, "{e}");
        assert!(e.to_string().contains("which stays"), "{e}");
    }
    drop(others);
    #[cfg(target_os = "linux")]
    limit_of_files(before);
    assert_eq!(count()[0], open[0], "those that had room are closed");
    for number in 0..2 {
        let (message, handles) = recv(&conn);
        check_numbered(number, 3, &message, handles);
    }
    parent.say("both");
}

/// Sets how many descriptors this process may have; returns how many it might.
#[cfg(target_os = "linux")]
fn limit_of_files(current: Option<u64>) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let limit = Rlimit { current, ..before };
    setrlimit(Resource::Nofile, limit).unwrap();
    before.current
}

/// Takes all, and says so for each of the numbers of handles that it is told.
fn swallower(parent: &'static Parent) {
    let link = taking(parent.builder()).open().unwrap();
    let conn = connected(&link);
    loop {
        let mut left: usize = parent.next_as();
        while left > 0 {
            let (_, handles) = recv(&conn);
            left -= handles.len();
        }
        parent.say("all");
    }
}

/// Handles per second, beside a socket that carries nothing but descriptors (Linux):
/// `cargo test --release -p twinring --test handles -- --ignored --nocapture how_many`.
#[test]
#[ignore = "measures"]
fn how_many_a_second() {
    const ROUNDS: usize = 5;
    const ALL: usize = 32_000;
    let place = Place::new();
    let link = place.host().open().unwrap();
    let mut child = place.start("swallower", Side::Guest);
    let conn = connected(&link);
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    for with_each in [1, MAX_HANDLES as usize] {
        let mut rates: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                child.say(ALL);
                let begin = std::time::Instant::now();
                for _ in 0..ALL / with_each {
                    let copy = |_| file.try_clone().unwrap().into();
                    let mut handles = (0..with_each).map(copy).collect();
                    conn.send_with_handles(b"some", &mut handles).unwrap();
                }
                child.expect("all");
                ALL as f64 / begin.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "{with_each} with each message: {:.0} a second",
            rates[ROUNDS / 2]
        );
    }
    #[cfg(target_os = "linux")]
    {
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| descriptors_alone(&file, ALL)).collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "1 with each datagram, alone: {:.0} a second",
            rates[ROUNDS / 2]
        );
    }
    child.kill();
}

/// As many descriptors through a socket alone, one with each datagram, to another thread.
#[cfg(target_os = "linux")]
fn descriptors_alone(file: &File, all: usize) -> f64 {
    use std::io::{IoSlice, IoSliceMut};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use rustix::net::{
        RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    };
    let (one, other) = UnixDatagram::pair().unwrap();
    let begin = std::time::Instant::now();
    let taker = thread::spawn(move || {
        for _ in 0..all {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let bytes = &mut [IoSliceMut::new(&mut byte)];
            recvmsg(&other, bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
            assert_eq!(control.drain().count(), 1);
        }
    });
    for _ in 0..all {
        // As a program that gives its handle away.
        let copy = file.try_clone().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [copy.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(
            &one,
            &[IoSlice::new(&[1])],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .unwrap();
    }
    taker.join().unwrap();
    all as f64 / begin.elapsed().as_secs_f64()
}
