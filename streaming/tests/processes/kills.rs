//! Workers are killed at random moments while several clients download.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Finally, Scene, amount};
use crate::os;

#[test]
fn downloads_go_on_exactly_where_they_were() {
    downloads(&[], amount(30, 300));
}

#[test]
fn so_they_do_if_the_server_writes() {
    downloads(&["--relay"], amount(20, 100));
}

fn downloads(more: &[&str], kills: usize) {
    let kills = kills / os::KILL_COST;
    let scene = Scene::new(24 << 20);
    let mut server = scene.serve(more);
    // Or the first test would be the second.
    let relays = os::RELAYS_ALWAYS || more.contains(&"--relay");
    assert_eq!(server.count("(relay)"), usize::from(relays));
    let (enough, whole) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Some take it as fast as it comes.
    let rates = [None, Some(60_000_000), Some(20_000_000), None];
    thread::scope(|scope| {
        for rate in rates {
            let (scene, server, enough, whole) = (&scene, &server, &enough, &whole);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    scene.check(&os::fetch(&server.url("data"), rate));
                    whole.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _finally = Finally(&enough);
        // Until that many were in the middle of something.
        while server.resumed() < kills {
            thread::sleep(Duration::from_micros(fastrand::u64(..20_000)));
            os::kill(server.one_busy());
        }
    });
    server.is_well();
    assert_eq!(server.count("given up"), 0);
    println!(
        "{} workers killed, {} of them in the middle, {} downloads whole",
        server.count(" has ended: "),
        server.resumed(),
        whole.into_inner()
    );
}
