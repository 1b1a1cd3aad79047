//! One name, many clients, each a process or a link of its own.

mod common;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    ABANDONED, ABANDONED_HERE, CLOSED, Child, LIMIT, Parent, Place, Side, Watchdog, amount, check,
    connected, ended, freeze, kind, message, peers, rounds, thaw, until,
};
use twinring::{Connection, ErrorKind, Interest, Link, Listener, Timeout, WaitSet};

peers!(asking, deaf, echoing, server, silent, talker);

/// Each connection of this guest asks for an echo and checks it, until the parent kills it.
fn echoing(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    for conn in link.connections() {
        parent.say(format!("client {}", conn.peer().pid));
        let mut number = 0;
        while conn
            .send(&message(1, number, number as usize % 3000))
            .is_ok()
        {
            let Ok(Some(echo)) = conn.recv() else {
                break;
            };
            check(&echo, 1, number, number as usize % 3000);
            number += 1;
        }
    }
}

/// Connects, says so, and does nothing more.
fn silent(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let _conn = connected(&link);
    parent.say("connected");
    parent.wait_for_the_end();
}

/// Sends as many messages as it is told, and ends well.
fn talker(parent: &'static Parent) {
    let count: u64 = parent.next_as();
    let conn = connected(&parent.builder().open().unwrap());
    for number in 0..count {
        conn.send(&message(1, number, 100)).unwrap();
    }
    conn.finish().unwrap();
    assert_eq!(conn.recv().unwrap(), None);
}

/// Echoes for each client on a thread of its own.
fn server(parent: &'static Parent) {
    let listener = parent.builder().listen().unwrap();
    parent.say("listening");
    for conn in listener.incoming() {
        thread::spawn(move || echo(&conn));
    }
}

fn echo(conn: &Connection) {
    while let Ok(Some(message)) = conn.recv() {
        if conn.send(&message).is_err() {
            break;
        }
    }
}

fn listen(place: &Place) -> Listener {
    place.host().listen().unwrap()
}

fn accept(listener: &Listener) -> Connection {
    listener.within(LIMIT).accept().expect("a client comes")
}

#[test]
fn each_client_has_a_connection_of_its_own() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let count = rounds(amount(200, 2000), 200) as u64;
    let mut clients: Vec<Child> = (0..4).map(|_| place.start("talker", Side::Guest)).collect();
    for client in &mut clients {
        client.say(count);
    }
    let mut pids = HashSet::new();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let conn = accept(&listener);
            assert!(pids.insert(conn.peer().pid), "two clients of one process");
            thread::spawn(move || {
                for number in 0..count {
                    check(&conn.recv().unwrap().unwrap(), 1, number, 100);
                }
                assert_eq!(conn.recv().unwrap(), None);
                conn.finish().unwrap();
            })
        })
        .collect();
    for receiver in receivers {
        receiver.join().unwrap();
    }
    for client in clients {
        client.finish();
    }
    until("all have gone", || listener.clients().is_empty());
}

#[test]
fn a_client_that_dies_is_told_of_alone() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let mut children: Vec<Child> = (0..3).map(|_| place.start("silent", Side::Guest)).collect();
    let conns: Vec<Connection> = (0..3).map(|_| accept(&listener)).collect();
    for child in &mut children {
        child.expect("connected");
    }
    let victim = children[1].pid();
    children[1].kill();
    let dead = conns.iter().find(|conn| conn.peer().pid == victim).unwrap();
    let error = dead.within(LIMIT).recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ended, "{error}");
    until("it is no client any more", || listener.clients().len() == 2);
    for conn in conns.iter().filter(|conn| conn.peer().pid != victim) {
        assert_eq!(conn.end(), None);
        conn.send(b"still there").unwrap();
    }
    // Another takes its place.
    let mut next = place.start("silent", Side::Guest);
    assert_eq!(accept(&listener).peer().pid, next.pid());
    next.expect("connected");
}

