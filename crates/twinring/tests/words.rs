//! Systems that cannot wait for words of shared memory, or no longer can: doorbells ring instead.
//!
//! Such a system is made of this one by a filter that refuses futex_waitv(2), as older kernels and
//! some sandboxes do.

#![cfg(target_os = "linux")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{
    CLOSED, CRASHED, LIMIT, Parent, Place, Side, Watchdog, connected, ended, peers, refuse, until,
};
use twinring::{Builder, Connection, Wait};

peers!(
    server,
    refused_later,
    refused_beside_a_sleeper,
    cannot_wait,
    cannot_ring,
    sleeper
);

/// Answers each message, and fills the ring, asleep most of the time; until the peer closes.
fn serve(conn: &Connection, parent: &Parent) {
    parent.say("here");
    loop {
        match conn.recv() {
            Ok(message) if message.as_deref() == Some(b"fill") => {
                for i in 0..1000u32 {
                    conn.send(&[&i.to_le_bytes()[..], &[7; 100]].concat())
                        .unwrap();
                }
            }
            Ok(message) => conn.send(&message.unwrap()).unwrap(),
            end => return parent.say(ended(end)),
        }
    }
}

/// Asleep whenever it waits.
fn connect(builder: Builder) -> Connection {
    let link = builder.wait(Wait::Sleep).ring_capacity(4096).open();
    connected(&link.unwrap())
}

#[track_caller]
fn recv(conn: &Connection) -> Vec<u8> {
    let message = conn.within(LIMIT).recv().unwrap();
    message.expect("there is more")
}

fn server(parent: &'static Parent) {
    serve(&connect(parent.builder()), parent);
}

fn refused_later(parent: &'static Parent) {
    let conn = connect(parent.builder());
    std::thread::spawn(move || {
        // The other thread sleeps on a word by now, or will soon.
        std::thread::sleep(Duration::from_millis(20));
        refuse(libc::SYS_futex_waitv, libc::EPERM);
        parent.say("refused");
    });
    serve(&conn, parent);
}

/// One thread sleeps for a message when the call is refused; another, that comes later, for room.
fn refused_beside_a_sleeper(parent: &'static Parent) {
    let conn = connect(parent.builder());
    let receiver = conn.clone();
    let receiving = std::thread::spawn(move || {
        assert_eq!(recv(&receiver), b"are you asleep?");
        parent.say("not any more");
    });
    // It sleeps on a word by now; nothing but a wake-up tells it of anything.
    std::thread::sleep(Duration::from_millis(50));
    refuse(libc::SYS_futex_waitv, libc::EPERM);
    let short = conn.within(Duration::from_millis(50));
    while short.send(&[7; 500]).is_ok() {}
    parent.say("full");
    receiving.join().unwrap();
    conn.send(b"there is room").unwrap();
    parent.expect("end");
}

/// Sleeps on both sides: for messages, and for room.
fn exchange(conn: &Connection) {
    for i in 0..300u32 {
        conn.send(&i.to_le_bytes()).unwrap();
        assert_eq!(recv(conn), i.to_le_bytes());
    }
    conn.send(b"fill").unwrap();
    // The peer finds its ring full.
    std::thread::sleep(Duration::from_millis(5));
    for i in 0..1000u32 {
        assert_eq!(recv(conn)[..4], i.to_le_bytes());
    }
}

#[test]
fn an_older_kernel_on_one_side() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start_on_older_kernel("server", side);
        let conn = connect(place.builder(side.opposite()));
        child.expect("here");
        exchange(&conn);
        // Asleep in `recv`, it is told of the end.
        std::thread::sleep(Duration::from_millis(5));
        conn.close(0, "");
        child.expect(CLOSED);
    }
}

#[test]
fn a_sandbox_that_comes_later() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("refused_later", side);
        let conn = connect(place.builder(side.opposite()));
        child.expect("here");
        for _ in 0..300 {
            conn.send(b"before and after").unwrap();
            assert_eq!(recv(&conn), b"before and after");
            std::thread::sleep(Duration::from_micros(200));
        }
        child.expect("refused");
        exchange(&conn);
        child.kill();
        assert_eq!(ended(conn.recv()), CRASHED);
    }
}

