//! A guest that says one thing of handles and sends another.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use twinring::ErrorKind;

use crate::common::{Parent, Place, Side, Watchdog, connected, count};
use crate::fds;
use crate::intruder::{BYTES, HEAD, Intruder, RING, frame};
use crate::victim::CAPACITY;

const DATA: u8 = 1;
const WITH_HANDLES: u8 = 1 | 2 | 8;
const FILE: u64 = 1;
const SOCKET: u64 = 2;

/// Takes up to four handles with a message, closes them, and says what it got and how many descriptors it has.
pub(crate) fn taker(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(CAPACITY).max_handles(4);
    let link = link.reserve_memory(true).open().unwrap();
    parent.say("ready");
    for conn in link.connections() {
        loop {
            match conn.recv_with_handles() {
                Ok(Some((message, handles))) => {
                    let (len, handles) = (message.len(), handles.len());
                    parent.say(format!("{len} bytes, {handles} handles"));
                    parent.say(count()[0]);
                }
                Ok(None) => break parent.say("nothing more"),
                Err(e) => {
                    parent.say(format!("{:?} {e}", e.kind()));
                    if e.kind() == ErrorKind::Ended {
                        break;
                    }
                }
            }
        }
    }
}

/// Writes a message of 16 bytes with handles of these kinds at the ring's beginning, and says that there are `said`.
fn write(intruder: &Intruder, said: u64, kinds: &[u64]) {
    let mut at = BYTES + RING + 8;
    let mut put = |word: u64| {
        intruder.u64_at(at).store(word, Relaxed);
        at += 8;
    };
    put(said);
    for kind in kinds {
        [*kind, 0, 0].into_iter().for_each(&mut put);
    }
    let len = 8 + 24 * kinds.len() as u32 + 16;
    intruder.frames(&[(0, frame(len, DATA, WITH_HANDLES))], u64::from(len) + 8);
}

#[test]
fn what_is_said_of_handles_has_to_be_true() {
    let _watchdog = Watchdog::new(240);
    let place = Place::new();
    let mut victim = place.start("taker", Side::Host);
    victim.expect("ready");
    let file = File::open("/dev/null").unwrap();
    // What is said, and how many files are sent.
    let cases: [(&str, u64, &[u64], usize); 11] = [
        ("it sent no handles", 1, &[FILE], 0),
        ("it sent more handles than it said", 1, &[FILE], 2),
        ("it sent more handles than it said", 1, &[FILE], 253),
        ("it sent fewer handles than it said", 2, &[FILE, FILE], 1),
        ("a handle is of another kind", 1, &[SOCKET], 1),
        ("a handle is of another kind", 2, &[FILE, SOCKET], 2),
        ("more handles than this side takes", 5, &[FILE; 5], 5),
        ("of a message's handles is wrong", 0, &[FILE], 1),
        ("of a message's handles is wrong", 3, &[FILE, FILE], 2),
        ("of a message's handles is wrong", 1, &[99], 1),
        ("of a message's handles is wrong", 1, &[FILE | 7 << 32], 1),
    ];
    for (why, said, kinds, sent) in cases {
        let intruder = Intruder::enter(&place);
        if sent > 0 {
            fds::send(
                intruder.handles.as_ref().unwrap(),
                &[1],
                &fds::copies(&file, sent),
            );
        }
        write(&intruder, said, kinds);
        let told = victim.next_line();
        assert!(
            told.starts_with("Ended ") && told.contains(why),
            "{why}: {told}"
        );
        drop(intruder);
    }
    // It still serves an honest peer, by whom nothing is left of the others.
    let link = place.guest().ring_capacity(CAPACITY).open().unwrap();
    let conn = connected(&link);
    let handles = || vec![file.try_clone().unwrap().into()];
    conn.send_with_handles(b"good", &mut handles()).unwrap();
    victim.expect("4 bytes, 1 handles");
    let before: u64 = victim.next_line().parse().unwrap();

    // A flood, of which only what is said is looked at.
    drop((conn, link));
    let told = victim.next_line();
    assert!(told.starts_with("Ended "), "{told}");
    let intruder = Intruder::enter(&place);
    for _ in 0..20 {
        let channel = intruder.handles.as_ref().unwrap();
        fds::send(channel, &[1], &[file.as_fd(); 4]);
    }
    write(&intruder, 4, &[FILE; 4]);
    victim.expect("16 bytes, 4 handles");
    let beside: u64 = victim.next_line().parse().unwrap();
    assert!(
        beside <= before + 4,
        "{beside} descriptors, and {before} before"
    );
    assert_eq!(intruder.ours(HEAD).load(Relaxed), 8 + 8 + 96 + 16);
    drop(intruder);
    victim.next_line();
}