#[test]
fn a_frozen_client_delays_nobody() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let mut frozen = place.start("silent", Side::Guest);
    let to_frozen = accept(&listener);
    frozen.expect("connected");
    freeze(&frozen);
    let mut lively = place.start("silent", Side::Guest);
    let to_lively = accept(&listener);
    lively.expect("connected");
    // Until the frozen one's ring is full.
    let text = vec![7; 4000];
    let mut missed = Vec::new();
    while missed.is_empty() {
        missed = listener.broadcast(&text);
        missed.retain(|(conn, error)| {
            assert!(error.is_timeout(), "{error}");
            conn.id() == to_frozen.id()
        });
    }
    // The lively one does not read either; a third one that does gets everything.
    let reader = place.guest().open().unwrap();
    let from = connected(&reader);
    let to_reader = accept(&listener);
    for _ in 0..amount(100, 500) {
        let start = Instant::now();
        let missed = listener.within(Duration::from_millis(2)).broadcast(&text);
        assert!(
            missed.iter().all(|(conn, _)| conn.id() != to_reader.id()),
            "{missed:?}"
        );
        assert_eq!(from.within(LIMIT).recv().unwrap().unwrap(), text);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
    thaw(&frozen);
    drop((to_lively, to_frozen));
}

#[test]
fn a_server_that_is_started_again_has_all_its_clients_back() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let count = rounds(amount(4, 8), 3);
    let mut clients: Vec<Child> = (0..count)
        .map(|_| place.start("echoing", Side::Guest))
        .collect();
    for _ in 0..rounds(amount(3, 20), 2) {
        let mut server = place.start("server", Side::Host);
        server.expect("listening");
        let told = format!("client {}", server.pid());
        for client in &mut clients {
            client.wait_for_line(|line| line == told);
        }
        server.kill();
    }
}

#[test]
fn a_link_is_known_again_and_no_other() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let link = place.guest().open().unwrap();
    let first = accept(&listener);
    let number = first
        .peer()
        .client
        .expect("a guest of this library says it");
    drop(connected(&link));
    let again = accept(&listener);
    assert_ne!(again.id(), first.id());
    assert_eq!(again.peer().client, Some(number));
    // A process is the same each time.
    assert_eq!(again.peer(), first.peer());
    let other = place.guest().open().unwrap();
    assert_ne!(accept(&listener).peer().client, Some(number));
    // Of a host nothing is known.
    assert_eq!(connected(&other).peer().client, None);
}

#[test]
fn who_comes_when_all_seats_are_taken_waits_its_turn() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = place.host().max_clients(2, 2).listen().unwrap();
    let mut children: Vec<Child> = (0..2).map(|_| place.start("silent", Side::Guest)).collect();
    let conns = [accept(&listener), accept(&listener)];
    for child in &mut children {
        child.expect("connected");
    }
    let third = place.guest().open().unwrap();
    let error = third.within(Duration::from_millis(100)).next().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    children[0].kill();
    let next = accept(&listener);
    assert_eq!(next.peer().pid, std::process::id());
    connected(&third).send(b"at last").unwrap();
    assert_eq!(next.recv().unwrap().unwrap(), b"at last");
    drop(conns);
}

#[test]
fn one_user_has_as_many_seats_as_it_may() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = place.host().max_clients(10, 1).listen().unwrap();
    let first = place.guest().open().unwrap();
    let conn = accept(&listener);
    let second = place.guest().open().unwrap();
    let error = second
        .within(Duration::from_millis(100))
        .next()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("max_clients"), "{error}");
    drop((first, conn));
    connected(&second);
    accept(&listener);
}

