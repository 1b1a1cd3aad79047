//! Removes what was made, also after a failed proof and after Ctrl-C.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

type Remove = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

struct Entry {
    number: u64,
    what: String,
    remove: Remove,
}

#[derive(Default)]
struct Entries {
    last: u64,
    made: Vec<Entry>,
    /// What could not be removed, and why.
    left: Vec<String>,
    /// The program is about to end.
    ending: bool,
}

static ENTRIES: Mutex<Entries> = Mutex::new(Entries {
    last: 0,
    made: Vec::new(),
    left: Vec::new(),
    ending: false,
});

fn entries() -> MutexGuard<'static, Entries> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes something when it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Undo(u64);

/// To be called as soon as `what` is made, and not before: what has the name by then would not be ours to remove.
pub(crate) fn at_the_end(
    what: impl Into<String>,
    remove: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Undo {
    let mut entries = entries();
    entries.last += 1;
    let number = entries.last;
    entries.made.push(Entry {
        number,
        what: what.into(),
        remove: Box::new(remove),
    });
    let ending = entries.ending;
    drop(entries);
    if ending {
        // Nothing more is made: what was, is removed by the thread that ends the program.
        loop {
            thread::park();
        }
    }
    Undo(number)
}

impl Drop for Undo {
    fn drop(&mut self) {
        let entry = {
            let mut entries = entries();
            let place = entries.made.iter().position(|e| e.number == self.0);
            place.map(|place| entries.made.remove(place))
        };
        if let Some(entry) = entry {
            remove(entry);
        }
    }
}

// Without the lock: it may take seconds, and Ctrl-C must not wait for it.
fn remove(Entry { what, remove, .. }: Entry) {
    if let Err(e) = remove() {
        entries().left.push(format!("{what}: {e:#}"));
    }
}

/// Removes everything, the newest first, and ends the program.
pub(crate) fn everything_and_end() -> ! {
    entries().ending = true;
    // Something may just be made; who makes it then stops in `at_the_end`.
    for _ in 0..2 {
        while let Some(entry) = pop() {
            remove(entry);
        }
        thread::sleep(Duration::from_millis(500));
    }
    for what in left() {
        eprintln!("windows-proof: not removed: {what}");
    }
    std::process::exit(130)
}

fn pop() -> Option<Entry> {
    entries().made.pop()
}

/// What could not be removed so far, and why.
pub(crate) fn left() -> Vec<String> {
    entries().left.clone()
}
