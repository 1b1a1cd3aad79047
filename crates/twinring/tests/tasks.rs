//! Tasks that wait by `poll_ready`, in an executor of this test's own.

mod common;

use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use common::{
    ABANDONED, Child, LIMIT, Parent, Place, Side, Watchdog, amount, block_on, check, connected,
    ended, message, peers, rounds, when_ready,
};
use twinring::{Connection, Interest, Link, Result, Timeout, Wait};

peers!(
    async_echo,
    blocking_echo,
    slow_reader,
    mute,
    side_by_side_without_words
);

async fn recv(conn: &Connection) -> Result<Option<Vec<u8>>> {
    when_ready(conn, Interest::Recv, Connection::recv).await
}

async fn send(conn: &Connection, message: &[u8]) -> Result<()> {
    when_ready(conn, Interest::Send(message.len()), |conn| {
        conn.send(message)
    })
    .await
}

async fn flush(conn: &Connection) -> Result<()> {
    when_ready(conn, Interest::Flush, Connection::flush).await
}

fn async_echo(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    let ((), _) = block_on(async {
        while let Some(message) = recv(&conn).await.unwrap() {
            send(&conn, &message).await.unwrap();
        }
        conn.finish().unwrap();
        flush(&conn).await.unwrap();
    });
}

fn blocking_echo(parent: &'static Parent) {
    let conn = connected(&parent.builder().wait(Wait::Sleep).open().unwrap());
    while let Some(message) = conn.recv().unwrap() {
        conn.send(&message).unwrap();
    }
    conn.finish().unwrap();
    conn.flush().unwrap();
}

/// Takes a message now and then.
fn slow_reader(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    let mut number = 0;
    while let Some(bytes) = conn.recv().unwrap() {
        check(&bytes, 0, number, 1000);
        number += 1;
        if number % 7 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    parent.say(number);
    conn.finish().unwrap();
}

/// Connects, and does what it is told.
fn mute(parent: &'static Parent) {
    let conn = connected(&parent.builder().open().unwrap());
    parent.say("connected");
    loop {
        match parent.next_line().as_str() {
            "send" => conn.send(b"here it is").unwrap(),
            "close" => conn.close(5, "enough"),
            other => panic!("told {other:?}"),
        }
    }
}

fn start(role: &str) -> (Link, Child, Connection) {
    let place = Place::new();
    let link = place.host().ring_capacity(16 * 1024).open().unwrap();
    let child = place.start(role, Side::Guest);
    let conn = connected(&link);
    (link, child, conn)
}

/// One wake-up each way for each message: none may be lost.
fn ping_pong(role: &str) {
    let _watchdog = Watchdog::new(120);
    let (_link, child, conn) = start(role);
    let count = rounds(amount(3000, 30_000), 1000) as u64;
    block_on(async {
        for number in 0..count {
            // From nothing to more than a frame, and to what fills the ring but for a little.
            let len = (number * 37 % 9000) as usize;
            send(&conn, &message(0, number, len)).await.unwrap();
            let echo = recv(&conn).await.unwrap().unwrap();
            check(&echo, 0, number, len);
        }
        conn.finish().unwrap();
        assert_eq!(recv(&conn).await.unwrap(), None);
    });
    drop(conn);
    child.finish();
}

#[test]
fn a_task_and_a_task_exchange() {
    ping_pong("async_echo");
}

#[test]
fn a_task_and_a_thread_exchange() {
    ping_pong("blocking_echo");
}

#[test]
fn a_task_that_waits_for_room_gets_it() {
    let _watchdog = Watchdog::new(120);
    let (_link, mut child, conn) = start("slow_reader");
    let count = rounds(amount(300, 3000), 300) as u64;
    let ((), polls) = block_on(async {
        for number in 0..count {
            send(&conn, &message(0, number, 1000)).await.unwrap();
        }
        flush(&conn).await.unwrap();
        assert_eq!(conn.taken().unwrap().waiting, 0);
        conn.finish().unwrap();
    });
    // It sleeps meanwhile.
    assert!(
        polls < 2 * count as usize + 100,
        "{polls} polls for {count} messages"
    );
    child.expect(&count.to_string());
    assert_eq!(conn.within(LIMIT).recv().unwrap(), None);
    drop(conn);
    child.finish();
}

/// An idle task is woken by nothing but what it waits for.
#[test]
fn a_task_that_waits_is_not_polled() {
    let _watchdog = Watchdog::new(60);
    let (_link, mut child, conn) = start("mute");
    child.expect("connected");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            child.say("send");
        });
        let (received, polls) = block_on(recv(&conn));
        assert_eq!(received.unwrap().unwrap(), b"here it is");
        assert!(polls <= 5, "{polls} polls");
    });
}

