//! The floor of every hand-over: one cache line, bounced between two spinning processes.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::cell::{Figures, Spec, Workload};
use crate::common::{Result, stats};
use crate::control::{Control, Line, Role};
use crate::machine::SharedMemory;
use crate::machine::cache_line::{answer, bounce, over};
use crate::transports::entry::Entry;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry::limit(
        "line",
        "cache line",
        &[Workload::RoundTrip(64)],
        start,
        "one word of shared memory bounced between two processes that spin with PAUSE: nothing is \
         carried but the number of the bounce",
    )]
}

fn start(role: Role, spec: &Spec, control: &Control) -> Result<()> {
    match role {
        Role::Host => {
            control.wait_open()?;
            let (memory, token) = SharedMemory::create(4096)?;
            control.say(&Line::Token(token));
            answer(word(&memory));
            control.finish(Figures::default())
        }
        Role::Guest => {
            let token = control.wait_connect()?;
            let word = word(&SharedMemory::open(&token, 4096)?);
            let mut times = bounce(word, Duration::from_millis(spec.ms));
            over(word);
            let samples = times.len() as u64;
            let [p50, p99, p999] = stats::three(&mut times).ok_or("nothing was bounced")?;
            control.finish(Figures {
                p50_us: Some(p50),
                p99_us: Some(p99),
                p999_us: Some(p999),
                samples: Some(samples),
                checked: Some(samples),
                ..Figures::default()
            })
        }
    }
}

fn word(memory: &SharedMemory) -> &'static AtomicU64 {
    // SAFETY: a page, mapped for ever, used by atomics only.
    unsafe { &*memory.address().cast() }
}
