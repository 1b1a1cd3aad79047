//! One cache line, bounced between two threads or processes that spin.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The word that ends it.
const OVER: u64 = u64::MAX;

/// Times of the single round trips, in nanoseconds.
pub(crate) fn bounce(word: &AtomicU64, time: Duration) -> Vec<u64> {
    let mut times = Vec::new();
    let end = Instant::now() + time;
    let mut last = Instant::now();
    let mut number = word.load(Ordering::Acquire);
    loop {
        word.store(number + 1, Ordering::Release);
        number += 2;
        while word.load(Ordering::Acquire) != number {
            std::hint::spin_loop();
        }
        let now = Instant::now();
        times.push((now - last).as_nanos() as u64);
        last = now;
        if now > end {
            return times;
        }
    }
}

/// The other side: even numbers are its own.
pub(crate) fn answer(word: &AtomicU64) {
    loop {
        let number = word.load(Ordering::Acquire);
        if number == OVER {
            return;
        }
        if number % 2 == 1 {
            word.store(number + 1, Ordering::Release);
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Ends [`answer`].
pub(crate) fn over(word: &AtomicU64) {
    word.store(OVER, Ordering::Release);
}
