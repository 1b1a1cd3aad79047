//! [`Producer`] and [`Consumer`] under the model checker: every interleaving, and every value that
//! the orderings allow a load to return.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p twinring --release --lib model`. A lost
//! wake-up is a deadlock and a missing Acquire or Release is a data race on the ring's cells;
//! loom reports both.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Consumer, Kept, Producer, Wake};
use crate::segment::RingMemory;
use crate::segment::layout::{
    GOODBYE_CLOSED, RECEIVING_OPEN, RECEIVING_SEALED, SENDING_FINISHED, SENDING_OPEN, WAKE_BY_WORD,
};
use crate::sync::{Deadline, FairLock, Ordering, killed_after, step};

#[derive(Default)]
struct Doorbells {
    data: Doorbell,
    space: Doorbell,
}

/// Like the kernel's auto-reset event: stays rung until a thread has waited for it.
#[derive(Default)]
struct Doorbell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Doorbell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Publishes one word, written before.
fn publish(producer: &mut Producer) -> Wake {
    producer.advance(8);
    producer.publish();
    producer.wake()
}

/// Releases one word, read before.
fn release(consumer: &mut Consumer) -> Wake {
    consumer.advance(8);
    consumer.release();
    consumer.wake()
}

fn send(producer: &mut Producer, doorbells: &Doorbells, word: u64) {
    while !producer.has_room(8).unwrap() {
        if !producer.begin_wait(8).unwrap() {
            doorbells.space.wait();
        }
        producer.end_wait();
    }
    producer.write_word(0, word);
    if publish(producer) == Wake::Needed {
        doorbells.data.ring();
    }
}

fn receive(consumer: &mut Consumer, doorbells: &Doorbells) -> u64 {
    while consumer.readable().unwrap() == 0 {
        if !consumer.begin_wait().unwrap() {
            doorbells.data.wait();
        }
        consumer.end_wait();
    }
    let word = consumer.read_word();
    if release(consumer) == Wake::Needed {
        doorbells.space.ring();
    }
    word
}

/// One thread sends words, another receives them.
fn exchange(capacity: u64, words: u64, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let ring = RingMemory::new(capacity);
        let doorbells = Arc::new(Doorbells::default());
        let mut consumer = Consumer::new(ring.clone());
        let mut producer = Producer::new(ring);
        let receiver = {
            let doorbells = doorbells.clone();
            thread::spawn(move || {
                for expected in 1..=words {
                    assert_eq!(receive(&mut consumer, &doorbells), expected);
                }
            })
        };
        for word in 1..=words {
            send(&mut producer, &doorbells, word);
        }
        receiver.join().unwrap();
    });
}

/// Sleeping for data, with room for all: one word, every interleaving.
#[test]
fn model_one_word() {
    exchange(16, 1, None);
}

/// Sleeping for data, with room for all: two words.
#[test]
fn model_two_words() {
    exchange(16, 2, None);
}

/// Sleeping for data and for room: a ring of one word, which is overwritten each time.
#[test]
fn model_full_ring() {
    exchange(8, 2, Some(5));
}

/// A ring that wraps, fuller and emptier.
#[test]
fn model_wrapping_ring() {
    exchange(16, 3, Some(3));
}

/// As `transfer/send.rs` unlocks its lane: the fence between the position's store and the look at the
/// flag is the lock's.
fn send_locked(lane: &FairLock<Producer>, doorbells: &Doorbells, word: u64) {
    let mut producer = lane.lock(Deadline::Never).unwrap();
    while !producer.has_room(8).unwrap() {
        if !producer.begin_wait(8).unwrap() {
            doorbells.space.wait();
        }
        producer.end_wait();
    }
    producer.write_word(0, word);
    producer.advance(8);
    producer.publish();
    if let Some(producer) = producer.leave(Producer::is_awaited)
        && producer.wake() == Wake::Needed
    {
        doorbells.data.ring();
    }
}

/// As `transfer/inbox.rs` gives the right to receive back.
fn receive_locked(current: &FairLock<Consumer>, doorbells: &Doorbells) -> u64 {
    let mut consumer = current.lock(Deadline::Never).unwrap();
    while consumer.readable().unwrap() == 0 {
        if !consumer.begin_wait().unwrap() {
            doorbells.data.wait();
        }
        consumer.end_wait();
    }
    let word = consumer.read_word();
    consumer.advance(8);
    consumer.release();
    if let Some(consumer) = consumer.leave(Consumer::is_awaited)
        && consumer.wake() == Wake::Needed
    {
        doorbells.space.ring();
    }
    word
}

