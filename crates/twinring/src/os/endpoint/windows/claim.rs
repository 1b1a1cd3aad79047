//! Mutexes, held by a thread of their own.
//!
//! A mutex belongs to a thread and not to a process: it is abandoned when that thread ends, and can
//! be released by no other. So one thread does nothing but hold the claims of all hosts of this
//! process, and a [`Claim`](super::Claim) can be dropped on any thread.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use windows_sys::Win32::Foundation::{WAIT_ABANDONED_0, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    CreateMutexExW, MUTEX_MODIFY_STATE, ReleaseMutex, SYNCHRONIZATION_SYNCHRONIZE,
    WaitForSingleObject,
};

use super::READ_CONTROL;
use crate::os::windows::{Access, call, own, wide};

/// It calls three functions of the system.
const STACK: usize = 64 * 1024;

pub(super) fn open(name: &str, access: &Access) -> io::Result<OwnedHandle> {
    // SAFETY: a string that ends with a zero, and attributes that live as long as the call.
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

/// A mutex that is ours until drop, when its name is free again.
#[derive(Debug)]
pub(super) struct Held {
    name: String,
}

/// Takes the mutex of this name, or returns `None` if another thread of any process has it, or this
/// process itself.
pub(super) fn hold(name: &str, mutex: OwnedHandle) -> io::Result<Option<Held>> {
    let mut holder = holder();
    // The thread would get it a second time.
    if holder.as_ref().is_some_and(|h| h.names.contains(name)) {
        return Ok(None);
    }
    let thread = match &mut *holder {
        Some(thread) => thread,
        None => holder.insert(Holder::start()?),
    };
    let taken = thread.ask(|answer| Request::Take {
        name: name.to_owned(),
        mutex,
        answer,
    });
    if matches!(taken, Ok(Ok(true))) {
        thread.names.insert(name.to_owned());
    }
    stop_if_idle(&mut holder);
    Ok(taken??.then(|| Held {
        name: name.to_owned(),
    }))
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut holder = holder();
        if let Some(thread) = &mut *holder {
            thread.names.remove(&self.name);
            let name = self.name.clone();
            // It fails only if the thread has ended, and all its mutexes with it.
            let _ = thread.ask(|answer| Request::Release { name, answer });
        }
        stop_if_idle(&mut holder);
    }
}

/// The thread, while it holds anything.
fn holder() -> MutexGuard<'static, Option<Holder>> {
    static HOLDER: Mutex<Option<Holder>> = Mutex::new(None);
    // Nothing can panic while it is held.
    HOLDER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop_if_idle(holder: &mut Option<Holder>) {
    if holder.as_ref().is_some_and(|h| h.names.is_empty())
        && let Some(Holder {
            requests, thread, ..
        }) = holder.take()
    {
        drop(requests);
        // It does not panic.
        let _ = thread.join();
    }
}

struct Holder {
    /// Gone, it makes the thread end.
    requests: Sender<Request>,
    thread: JoinHandle<()>,
    /// What it holds.
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

impl Holder {
    fn start() -> io::Result<Holder> {
        let (requests, asked) = mpsc::channel();
        Ok(Holder {
            requests,
            thread: thread::Builder::new()
                .name("twinring-claim".to_owned())
                .stack_size(STACK)
                .spawn(move || serve(&asked))?,
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
        // Whoever asks waits for the answer.
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
        // have been left half-way.
        WAIT_OBJECT_0 | WAIT_ABANDONED_0 => Ok(true),
        WAIT_TIMEOUT => Ok(false),
        other => Err(io::Error::other(format!("a wait ended with {other:#x}"))),
    }
}
