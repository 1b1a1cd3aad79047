//! Messages one way, as fast as it goes.

use std::time::{Duration, Instant};

use super::exchange::{check, expect};
use crate::cell::{Figures, SMALL, Spec};
use crate::common::Result;
use crate::link::{Receiver, Sender};
use crate::machine;
use crate::payload::{Header, Message, What};

pub(super) fn run(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    spec: &Spec,
    len: usize,
) -> Result<Figures> {
    let mut message = Message::new(len);
    check(tx, &mut message, 2)?;
    timed(tx, rx, &mut message, spec.warm_ms, None)?;
    let cpu = machine::cpu_of_this_process();
    let (count, elapsed) = timed(tx, rx, &mut message, spec.ms, spec.spoil)?;
    let cpu = machine::cpu_of_this_process() - cpu;
    let bytes = count as f64 * len as f64;
    Ok(Figures {
        messages_per_s: Some(count as f64 / elapsed.as_secs_f64()),
        bytes_per_s: Some(bytes / elapsed.as_secs_f64()),
        cpu_s_per_gb: Some(cpu / (bytes / 1e9)),
        checked: Some(count),
        ..Figures::default()
    })
}

/// Sends for so long; counts until the receiver has said that all came.
fn timed(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    message: &mut Message,
    ms: u64,
    spoil: Option<u64>,
) -> Result<(u64, Duration)> {
    let start = Instant::now();
    let count = send_for(tx, message, ms, spoil)?;
    expect(rx, What::Done, SMALL)?;
    Ok((count, start.elapsed()))
}

/// A timed part: `Begin`, messages, `End`. Gives how many.
pub(super) fn send_for(
    tx: &mut impl Sender,
    message: &mut Message,
    ms: u64,
    spoil: Option<u64>,
) -> Result<u64> {
    let time = Duration::from_millis(ms);
    let spoil = spoil.unwrap_or(u64::MAX);
    let mut small = Message::new(SMALL);
    let batch = batch(message.len());
    let (mut number, mut total) = (0u64, 0u64);
    tx.send(small.plain(What::Begin))?;
    let start = Instant::now();
    while start.elapsed() < time {
        for _ in 0..batch {
            let (bytes, sum) = message.set(Header {
                what: What::Take,
                thread: 0,
                number,
                argument: 0,
            });
            let last = bytes.len() - 1;
            bytes[last] ^= u8::from(number == spoil);
            tx.send(bytes)?;
            bytes[last] ^= u8::from(number == spoil);
            total = total.wrapping_add(sum);
            number += 1;
        }
    }
    let (bytes, _) = small.set(Header {
        what: What::End,
        thread: 0,
        number,
        argument: total,
    });
    tx.send(bytes)?;
    tx.flush()?;
    Ok(number)
}

/// How many messages go between two looks at the clock.
fn batch(len: usize) -> u64 {
    (64 * 1024 / len as u64).clamp(1, 1024)
}
