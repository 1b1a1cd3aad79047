//! Kills workers at random moments, from a thread of its own.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::kill;
use crate::common::Random;

/// Kills one of the processes that it is aimed at, now and then, until it is dropped.
#[derive(Debug)]
pub(crate) struct Killer {
    pids: Arc<Mutex<Vec<u32>>>,
}

impl Killer {
    /// With pauses up to the longest.
    pub(crate) fn start(longest: Duration) -> Killer {
        let pids = Arc::new(Mutex::new(Vec::new()));
        let killer = Killer { pids: pids.clone() };
        thread::spawn(move || {
            let mut random = Random::unrepeatable();
            while Arc::strong_count(&pids) > 1 {
                let pause = random.below(longest.as_micros() as usize);
                thread::sleep(Duration::from_micros(pause as u64));
                let mut pids = pids.lock().unwrap();
                if !pids.is_empty() {
                    let one = random.below(pids.len());
                    // Within the lock: its end has not been told, so this is its own number still.
                    kill(pids.swap_remove(one));
                }
            }
        });
        killer
    }

    pub(crate) fn aim(&self, pid: u32) {
        self.pids.lock().unwrap().push(pid);
    }
}
