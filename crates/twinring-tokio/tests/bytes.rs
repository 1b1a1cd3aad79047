//! Connections as streams of bytes between two processes.

#[path = "../../twinring/tests/common/mod.rs"]
mod common;
mod tokios;

use std::io::{self, IoSlice};
use std::time::Duration;

use common::{Child, LIMIT, Parent, Place, Random, Side, Watchdog, amount, message, peers, rounds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokios::many_threads;
use twinring::{End, Error};
use twinring_tokio::{ByteStream, Link};

peers!(echo, answer, dropper, mute, receiver_that_stops);

async fn connected(parent: &Parent) -> ByteStream {
    let link = Link::from(parent.builder().open().unwrap());
    link.next().await.unwrap().into_byte_stream()
}

/// Copies all bytes back, then ends.
fn echo(parent: &'static Parent) {
    many_threads().block_on(async {
        let (mut read, mut write) = connected(parent).await.into_split();
        let copied = tokio::io::copy(&mut read, &mut write).await.unwrap();
        parent.say(copied);
        write.shutdown().await.unwrap();
    });
}

/// Says something once the other side has said all.
fn answer(parent: &'static Parent) {
    many_threads().block_on(async {
        let mut stream = connected(parent).await;
        let mut question = String::new();
        stream.read_to_string(&mut question).await.unwrap();
        stream
            .write_all(question.to_uppercase().as_bytes())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
    });
}

/// Sends something and gives up.
fn dropper(parent: &'static Parent) {
    many_threads().block_on(async {
        let mut stream = connected(parent).await;
        stream.write_all(b"half a").await.unwrap();
    });
}

fn mute(parent: &'static Parent) {
    many_threads().block_on(async {
        let mut stream = connected(parent).await;
        stream.write_all(b"half a").await.unwrap();
        parent.say("connected");
        parent.wait_for_the_end()
    });
}

/// Reads a little and wants no more, but goes on sending.
fn receiver_that_stops(parent: &'static Parent) {
    many_threads().block_on(async {
        let (mut read, mut write) = connected(parent).await.into_split();
        read.read_u8().await.unwrap();
        drop(read);
        write.write_all(b"enough").await.unwrap();
        write.shutdown().await.unwrap();
        parent.expect("end");
    });
}

fn start(role: &str, ring: u64) -> (twinring::Link, Child) {
    let place = Place::new();
    let link = place.host().ring_capacity(ring).open().unwrap();
    let child = place.start(role, Side::Guest);
    (link, child)
}

async fn next(link: twinring::Link) -> ByteStream {
    let link = Link::from(link);
    let conn = timeout(LIMIT, link.next()).await.expect("a peer connects");
    conn.unwrap().into_byte_stream()
}

#[track_caller]
fn end(e: &io::Error) -> &End {
    let inner = e.get_ref().and_then(|e| e.downcast_ref::<Error>());
    inner.expect("the library's error").end().expect("an end")
}

/// Writes and reads of all sizes, through rings of all sizes.
#[test]
fn bytes_come_back() {
    let _watchdog = Watchdog::new(120);
    for ring in [4096, 64 * 1024, 1024 * 1024] {
        let (link, mut child) = start("echo", ring);
        let len = rounds(amount(4 << 20, 64 << 20), 1 << 20);
        let bytes = message(1, ring, len);
        many_threads().block_on(async {
            let (mut read, mut write) = next(link).await.into_split();
            let to_send = bytes.clone();
            let sender = tokio::spawn(async move {
                let (mut rest, mut random) = (&to_send[..], Random::new(1));
                while !rest.is_empty() {
                    let piece = rest.len().min(1 + random.len(100, 4, 100_000));
                    let (now, later) = rest.split_at(piece);
                    if random.one_in(2) {
                        write.write_all(now).await.unwrap();
                        rest = later;
                    } else {
                        let (one, other) = now.split_at(now.len() / 3);
                        let slices = [IoSlice::new(one), IoSlice::new(&[]), IoSlice::new(other)];
                        let sent = write.write_vectored(&slices).await.unwrap();
                        assert!(sent > 0);
                        rest = &rest[sent..];
                    }
                }
                write.shutdown().await.unwrap();
                write
            });
            let (mut at, mut random) = (0, Random::new(2));
            let mut buffer = vec![0; 40_000];
            loop {
                let most = 1 + random.len(300, 4, buffer.len() - 1);
                let read = read.read(&mut buffer[..most]).await.unwrap();
                if read == 0 {
                    break;
                }
                assert!(buffer[..read] == bytes[at..at + read], "differs after {at}");
                at += read;
            }
            assert_eq!(at, len);
            drop(sender.await.unwrap());
        });
        child.expect(&len.to_string());
        child.finish();
    }
}

#[test]
fn one_direction_ends_before_the_other() {
    let _watchdog = Watchdog::new(60);
    let (link, child) = start("answer", 4096);
    many_threads().block_on(async {
        let mut stream = next(link).await;
        stream.write_all(b"a question").await.unwrap();
        stream.shutdown().await.unwrap();
        let error = stream.write_all(b"?").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "A QUESTION");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
    child.finish();
}

#[test]
fn what_is_no_good_end_is_an_error() {
    let _watchdog = Watchdog::new(60);
    for (role, kind) in [
        ("dropper", io::ErrorKind::ConnectionAborted),
        ("mute", io::ErrorKind::ConnectionReset),
    ] {
        let (link, mut child) = start(role, 4096);
        many_threads().block_on(async {
            let mut stream = next(link).await;
            let mut text = [0; 6];
            stream.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"half a");
            if role == "mute" {
                child.expect("connected");
                child.kill();
            }
            for _ in 0..2 {
                let error = stream.read(&mut text).await.unwrap_err();
                assert_eq!(error.kind(), kind, "{role}: {error}");
                end(&error);
            }
            let error = stream.write_all(b"?").await.unwrap_err();
            assert_eq!(error.kind(), kind, "{role}: {error}");
        });
    }
}

#[test]
fn a_reader_that_goes_stops_the_writer_only() {
    let _watchdog = Watchdog::new(60);
    let (link, mut child) = start("receiver_that_stops", 4096);
    many_threads().block_on(async {
        let mut stream = next(link).await;
        let error = loop {
            if let Err(e) = stream.write_all(&[1; 100]).await {
                break e;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(matches!(end(&error), End::Stopped { .. }));
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "enough");
        child.say("end");
    });
    child.finish();
}

/// Empty messages are not the end.
#[test]
fn empty_messages_are_skipped() {
    let _watchdog = Watchdog::new(60);
    let (one, other) = twinring::Link::pair().unwrap();
    many_threads().block_on(async {
        let mut stream = ByteStream::from(other);
        let reader = tokio::spawn(async move { stream.read_u8().await.unwrap() });
        one.send(b"").unwrap();
        sleep(Duration::from_millis(5)).await;
        one.send(b"").unwrap();
        one.send(b"x").unwrap();
        assert_eq!(reader.await.unwrap(), b'x');
    });
}
