//! Small messages of several threads at once.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::exchange::{check, expect};
use super::shared_sender::SharedSender;
use crate::cell::{Figures, SMALL, Spec};
use crate::common::Result;
use crate::link::{Receiver, Sender};
use crate::payload::{Header, Message, What};

/// Messages between two looks at the clock.
const BATCH: u64 = 64;

pub(super) fn run<S: Sender>(
    mut tx: S,
    rx: &mut impl Receiver,
    spec: &Spec,
    count: usize,
) -> Result<(S, Figures)> {
    check(&mut tx, &mut Message::new(SMALL), 2)?;
    let mut senders = SharedSender::of(tx, count)?;
    timed(&mut senders, rx, spec.warm_ms, None)?;
    let (counts, elapsed) = timed(&mut senders, rx, spec.ms, spec.spoil)?;
    let sent: u64 = counts.iter().sum();
    let most = counts.iter().max().copied().unwrap_or(0);
    let fewest = counts.iter().min().copied().unwrap_or(0);
    let figures = Figures {
        messages_per_s: Some(sent as f64 / elapsed.as_secs_f64()),
        bytes_per_s: Some((sent * SMALL as u64) as f64 / elapsed.as_secs_f64()),
        most_to_fewest: Some(most as f64 / fewest.max(1) as f64),
        checked: Some(sent),
        ..Figures::default()
    };
    Ok((SharedSender::back(senders)?, figures))
}

/// How many messages each thread sent, and how long it took until all had come.
fn timed<S: Sender>(
    senders: &mut [SharedSender<S>],
    rx: &mut impl Receiver,
    ms: u64,
    spoil: Option<u64>,
) -> Result<(Vec<u64>, Duration)> {
    let begin = Barrier::new(senders.len());
    let mut small = Message::new(SMALL);
    senders[0].send(small.plain(What::Begin))?;
    // Where several senders have no order among them, all has to wait for the beginning.
    senders[0].send(small.plain(What::Echo))?;
    expect(rx, What::Echo, SMALL)?;
    let start = Instant::now();
    let sent = std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .iter_mut()
            .enumerate()
            .map(|(thread, tx)| {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    // One thread's message is enough to be spoilt.
                    one(tx, thread, ms, spoil.filter(|_| thread == 0))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a sending thread panicked")?)
            .collect::<Result<Vec<(u64, u64)>>>()
    })?;
    let counts: Vec<u64> = sent.iter().map(|(count, _)| *count).collect();
    let sum = sent
        .iter()
        .fold(0u64, |sum, (_, own)| sum.wrapping_add(*own));
    let (bytes, _) = small.set(Header {
        what: What::End,
        thread: 0,
        number: counts.iter().sum(),
        argument: sum,
    });
    senders[0].send(bytes)?;
    expect(rx, What::Done, SMALL)?;
    Ok((counts, start.elapsed()))
}

/// What one thread does: gives its count and sum.
fn one<S: Sender>(
    tx: &mut SharedSender<S>,
    thread: usize,
    ms: u64,
    spoil: Option<u64>,
) -> Result<(u64, u64)> {
    let spoil = spoil.unwrap_or(u64::MAX);
    let end = Instant::now() + Duration::from_millis(ms);
    let mut message = Message::new(SMALL);
    let (mut number, mut total) = (0, 0u64);
    loop {
        for _ in 0..BATCH {
            let (bytes, sum) = message.set(Header {
                what: What::Take,
                thread,
                number,
                argument: 0,
            });
            bytes[SMALL - 1] ^= u8::from(number == spoil);
            tx.send(bytes)?;
            bytes[SMALL - 1] ^= u8::from(number == spoil);
            total = total.wrapping_add(sum);
            number += 1;
        }
        if Instant::now() >= end {
            return Ok((number, total));
        }
    }
}
