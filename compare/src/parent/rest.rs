//! What a link at rest takes: the processes before they have it, and while they rest with it.

use std::time::{Duration, Instant};

use crate::cell::Figures;
use crate::common::Result;
use crate::machine::{self, Usage};

/// Time for a link to come to rest before it is looked at.
const SETTLE: Duration = Duration::from_millis(100);

/// What both processes have now.
pub(super) fn usage(pids: [u32; 2]) -> Result<[Usage; 2]> {
    let [host, guest] = pids;
    Ok([machine::usage(host)?, machine::usage(guest)?])
}

/// Both processes rest with a link; `before` they had none.
pub(super) fn rest(pids: [u32; 2], before: [Usage; 2], time: Duration) -> Result<Figures> {
    std::thread::sleep(SETTLE);
    let after = usage(pids)?;
    let cpu = || -> Result<f64> {
        let [host, guest] = pids;
        Ok(machine::cpu_of(host)? + machine::cpu_of(guest)?)
    };
    let (start, used) = (Instant::now(), cpu()?);
    std::thread::sleep(time);
    let spent = cpu()? - used;
    let added = |field: fn(&Usage) -> i64| -> i64 {
        let of = |both: &[Usage; 2]| both.iter().map(field).sum::<i64>();
        of(&after) - of(&before)
    };
    let most = |field: fn(&Usage) -> Option<i64>| -> Option<i64> {
        let pairs = after.iter().zip(&before);
        pairs
            .filter_map(|(after, before)| Some(field(after)? - field(before)?))
            .max()
    };
    Ok(Figures {
        idle_ms_per_s: Some(spent * 1e3 / start.elapsed().as_secs_f64()),
        threads: Some(added(|usage| usage.threads)),
        handles: Some(added(|usage| usage.handles)),
        rss_kib: Some(added(|usage| usage.rss_kib)),
        rss_in_all_kib: Some(after.iter().map(|usage| usage.rss_kib).sum()),
        shared_kib: most(|usage| usage.shared_kib),
        shared_resident_kib: most(|usage| usage.shared_resident_kib),
        ..Figures::default()
    })
}
