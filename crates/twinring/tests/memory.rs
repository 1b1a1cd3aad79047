//! Memory that is reserved, or taken as it is touched.

mod common;

use std::sync::{Mutex, PoisonError};

use common::{LIMIT, Parent, Place, Side, Watchdog, check, connected, message, peers};

peers!(reserving, content, undecided);

const CAPACITY: u64 = 4 << 20;

/// Both tests look at the only rings that this process has.
static ALONE: Mutex<()> = Mutex::new(());

fn echo(parent: &'static Parent, reserve: Option<bool>) {
    let mut builder = parent.builder().ring_capacity(CAPACITY);
    if let Some(reserve) = reserve {
        builder = builder.reserve_memory(reserve);
    }
    let link = builder.open().unwrap();
    let conn = connected(&link);
    while let Some(message) = conn.recv().unwrap() {
        conn.send(&message).unwrap();
    }
    conn.finish().unwrap();
}

fn reserving(parent: &'static Parent) {
    echo(parent, Some(true));
}

fn content(parent: &'static Parent) {
    echo(parent, Some(false));
}

fn undecided(parent: &'static Parent) {
    echo(parent, None);
}

/// Bytes of the rings' memory that there are by now. `None` where the system does not tell (Linux
/// tells root), or promises them whatever is asked for.
fn taken() -> Option<u64> {
    #[cfg(not(target_os = "linux"))]
    return None;
    #[cfg(target_os = "linux")]
    {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let segment = maps.lines().find(|line| line.contains("memfd:twinring"));
        let addresses = segment.unwrap().split(' ').next()?;
        let file = std::fs::metadata(format!("/proc/self/map_files/{addresses}")).ok()?;
        Some(std::os::unix::fs::MetadataExt::blocks(&file) * 512)
    }
}

#[test]
fn a_guest_that_says_nothing_takes_what_the_host_has() {
    let _watchdog = Watchdog::new(60);
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for reserve in [true, false] {
        let place = Place::new();
        let _child = place.start("undecided", Side::Guest);
        let builder = place.host().ring_capacity(CAPACITY);
        let link = builder.reserve_memory(reserve).open().unwrap();
        let conn = connected(&link);
        conn.send(b"hello").unwrap();
        assert_eq!(conn.within(LIMIT).recv().unwrap().unwrap(), b"hello");
        if let Some(bytes) = taken() {
            assert_eq!(bytes >= 2 * CAPACITY, reserve, "{bytes} bytes");
        }
    }
}

#[test]
fn memory_is_reserved_unless_both_sides_do_without() {
    let _watchdog = Watchdog::new(60);
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for side in Side::BOTH {
        for (role, reserve) in [
            ("reserving", true),
            ("reserving", false),
            ("content", true),
            ("content", false),
        ] {
            let place = Place::new();
            let child = place.start(role, side);
            let builder = place.builder(side.opposite()).ring_capacity(CAPACITY);
            let link = builder.reserve_memory(reserve).open().unwrap();
            let conn = connected(&link);
            let on_demand = role == "content" && !reserve;
            let untouched = taken();
            if let Some(bytes) = untouched {
                let wanted = if on_demand {
                    0..=64 * 1024
                } else {
                    2 * CAPACITY..=3 * CAPACITY
                };
                assert!(wanted.contains(&bytes), "{bytes} with {role}, {reserve}");
            }
            // More than once around the ring, so that each page is touched.
            for (i, len) in [10, 300_000, 9_000_000].into_iter().enumerate() {
                conn.send(&message(0, i as u64, len)).unwrap();
                let back = conn.within(LIMIT).recv().unwrap();
                check(&back.unwrap(), 0, i as u64, len);
                if let Some(bytes) = taken().filter(|_| on_demand && i == 1) {
                    assert!((500_000..2_000_000).contains(&bytes), "{bytes} by 300 kB");
                }
            }
            if let Some(bytes) = taken() {
                assert!(bytes >= 2 * CAPACITY, "{bytes} at the end");
            }
            conn.finish().unwrap();
            assert_eq!(conn.recv().unwrap(), None);
            child.finish();
        }
    }
}
