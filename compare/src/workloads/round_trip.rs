//! A message there and one back.

use std::time::{Duration, Instant};

use super::exchange::{check, echo};
use crate::cell::{Figures, Spec};
use crate::common::{Result, stats};
use crate::link::{Receiver, Sender};
use crate::payload::{self, Header, Message, What};

pub(super) fn run(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    spec: &Spec,
    len: usize,
) -> Result<Figures> {
    let mut message = Message::new(len);
    check(tx, &mut message, 2)?;
    // Written to beforehand, so that no new page is waited for in the timed part.
    let mut times = vec![1u64; 10_000 * spec.ms as usize];
    times.clear();
    trips(tx, rx, &mut message, spec.warm_ms, None, &mut times)?;
    times.clear();
    trips(tx, rx, &mut message, spec.ms, spec.spoil, &mut times)?;
    let samples = times.len() as u64;
    let [p50, p99, p999] = stats::three(&mut times).ok_or("no round trip was made")?;
    echo(tx, rx)?;
    Ok(Figures {
        p50_us: Some(p50),
        p99_us: Some(p99),
        p999_us: Some(p999),
        samples: Some(samples),
        checked: Some(samples),
        ..Figures::default()
    })
}

/// Makes round trips for so long; adds the time of each.
pub(super) fn trips(
    tx: &mut impl Sender,
    rx: &mut impl Receiver,
    message: &mut Message,
    ms: u64,
    spoil: Option<u64>,
    times: &mut Vec<u64>,
) -> Result<()> {
    let end = Instant::now() + Duration::from_millis(ms);
    let spoil = spoil.unwrap_or(u64::MAX);
    let mut last = Instant::now();
    let mut number = 0;
    loop {
        let (bytes, expected) = message.set(Header {
            what: What::Echo,
            thread: 0,
            number,
            argument: 0,
        });
        let len = bytes.len();
        bytes[len - 1] ^= u8::from(number == spoil);
        tx.send(bytes)?;
        let (mut came, mut sum) = (0, 0);
        rx.recv(|bytes| (came, sum) = (bytes.len(), payload::sum(bytes)))?;
        if (came, sum) != (len, expected) {
            return Err(format!("round trip {number} came back altered").into());
        }
        // One look at the clock per round trip: it takes a tenth of the shortest.
        let now = Instant::now();
        times.push((now - last).as_nanos() as u64);
        last = now;
        number += 1;
        if now > end {
            return Ok(());
        }
    }
}