/// Threads that share the lane send one word each; one thread receives them.
fn exchange_locked(capacity: u64, senders: u64, preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let ring = RingMemory::new(capacity);
        let doorbells = Arc::new(Doorbells::default());
        let lane = Arc::new(FairLock::new(Producer::new(ring.clone())));
        let senders: Vec<_> = (1..=senders)
            .map(|word| {
                let (lane, doorbells) = (lane.clone(), doorbells.clone());
                thread::spawn(move || send_locked(&lane, &doorbells, word))
            })
            .collect();
        let current = FairLock::new(Consumer::new(ring));
        let sum: u64 = senders
            .iter()
            .map(|_| receive_locked(&current, &doorbells))
            .sum();
        assert_eq!(sum, (1..=senders.len() as u64).sum());
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// The lock's fence in place of the publisher's own: one sender, and two.
#[test]
fn model_fence_of_the_lock() {
    exchange_locked(16, 1, 5);
    exchange_locked(16, 2, 2);
}

/// And in place of the receiver's own: a ring of one word.
#[test]
fn model_fence_of_the_lock_in_a_full_ring() {
    exchange_locked(8, 2, 2);
}

/// A thread that finds the flag set also finds how the sleeper had asked to be woken.
#[test]
fn model_how_to_wake() {
    loom::model(|| {
        let ring = RingMemory::new(16);
        let mut consumer = Consumer::new(ring.clone());
        let sleeper = {
            let ring = ring.clone();
            thread::spawn(move || {
                ring.words()
                    .wake_mode
                    .0
                    .store(WAKE_BY_WORD, Ordering::Relaxed);
                let _ = consumer.begin_wait();
                consumer.end_wait();
            })
        };
        let mut producer = Producer::new(ring.clone());
        producer.write_word(0, 1);
        if publish(&mut producer) == Wake::Needed {
            let wake_mode = ring.words().wake_mode.0.load(Ordering::Relaxed);
            assert_eq!(wake_mode, WAKE_BY_WORD);
        }
        sleeper.join().unwrap();
    });
}

/// A process as the kernel shows it to its peer, and the doorbell that it rings: one wait for both.
#[derive(Default)]
struct Sender {
    rung_or_dead: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Sender {
    fn ring(&self) {
        self.rung_or_dead.lock().unwrap().0 = true;
        self.changed.notify_one();
    }

    fn die(&self) {
        self.rung_or_dead.lock().unwrap().1 = true;
        self.changed.notify_one();
    }

    fn is_dead(&self) -> bool {
        self.rung_or_dead.lock().unwrap().1
    }

    fn wait(&self) {
        let mut state = self.rung_or_dead.lock().unwrap();
        while !state.0 && !state.1 {
            state = self.changed.wait(state).unwrap();
        }
        state.0 = false;
    }
}

/// As `Incoming::step` of `transfer/incoming.rs`: first whether the sender has ended, then the look at
/// the ring. `looks_again` is what makes it right.
fn drain(consumer: &mut Consumer, sender: &Sender, looks_again: bool) -> u64 {
    let mut got = 0;
    loop {
        let ended = sender.is_dead();
        if ended {
            if !looks_again {
                return got;
            }
            consumer.seal().unwrap();
        }
        if consumer.readable().unwrap() > 0 {
            got += 1;
            assert_eq!(consumer.read_word(), got);
            let _ = release(consumer);
        } else if ended {
            return got;
        } else {
            if !consumer.begin_wait().unwrap() {
                sender.wait();
            }
            consumer.end_wait();
        }
    }
}

/// A sender of two words is killed after `steps` steps: before or after it writes, publishes, looks
/// at the flag and rings, for each word.
fn death(steps: u32, looks_again: bool) {
    use std::sync::atomic::{AtomicU64, Ordering};

    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let ring = RingMemory::new(16);
        let sender = Arc::new(Sender::default());
        // For the test only, so not loom's.
        let committed = std::sync::Arc::new(AtomicU64::new(0));
        let sending = {
            let (sender, committed) = (sender.clone(), committed.clone());
            let mut producer = Producer::new(ring.clone());
            thread::spawn(move || {
                killed_after(steps, || {
                    for word in 1..=2 {
                        producer.write_word(0, word);
                        if publish(&mut producer) == Wake::Needed {
                            step();
                            sender.ring();
                        }
                        // Here `send` has returned.
                        committed.store(word, Ordering::Relaxed);
                    }
                });
                sender.die();
            })
        };
        let got = drain(&mut Consumer::new(ring), &sender, looks_again);
        sending.join().unwrap();
        let committed = committed.load(Ordering::Relaxed);
        assert!(got >= committed, "lost: {got} of {committed}");
    });
}

/// The largest number of steps that a sender of two words takes.
const ALL_STEPS: u32 = 8;

#[test]
fn model_death_against_drain() {
    for steps in 0..=ALL_STEPS {
        death(steps, true);
    }
}

/// The model above can fail: without the look after the death, committed words are lost.
#[test]
#[should_panic(expected = "lost")]
fn model_death_without_a_second_look() {
    death(ALL_STEPS, false);
}

