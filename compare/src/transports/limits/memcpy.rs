//! The floor of every copy: `memcpy` between two buffers of one process, and the receiver's
//! reading of every byte.

use std::time::{Duration, Instant};

use crate::cell::{Figures, Spec, Workload};
use crate::common::{KIB, MIB, Result};
use crate::control::{Control, Line, Role};
use crate::machine;
use crate::payload::{self, Buffer, Header, Message, What};
use crate::transports::entry::Entry;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::limit(
        "memcpy",
        "memcpy",
        &[
            Workload::OneWay(64),
            Workload::OneWay(KIB),
            Workload::OneWay(16 * KIB),
            Workload::OneWay(64 * KIB),
            Workload::OneWay(MIB),
            Workload::OneWay(16 * MIB),
        ],
        start,
        "one process copies a message to the same buffer again and again and reads every byte of the \
         copy: no second process takes part",
    )]
}

fn start(role: Role, spec: &Spec, control: &Control) -> Result<()> {
    match role {
        Role::Host => {
            control.wait_open()?;
            control.say(&Line::Token("nothing".into()));
            control.finish(Figures::default())
        }
        Role::Guest => {
            control.wait_connect()?;
            let len = spec.workload.longest();
            run(len, spec.warm_ms, None)?;
            control.finish(run(len, spec.ms, spec.spoil)?)
        }
    }
}

fn run(len: usize, ms: u64, spoil: Option<u64>) -> Result<Figures> {
    let mut message = Message::new(len);
    let mut copy = Buffer::received();
    copy.take(len);
    let batch = (256 * KIB / len).max(1) as u64;
    let (mut number, mut sent, mut came) = (0, 0u64, 0u64);
    let cpu = machine::cpu_of_this_process();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(ms) {
        for _ in 0..batch {
            let (bytes, sum) = message.set(Header {
                what: What::Take,
                thread: 0,
                number,
                argument: 0,
            });
            let copied = std::hint::black_box(copy.take(len));
            copied.copy_from_slice(bytes);
            copied[len - 1] ^= u8::from(Some(number) == spoil);
            came = came.wrapping_add(payload::sum(copied));
            sent = sent.wrapping_add(sum);
            number += 1;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = machine::cpu_of_this_process() - cpu;
    if came != sent {
        return Err("bytes were altered".into());
    }
    let bytes = number as f64 * len as f64;
    Ok(Figures {
        messages_per_s: Some(number as f64 / seconds),
        bytes_per_s: Some(bytes / seconds),
        cpu_s_per_gb: Some(cpu / (bytes / 1e9)),
        checked: Some(number),
        ..Figures::default()
    })
}