#[test]
fn what_a_listener_cannot_have_is_said_at_once() {
    let place = Place::new();
    let refused = |builder: twinring::Builder| kind(builder.listen());
    assert_eq!(refused(place.guest()), ErrorKind::InvalidOption);
    assert_eq!(
        refused(place.host().on_message(|_, _| {})),
        ErrorKind::InvalidOption
    );
    assert_eq!(
        refused(place.host().one_connection()),
        ErrorKind::InvalidOption
    );
    assert_eq!(
        refused(place.host().max_clients(0, 1)),
        ErrorKind::InvalidOption
    );
    assert_eq!(
        kind(place.host().max_clients(2, 2).open()),
        ErrorKind::InvalidOption
    );
    if cfg!(unix) {
        assert_eq!(
            refused(place.host().max_clients(usize::MAX, 1)),
            ErrorKind::OutOfHandles
        );
    }
    let listener = listen(&place);
    assert_eq!(refused(place.host()), ErrorKind::NameInUse);
    assert!(
        listener
            .within(Timeout::Now)
            .accept()
            .unwrap_err()
            .is_timeout()
    );
    listener.close(0, "");
    assert_eq!(kind(listener.accept()), ErrorKind::Closed);
    assert_eq!(listener.incoming().count(), 0);
}

#[test]
fn closing_ends_all_connections_with_the_same_word() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let links: Vec<Link> = (0..5).map(|_| place.guest().open().unwrap()).collect();
    let conns: Vec<Connection> = links.iter().map(connected).collect();
    let accepted: Vec<Connection> = (0..4).map(|_| accept(&listener)).collect();
    listener.close(3, "back at noon");
    for conn in &conns {
        let told = ended(conn.within(LIMIT).recv());
        assert!(told.contains("back at noon"), "{told}");
    }
    drop(accepted);
}

/// Who serves them learns of it only then, or would drop them first.
#[test]
fn those_who_are_served_are_told_why_it_closes() {
    let _watchdog = Watchdog::new(60);
    for _ in 0..rounds(amount(50, 500), 50) {
        let place = Place::new();
        let listener = listen(&place);
        let server = serve_echo(&listener);
        let link = place.guest().one_connection().open().unwrap();
        let conn = connected(&link).within(LIMIT);
        conn.send(b"hello").unwrap();
        assert_eq!(conn.recv().unwrap().unwrap(), b"hello");
        listener.close(3, "back at noon");
        let told = ended(conn.recv());
        assert!(told.contains("back at noon"), "{told}");
        server.join().unwrap();
    }
}

#[test]
fn a_dropped_listener_lets_its_connections_go_on() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let link = place.guest().one_connection().open().unwrap();
    let (conn, accepted) = (connected(&link), accept(&listener));
    drop(listener);
    conn.send(b"go on").unwrap();
    assert_eq!(accepted.within(LIMIT).recv().unwrap().unwrap(), b"go on");
    // The name is free.
    listen(&place);
}

/// Asks as many questions as it is told, and checks each answer.
fn asking(parent: &'static Parent) {
    let count: u64 = parent.next_as();
    let conn = connected(&parent.builder().open().unwrap()).within(LIMIT);
    for number in 0..count {
        conn.send(&message(2, number, number as usize % 700))
            .unwrap();
        check(
            &conn.recv().unwrap().unwrap(),
            2,
            number,
            number as usize % 700,
        );
    }
    conn.finish().unwrap();
    assert_eq!(conn.recv().unwrap(), None);
}

/// Asks until nobody takes its questions any more, and hears no answer.
fn deaf(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    while conn
        .within(Duration::from_millis(200))
        .send(&[0; 1000])
        .is_ok()
    {}
    parent.say("deaf");
    parent.wait_for_the_end();
}

/// Serves by echoing on a thread of its own, until the listener is closed.
fn serve_echo(listener: &Listener) -> thread::JoinHandle<()> {
    let listener = listener.clone();
    thread::spawn(move || {
        let served = listener.serve(|conn| {
            let mut within = false;
            move |message: &[u8]| {
                assert!(!std::mem::replace(&mut within, true), "twice at once");
                assert!(message != b"panic", "a fault, as a test");
                // The client may have gone.
                let _ = conn.send(message);
                within = false;
            }
        });
        served.unwrap();
    })
}

