//! Mutexes, held by a thread of their own.
//!
//! A mutex belongs to a thread and not to a process: it is abandoned when that thread ends, and no
//! other thread can release it. So one thread does nothing but hold the claims of all hosts of this
//! process, and a [`NameClaim`](super::NameClaim) can be dropped on any thread.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use windows_sys::Win32::Foundation::{WAIT_ABANDONED_0, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    CreateMutexExW, MUTEX_MODIFY_STATE, ReleaseMutex, SYNCHRONIZATION_SYNCHRONIZE,
    WaitForSingleObject,
};

use crate::os::windows::{AccessList, READ_CONTROL, call, keep_code, own, wide};

pub(super) fn open(name: &str, access: &AccessList) -> io::Result<OwnedHandle> {
    // SAFETY: a zero-terminated string, and attributes that live as long as the call.
    unsafe {
        own("CreateMutexExW", || {
            CreateMutexExW(
                &access.attributes(),
                wide(name).as_ptr(),
                0,
                SYNCHRONIZATION_SYNCHRONIZE | MUTEX_MODIFY_STATE | READ_CONTROL,
            )
        })
    }
}

/// A mutex that is ours until dropped; then its name is free again.
#[derive(Debug)]
pub(super) struct Held {
    name: String,
}

/// Takes the mutex of this name; `None` if another thread of any process has it, or this
/// process itself.
pub(super) fn hold(name: &str, mutex: OwnedHandle) -> io::Result<Option<Held>> {
    let mut claim_thread = claim_thread();
    // The thread would get it a second time.
    if claim_thread
        .as_ref()
        .is_some_and(|h| h.names.contains(name))
    {
        return Ok(None);
    }
    let thread = match &mut *claim_thread {
        Some(thread) => thread,
        None => claim_thread.insert(ClaimThread::start()?),
    };
    let taken = thread.ask(|answer| Request::Take {
        name: name.to_owned(),
        mutex,
        answer,
    });
    if matches!(taken, Ok(Ok(true))) {
        thread.names.insert(name.to_owned());
    }
    stop_if_idle(&mut claim_thread);
    Ok(taken??.then(|| Held {
        name: name.to_owned(),
    }))
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut claim_thread = claim_thread();
        if let Some(thread) = &mut *claim_thread {
            thread.names.remove(&self.name);
            let name = self.name.clone();
            // It fails only if the thread has ended, and all its mutexes with it.
            let _ = thread.ask(|answer| Request::Release { name, answer });
        }
        stop_if_idle(&mut claim_thread);
    }
}

/// The thread, while it holds anything.
fn claim_thread() -> MutexGuard<'static, Option<ClaimThread>> {
    static CLAIM_THREAD: Mutex<Option<ClaimThread>> = Mutex::new(None);
    // Nothing can panic while it is held.
    CLAIM_THREAD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does not wait for the thread's end: the caller may be within the loader's lock, without which no thread ends.
fn stop_if_idle(claim_thread: &mut Option<ClaimThread>) {
    drop(claim_thread.take_if(|thread| thread.names.is_empty()));
}

struct ClaimThread {
    /// Dropping it ends the thread.
    requests: Sender<Request>,
    /// The names that it holds.
    names: HashSet<String>,
}

enum Request {
    Take {
        name: String,
        mutex: OwnedHandle,
        answer: Sender<io::Result<bool>>,
    },
    Release {
        name: String,
        answer: Sender<()>,
    },
}

impl ClaimThread {
    fn start() -> io::Result<ClaimThread> {
        let (requests, asked) = mpsc::channel();
        keep_code()?;
        thread::Builder::new()
            .name("twinring-claim".to_owned())
            .spawn(move || serve(&asked))?;
        Ok(ClaimThread {
            requests,
            names: HashSet::new(),
        })
    }

    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> io::Result<T> {
        let ended = || io::Error::other("the thread that holds the claims has ended");
        let (answer, answered) = mpsc::channel();
        self.requests.send(request(answer)).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())
    }
}

fn serve(asked: &Receiver<Request>) {
    let mut held = HashMap::new();
    while let Ok(request) = asked.recv() {
        // The caller waits for the answer.
        match request {
            Request::Take {
                name,
                mutex,
                answer,
            } => {
                let taken = take(&mutex);
                if matches!(taken, Ok(true)) {
                    held.insert(name, mutex);
                }
                let _ = answer.send(taken);
            }
            Request::Release { name, answer } => {
                if let Some(mutex) = held.remove(&name) {
                    // SAFETY: a live mutex that this thread owns.
                    unsafe { ReleaseMutex(mutex.as_raw_handle()) };
                }
                let _ = answer.send(());
            }
        }
    }
}

fn take(mutex: &OwnedHandle) -> io::Result<bool> {
    // SAFETY: a live handle; the call does not wait.
    let look = || unsafe { WaitForSingleObject(mutex.as_raw_handle(), 0) };
    match call("WaitForSingleObject", look, |result| result == WAIT_FAILED)? {
        // Abandoned: the last host ended without a goodbye. The mutex guards no state that could
        // be half changed.
        WAIT_OBJECT_0 | WAIT_ABANDONED_0 => Ok(true),
        WAIT_TIMEOUT => Ok(false),
        other => Err(io::Error::other(format!("a wait ended with {other:#x}"))),
    }
}
