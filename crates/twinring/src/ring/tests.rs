//! What a sleeper promises; and two threads on real processors, with the system's barriers: what the
//! models take for granted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Consumer, Producer, Sleeper, Wake, says_waiting};
use crate::os::barrier::can_reach_peers;
use crate::segment::layout::{WAIT_ASLEEP, WAIT_BARRIER, WAIT_NONE};
use crate::segment::test_ring;
use crate::sync::{barriers_reach_us, prepare_for_barriers};

/// How long it is tried.
const TRIED: Duration = Duration::from_millis(1500);

/// How long before they do it both sides know when, in nanoseconds.
const LEAD: u64 = 1000;

/// A sleeper that is not woken within this time is not woken at all.
const LOST: Duration = Duration::from_secs(2);

/// Whether the consumer makes barriers before it waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    Never,
    Once,
    /// For one wait, and anew after it.
    EachTime,
}

/// Until a moment that both sides know.
fn wait_until(at: Instant, mut meanwhile: impl FnMut()) {
    while Instant::now() < at {
        meanwhile();
    }
}

fn pause(times: u64) {
    for _ in 0..times {
        std::hint::spin_loop();
    }
}

/// The consumer announces its wait and looks a last time, while the producer publishes and looks at
/// the flag: either the one finds the word, or the other the flag.
fn no_wake_up_is_lost(promise: Promise) {
    let (to, from) = test_ring(4096);
    let flag = from.clone();
    let (mut producer, mut consumer) = (Producer::new(to.clone()), Consumer::new(from));
    if promise != Promise::Never {
        consumer.promise_barriers(true);
    }
    // The beginning of each round, for both; and the last word that was read.
    let clock = Instant::now();
    let round = AtomicU64::new(0);
    let begins = |at: u64| clock + Duration::from_nanos(at);
    let read = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for word in 1.. {
                // Not before the last word was read: the next one would wake whoever was not woken.
                while read.load(Ordering::Acquire) < word - 1 {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                }
                let at = clock.elapsed().as_nanos() as u64 + LEAD;
                round.store(at, Ordering::Release);
                // With the flag at hand, as it was before, its look is done before its store is seen.
                wait_until(begins(at), || {
                    to.words().data_wait.0.load(Ordering::Relaxed);
                });
                pause(word % 16);
                assert!(producer.has_room(8).unwrap());
                producer.write_word(0, word);
                producer.advance(8);
                let _: Wake = producer.publish();
            }
        });
        let mut last = 0;
        for word in 1.. {
            if clock.elapsed() > TRIED {
                break;
            }
            let mut at = last;
            while at == last {
                at = round.load(Ordering::Acquire);
            }
            last = at;
            wait_until(begins(at), || ());
            pause(word / 16 % 16);
            if promise == Promise::EachTime {
                consumer.promise_barriers(false);
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
            if promise == Promise::EachTime {
                consumer.promise_barriers(true);
            }
            while consumer.readable().unwrap() == 0 {}
            assert_eq!(consumer.read_word(), word);
            consumer.advance(8);
            let _: Wake = consumer.release();
            read.store(word, Ordering::Release);
        }
        ended.store(true, Ordering::Relaxed);
    });
}

/// What is promised no longer is promised until the next wait is over.
#[test]
fn a_promise_is_kept_to_its_end() {
    let (_, memory) = test_ring(4096);
    let said = memory.clone();
    let says = || said.words().data_wait.0.load(Ordering::Relaxed);
    let mut consumer = Consumer::new(memory);
    assert_eq!(says(), WAIT_NONE);
    consumer.promise_barriers(true);
    assert_eq!(says(), WAIT_BARRIER);
    consumer.promise_barriers(false);
    assert_eq!(says(), WAIT_BARRIER);
    if !can_reach_peers() {
        return eprintln!("skipped: no barriers reach other processes here");
    }
    for (promises, awake) in [(false, WAIT_NONE), (false, WAIT_NONE), (true, WAIT_BARRIER)] {
        consumer.promise_barriers(promises);
        assert!(!consumer.begin_wait().unwrap());
        assert_eq!(says(), WAIT_ASLEEP);
        consumer.end_wait();
        assert_eq!(says(), awake);
    }
}

/// Each barrier that the system refuses takes milliseconds, so none is promised again.
#[test]
fn what_was_refused_is_not_promised() {
    let (_, memory) = test_ring(4096);
    let flag = &memory.words().data_wait.0;
    let mut sleeper = Sleeper {
        refused: true,
        ..Sleeper::default()
    };
    sleeper.promise_barriers(true, flag);
    assert_eq!(flag.load(Ordering::Relaxed), WAIT_NONE);
    sleeper.retract(flag);
    assert_eq!(flag.load(Ordering::Relaxed), WAIT_NONE);
}

/// One after the other: each takes two processors.
#[test]
fn no_wake_up_is_lost_beside_fences_and_barriers() {
    no_wake_up_is_lost(Promise::Never);
    if !can_reach_peers() {
        return eprintln!("skipped: no barriers reach other processes here");
    }
    prepare_for_barriers();
    let start = Instant::now();
    while !barriers_reach_us() {
        assert!(start.elapsed() < Duration::from_secs(60), "never prepared");
        thread::sleep(Duration::from_millis(1));
    }
    no_wake_up_is_lost(Promise::Once);
    no_wake_up_is_lost(Promise::EachTime);
}
