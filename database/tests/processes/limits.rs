//! Memory is bounded, and a client that takes nothing costs the others nothing.

use std::thread;
use std::time::{Duration, Instant};

use database::protocol::{self, DEFAULT_BATCH, Request};
use twinring::Link;

use crate::common::{LIMIT, Program, Scene, amount, most_memory};

/// Of one process, more than it needs for a query, and less than any result here has.
const MEMORY: u64 = 64 << 20;

fn cross(times: u64) -> String {
    format!("SELECT m.* FROM measurements m, (SELECT id FROM measurements LIMIT {times})")
}

fn request(sql: &str) -> Vec<u8> {
    protocol::encode(&Request {
        protocol: protocol::VERSION,
        sql: sql.to_owned(),
        batch_bytes: DEFAULT_BATCH,
        resume: None,
    })
}

#[test]
fn a_long_result_takes_little_memory_on_both_sides() {
    let scene = Scene::new(10_000);
    let provider = scene.provider(&[]);
    let times = amount(100, 2000);
    let tool = scene.tool(&cross(times), &[]);
    let id = tool.id();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // It cannot be asked when it has ended.
    let most = thread::spawn(move || {
        let mut most = None;
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            most = most_memory(id).or(most);
            thread::sleep(Duration::from_millis(2));
        }
        most
    });
    let report = tool.wait().report();
    drop(stop);
    assert_eq!(report["rows"], 10_000 * times);
    let bytes = report["bytes"].as_u64().unwrap();
    assert!(bytes > MEMORY, "{bytes}");
    let (of_tool, of_provider) = (most.join().unwrap(), most_memory(provider.id()));
    println!("{bytes} bytes; at most {of_tool:?} of the tool and {of_provider:?} of the provider");
    if cfg!(target_os = "linux") {
        assert!(of_tool.unwrap() < MEMORY && of_provider.unwrap() < MEMORY);
    }
}

#[test]
fn a_client_that_never_reads_beside_honest_ones() {
    let scene = Scene::new(10_000);
    // 3 s, in which honest clients have to take a batch.
    let provider = scene.provider(&["--stall", "3"]);
    let guests: Vec<_> = (0..4)
        .map(|_| {
            let link = Link::guest(&scene.name).one_connection().open().unwrap();
            let conn = link.within(LIMIT).next().unwrap();
            conn.send(&request(&cross(1000))).unwrap();
            (link, conn)
        })
        .collect();
    for _ in 0..4 {
        provider.line("asked");
    }
    let report = scene.tool(&cross(5), &[]).wait().report();
    assert_eq!(report["rows"], 50_000);
    for (_link, conn) in &guests {
        let end = until_ended(conn);
        assert!(end.contains("code 3: what was sent was not taken"), "{end}");
    }
    if let Some(most) = most_memory(provider.id()) {
        assert!(most < 2 * MEMORY, "{most}");
    }
}

/// How the connection ended.
fn until_ended(conn: &twinring::Connection) -> String {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(end) = conn.end() {
            return end.to_string();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it goes on");
}

#[test]
fn a_client_that_never_asks_is_ended() {
    let scene = Scene::new(10);
    let _provider = scene.provider(&["--stall", "1"]);
    let link = Link::guest(&scene.name).one_connection().open().unwrap();
    let conn = link.within(LIMIT).next().unwrap();
    let end = until_ended(&conn);
    assert!(
        end.contains("code 3: nothing was asked for too long"),
        "{end}"
    );
}

#[test]
fn more_clients_than_places_wait_their_turn() {
    let scene = Scene::new(20_000);
    let _provider = scene.provider(&["--clients", "2"]);
    let tools: Vec<Program> = (0..amount(8, 40))
        .map(|_| scene.tool(&cross(3), &[]))
        .collect();
    for tool in tools {
        assert_eq!(tool.wait().report()["rows"], 60_000);
    }
}
