//! The threads that the library starts; the crate's documentation lists them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::os::keep_code;
use crate::transfer::NotifyDriver;

pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<()> {
    keep_code()
        .and_then(|()| thread::Builder::new().name(name.to_owned()).spawn(f))
        .map(drop)
        .map_err(|e| {
            Error::new(
                ErrorKind::OutOfHandles,
                format!("cannot start a thread: {e}; raise the limit of threads or end some"),
            )
            .with_source(e)
        })
}

/// The name of a thread for a job.
pub(super) const JOB: &str = "twinring-job";

/// Something slow, on a thread of its own.
pub(super) struct Job<T>(Receiver<T>);

impl<T: Send + 'static> Job<T> {
    /// The driver is notified when it is done. If no thread can be started, it is done at once, and
    /// the other links have to wait.
    pub(super) fn start(
        driver: &Arc<dyn NotifyDriver>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        let (work, job) = Job::new(driver, work);
        // So that we can take it back if there is no thread.
        let work = Arc::new(Mutex::new(Some(work)));
        let take = |work: &Mutex<Option<_>>| {
            let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
            work.take()
        };
        let theirs = work.clone();
        let started = spawn(JOB, move || {
            if let Some(work) = take(&theirs) {
                work();
            }
        });
        let left = started.err().and_then(|_| take(&work));
        if let Some(work) = left {
            work();
        }
        job
    }

    /// As [`Job::start`], for what may take any time: never on this thread.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start_on_thread(
        driver: &Arc<dyn NotifyDriver>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Job<T>> {
        let (work, job) = Job::new(driver, work);
        spawn(JOB, work).map(|()| job)
    }

    fn new(
        driver: &Arc<dyn NotifyDriver>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> (impl FnOnce() + Send + 'static, Job<T>) {
        let (tell, told) = mpsc::channel();
        let driver = driver.clone();
        let work = move || {
            // Nobody looks at what a panic leaves half done.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
                // The result may no longer be wanted.
                let _ = tell.send(done);
            }
            drop(tell);
            driver.notify();
        };
        (work, Job(told))
    }

    /// A job that is done already.
    pub(super) fn done(done: T) -> Job<T> {
        let (tell, told) = mpsc::channel();
        let _ = tell.send(done);
        Job(told)
    }

    /// The result; `None` if the job panicked.
    pub(super) fn poll(&self) -> Poll<Option<T>> {
        match self.0.try_recv() {
            Ok(done) => Poll::Ready(Some(done)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
        }
    }
}

/// The error of a job that panicked.
pub(super) fn fault() -> Error {
    Error::new(
        ErrorKind::Os,
        "a thread of this library has panicked, which is a bug in it",
    )
}
