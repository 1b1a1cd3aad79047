//! The process that is attacked.

#![allow(dead_code, reason = "each system uses some of it")]

use std::sync::mpsc;
use std::time::Duration;

use twinring::{ErrorKind, Link};

use crate::common::{Child, LIMIT, Parent, Place, Side, connected, labelled, read_label, text};

/// Largest message that a victim takes.
pub(crate) const MAX_MESSAGE: u64 = 1 << 20;

pub(crate) const CAPACITY: u64 = 4096;

/// Sends back each "ping", and labelled messages without end besides; says all that it is told.
pub(crate) fn victim(parent: &'static Parent) {
    let patience = Duration::from_millis(parent.next_as());
    let link = parent
        .builder()
        .ring_capacity(CAPACITY)
        .max_message(MAX_MESSAGE)
        .handshake_timeout(patience)
        .on_status(|_, status| parent.say(text(status)))
        .on_error(|_, e| parent.say(format!("error {e:?}")))
        .open()
        .unwrap();
    let sending = link.clone();
    std::thread::spawn(move || {
        for i in 0.. {
            while sending.send(&labelled(0, i, 100)).is_err() {
                sending.wait_connected(Duration::from_secs(3600)).unwrap();
            }
        }
    });
    let (echo, echoes) = mpsc::channel::<Vec<u8>>();
    let sending = link.clone();
    std::thread::spawn(move || {
        for bytes in echoes {
            // The peer may have gone since.
            let _ = sending.send(&bytes);
        }
    });
    loop {
        match link.recv() {
            Ok(bytes) if bytes == b"ping" => echo.send(bytes).unwrap(),
            Ok(_) => {}
            Err(e) => {
                assert_ne!(e.kind(), ErrorKind::ClosedHere);
                parent.say(format!("recv {:?}", e.kind()));
            }
        }
    }
}

/// Receives batches and says how many messages were in them, or what it is told.
pub(crate) fn batcher(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(CAPACITY).open().unwrap();
    parent.say("ready");
    loop {
        match link.recv_batch(|bytes| assert_eq!(bytes.len(), 8)) {
            Ok(good) => parent.say(format!("{good} good")),
            Err(e) => parent.say(format!("{:?}", e.kind())),
        }
    }
}

/// A victim, as the test sees it.
pub(crate) struct Victim {
    pub(crate) child: Child,
}

impl Victim {
    /// `patience`: how long a handshake may take.
    pub(crate) fn start(place: &Place, side: Side, patience: Duration) -> Victim {
        let mut child = place.start("victim", side);
        child.say(patience.as_millis());
        child.expect("waiting");
        Victim { child }
    }

    /// Waits until it says something that begins so; the whole line.
    #[track_caller]
    pub(crate) fn says(&mut self, beginning: &str) -> String {
        self.says_one_of(&[beginning])
    }

    #[track_caller]
    fn says_one_of(&mut self, beginnings: &[&str]) -> String {
        self.child
            .wait_for_line(|line| beginnings.iter().any(|some| line.starts_with(some)))
    }

    /// Waits until it has said something that begins with each of these, in any order.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn says_both(&mut self, beginnings: [&str; 2]) -> [String; 2] {
        let first = self.says_one_of(&beginnings);
        let [a, b] = beginnings;
        if first.starts_with(a) {
            let second = self.says(b);
            [first, second]
        } else {
            let second = self.says(a);
            [second, first]
        }
    }

    /// An honest peer comes and goes, and is served; returns the generation that it was to the
    /// victim.
    #[track_caller]
    pub(crate) fn serves(&mut self, place: &Place, side: Side) {
        let link = place.builder(side).ring_capacity(CAPACITY).open().unwrap();
        connected(&link);
        link.send(b"ping").unwrap();
        answer(&link);
        link.close();
        loop {
            let line = self.says("disconnected ");
            // Attackers before it may be reported only now.
            if line.ends_with(" Closed") {
                break;
            }
        }
        self.says("waiting");
    }
}

/// Receives until the answer comes; all else that comes is the victim's own messages, in order.
#[track_caller]
pub(crate) fn answer(link: &Link) {
    let mut last = None;
    loop {
        let bytes = link.recv_timeout(LIMIT).unwrap();
        if bytes == b"ping" {
            return;
        }
        let (sender, sequence) = read_label(&bytes).unwrap();
        assert_eq!(sender, 0);
        assert!(
            last.is_none_or(|last| last + 1 == sequence),
            "{last:?}, then {sequence}"
        );
        last = Some(sequence);
    }
}
