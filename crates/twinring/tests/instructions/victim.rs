//! The side that is killed.

use std::fs::File;
use std::thread;

use twinring::{Connection, Link, MAX_CHECKPOINT_LEN, Timeout, Wait};

use crate::common::{Child, LABEL, Parent, Place, Side, connected, labelled, read_label};
use crate::operation::{CAPACITY, HANDED, LARGE, Operation, SMALL};
use crate::survivor::Survivor;
use crate::tracer::{Step, Thread, mark};

/// What a victim says when it closes.
pub(crate) const CODE: u32 = 7;
pub(crate) const REASON: &str = "closing";

/// Connects, exchanges a message, and does one operation between two marks.
pub(crate) fn victim(parent: &'static Parent) {
    let operation: Operation = parent.next_as();
    let incarnation: u64 = parent.next_as();
    let link = parent
        .builder()
        .ring_capacity(CAPACITY)
        .max_handles(1)
        .wait(Wait::Sleep)
        .open()
        .unwrap();
    let conn = connected(&link);
    conn.send(&labelled(incarnation, 0, 0)).unwrap();
    let answer = conn.recv().unwrap().unwrap();
    assert_eq!(read_label(&answer), Ok((0, incarnation)));
    // Not the process's first thread, whose end the test harness waits for.
    let thread = thread::spawn(move || operate(parent, &link, conn, operation, incarnation));
    thread.join().unwrap();
    parent.wait_for_the_end();
}

fn operate(parent: &Parent, link: &Link, conn: Connection, operation: Operation, incarnation: u64) {
    let filled = fill(&conn, operation, incarnation);
    let last = |len| labelled(incarnation, filled + 1, len);
    let (small, large) = (last(SMALL), last(LARGE));
    let batch: Vec<_> = (1..=operation.messages())
        .map(|i| labelled(incarnation, filled + i, SMALL))
        .collect();
    let handed = last(HANDED);
    let mut handles = vec![File::open("/dev/null").unwrap().into()];
    let mut buffer = Vec::new();
    parent.say(filled);
    parent.say(rustix::thread::gettid().as_raw_nonzero());
    parent.expect("go");
    match operation {
        Operation::Send
        | Operation::SendToSleeper
        | Operation::SendAround
        | Operation::SendFull => {
            mark();
            let sent = conn.send(&small);
            mark();
            sent.unwrap();
        }
        Operation::SendChunks => {
            mark();
            let sent = conn.send(&large);
            mark();
            sent.unwrap();
        }
        Operation::Reserve => {
            mark();
            let sent = conn.reserve(small.len()).and_then(|mut message| {
                message.put(&small)?;
                message.commit()
            });
            mark();
            sent.unwrap();
        }
        Operation::SendBatch => {
            mark();
            let sent = conn.send_batch(&batch);
            mark();
            assert_eq!(sent.unwrap(), batch.len());
        }
        Operation::SendHandle => {
            mark();
            let sent = conn.send_with_handles(&handed, &mut handles);
            mark();
            sent.unwrap();
        }
        Operation::RecvHandle => {
            mark();
            let received = conn.recv_with_handles();
            mark();
            let (message, handles) = received.unwrap().unwrap();
            assert_eq!((read_label(&message), handles.len()), (Ok((0, 1)), 1));
        }
        Operation::RecvInPlace => {
            buffer.resize(LABEL + SMALL, 0);
            mark();
            let received = conn
                .recv_in_place()
                .map(|view| view.unwrap().copy_to(0, &mut buffer));
            mark();
            received.unwrap();
            assert_eq!(read_label(&buffer), Ok((0, 1)));
        }
        Operation::RecvBatch => {
            mark();
            let mut batch = conn.recv_batch().unwrap().unwrap();
            while let Some(bytes) = batch.next_message() {
                buffer.extend_from_slice(bytes);
            }
            batch.take();
            mark();
            let labels = buffer.chunks(LABEL + SMALL).map(read_label);
            let expected = (1..=operation.messages()).map(|i| Ok((0, i)));
            assert!(labels.eq(expected), "not the three messages");
        }
        Operation::Recv
        | Operation::RecvForSleeper
        | Operation::RecvChunks
        | Operation::RecvEmpty => {
            mark();
            let received = conn.recv_into(&mut buffer);
            mark();
            received.unwrap();
            assert_eq!(read_label(&buffer), Ok((0, 1)));
        }
        Operation::SetCheckpoint => {
            mark();
            let set = conn.set_checkpoint(&[2; MAX_CHECKPOINT_LEN]);
            mark();
            set.unwrap();
        }
        Operation::Finish => {
            mark();
            let finished = conn.finish();
            mark();
            finished.unwrap();
        }
        Operation::Close => {
            mark();
            link.close(CODE, REASON);
            mark();
        }
        Operation::Drop => {
            mark();
            drop(conn);
            mark();
        }
    }
}

