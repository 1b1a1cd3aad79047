//! The process that is attacked.

#![allow(dead_code, reason = "each system uses some of it")]

use std::sync::mpsc;
use std::time::Duration;

use twinring::{Connection, ErrorKind};

use crate::common::{Child, LIMIT, Parent, Place, Side, connected, labelled, read_label, text};

/// What an honest peer says when it closes.
const CODE: u32 = 7;

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
        .reserve_memory(true)
        .handshake_timeout(patience)
        .on_status(|status| parent.say(text(status)))
        .on_error(|e| parent.say(format!("error {e:?}")))
        .open()
        .unwrap();
    for conn in link.connections() {
        std::thread::scope(|scope| {
            let sending = conn.clone();
            scope.spawn(move || (0..).try_for_each(|i| sending.send(&labelled(0, i, 100))));
            let (echo, echoes) = mpsc::channel::<Vec<u8>>();
            let sending = conn.clone();
            scope.spawn(move || {
                for bytes in echoes {
                    // The peer may have gone since.
                    let _ = sending.send(&bytes);
                }
            });
            loop {
                match conn.recv() {
                    Ok(Some(bytes)) if bytes == b"ping" => echo.send(bytes).unwrap(),
                    Ok(Some(_)) => {}
                    Ok(None) => break parent.say("recv nothing more"),
                    Err(e) => {
                        parent.say(format!("recv {:?} {:?}", e.kind(), e.end()));
                        if e.kind() == ErrorKind::Ended {
                            break;
                        }
                    }
                }
            }
        });
    }
}

/// Receives batches and says how many messages were in them, or what it is told.
pub(crate) fn batcher(parent: &'static Parent) {
    let link = parent.builder().ring_capacity(CAPACITY).open().unwrap();
    parent.say("ready");
    for conn in link.connections() {
        loop {
            match conn.recv_batch() {
                Ok(batch) => {
                    let (mut batch, mut good) = (batch.unwrap(), 0);
                    while let Some(bytes) = batch.next_message() {
                        assert_eq!(bytes.len(), 8);
                        good += 1;
                    }
                    batch.take();
                    parent.say(format!("{good} good"));
                }
                Err(e) => {
                    parent.say(format!("{:?} {:?}", e.kind(), e.end()));
                    if e.kind() == ErrorKind::Ended {
                        break;
                    }
                }
            }
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

    /// An honest peer comes and goes, and is served.
    #[track_caller]
    pub(crate) fn serves(&mut self, place: &Place, side: Side) {
        let link = place.builder(side).ring_capacity(CAPACITY).open().unwrap();
        let conn = connected(&link);
        conn.send(b"ping").unwrap();
        answer(&conn);
        link.close(CODE, "served");
        loop {
            let line = self.says("disconnected ");
            // Attackers before it may be reported only now.
            if line.ends_with(&format!(
                r#" Closed {{ by: Peer, code: {CODE}, reason: "served" }}"#
            )) {
                break;
            }
        }
        self.says("waiting");
    }
}

/// Receives until the answer comes; all else that comes is the victim's own messages, in order.
#[track_caller]
pub(crate) fn answer(conn: &Connection) {
    let mut last = None;
    loop {
        let bytes = conn.within(LIMIT).recv().unwrap().unwrap();
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
