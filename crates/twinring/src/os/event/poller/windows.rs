//! Windows: the waits of the system's own thread pool, which has no limit of 64 objects.
//!
//! A wait that is satisfied runs a callback on a thread of the pool, which records the token and
//! sets the poller's event; everything else happens on the poller's own thread.

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{
    CloseThreadpoolWait, CreateThreadpoolWait, PTP_CALLBACK_INSTANCE, PTP_WAIT, SetThreadpoolWait,
    WaitForThreadpoolWaitCallbacks,
};

use crate::os::event::{Deadline, Source, new_event, set, wait};
use crate::os::windows::call;

#[derive(Debug)]
pub(crate) struct Poller {
    reports: Arc<Reports>,
}

/// What the callbacks have reported.
#[derive(Debug)]
struct Reports {
    ready: Mutex<Vec<u64>>,
    /// Set while there is something, or after a `wake`; a wait resets it.
    event: OwnedHandle,
}

impl Poller {
    pub(crate) const REPORTS_RINGS_ONCE: bool = true;

    pub(crate) fn new() -> io::Result<Poller> {
        let reports = Arc::new(Reports {
            ready: Mutex::default(),
            event: new_event(false)?,
        });
        Ok(Poller { reports })
    }

    pub(crate) fn watch<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        token: u64,
    ) -> io::Result<Watched<T>> {
        let context = Box::new(Context {
            reports: self.reports.clone(),
            token,
        });
        let context = Box::into_raw(context);
        // SAFETY: the callback's context lives until `drop` has closed the wait.
        let create = || unsafe { CreateThreadpoolWait(Some(report), context.cast(), ptr::null()) };
        let wait = call("CreateThreadpoolWait", create, |wait| wait == 0).inspect_err(|_| {
            // SAFETY: it came from a Box, and there is no wait that could use it.
            drop(unsafe { Box::from_raw(context) });
        })?;
        let watched = Watched {
            owner: owner.clone(),
            source,
            wait,
            context,
        };
        watched.again()?;
        Ok(watched)
    }

    pub(crate) fn wait(&self, deadline: Deadline, ready: &mut Vec<u64>) -> io::Result<()> {
        let event = Source::Handle(self.reports.event.as_handle());
        wait(&[event], deadline)?;
        let mut reported = self
            .reports
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ready.append(&mut reported);
        Ok(())
    }

    pub(crate) fn wake(&self) {
        set(&self.reports.event);
    }
}

#[derive(Debug)]
struct Context {
    reports: Arc<Reports>,
    token: u64,
}

/// Called by the system, on a thread of its pool.
unsafe extern "system" fn report(
    _: PTP_CALLBACK_INSTANCE,
    context: *mut c_void,
    _: PTP_WAIT,
    _: u32,
) {
    // SAFETY: `watch` passed a `Context`, which `Watched` frees after it has waited for the end of
    // all calls of this function.
    let context = unsafe { &*context.cast::<Context>() };
    let reports = &context.reports;
    reports
        .ready
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(context.token);
    set(&reports.event);
}

#[derive(Debug)]
pub(crate) struct Watched<T> {
    owner: Arc<T>,
    source: fn(&T) -> Source<'_>,
    wait: PTP_WAIT,
    /// From a `Box`.
    context: *mut Context,
}

// SAFETY: the system's functions for these objects may be called from any thread, and the context
// is only read.
unsafe impl<T: Send + Sync> Send for Watched<T> {}

impl<T> Watched<T> {
    pub(crate) fn again(&self) -> io::Result<()> {
        if let Source::Handle(handle) = (self.source)(&self.owner) {
            self.arm(handle.as_raw_handle());
        }
        Ok(())
    }

    /// Waits for the handle, once; for nothing if it is NULL.
    fn arm(&self, handle: HANDLE) {
        // SAFETY: a live wait, and a handle that the owner keeps open until after `drop` has ended
        // the wait; without a timeout it waits as long as it takes.
        unsafe { SetThreadpoolWait(self.wait, handle, ptr::null()) };
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.arm(ptr::null_mut());
        // SAFETY: a live wait that is no longer armed; after the first call none of its callbacks
        // runs or will run, so the context is ours alone.
        unsafe {
            WaitForThreadpoolWaitCallbacks(self.wait, 1);
            CloseThreadpoolWait(self.wait);
            drop(Box::from_raw(self.context));
        }
    }
}