/// Sends what the operation finds in the ring, and returns how many messages that were.
fn fill(conn: &Connection, operation: Operation, incarnation: u64) -> u64 {
    let len = match operation {
        // Almost all of the ring; the survivor takes it out again.
        Operation::SendAround => {
            for i in 1..=4 {
                conn.send(&labelled(incarnation, i, 980)).unwrap();
            }
            return 4;
        }
        Operation::Finish => {
            conn.send(&labelled(incarnation, 1, SMALL)).unwrap();
            return 1;
        }
        Operation::SendFull => SMALL,
        Operation::SetCheckpoint => {
            conn.set_checkpoint(&[1]).unwrap();
            return 0;
        }
        _ => return 0,
    };
    let at_once = conn.within(Timeout::Now);
    for i in 1.. {
        if let Err(e) = at_once.send(&labelled(incarnation, i, len)) {
            assert!(e.is_timeout(), "{e}");
            return i - 1;
        }
    }
    unreachable!("a ring is full at some time")
}

/// A child in that role.
pub(crate) struct Victim {
    child: Child,
    operation: Operation,
    fate: Fate,
}

/// How a victim ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    /// Messages that it had sent before the operation, and how many of them the survivor had
    /// taken before the end.
    pub(crate) filled: u64,
    pub(crate) taken: u64,
    /// How far it came.
    pub(crate) instructions: usize,
    /// That was all of the operation.
    pub(crate) finished: bool,
    /// What the operation sent has arrived, what it received was taken, or its end was told.
    pub(crate) passed: bool,
}

impl Victim {
    pub(crate) fn start(
        place: &Place,
        side: Side,
        operation: Operation,
        incarnation: u64,
    ) -> Victim {
        let mut child = place.start("victim", side);
        child.say(format!("{operation:?}"));
        child.say(incarnation);
        Victim {
            child,
            operation,
            fate: Fate::default(),
        }
    }

    /// Lets both sides do what comes before the operation.
    #[track_caller]
    pub(crate) fn prepare(&mut self, survivor: &mut Survivor) {
        self.fate.filled = self.child.next_line().parse().unwrap();
        match self.operation {
            Operation::SendToSleeper => survivor.begin("end"),
            Operation::SendAround => self.make_room(survivor),
            Operation::Recv | Operation::RecvInPlace | Operation::RecvBatch => {
                for _ in 0..self.operation.messages() {
                    survivor.order(format!("give {SMALL}"), "given");
                }
            }
            Operation::RecvHandle => survivor.order("hand", "handed"),
            Operation::RecvForSleeper => survivor.order("pour", "pours"),
            Operation::RecvChunks => survivor.order(format!("give {LARGE}"), "given"),
            _ => {}
        }
    }

    fn make_room(&mut self, survivor: &mut Survivor) {
        survivor.order(format!("take {}", self.fate.filled), "taken");
        self.fate.taken = self.fate.filled;
    }

    /// Ends the victim's sleep, if that is the survivor's to do.
    fn wake(&mut self, survivor: &mut Survivor) {
        match self.operation {
            Operation::SendFull => self.make_room(survivor),
            Operation::RecvEmpty => survivor.order(format!("give {SMALL}"), "given"),
            // Another thread of its own wakes it.
            _ => {}
        }
    }

    /// Kills the victim `n` instructions into its operation, or at the end of it if that comes
    /// first.
    #[track_caller]
    pub(crate) fn kill_after(mut self, n: usize, survivor: &mut Survivor) -> Fate {
        let tid = self.child.next_line().parse().unwrap();
        let mut thread = Thread::seize(&self.child, tid);
        thread.run_to_mark(|| self.child.say("go"));
        let mut slept = false;
        while self.fate.instructions < n {
            match thread.step() {
                Step::Done => {}
                Step::Asleep if slept => {}
                Step::Asleep => {
                    slept = true;
                    // Killed in its sleep if this is where it is to be killed.
                    if self.fate.instructions + 1 < n {
                        self.wake(survivor);
                    }
                }
                Step::Mark => {
                    self.fate.finished = true;
                    break;
                }
            }
            self.fate.instructions += 1;
        }
        self.child.kill_now();
        thread.reap();
        self.child.kill();
        self.fate
    }
}
