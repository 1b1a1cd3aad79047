//! The side that lives on: one process for all victims of a test, so that what is left of any of
//! them would add up.

use std::fmt::Display;
use std::sync::mpsc;

use twinring::{DisconnectReason, ErrorKind, Link, Status, Wait};

use crate::common::{Audit, Child, LIMIT, Parent, Place, Side, labelled, read_label, until};
use crate::operation::{CAPACITY, Operation, SMALL};
use crate::victim::Fate;

/// Does what it is told, a line at a time, and says what came of it.
pub(crate) fn survivor(parent: &'static Parent) {
    let (ended, ends) = mpsc::channel();
    let link = parent
        .builder()
        .ring_capacity(CAPACITY)
        .wait(Wait::Sleep)
        .on_status(move |_, status| {
            if let Status::Disconnected { reason, .. } = status {
                ended.send(reason.clone()).unwrap();
            }
        })
        .open()
        .unwrap();
    let mut met = 0;
    loop {
        let line = parent.next_line();
        let (order, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse().unwrap();
        match order {
            // The first message of a new connection, and an answer to it.
            "meet" => {
                assert_eq!(read_label(&link.recv().unwrap()), Ok((number, 0)));
                link.send(&labelled(0, number, 0)).unwrap();
                met = number;
                parent.say("met");
            }
            // The same, after however many connections that brought nothing.
            "find" => {
                let bytes = loop {
                    match link.recv() {
                        Ok(bytes) => break bytes,
                        Err(e) => assert_eq!(e.kind(), ErrorKind::PeerGone, "{e}"),
                    }
                };
                assert_eq!(read_label(&bytes), Ok((number, 0)));
                while ends.try_recv().is_ok() {}
                link.send(&labelled(0, number, 0)).unwrap();
                met = number;
                parent.say("met");
            }
            "take" => {
                for _ in 0..number {
                    assert_eq!(read_label(&link.recv().unwrap()).unwrap().0, met);
                }
                parent.say("taken");
            }
            "give" => {
                link.send(&labelled(0, 1, number as usize)).unwrap();
                parent.say("given");
            }
            // Until the ring is full and the victim dead.
            "pour" => {
                parent.say("pours");
                let e = loop {
                    if let Err(e) = link.send(&labelled(0, 1, SMALL)) {
                        break e;
                    }
                };
                // Between two messages it finds that there is nobody.
                let kinds = [ErrorKind::PeerGone, ErrorKind::NotConnected];
                assert!(kinds.contains(&e.kind()), "{e}");
            }
            "end" => parent.say(end(&link, met, &ends)),
            "audit" => parent.say(Audit::now()),
            other => panic!("what is {other:?}?"),
        }
    }
}

/// Which messages came before the connection's end, and how it ended.
fn end(link: &Link, from: u64, ends: &mpsc::Receiver<DisconnectReason>) -> String {
    let mut got = Vec::new();
    let e = loop {
        match link.recv() {
            Ok(bytes) => match read_label(&bytes) {
                Ok((sender, sequence)) if sender == from => got.push(sequence),
                other => panic!("{other:?} on the connection of {from}, after {got:?}"),
            },
            Err(e) => break e,
        }
    };
    let reason = ends.recv_timeout(LIMIT).unwrap();
    format!("{got:?} {:?} {reason:?}", e.kind())
}

/// A child in that role.
pub(crate) struct Survivor {
    child: Child,
}

impl Survivor {
    pub(crate) fn start(place: &Place, side: Side) -> Survivor {
        Survivor {
            child: place.start("survivor", side),
        }
    }

    /// Begins something that ends only with the victim.
    pub(crate) fn begin(&mut self, order: &str) {
        self.child.say(order);
    }

    #[track_caller]
    pub(crate) fn order(&mut self, order: impl Display, answer: &str) {
        self.child.say(order);
        self.child.expect(answer);
    }

    /// A new incarnation of the victim connects; there is a message both ways.
    #[track_caller]
    pub(crate) fn meet(&mut self, incarnation: u64) {
        self.order(format!("meet {incarnation}"), "met");
    }

    /// As [`meet`](Survivor::meet), after incarnations that were killed before they were met.
    #[track_caller]
    pub(crate) fn find(&mut self, incarnation: u64) {
        self.order(format!("find {incarnation}"), "met");
    }

    pub(crate) fn audit(&mut self) -> Audit {
        self.child.say("audit");
        self.child.next_line().parse().unwrap()
    }

    /// Waits until it has no more than it had.
    #[track_caller]
    pub(crate) fn gives_back(&mut self, before: &Audit) {
        until("what the connections took is given back", || {
            let now = self.audit();
            if now.exceeds(before) {
                println!("{before} before, {now} now");
            }
            !now.exceeds(before)
        });
    }

    /// Checks what it got of a victim that was killed after `n` instructions of an operation.
    #[track_caller]
    pub(crate) fn outlives(&mut self, operation: Operation, mut fate: Fate, n: usize) -> Fate {
        // A sleeper has been asked before.
        if operation != Operation::SendToSleeper {
            self.begin("end");
        }
        let said = match self.child.next_line_or_end() {
            Some(line) => line,
            None => "nothing: it has failed".to_owned(),
        };
        let came = |last: u64| format!("{:?}", (fate.taken + 1..=last).collect::<Vec<u64>>());
        let (without, with) = (came(fate.filled), came(fate.filled + operation.messages()));
        let what = format!("{operation:?}, killed after {n} instructions ({fate:?}): {said}");
        let end = match said.strip_prefix(&with) {
            Some(end) if operation.sends() => {
                fate.delivered = true;
                end
            }
            _ => {
                assert!(!(operation.sends() && fate.finished), "lost: {what}");
                said.strip_prefix(&without)
                    .unwrap_or_else(|| panic!("{what}"))
            }
        };
        match end {
            // A goodbye may be said by another thread at any moment once `close` has begun.
            " Closed Closed" => assert!(operation == Operation::Close && n > 0, "{what}"),
            " PeerGone Crashed" => {
                assert!(!(operation == Operation::Close && fate.finished), "{what}");
            }
            _ => panic!("{what}"),
        }
        fate
    }
}
