//! What each process has for itself.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::forks;

/// A value that a forked child does not get from its parent: it begins with a new one. The parent's may have a
/// lock that nobody will unlock. Call `count_forks` before.
pub(crate) struct PerProcess<T: 'static>(AtomicPtr<OfProcess<T>>);

struct OfProcess<T> {
    forks: u32,
    value: T,
}

impl<T: Default + Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn get(&'static self) -> &'static T {
        loop {
            // Acquire: with the Release below, the entry is complete.
            let current = self.0.load(Ordering::Acquire);
            // SAFETY: it is null, or an entry that is never freed: not even the parent's, which this
            // process may have been looking at.
            let entry = unsafe { current.as_ref() };
            if let Some(entry) = entry.filter(|entry| entry.forks == forks()) {
                return &entry.value;
            }
            let new = Box::into_raw(Box::new(OfProcess {
                forks: forks(),
                value: T::default(),
            }));
            let (release, relaxed) = (Ordering::Release, Ordering::Relaxed);
            if self
                .0
                .compare_exchange(current, new, release, relaxed)
                .is_err()
            {
                // SAFETY: it came out of the box just now, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }
}