#[test]
fn a_task_learns_of_each_end() {
    let _watchdog = Watchdog::new(60);
    for how in ["close", "kill", "drop here"] {
        let (_link, mut child, conn) = start("mute");
        child.expect("connected");
        // So that a sender has to wait.
        while conn.within(Timeout::Now).send(&[7; 1000]).is_ok() {}
        let waits = [Interest::Recv, Interest::Send(1000), Interest::Flush].map(|interest| {
            let conn = conn.clone();
            thread::spawn(move || {
                let (result, _) = block_on(when_ready(&conn, interest, |conn| match interest {
                    Interest::Recv => conn.recv().map(drop),
                    Interest::Flush => conn.flush(),
                    _ => conn.send(&[7; 1000]),
                }));
                result.unwrap_err()
            })
        });
        thread::sleep(Duration::from_millis(20));
        match how {
            "close" => child.say("close"),
            "kill" => drop(child.kill()),
            _ => conn.close(1, ""),
        }
        for wait in waits {
            assert!(wait.join().unwrap().end().is_some(), "{how}");
        }
    }
}

/// Each message goes to one of them, whoever sleeps how.
#[test]
fn tasks_and_threads_receive_side_by_side() {
    let _watchdog = Watchdog::new(120);
    receive_side_by_side();
}

/// On a system where threads sleep on the same doorbells that the driver hears for tasks, as they do on Windows.
#[cfg(target_os = "linux")]
#[test]
fn tasks_and_threads_share_doorbells() {
    let _watchdog = Watchdog::new(120);
    Place::new()
        .start("side_by_side_without_words", Side::Host)
        .finish();
}

fn side_by_side_without_words(_: &'static Parent) {
    #[cfg(target_os = "linux")]
    common::refuse(libc::SYS_futex_waitv, libc::ENOSYS);
    receive_side_by_side();
    send_side_by_side();
}

fn receive_side_by_side() {
    let (host, guest) = Link::pair().unwrap();
    let (count, sum) = (
        rounds(amount(20_000, 200_000), 20_000) as u64,
        AtomicU64::new(0),
    );
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(bytes) = guest.recv().unwrap() {
                    sum.fetch_add(bytes[0].into(), Ordering::Relaxed);
                }
            });
            scope.spawn(|| {
                block_on(async {
                    while let Some(bytes) = recv(&guest).await.unwrap() {
                        sum.fetch_add(bytes[0].into(), Ordering::Relaxed);
                    }
                })
            });
        }
        for number in 0..count {
            host.send(&[number as u8]).unwrap();
            if number % 64 == 0 {
                // So that they sleep now and then.
                thread::yield_now();
            }
        }
        host.finish().unwrap();
    });
    let wanted: u64 = (0..count).map(|number| u64::from(number as u8)).sum();
    assert_eq!(sum.into_inner(), wanted);
}

/// Tasks and threads that send, one of them with a message longer than a frame.
#[test]
fn tasks_and_threads_send_side_by_side() {
    let _watchdog = Watchdog::new(120);
    send_side_by_side();
}

/// The two ends of a connection with rings of 64 KiB, and their links.
fn with_small_rings() -> ([Link; 2], Connection, Connection) {
    let place = Place::new();
    let link = place.host().ring_capacity(64 * 1024).open().unwrap();
    let guest = place.guest().open().unwrap();
    let (sender, receiver) = (connected(&guest), connected(&link));
    ([link, guest], sender, receiver)
}

fn send_side_by_side() {
    let (_links, sender, receiver) = with_small_rings();
    let count = rounds(amount(500, 5000), 500);
    thread::scope(|scope| {
        for (kind, len) in [(0, 100), (1, 100), (0, 40_000), (1, 40_000)] {
            let sender = &sender;
            scope.spawn(move || {
                for _ in 0..count {
                    match kind {
                        0 => sender.send(&vec![1; len]).unwrap(),
                        _ => block_on(send(sender, &vec![1; len])).0.unwrap(),
                    }
                }
            });
        }
        let mut bytes = 0;
        for _ in 0..4 * count {
            bytes += receiver.within(LIMIT).recv().unwrap().unwrap().len();
        }
        assert_eq!(bytes, count * 2 * (100 + 40_000));
    });
}

