//! A mutex, held by a thread of its own.
//!
//! A mutex belongs to a thread and not to a process: it is abandoned when that thread ends, and can
//! be released by no other. So each claim has a thread that does nothing but hold it, and a
//! [`Claim`](super::Claim) can be dropped on any thread.

use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use windows_sys::Win32::Foundation::{WAIT_ABANDONED_0, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    CreateMutexExW, MUTEX_MODIFY_STATE, ReleaseMutex, SYNCHRONIZATION_SYNCHRONIZE,
    WaitForSingleObject,
};

use super::READ_CONTROL;
use crate::os::windows::{Access, own, wide};

/// It calls three functions of the system.
const STACK: usize = 64 * 1024;

pub(super) fn open(name: &str, access: &Access) -> io::Result<OwnedHandle> {
    // SAFETY: a string that ends with a zero, and attributes that live as long as the call.
    unsafe {
        own(CreateMutexExW(
            &access.attributes(),
            wide(name).as_ptr(),
            0,
            SYNCHRONIZATION_SYNCHRONIZE | MUTEX_MODIFY_STATE | READ_CONTROL,
        ))
    }
}

/// A mutex that is ours until drop.
#[derive(Debug)]
pub(super) struct Held {
    /// Gone, it makes the thread release the mutex.
    release: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release = None;
        if let Some(thread) = self.thread.take() {
            // The name is free when drop returns. The thread does not panic.
            let _ = thread.join();
        }
    }
}

/// Takes the mutex, or returns `None` if another thread of any process has it.
pub(super) fn hold(mutex: OwnedHandle) -> io::Result<Option<Held>> {
    let (answer, answered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let keep = move || {
        let taken = take(&mutex);
        let ours = matches!(taken, Ok(true));
        let _ = answer.send(taken);
        if ours {
            // Nothing is ever sent: this returns when the sender is dropped.
            let _ = released.recv();
            // SAFETY: a live mutex that this thread owns.
            unsafe { ReleaseMutex(mutex.as_raw_handle()) };
        }
    };
    let held = Held {
        release: Some(release),
        thread: Some(
            thread::Builder::new()
                .name("twinring-claim".to_owned())
                .stack_size(STACK)
                .spawn(keep)?,
        ),
    };
    let taken = answered
        .recv()
        .map_err(|_| io::Error::other("the thread that holds the claim has ended"))??;
    Ok(taken.then_some(held))
}

fn take(mutex: &OwnedHandle) -> io::Result<bool> {
    // SAFETY: a live handle; the call does not wait.
    match unsafe { WaitForSingleObject(mutex.as_raw_handle(), 0) } {
        // Abandoned: the last host ended without a goodbye. The mutex guards no state that could
        // have been left half-way.
        WAIT_OBJECT_0 | WAIT_ABANDONED_0 => Ok(true),
        WAIT_TIMEOUT => Ok(false),
        _ => Err(io::Error::last_os_error()),
    }
}
