//! Workers are killed between a write and the checkpoint that tells of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::common::{Finally, LIMIT, Scene, amount};
use crate::os;

#[test]
fn what_was_written_last_is_not_written_twice() {
    if !os::CAN_TRACE {
        println!("skipped: there is no simple way here");
        return;
    }
    let kills = amount(10, 100);
    let scene = Scene::new(64 << 20);
    let mut server = scene.serve(&[]);
    let began = Instant::now();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                scene.check(&os::fetch(&server.url("data"), Some(50_000_000)));
            }
        });
        let _finally = Finally(&enough);
        while server.resumed() < kills && !client.is_finished() {
            os::kill_after_write(server.one_busy());
            assert!(began.elapsed() < 2 * LIMIT, "may it not be traced?");
        }
    });
    server.is_well();
    assert_eq!(server.count("given up"), 0);
}