/// One that need not wait leaves another, which waits for more room, its wake-up.
#[test]
fn a_task_that_is_ready_beside_one_that_waits() {
    let _watchdog = Watchdog::new(120);
    let (_links, sender, receiver) = with_small_rings();
    let sender = &sender;
    let needs = |len| poll_fn(move |task| sender.poll_ready(Interest::Send(len), task));
    for _ in 0..10 {
        for _ in 0..3 {
            sender.send(&[0; 10_000]).unwrap();
        }
        thread::scope(|scope| {
            let large = scope.spawn(|| block_on(needs(40_000)));
            thread::sleep(Duration::from_millis(5));
            let mut task = Context::from_waker(Waker::noop());
            assert!(pin!(needs(100)).poll(&mut task).is_ready());
            for _ in 0..3 {
                receiver.recv().unwrap();
            }
            large.join().expect("it is woken");
        });
    }
}

/// A task that waits for another's large message to be over sleeps.
#[test]
fn a_large_message_behind_another() {
    let _watchdog = Watchdog::new(60);
    let (_links, sender, receiver) = with_small_rings();
    let mut stream = sender.send_stream().unwrap();
    stream.write_all(b"first").unwrap();
    thread::scope(|scope| {
        let task = scope.spawn(|| block_on(send(&sender, &[1; 40_000])));
        thread::sleep(Duration::from_millis(100));
        stream.finish().unwrap();
        let (sent, polls) = task.join().unwrap();
        sent.unwrap();
        assert!(polls < 20, "polled {polls} times");
    });
    assert_eq!(receiver.recv().unwrap(), Some(b"first".to_vec()));
    assert_eq!(receiver.recv().unwrap(), Some(vec![1; 40_000]));
}

/// A thread that waits for the peer to take what was sent has the right to send for moments only.
#[test]
fn a_task_sends_beside_a_thread_that_flushes() {
    let _watchdog = Watchdog::new(20);
    let (host, guest) = Link::pair().unwrap();
    host.send(b"first").unwrap();
    thread::scope(|scope| {
        let flusher = scope.spawn(|| host.within(LIMIT).flush());
        for number in 0..50 {
            block_on(send(&host, &[number])).0.unwrap();
            thread::sleep(Duration::from_micros(300));
        }
        assert!(!flusher.is_finished());
        for _ in 0..51 {
            guest.recv().unwrap();
        }
        flusher.join().unwrap().unwrap();
    });
}

/// A future that is dropped has taken nothing.
#[test]
fn a_dropped_future_has_received_nothing() {
    let _watchdog = Watchdog::new(60);
    let (host, guest) = Link::pair().unwrap();
    for number in 0..amount(1000, 10_000) as u64 {
        let mut task = Context::from_waker(Waker::noop());
        let mut waiting = Box::pin(recv(&guest));
        assert!(waiting.as_mut().poll(&mut task).is_pending());
        host.send(&message(0, number, 10)).unwrap();
        drop(waiting);
        let (received, _) = block_on(recv(&guest));
        check(&received.unwrap().unwrap(), 0, number, 10);
    }
}

#[test]
fn tasks_wait_for_connections() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    let listener = place.host().listen().unwrap();
    let accept = || {
        let now = listener.within(Timeout::Now);
        block_on(std::future::poll_fn(move |task| {
            loop {
                match now.accept() {
                    Err(e) if e.is_timeout() => ready!(now.poll_ready(task)),
                    accepted => return Poll::Ready(accepted),
                }
            }
        }))
        .0
    };
    let opener = {
        let builder = place.guest();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            connected(&builder.open().unwrap())
        })
    };
    let conn = accept().unwrap();
    drop(opener.join().unwrap());
    assert_eq!(ended(conn.within(LIMIT).recv()), ABANDONED);
    let closer = {
        let listener = listener.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            listener.close(0, "");
        })
    };
    assert!(accept().is_err());
    closer.join().unwrap();
}
