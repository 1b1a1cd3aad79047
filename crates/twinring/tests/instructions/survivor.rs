//! The side that lives on: one process for all victims of a test, so that what is left of any of
//! them would add up.

use std::fmt::Display;
use std::fs::File;
use std::sync::mpsc;

use twinring::{By, Connection, End, MAX_CHECKPOINT_LEN, Status, Timeout, Wait};

use crate::common::{
    Audit, Child, LABEL, LIMIT, Parent, Place, Side, connected, labelled, read_label, until,
};
use crate::operation::{CAPACITY, HANDED, Operation, SMALL};
use crate::victim::{CODE, Fate, REASON};

/// Does what it is told, a line at a time, and says what came of it.
pub(crate) fn survivor(parent: &'static Parent) {
    let (ended, ends) = mpsc::channel();
    let link = parent
        .builder()
        .ring_capacity(CAPACITY)
        .max_handles(1)
        .wait(Wait::Sleep)
        .on_status(move |status| {
            if let Status::Disconnected(conn, end) = status {
                ended.send((conn.id(), end.clone())).unwrap();
            }
        })
        .open()
        .unwrap();
    let mut peer: Option<Peer> = None;
    loop {
        let line = parent.next_line();
        let (order, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse().unwrap();
        match order {
            // The first message of a new connection, and an answer to it; after however many connections
            // that brought nothing.
            "meet" => {
                let conn = loop {
                    let conn = connected(&link);
                    match conn.recv() {
                        Ok(bytes) => {
                            assert_eq!(read_label(&bytes.unwrap()), Ok((number, 0)));
                            break conn;
                        }
                        Err(e) => assert_eq!(e.end(), Some(&End::Crashed), "{e}"),
                    }
                };
                conn.send(&labelled(0, number, 0)).unwrap();
                peer = Some(Peer {
                    conn,
                    incarnation: number,
                    given: 0,
                });
                parent.say("met");
            }
            "take" => {
                let peer = peer.as_ref().unwrap();
                for _ in 0..number {
                    let bytes = peer.conn.recv().unwrap().unwrap();
                    assert_eq!(read_label(&bytes).unwrap().0, peer.incarnation);
                }
                parent.say("taken");
            }
            "give" => {
                peer.as_mut().unwrap().give(number as usize).unwrap();
                parent.say("given");
            }
            "hand" => {
                peer.as_mut().unwrap().hand().unwrap();
                parent.say("handed");
            }
            // Until the ring is full and the victim dead.
            "pour" => {
                parent.say("pours");
                let peer = peer.as_mut().unwrap();
                let e = loop {
                    if let Err(e) = peer.give(SMALL) {
                        break e;
                    }
                };
                assert_eq!(e.end(), Some(&End::Crashed), "{e}");
            }
            "end" => parent.say(peer.take().unwrap().outlive(&ends)),
            "audit" => {
                // A victim that has dropped its connection makes another one before it is killed.
                while link.within(Timeout::Now).next().is_ok() {}
                parent.say(Audit::now());
            }
            other => panic!("what is {other:?}?"),
        }
    }
}

/// A victim, as the survivor sees it.
struct Peer {
    conn: Connection,
    incarnation: u64,
    /// Messages that it was sent, besides the answer.
    given: u64,
}

impl Peer {
    fn give(&mut self, len: usize) -> twinring::Result<()> {
        self.conn.send(&labelled(0, self.given + 1, len))?;
        self.given += 1;
        Ok(())
    }

    /// As [`Peer::give`], with a handle.
    fn hand(&mut self) -> twinring::Result<()> {
        let mut handles = vec![File::open("/dev/null").unwrap().into()];
        let message = labelled(0, self.given + 1, HANDED);
        self.conn.send_with_handles(&message, &mut handles)?;
        self.given += 1;
        Ok(())
    }

    /// Which messages came before the connection's end, how that direction and the connection ended, how
    /// many messages were sent, and how many of them, the last ones, have come back; whether one before
    /// them was taken in part; and which checkpoint there is.
    fn outlive(self, ends: &mpsc::Receiver<(u64, End)>) -> String {
        let Peer {
            conn,
            incarnation,
            given,
        } = self;
        let mut got = Vec::new();
        let receiving = loop {
            match conn.recv_with_handles() {
                Ok(Some((bytes, handles))) => match read_label(&bytes) {
                    Ok((sender, sequence)) if sender == incarnation => {
                        let handed = bytes.len() == LABEL + HANDED;
                        assert_eq!(
                            handles.len(),
                            usize::from(handed),
                            "with message {sequence}"
                        );
                        got.push(sequence);
                    }
                    other => panic!("{other:?} on the connection of {incarnation}, after {got:?}"),
                },
                Ok(None) => break End::Finished,
                Err(e) => break e.end().unwrap().clone(),
            }
        };
        let whole = loop {
            // There may have been others, which were killed before they were met.
            let (id, whole) = ends.recv_timeout(LIMIT).unwrap();
            if id == conn.id() {
                break whole;
            }
        };
        assert_eq!(conn.end().as_ref(), Some(&whole));
        let taken = conn.taken().unwrap();
        let unread = conn.take_unread().unwrap();
        let partial = unread.partial();
        let labels: Vec<_> = unread.map(|bytes| read_label(&bytes).unwrap()).collect();
        let back = labels.len() as u64;
        let last: Vec<_> = (given - back + 1..=given).map(|i| (0, i)).collect();
        assert_eq!(labels, last, "what came back");
        let waiting = back + u64::from(partial);
        assert_eq!(
            (taken.messages, taken.waiting),
            (1 + given - waiting, waiting)
        );
        assert_eq!(conn.take_unread().unwrap().len(), 0, "it comes back once");
        let checkpoint = match conn.peer_checkpoint().as_deref() {
            None => 0,
            Some([1]) => 1,
            Some(bytes) => {
                assert_eq!(bytes, [2; MAX_CHECKPOINT_LEN]);
                2
            }
        };
        let (receiving, whole) = (word(&receiving), word(&whole));
        format!("{got:?} {receiving} {whole} {given} {back} {partial} {checkpoint}")
    }
}

fn word(end: &End) -> &'static str {
    match end {
        End::Finished => "Finished",
        End::Crashed => "Crashed",
        End::Abandoned { by: By::Peer, .. } => "Abandoned",
        End::Closed {
            by: By::Peer,
            code: CODE,
            reason,
            ..
        } if reason == REASON => "Closed",
        other => panic!("{other:?}"),
    }
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

    /// A new incarnation of the victim connects, after others that were killed before they were met; there
    /// is a message both ways.
    #[track_caller]
    pub(crate) fn meet(&mut self, incarnation: u64) {
        self.order(format!("meet {incarnation}"), "met");
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
        let what = format!("{operation:?}, killed after {n} instructions ({fate:?}): {said}");
        let came = |last: u64| format!("{:?} ", (fate.taken + 1..=last).collect::<Vec<u64>>());
        let (without, with) = (came(fate.filled), came(fate.filled + operation.messages()));
        let (delivered, rest) = match said.strip_prefix(&with) {
            Some(rest) if operation.sends() => (true, rest),
            _ => (
                false,
                said.strip_prefix(&without)
                    .unwrap_or_else(|| panic!("{what}")),
            ),
        };
        let words: Vec<&str> = rest.split(' ').collect();
        let [receiving, whole, given, back, partial, checkpoint] = words[..] else {
            panic!("{what}")
        };
        // What is told may be said by another thread at any moment once the operation has begun.
        let told = operation.ends() == Some([receiving, whole]);
        assert!(
            told && n > 0 || [receiving, whole] == ["Crashed"; 2],
            "{what}"
        );
        let (given, back): (u64, u64) = (given.parse().unwrap(), back.parse().unwrap());
        let taken = given - back;
        if operation.receives() {
            // All of what it receives or nothing. Of a large one, a part is neither.
            assert!([0, operation.messages()].contains(&taken), "{what}");
            assert!(
                partial == "false" || operation == Operation::RecvChunks && taken == 1,
                "{what}"
            );
        } else {
            assert_eq!((given, partial), (0, "false"), "{what}");
        }
        fate.passed = match operation {
            _ if operation.sends() => delivered,
            _ if operation.receives() => taken > 0 && partial == "false",
            Operation::SetCheckpoint => {
                assert!(["1", "2"].contains(&checkpoint), "{what}");
                checkpoint == "2"
            }
            _ => told,
        };
        assert!(fate.passed || !fate.finished, "lost: {what}");
        fate
    }
}