/// It is no message; what follows it is one.
#[test]
fn a_served_client_may_give_up_a_message_or_send_one_that_is_too_long() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = place.host().max_message(1000).listen().unwrap();
    let server = serve_echo(&listener);
    let link = place.guest().open().unwrap();
    let conn = connected(&link).within(LIMIT);
    for len in [500, 10_000] {
        let mut stream = conn.send_stream().unwrap();
        // It may be stopped meanwhile.
        let _ = stream
            .write_all(&vec![0; len])
            .and_then(|()| stream.flush());
        drop(stream);
        conn.send(b"hello").unwrap();
        assert_eq!(conn.recv().unwrap().unwrap(), b"hello");
    }
    listener.close(0, "");
    server.join().unwrap();
}

#[test]
fn a_pool_serves_all_clients() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let server = serve_echo(&listener);
    let count = rounds(amount(300, 5000), 300);
    let mut clients: Vec<Child> = (0..6).map(|_| place.start("asking", Side::Guest)).collect();
    for client in &mut clients {
        client.say(count);
    }
    for client in clients {
        client.finish();
    }
    listener.close(0, "");
    server.join().unwrap();
}

#[test]
fn clients_that_do_not_read_hold_up_no_other_client_of_a_pool() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let server = serve_echo(&listener);
    // More than the pool has threads at first.
    let mut deaf: Vec<Child> = (0..6).map(|_| place.start("deaf", Side::Guest)).collect();
    for client in &mut deaf {
        client.expect("deaf");
    }
    let mut client = place.start("asking", Side::Guest);
    client.say(50);
    client.finish();
    // Handlers that wait end with their connections.
    listener.close(0, "");
    server.join().unwrap();
}

/// More clients than the pool has threads at first: all of them are to be within their handlers at once.
#[test]
fn a_pool_grows_while_handlers_wait() {
    const CLIENTS: usize = 12;
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let together = Arc::new(Barrier::new(CLIENTS));
    let server = listener.clone();
    let server = thread::spawn(move || {
        server.serve(move |conn| {
            let together = together.clone();
            move |message: &[u8]| {
                together.wait();
                conn.send(message).unwrap();
            }
        })
    });
    let links: Vec<Link> = (0..CLIENTS)
        .map(|_| place.guest().open().unwrap())
        .collect();
    let conns: Vec<Connection> = links.iter().map(connected).collect();
    for _ in 0..rounds(amount(20, 200), 20) {
        for conn in &conns {
            conn.send(b"together").unwrap();
        }
        for conn in &conns {
            conn.within(LIMIT).recv().unwrap();
        }
    }
    listener.close(0, "");
    server.join().unwrap().unwrap();
}

#[test]
fn a_handler_that_panics_loses_its_own_client() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let server = serve_echo(&listener);
    let links: Vec<Link> = (0..2)
        .map(|_| place.guest().one_connection().open().unwrap())
        .collect();
    let conns: Vec<Connection> = links
        .iter()
        .map(|link| connected(link).within(LIMIT))
        .collect();
    conns[0].send(b"panic").unwrap();
    assert_eq!(ended(conns[0].recv()), ABANDONED);
    // It was not taken.
    assert_eq!(
        conns[0].take_unread().unwrap().collect::<Vec<_>>(),
        [b"panic"]
    );
    conns[1].send(b"hello").unwrap();
    assert_eq!(conns[1].recv().unwrap().unwrap(), b"hello");
    listener.close(0, "");
    server.join().unwrap();
    assert_eq!(ended(conns[1].recv()), CLOSED);
}

