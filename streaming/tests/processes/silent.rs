//! Workers that do not run, clients that do not read, and clients that go away.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::common::{Scene, amount};
use crate::os;

const GET: &[u8] = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_worker_that_is_stopped_is_replaced() {
    let scene = Scene::new(16 << 20);
    let mut server = scene.serve(&["--silence", "1"]);
    for _ in 0..amount(1, 5) {
        thread::scope(|scope| {
            let client = scope.spawn(|| os::fetch(&server.url("data"), Some(20_000_000)));
            if os::stop(server.one_busy()) {
                server.line("killed, since it was silent");
            } else {
                println!("skipped: a process cannot be stopped here");
            }
            scene.check(&client.join().unwrap());
        });
    }
    server.is_well();
}

#[test]
fn a_client_that_goes_away_ends_its_job_and_no_worker() {
    let scene = Scene::new(64 << 20);
    let mut server = scene.serve(&["--workers", "1"]);
    let mut client = server.connect();
    client.write_all(GET).unwrap();
    client.read_exact(&mut [0; 1000]).unwrap();
    drop(client);
    server.line("the client has gone");
    scene.check(&os::fetch(&server.url("data"), None));
    assert_eq!(server.count(" has ended: "), 0);
    server.is_well();
}

#[test]
fn a_client_that_does_not_read_holds_up_only_its_own_worker() {
    let scene = Scene::new(64 << 20);
    let mut server = scene.serve(&["--workers", "2", "--stall", "3", "--silence", "1"]);
    let mut client = server.connect();
    client.write_all(GET).unwrap();
    server.line("job 1:");
    for _ in 0..2 {
        scene.check(&os::fetch(&server.url("data"), None));
    }
    server.line("the client takes nothing: closed");
    assert_eq!(server.count(" has ended: "), 0, "it was alive");
    server.is_well();
}

#[test]
fn who_comes_beyond_the_workers_waits() {
    let scene = Scene::new(4 << 20);
    let mut server = scene.serve(&["--workers", "1"]);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| scene.check(&os::fetch(&server.url("data"), None)));
        }
    });
    server.is_well();
}

#[test]
fn a_file_that_becomes_shorter_ends_the_download() {
    let scene = Scene::new(64 << 20);
    let mut server = scene.serve(&[]);
    let mut client = server.connect();
    client.write_all(GET).unwrap();
    server.line("job 1:");
    // The sockets have no room for all of it.
    thread::sleep(Duration::from_millis(100));
    let file = std::fs::File::options()
        .write(true)
        .open(scene.home.path().join("data"));
    file.unwrap().set_len(1000).unwrap();
    let mut answer = Vec::new();
    // Closed, by whatever name.
    let _ = client.read_to_end(&mut answer);
    assert!(answer.len() < scene.data.len());
    server.line("the file cannot be read to the end");
    server.is_well();
}
