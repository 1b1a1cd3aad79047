//! One message of more than 4 GiB: no length on its way is cut to 32 bits. Only in the long form
//! (`TWINRING_LONG=1`): it takes half a minute, and 14 GiB of memory.
// A process of 32 bits has no room for such a message.
#![cfg(target_pointer_width = "64")]

mod common;

use std::time::Instant;

use common::{
    Parent, Place, Side, Watchdog, check, connected, free_memory, is_long, message, peers,
};

peers!(sender);

const GIB: usize = 1 << 30;
const CAPACITY: u64 = 1 << 20;
/// Not a multiple of anything.
const LEN: usize = 5 * GIB + 12_345;
/// Both processes hold the whole message.
const NEED: u64 = 14 * GIB as u64;

fn sender(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(CAPACITY).open().unwrap();
    let huge = message(1, 0, LEN);
    let conn = connected(&link);
    parent.say("ready");
    parent.expect("go");
    conn.send(&huge).unwrap();
    conn.send(b"and one more").unwrap();
    conn.finish().unwrap();
    conn.flush().unwrap();
    let taken = conn.taken().unwrap();
    assert_eq!((taken.messages, taken.bytes), (2, LEN as u64 + 12));
}

#[test]
fn a_message_of_five_gib() {
    if !is_long() {
        return println!("skipped: only TWINRING_LONG=1 asks for it");
    }
    if free_memory().is_none_or(|free| free < NEED) {
        println!(
            "skipped: {NEED} bytes of free memory are needed, there are {:?}",
            free_memory()
        );
        return;
    }
    let _watchdog = Watchdog::new(600);
    let place = Place::new();
    let link = place.guest().max_message(LEN as u64).open().unwrap();
    let mut child = place.start("sender", Side::Host);
    let conn = connected(&link);
    child.expect("ready");
    let start = Instant::now();
    child.say("go");
    let huge = conn.recv().unwrap().unwrap();
    let took = start.elapsed();
    let rate = LEN as f64 / took.as_secs_f64() / GIB as f64;
    println!("{} bytes in {took:?}: {rate:.2} GiB/s", LEN);
    check(&huge, 1, 0, LEN);
    assert_eq!(conn.recv().unwrap().unwrap(), b"and one more");
    assert_eq!(conn.recv().unwrap(), None);
    child.finish();
}
