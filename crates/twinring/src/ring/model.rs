//! The two files beside this one under the model checker: every interleaving, and every value that
//! the orderings allow a load to return.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p twinring --release --lib model`. A lost
//! wake-up is a deadlock, which loom reports, and a missing Acquire or
//! Release is a data race on the ring's cells, which it reports too.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Consumer, Producer, Wake};
use crate::segment::RingMemory;

#[derive(Default)]
struct Bells {
    data: Bell,
    space: Bell,
}

/// As the kernel's auto-reset event: stays rung until somebody has waited for it.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
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

fn send(producer: &mut Producer, bells: &Bells, word: u64) {
    while !producer.has_room(8).unwrap() {
        if !producer.begin_wait(8).unwrap() {
            bells.space.wait();
        }
        producer.end_wait();
    }
    producer.write_word(0, word);
    if producer.publish(8) == Wake::Needed {
        bells.data.ring();
    }
}

fn receive(consumer: &mut Consumer, bells: &Bells) -> u64 {
    while consumer.readable().unwrap() == 0 {
        if !consumer.begin_wait().unwrap() {
            bells.data.wait();
        }
        consumer.end_wait();
    }
    let word = consumer.read_word();
    if consumer.release(8) == Wake::Needed {
        bells.space.ring();
    }
    word
}

fn exchange(capacity: u64, words: u64, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let ring = RingMemory::new(capacity);
        let bells = Arc::new(Bells::default());
        let mut consumer = Consumer::new(ring.clone());
        let receiver = {
            let bells = bells.clone();
            thread::spawn(move || {
                for expected in 1..=words {
                    assert_eq!(receive(&mut consumer, &bells), expected);
                }
            })
        };
        let mut producer = Producer::new(ring);
        for word in 1..=words {
            send(&mut producer, &bells, word);
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
