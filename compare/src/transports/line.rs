//! The floor of every hand-over: one cache line, bounced between two spinning processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::{Entry, NOT_A_LINK, Waits};
use crate::cell::{Figures, Result, Spec, Workload};
use crate::child::{Role, finish, unexpected};
use crate::control::{Control, Line, Order};
use crate::stats;

/// The word that ends it.
const OVER: u64 = u64::MAX;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry {
        name: "line",
        title: "cache line",
        settings: "one word of shared memory bounced between two processes that spin with PAUSE: \
                   nothing is carried but the number of the bounce",
        waits: Waits::Spins,
        longest: 64,
        only: Some((&[Workload::RoundTrip(64)], NOT_A_LINK)),
        start: Box::new(start),
    }]
}

fn start(role: Role, spec: &Spec, control: &Control) -> Result<()> {
    let word = |memory: &Shared| -> &'static AtomicU64 {
        // SAFETY: a page, mapped for ever, used by atomics only.
        unsafe { &*memory.address().cast() }
    };
    match (role, control.hear()?) {
        (Role::Host, Order::Open) => {
            let (memory, token) = Shared::create(4096)?;
            control.say(&Line::Token(token));
            answer(word(&memory));
            finish(control, Figures::default())
        }
        (Role::Guest, Order::Connect(token)) => {
            let word = word(&Shared::open(&token, 4096)?);
            let mut times = bounce(word, Duration::from_millis(spec.ms));
            over(word);
            let samples = times.len() as u64;
            let [p50, p99, p999] = stats::three(&mut times).ok_or("nothing was bounced")?;
            let figures = Figures {
                p50_us: Some(p50),
                p99_us: Some(p99),
                p999_us: Some(p999),
                samples: Some(samples),
                checked: Some(samples),
                ..Figures::default()
            };
            finish(control, figures)
        }
        (_, other) => Err(unexpected(&other)),
    }
}

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
