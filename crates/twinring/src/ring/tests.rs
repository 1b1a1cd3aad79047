//! Two threads on real processors, with the system's barriers: what the models take for granted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Consumer, Producer, Wake, says_waiting};
use crate::os::barrier::can_reach_peers;
use crate::segment::test_ring;
use crate::sync::{barriers_reach_us, prepare_for_barriers};

/// How long it is tried.
const TRIED: Duration = Duration::from_millis(1500);

/// One side is about to sleep just when the other publishes, once in such a time.
const ROUND: Duration = Duration::from_micros(4);

/// A sleeper that is not woken within this time is not woken at all.
const LOST: Duration = Duration::from_secs(2);

/// Until a moment that both sides know.
fn wait_until(at: Instant, mut meanwhile: impl FnMut()) {
    while Instant::now() < at {
        meanwhile();
    }
}

/// The consumer announces its wait and looks a last time, while the producer publishes and looks at
/// the flag: either the one finds the word, or the other the flag.
fn no_wake_up_is_lost(promise: bool) {
    let (to, from) = test_ring(4096);
    let flag = from.clone();
    let (mut producer, mut consumer) = (Producer::new(to.clone()), Consumer::new(from));
    if promise {
        consumer.promise_barrier();
    }
    let begun = Instant::now() + Duration::from_millis(10);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut word = 0;
            while !ended.load(Ordering::Relaxed) {
                word += 1;
                // With the flag at hand, as it was before, its look is done before its store is seen.
                wait_until(begun + ROUND * word, || {
                    to.words().data_wait.0.load(Ordering::Relaxed);
                });
                for _ in 0..word % 32 {
                    std::hint::spin_loop();
                }
                while !producer.has_room(8).unwrap() {}
                producer.write_word(0, word.into());
                producer.advance(8);
                let _: Wake = producer.publish();
            }
        });
        let mut word = 0;
        while begun.elapsed() < TRIED {
            word += 1;
            wait_until(begun + ROUND * word, || ());
            for _ in 0..word / 32 % 32 {
                std::hint::spin_loop();
            }
            if !consumer.begin_wait().unwrap() {
                // As if asleep: the producer has to take the announcement away.
                let asleep = Instant::now();
                while says_waiting(flag.words().data_wait.0.load(Ordering::Acquire)) {
                    if asleep.elapsed() > LOST {
                        ended.store(true, Ordering::Relaxed);
                        panic!("not woken for word {word}");
                    }
                }
            }
            consumer.end_wait();
            while consumer.readable().unwrap() == 0 {}
            assert_eq!(consumer.read_word(), word.into());
            consumer.advance(8);
            let _: Wake = consumer.release();
        }
        ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn no_wake_up_is_lost_beside_full_fences() {
    no_wake_up_is_lost(false);
}

#[test]
fn no_wake_up_is_lost_beside_barriers() {
    if !can_reach_peers() {
        return eprintln!("skipped: no barriers reach other processes here");
    }
    prepare_for_barriers();
    let start = Instant::now();
    while !barriers_reach_us() {
        assert!(start.elapsed() < Duration::from_secs(60), "never prepared");
        thread::sleep(Duration::from_millis(1));
    }
    no_wake_up_is_lost(true);
}