/// Also if the program has other handles of the connection, which nobody serves any more.
#[test]
fn a_handler_that_panics_ends_the_connection_for_all() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let clients: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let (server, registry) = (listener.clone(), clients.clone());
    let server = thread::spawn(move || {
        server.serve(move |conn| {
            registry.lock().unwrap().push(conn);
            |_: &[u8]| panic!("a fault, as a test")
        })
    });
    let link = place.guest().one_connection().open().unwrap();
    let conn = connected(&link).within(LIMIT);
    conn.send(b"hello").unwrap();
    assert_eq!(ended(conn.recv()), ABANDONED);
    assert_eq!(conn.take_unread().unwrap().count(), 1);
    assert_eq!(ended(clients.lock().unwrap()[0].recv()), ABANDONED_HERE);
    listener.close(0, "");
    server.join().unwrap().unwrap();
}

#[test]
fn nothing_is_handled_after_this_side_has_ended_the_connection() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let (server, handled) = (listener.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = handled.clone();
    let server = thread::spawn(move || {
        server.serve(move |conn| {
            let counted = counted.clone();
            move |_: &[u8]| {
                if counted.fetch_add(1, Relaxed) == 4 {
                    conn.close(1, "five are enough");
                }
            }
        })
    });
    let link = place.guest().one_connection().open().unwrap();
    let conn = connected(&link).within(LIMIT);
    conn.send_batch(&[[7; 10]; 100]).unwrap();
    assert!(ended(conn.recv()).contains("five are enough"));
    // The fifth was within its handler.
    let unread = conn.take_unread().unwrap().count();
    assert!((95..=96).contains(&unread), "{unread} came back");
    listener.close(0, "");
    server.join().unwrap().unwrap();
    assert_eq!(handled.load(Relaxed), 5);
}

/// Senders that meet at a client hold each other up, which is no lack of room.
#[test]
fn clients_that_read_miss_no_broadcast_of_several_threads() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let links: Vec<Link> = (0..20).map(|_| place.guest().open().unwrap()).collect();
    let readers: Vec<Connection> = links.iter().map(connected).collect();
    let clients: Vec<Connection> = (0..20).map(|_| accept(&listener)).collect();
    let count = rounds(amount(100, 400), 100);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..count {
                    let missed = listener.broadcast(b"news");
                    assert!(missed.is_empty(), "{missed:?}");
                }
            });
        }
        for reader in &readers {
            scope.spawn(|| {
                for _ in 0..4 * count {
                    reader.within(LIMIT).recv().unwrap();
                }
            });
        }
    });
    drop(clients);
}

/// More than Windows can wait for at once.
#[test]
fn a_set_waits_for_any_of_a_hundred() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = listen(&place);
    let links: Vec<Link> = (0..100).map(|_| place.guest().open().unwrap()).collect();
    let senders: Vec<Connection> = links.iter().map(connected).collect();
    let mut set = WaitSet::new();
    for conn in (0..100).map(|_| accept(&listener)) {
        set.add(&conn, Interest::Recv);
    }
    let sender = thread::spawn(move || {
        for number in 0..20_u64 {
            for sender in &senders {
                sender.send(&message(3, number, 50)).unwrap();
            }
            if number % 5 == 0 {
                // So that the set sleeps.
                thread::sleep(Duration::from_millis(5));
            }
        }
        for sender in &senders {
            sender.finish().unwrap();
        }
        senders
    });
    let mut next: HashMap<u64, u64> = HashMap::new();
    while !set.is_empty() {
        let ready = set.wait(LIMIT);
        assert!(!ready.is_empty(), "nothing comes");
        for conn in ready {
            match conn.within(Timeout::Now).recv() {
                Ok(Some(bytes)) => {
                    let number = next.entry(conn.id()).or_default();
                    check(&bytes, 3, *number, 50);
                    *number += 1;
                }
                Ok(None) => set.remove(&conn),
                Err(e) => assert!(e.is_timeout(), "{e}"),
            }
        }
    }
    assert!(next.len() == 100 && next.values().all(|number| *number == 20));
    drop(sender.join().unwrap());
}
