//! Messages in place, in the hands of libraries: each keeps the view for as long as it needs it, and the
//! message is taken when it lets go.

mod common;

use arrow_buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;
use common::{Parent, Place, Side, Watchdog, connected, peers};

peers!(numbers);

/// Sends these numbers.
fn numbers(parent: &'static Parent) {
    let link = parent.builder().open().unwrap();
    let conn = connected(&link);
    for first in [0u64, 1000] {
        let message: Vec<u8> = (first..first + 1000).flat_map(u64::to_le_bytes).collect();
        conn.send(&message).unwrap();
    }
    for taken in 0..=2 {
        while conn.taken().unwrap().messages < taken {
            std::thread::yield_now();
        }
        parent.say(format!("taken {taken}"));
    }
    parent.wait_for_the_end();
}

/// With a private copy of each message, or, by a promise, right in the ring.
#[test]
fn bytes_and_arrow_own_their_views() {
    let _watchdog = Watchdog::new(120);
    for trusts in [false, true] {
        let place = Place::new();
        let mut builder = place.host();
        if trusts {
            // SAFETY: the child uses this library, which does not touch what it has sent.
            builder = unsafe { builder.trust_peer() };
        }
        let link = builder.open().unwrap();
        let mut child = place.start("numbers", Side::Guest);
        let conn = connected(&link);
        child.expect("taken 0");

        let view = conn.recv_in_place().unwrap().unwrap();
        let at = view.as_ptr();
        let bytes = Bytes::from_owner(view);
        assert_eq!(bytes.as_ptr(), at, "nothing was copied on the way");
        let tail = bytes.slice(8..16);
        drop(bytes);
        assert_eq!(&tail[..], &1u64.to_le_bytes());

        let view = conn.recv_in_place().unwrap().unwrap();
        let at = view.as_ptr();
        assert!(at.addr().is_multiple_of(8), "as the numbers need it");
        let buffer = Buffer::from(Bytes::from_owner(view));
        assert_eq!(buffer.as_ptr(), at);
        let values = ScalarBuffer::<u64>::new(buffer, 0, 1000);
        assert_eq!(values.iter().sum::<u64>(), (1000..2000).sum::<u64>());

        assert_eq!(child.lines_so_far(), [""; 0], "both are kept");
        drop(tail);
        child.expect("taken 1");
        drop(values);
        child.expect("taken 2");
    }
}
