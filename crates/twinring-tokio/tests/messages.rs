//! Messages between two processes, in each of tokio's runtimes.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod tokios;

use std::time::Duration;

use common::{
    CRASHED, Child, LIMIT, Parent, Place, Random, Side, Watchdog, amount, check, ended, message,
    peers, rounds,
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{sleep, timeout};
use tokios::{many_threads, one_thread};
use twinring::{End, ErrorKind};
use twinring_tokio::{Connection, Link, Listener};

peers!(
    echo,
    echo_in_one_thread,
    sender,
    slow_reader,
    mute,
    restarted,
    taker
);

/// Sends all messages back.
async fn echo_all(parent: &Parent) {
    let link = Link::from(parent.builder().open().unwrap());
    let conn = link.next().await.unwrap();
    while let Some(message) = conn.recv().await.unwrap() {
        conn.send(&message).await.unwrap();
    }
    conn.finish().unwrap();
    conn.flush().await.unwrap();
}

fn echo(parent: &'static Parent) {
    many_threads().block_on(async { tokio::spawn(echo_all(parent)).await.unwrap() });
}

fn echo_in_one_thread(parent: &'static Parent) {
    one_thread().block_on(echo_all(parent));
}

/// Sends as many messages as it is told, in bursts.
fn sender(parent: &'static Parent) {
    let count: u64 = parent.next_as();
    one_thread().block_on(async {
        let link = Link::from(parent.builder().open().unwrap());
        let conn = link.next().await.unwrap();
        let mut random = Random::new(1);
        for number in 0..count {
            conn.send(&message(1, number, number as usize % 200))
                .await
                .unwrap();
            if random.one_in(20) {
                sleep(Duration::from_micros(random.below(300) as u64)).await;
            }
        }
        conn.finish().unwrap();
        assert_eq!(conn.recv().await.unwrap(), None);
    });
}

/// Takes a message now and then.
fn slow_reader(parent: &'static Parent) {
    one_thread().block_on(async {
        let link = Link::from(parent.builder().open().unwrap());
        let conn = link.next().await.unwrap();
        let mut number = 0;
        while let Some(bytes) = conn.recv().await.unwrap() {
            check(&bytes, 0, number, 1000);
            number += 1;
            if number % 10 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        parent.say(number);
        conn.finish().unwrap();
        conn.flush().await.unwrap();
    });
}

fn mute(parent: &'static Parent) {
    one_thread().block_on(async {
        let link = Link::from(parent.builder().open().unwrap());
        let _conn = link.next().await.unwrap();
        parent.say("connected");
        parent.wait_for_the_end()
    });
}

/// A server that says hello to each client.
fn restarted(parent: &'static Parent) {
    many_threads().block_on(async {
        let listener = Listener::from(parent.builder().listen().unwrap());
        let mut clients = listener.incoming();
        while let Some(conn) = clients.next().await {
            conn.send(b"hello").await.unwrap();
            // Until it goes.
            tokio::spawn(async move { while let Ok(Some(_)) = conn.recv().await {} });
        }
    });
}

fn start(role: &str) -> (Link, Child) {
    let place = Place::new();
    let host = place.host().ring_capacity(16 * 1024).open().unwrap();
    let child = place.start(role, Side::Guest);
    (host.into(), child)
}

async fn next(link: &Link) -> Connection {
    timeout(LIMIT, link.next())
        .await
        .expect("a peer connects")
        .unwrap()
}

/// Each message is answered before the next one.
async fn ping_pong(link: Link, count: u64) {
    let conn = next(&link).await;
    for number in 0..count {
        // From nothing to more than a frame.
        let len = (number * 37 % 9000) as usize;
        conn.send(&message(0, number, len)).await.unwrap();
        let echo = conn.recv().await.unwrap().unwrap();
        check(&echo, 0, number, len);
        if number % 100 == 0 {
            // So that both sides sleep.
            sleep(Duration::from_millis(1)).await;
        }
    }
    conn.finish().unwrap();
    assert_eq!(conn.recv().await.unwrap(), None);
}

#[test]
fn messages_come_back_in_each_runtime() {
    let _watchdog = Watchdog::new(120);
    let count = rounds(amount(3000, 30_000), 500) as u64;
    for role in ["echo", "echo_in_one_thread"] {
        let (link, child) = start(role);
        many_threads().block_on(async { tokio::spawn(ping_pong(link, count)).await.unwrap() });
        child.finish();
        let (link, child) = start(role);
        one_thread().block_on(ping_pong(link, count));
        child.finish();
    }
}

/// What `select!` drops is neither lost nor doubled.
#[test]
fn a_receive_that_is_dropped_has_taken_nothing() {
    let _watchdog = Watchdog::new(120);
    let (link, mut child) = start("sender");
    let count = 10_000;
    child.say(count);
    let cancelled = many_threads().block_on(async {
        let conn = next(&link).await;
        let (mut number, mut cancelled) = (0, 0);
        let mut random = Random::new(2);
        loop {
            let received = tokio::select! {
                biased;
                // Both are polled each time, and either may win.
                received = conn.recv() => received.unwrap(),
                () = brief(&mut random) => {
                    cancelled += 1;
                    continue;
                }
            };
            let Some(bytes) = received else { break };
            check(&bytes, 1, number, number as usize % 200);
            number += 1;
        }
        assert_eq!(number, count);
        conn.finish().unwrap();
        conn.flush().await.unwrap();
        cancelled
    });
    assert!(cancelled > 100, "only {cancelled} were dropped");
    child.finish();
}

/// Some turns of the runtime, or some time.
async fn brief(random: &mut Random) {
    if random.one_in(8) {
        sleep(Duration::from_micros(50)).await;
    } else {
        for _ in 0..random.below(4) {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_send_that_is_dropped_has_sent_nothing() {
    let _watchdog = Watchdog::new(120);
    let (link, mut child) = start("slow_reader");
    let count = rounds(amount(1000, 10_000), 500) as u64;
    let cancelled = many_threads().block_on(async {
        let conn = next(&link).await;
        let (mut number, mut cancelled) = (0, 0);
        let mut random = Random::new(3);
        while number < count {
            let bytes = message(0, number, 1000);
            tokio::select! {
                biased;
                sent = conn.send(&bytes) => {
                    sent.unwrap();
                    number += 1;
                }
                () = brief(&mut random) => cancelled += 1,
            }
        }
        conn.finish().unwrap();
        assert_eq!(conn.recv().await.unwrap(), None);
        cancelled
    });
    assert!(cancelled > 10, "only {cancelled} were dropped");
    child.expect(&count.to_string());
    child.finish();
}

#[test]
fn a_killed_peer_is_an_error() {
    let _watchdog = Watchdog::new(60);
    let (link, mut child) = start("mute");
    many_threads().block_on(async {
        let conn = next(&link).await;
        child.expect("connected");
        let receiver = tokio::spawn({
            let conn = conn.clone();
            async move { conn.recv().await }
        });
        let sender = tokio::spawn({
            let conn = conn.clone();
            async move {
                loop {
                    if let Err(e) = conn.send(&[7; 1000]).await {
                        return e;
                    }
                }
            }
        });
        sleep(Duration::from_millis(20)).await;
        child.kill();
        assert_eq!(ended(receiver.await.unwrap()), CRASHED);
        assert_eq!(sender.await.unwrap().end(), Some(&End::Crashed));
        assert!(conn.flush().await.is_err());
        let mut messages = conn.into_messages();
        assert!(messages.next().await.unwrap().is_err());
        assert!(messages.next().await.is_none(), "one error, then the end");
    });
}

#[test]
fn a_server_is_started_again() {
    let _watchdog = Watchdog::new(60);
    let place = Place::new();
    many_threads().block_on(async {
        let link = Link::from(place.guest().open().unwrap());
        for _ in 0..3 {
            let mut server = place.start("restarted", Side::Host);
            let conn = next(&link).await;
            assert_eq!(conn.recv().await.unwrap(), Some(b"hello".to_vec()));
            server.kill();
            assert_eq!(ended(conn.recv().await), CRASHED);
        }
    });
}

#[test]
fn messages_are_a_stream_and_a_sink() {
    let _watchdog = Watchdog::new(60);
    let (link, child) = start("echo");
    let count = rounds(amount(2000, 20_000), 500) as u64;
    many_threads().block_on(async {
        let (mut sink, stream) = next(&link).await.into_messages().split();
        let sender = tokio::spawn(async move {
            let messages = (0..count).map(|number| Ok(message(5, number, number as usize % 3000)));
            sink.send_all(&mut futures_util::stream::iter(messages))
                .await
                .unwrap();
            sink.close().await.unwrap();
            sink
        });
        let received: Vec<_> = stream.map(Result::unwrap).collect().await;
        assert_eq!(received.len() as u64, count);
        for (number, bytes) in received.iter().enumerate() {
            check(bytes, 5, number as u64, number % 3000);
        }
        drop(sender.await.unwrap());
    });
    child.finish();
}

#[test]
fn batches_and_views_are_awaited() {
    let _watchdog = Watchdog::new(60);
    let (link, child) = start("echo_in_one_thread");
    many_threads().block_on(async {
        let conn = next(&link).await;
        let messages: Vec<_> = (0..10).map(|number| message(0, number, 100)).collect();
        let mut sent = 0;
        while sent < messages.len() {
            sent += conn.send_batch(&messages[sent..]).await.unwrap();
        }
        assert_eq!(conn.send_batch::<&[u8]>(&[]).await.unwrap(), 0);
        let view = conn.recv_in_place().await.unwrap().unwrap();
        check(&view, 0, 0, 100);
        drop(view);
        let mut buffer = Vec::new();
        assert_eq!(conn.recv_into(&mut buffer).await.unwrap(), Some(100));
        check(&buffer, 0, 1, 100);
        let mut number = 2;
        while number < 10 {
            let mut batch = conn.recv_batch().await.unwrap().unwrap();
            while let Some(bytes) = batch.next_message() {
                check(bytes, 0, number, 100);
                number += 1;
            }
            batch.take();
        }
        let error = conn.send(&[0; 20_000]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        conn.finish().unwrap();
        assert_eq!(conn.recv().await.unwrap(), None);
    });
    child.finish();
}

/// A task that always has something to do lets others run.
#[test]
fn a_busy_task_does_not_starve_others() {
    let _watchdog = Watchdog::new(60);
    let (one, other) = twinring::Link::pair().unwrap();
    let (one, other) = (Connection::from(one), Connection::from(other));
    one_thread().block_on(async {
        let busy = tokio::spawn(async move {
            loop {
                one.send(b"again").await.unwrap();
                other.recv().await.unwrap();
            }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        busy.abort();
        assert!(busy.await.unwrap_err().is_cancelled());
    });
}

/// It takes no processor time, however busy its connection was before.
#[cfg(target_os = "linux")]
#[test]
fn an_idle_task_sleeps() {
    let _watchdog = Watchdog::new(60);
    let (link, child) = start("echo");
    many_threads().block_on(async {
        let conn = next(&link).await;
        for _ in 0..1000 {
            conn.send(b"busy").await.unwrap();
            conn.recv().await.unwrap();
        }
        let before = processor_time();
        let waited = timeout(Duration::from_millis(300), conn.recv()).await;
        assert!(waited.is_err(), "nothing was sent");
        let used = processor_time() - before;
        assert!(used < Duration::from_millis(30), "{used:?} of 300 ms");
        conn.finish().unwrap();
        assert_eq!(conn.recv().await.unwrap(), None);
    });
    child.finish();
}

/// Of this thread, which is the one that waits.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Takes handles, and pauses now and then.
fn taker(parent: &'static Parent) {
    one_thread().block_on(async {
        let builder = parent.builder().max_handles(2).ring_capacity(8192);
        let link = Link::from(builder.open().unwrap());
        let conn = link.next().await.unwrap();
        let (mut with, mut without) = (0, 0);
        while let Some((bytes, handles)) = conn.recv_with_handles().await.unwrap() {
            if handles.is_empty() {
                check(&bytes, 1, without, 1000);
                without += 1;
                continue;
            }
            check(&bytes, 0, with, 100);
            assert_eq!(handles.len(), 2);
            with += 1;
            if with % 50 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        parent.say(format!("{with} with, {without} without"));
        conn.finish().unwrap();
        conn.flush().await.unwrap();
    });
}

/// More handles than may be under way, beside other messages of another task; calls that are dropped have sent nothing, and left
/// the handles where they were.
#[test]
fn handles_beside_other_messages() {
    let _watchdog = Watchdog::new(120);
    let count = amount(rounds(300, 100), rounds(2000, 300)) as u64;
    for side in Side::BOTH {
        let place = Place::new();
        let mut child = place.start("taker", side.opposite());
        many_threads().block_on(async {
            let builder = place.builder(side).ring_capacity(8192);
            let link = Link::from(builder.open().unwrap());
            let conn = std::sync::Arc::new(link.next().await.unwrap());
            let others = conn.clone();
            let others = tokio::spawn(async move {
                for number in 0..count {
                    others.send(&message(1, number, 1000)).await.unwrap();
                }
            });
            let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let mut dropped = 0;
            for number in 0..count {
                let copy = || file.try_clone().unwrap().into();
                let mut handles = vec![copy(), copy()];
                let bytes = message(0, number, 100);
                let patience = Duration::from_micros(200);
                while timeout(patience, conn.send_with_handles(&bytes, &mut handles))
                    .await
                    .is_err()
                {
                    assert_eq!(handles.len(), 2);
                    dropped += 1;
                }
                assert!(handles.is_empty());
            }
            println!("{dropped} calls dropped");
            others.await.unwrap();
            conn.finish().unwrap();
            assert_eq!(conn.recv().await.unwrap(), None);
        });
        child.expect(&format!("{count} with, {count} without"));
        child.finish();
    }
}
