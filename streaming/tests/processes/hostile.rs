//! Clients that say nonsense, too much or nothing.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Scene, amount};
use crate::os;

#[test]
fn nonsense_is_refused() {
    let scene = Scene::new(1000);
    let mut server = scene.serve(&[]);
    for (request, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "400"),
        (b"GET\r\n\r\n", "400"),
        (b"GET data HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        (b"GET /data HTTP/1.1\r\n\r\n", "400"),
        (b"GET /data HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    ] {
        let answer = server.ask(request);
        let expected = format!("HTTP/1.1 {status} ");
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(expected.as_bytes()),
            "{request:?}: {text}"
        );
    }
    for _ in 0..amount(100, 5_000) {
        let mut request = vec![0; fastrand::usize(1..2_000)];
        fastrand::fill(&mut request);
        request.extend(b"\r\n\r\n\r\n\r\n");
        let mut socket = server.connect();
        // It may have been refused before it was whole.
        let _ = socket.write_all(&request);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    scene.check(&os::fetch(&server.url("data"), None));
    server.is_well();
}

#[test]
fn heads_are_bounded_in_length_and_time() {
    let scene = Scene::new(1000);
    let mut server = scene.serve(&["--head", "1"]);
    let mut long = b"GET /data HTTP/1.1\r\nHost: a\r\nA: ".to_vec();
    long.resize(1 << 20, b'a');
    let mut socket = server.connect();
    let _ = socket.write_all(&long);
    let mut answer = [0; 13];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431 ");
    // A byte now and then does not keep a place.
    let (mut slow, began) = (server.connect(), Instant::now());
    slow.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut answer = Vec::new();
    while answer.is_empty() {
        assert!(began.elapsed() < crate::common::LIMIT);
        let _ = slow.write_all(b"G");
        let mut piece = [0; 100];
        let read = slow.read(&mut piece).unwrap_or(0);
        answer.extend(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
    server.is_well();
}

#[test]
fn many_that_say_nothing_do_not_keep_others_out() {
    let scene = Scene::new(1000);
    let mut server = scene.serve(&["--clients", "32", "--head", "1"]);
    let idle: Vec<_> = (0..amount(100, 500)).map(|_| server.connect()).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| scene.check(&os::fetch(&server.url("data"), None)));
        }
    });
    drop(idle);
    server.is_well();
}