/// The lane is emptied and the goodbye is said while a sender sends: a receiver that sees the goodbye
/// sees everything that was sent before it.
#[test]
fn model_close_against_send() {
    use std::sync::atomic::{AtomicU64, Ordering};

    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let ring = RingMemory::new(16);
        let lane = Arc::new(FairLock::new(Some(Producer::new(ring.clone()))));
        let committed = std::sync::Arc::new(AtomicU64::new(0));
        let sending = {
            let (lane, committed) = (lane.clone(), committed.clone());
            thread::spawn(move || {
                for word in 1..=2 {
                    let mut lane = lane.lock(Deadline::Never).unwrap();
                    let Some(producer) = lane.as_mut() else {
                        return;
                    };
                    producer.write_word(0, word);
                    let _ = publish(producer);
                    committed.store(word, Ordering::Relaxed);
                }
            })
        };
        let closing = {
            let ring = ring.clone();
            thread::spawn(move || {
                let mut lane = lane.lock(Deadline::Never).unwrap();
                *lane = None;
                ring.words().say_goodbye(GOODBYE_CLOSED);
            })
        };
        let mut consumer = Consumer::new(ring.clone());
        // Something may have been read before.
        let mut got = consumer.readable().unwrap() / 8;
        let closed = ring.words().goodbye() == GOODBYE_CLOSED;
        if closed {
            consumer.seal().unwrap();
            got = consumer.readable().unwrap() / 8;
            for word in 1..=got {
                assert_eq!(consumer.read_word(), word);
                let _ = release(&mut consumer);
            }
        }
        sending.join().unwrap();
        closing.join().unwrap();
        let committed = committed.load(Ordering::Relaxed);
        assert!(!closed || got == committed, "lost: {got} of {committed}");
    });
}

/// A sender says that nothing more comes, beside a receiver that may be asleep: it is woken, and has all that
/// was sent before. `words` may be none.
fn finish(words: u64, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let ring = RingMemory::new(16);
        let doorbells = Arc::new(Doorbells::default());
        let mut producer = Producer::new(ring.clone());
        let sending = {
            let (ring, doorbells) = (ring.clone(), doorbells.clone());
            thread::spawn(move || {
                for word in 1..=words {
                    producer.write_word(0, word);
                    producer.advance(8);
                    producer.publish();
                }
                // As `Outgoing::end` of `transfer/outgoing.rs`: one look at the flag for all, so that no
                // other fence orders the word before the end.
                ring.words().end_sending(SENDING_FINISHED);
                if producer.wake() == Wake::Needed {
                    doorbells.data.ring();
                }
            })
        };
        // As `Incoming::step` of `transfer/incoming.rs`.
        let mut consumer = Consumer::new(ring.clone());
        let is_last = || ring.words().sending() != SENDING_OPEN;
        let mut got = 0;
        loop {
            let last = consumer.readable().unwrap() == 0 && is_last();
            if last {
                consumer.seal().unwrap();
            }
            if consumer.readable().unwrap() > 0 {
                got += 1;
                assert_eq!(consumer.read_word(), got);
                let _ = release(&mut consumer);
            } else if last {
                break;
            } else {
                if !consumer.begin_wait().unwrap() && !is_last() {
                    doorbells.data.wait();
                }
                consumer.end_wait();
            }
        }
        assert_eq!(got, words, "lost");
        sending.join().unwrap();
    });
}

#[test]
fn model_finish() {
    finish(0, None);
    finish(1, None);
}

/// A receiver takes one word and says that it takes no more: a sender that sees this sees how far it came.
/// What it has taken is not among what the sender takes back.
#[test]
fn model_take_back() {
    loom::model(|| {
        let ring = RingMemory::new(16);
        let mut producer = Producer::new(ring.clone());
        for word in 1..=2 {
            producer.write_word(0, word);
            let _ = publish(&mut producer);
        }
        let receiving = {
            let ring = ring.clone();
            thread::spawn(move || {
                let mut consumer = Consumer::new(ring.clone());
                assert_eq!(consumer.readable(), Ok(16));
                consumer.advance(8);
                consumer.release();
                ring.words().end_receiving(RECEIVING_SEALED);
            })
        };
        if ring.words().receiving() != RECEIVING_OPEN {
            assert_eq!(producer.head(), Ok(8), "given back though it was taken");
        }
        receiving.join().unwrap();
    });
}

/// What is kept is done by two threads, while the consumer reads on: nothing is released before that, and all
/// after it.
fn keep(first_is_done_elsewhere: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let ring = RingMemory::new(32);
        let kept = Arc::new(Kept::new(ring.clone()));
        let head = || ring.words().head.0.load(Ordering::Relaxed);
        let (first, second) = match first_is_done_elsewhere {
            true => (0..8, 8..16),
            false => (8..16, 0..8),
        };
        kept.add(0..8);
        if !first_is_done_elsewhere {
            kept.add(8..16);
        }
        let other = {
            let (kept, first) = (kept.clone(), first.clone());
            thread::spawn(move || {
                let _ = kept.done(first.start, first.end);
            })
        };
        if first_is_done_elsewhere {
            kept.add(8..16);
        }
        assert!(head() <= second.start, "released although it is kept");
        let _ = kept.done(second.start, second.end);
        other.join().unwrap();
        assert_eq!((head(), kept.held()), (16, 0));
    });
}

#[test]
fn model_keep() {
    keep(true);
    keep(false);
}