#[test]
fn a_sandbox_that_comes_while_one_sleeps() {
    let _watchdog = Watchdog::new(120);
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("refused_beside_a_sleeper", side);
        let conn = connect(place.builder(side.opposite()));
        child.expect("full");
        conn.send(b"are you asleep?").unwrap();
        child.expect("not any more");
        // It waits for room, asleep until its doorbell rings.
        std::thread::sleep(Duration::from_millis(5));
        while recv(&conn) != b"there is room" {}
        child.say("end");
    }
}

/// A system that lets nobody wait any more, neither way.
fn cannot_wait(parent: &'static Parent) {
    static ERRORS: AtomicU32 = AtomicU32::new(0);
    let link = parent
        .builder()
        .wait(Wait::Sleep)
        .on_message(|conn, message| conn.send(message).unwrap())
        .on_error(|_| {
            ERRORS.fetch_add(1, Ordering::Relaxed);
        })
        .open()
        .unwrap();
    until("there is a connection", || link.status().is_connected());
    parent.say("here");
    parent.expect("refuse");
    refuse(libc::SYS_futex_waitv, libc::EPERM);
    refuse(libc::SYS_ppoll, libc::ENOMEM);
    // For the thread that sleeps to be refused it has to be woken first.
    parent.say("refused");
    parent.expect("how often?");
    parent.say(ERRORS.load(Ordering::Relaxed));
    parent.wait_for_the_end();
}

/// The callback thread says so, again and again, but does not use up a processor, and messages come through.
#[test]
fn a_callback_thread_that_cannot_wait_is_patient() {
    let _watchdog = Watchdog::new(120);
    let place = Place::new();
    let mut child = place.start("cannot_wait", Side::Guest);
    let conn = connected(&place.host().open().unwrap());
    child.expect("here");
    child.say("refuse");
    child.expect("refused");
    let start = Instant::now();
    for i in 0..5u32 {
        conn.send(&i.to_le_bytes()).unwrap();
        assert_eq!(recv(&conn), i.to_le_bytes());
        std::thread::sleep(Duration::from_millis(50));
    }
    child.say("how often?");
    let errors: u32 = child.next_line().parse().unwrap();
    let tenths = start.elapsed().as_millis() / 100 + 1;
    assert!(errors > 0, "it could wait");
    assert!(
        u128::from(errors) <= tenths + 2,
        "{errors} in {tenths} tenths of a second"
    );
}

/// A system that has no memory for a byte, to a peer that can only be woken by one: how long a `send` took,
/// and how it went on.
fn cannot_ring(parent: &'static Parent) {
    let conn = connect(parent.builder());
    parent.expect("refuse");
    refuse(libc::SYS_sendto, libc::ENOBUFS);
    let start = Instant::now();
    let sent = conn.send(b"hello");
    parent.say(start.elapsed().as_millis());
    parent.say(sent.is_ok());
    parent.say(ended(conn.recv()));
}

/// Receives, asleep most of the time.
fn sleeper(parent: &'static Parent) {
    let conn = connect(parent.builder());
    parent.say("here");
    while conn.recv().is_ok() {}
}

/// A sender does not wait until the system has memory: the doorbell is rung later. If it never can be, the
/// connection ends, so that its peer does not sleep for ever.
#[test]
fn a_doorbell_that_cannot_be_rung_holds_up_nobody() {
    let _watchdog = Watchdog::new(120);
    let mut times = Vec::new();
    // A machine that is busy may hold it up, but not each time.
    for _ in 0..5 {
        let place = Place::new();
        let mut sleeper = place.start_on_older_kernel("sleeper", Side::Host);
        let mut child = place.start("cannot_ring", Side::Guest);
        sleeper.expect("here");
        // It falls asleep, and looks once more after 10 ms.
        std::thread::sleep(Duration::from_millis(50));
        child.say("refuse");
        times.push(child.next_line().parse::<u64>().unwrap());
        child.expect("true");
        child.expect(CRASHED);
        if times.last() < Some(&50) {
            return;
        }
    }
    panic!("a send took {times:?} ms");
}
