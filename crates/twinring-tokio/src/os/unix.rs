//! Linux and macOS: the doorbells are descriptors, which tokio's reactor takes.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::unix::AsyncFd;
use tokio::runtime::{self, Handle};
use tokio::task::coop::unconstrained;
use twinring::{Doorbell, Interest};

#[derive(Debug, Default)]
pub(crate) struct Listening(Mutex<ListenedBy>);

#[derive(Debug, Default)]
enum ListenedBy {
    #[default]
    Nobody,
    Runtime(Arc<Registered>),
    /// The library's thread: there is no runtime, or it has ended, or the tasks are of more than one.
    Library,
}

/// A doorbell in the reactor of a runtime.
#[derive(Debug)]
struct Registered {
    doorbell: AsyncFd<Doorbell>,
    runtime: runtime::Id,
    /// What the reactor wakes. It takes each ring, and wakes the tasks: those are the library's to know, as there may be
    /// many, which come and go.
    waker: OnceLock<Waker>,
    /// The runtime has ended.
    over: AtomicBool,
}

impl Listening {
    fn by(&self) -> MutexGuard<'_, ListenedBy> {
        // Nothing can panic while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn poll_ready(
        &self,
        interest: Interest,
        task: &mut Context<'_>,
        doorbell: impl FnOnce() -> Doorbell,
        ask: impl FnOnce(&mut Context<'_>) -> Poll<()>,
    ) -> Poll<()> {
        match self.registered(doorbell) {
            Some(registered) => {
                let doorbell = registered.doorbell.get_ref();
                doorbell.poll_ready(interest, task)
            }
            None => ask(task),
        }
    }

    /// The doorbell in the reactor of this task's runtime, if there is one.
    fn registered(&self, doorbell: impl FnOnce() -> Doorbell) -> Option<Arc<Registered>> {
        let is_new = match &*self.by() {
            ListenedBy::Nobody => true,
            ListenedBy::Runtime(registered) if registered.serves_this_task() => {
                return Some(registered.clone());
            }
            ListenedBy::Runtime(_) => false,
            ListenedBy::Library => return None,
        };
        // Not within the lock, as both wake tasks: to begin, and to end.
        let registered = is_new.then(|| Registered::new(doorbell)).flatten();
        let next = registered.map_or(ListenedBy::Library, ListenedBy::Runtime);
        let (last, served) = {
            let mut by = self.by();
            // If another task has come first, a reactor takes it once only.
            let came_second = match &*by {
                ListenedBy::Nobody => false,
                ListenedBy::Runtime(_) => is_new,
                ListenedBy::Library => matches!(next, ListenedBy::Library),
            };
            let last = match came_second {
                true => next,
                false => mem::replace(&mut *by, next),
            };
            let served = match &*by {
                ListenedBy::Runtime(registered) if registered.serves_this_task() => {
                    Some(registered.clone())
                }
                _ => None,
            };
            (last, served)
        };
        drop(last);
        served
    }
}

impl Registered {
    fn new(doorbell: impl FnOnce() -> Doorbell) -> Option<Arc<Registered>> {
        let runtime = Handle::try_current().ok()?.id();
        let (doorbell, interest) = (doorbell(), tokio::io::Interest::READABLE);
        // SAFETY: the doorbell keeps its connection's socket, always the same one, open for as long as it is there.
        let doorbell = unsafe { AsyncFd::register_with_interest(doorbell, interest) }.ok()?;
        let registered = Arc::new(Registered {
            doorbell,
            runtime,
            waker: OnceLock::new(),
            over: AtomicBool::new(false),
        });
        let itself = Arc::downgrade(&registered);
        let waker = registered
            .waker
            .get_or_init(|| Waker::from(Arc::new(ReactorWaker(itself))));
        // The task that comes first may have used up its budget, which is not what counts here.
        let listen = unconstrained(poll_fn(|_| {
            registered.listen(waker);
            Poll::Ready(())
        }));
        let listened = pin!(listen).poll(&mut Context::from_waker(Waker::noop()));
        debug_assert!(listened.is_ready());
        Some(registered)
    }

    /// Whether the current task is of the runtime whose reactor listens, so that it listens while the task waits.
    fn serves_this_task(&self) -> bool {
        let current = Handle::try_current().map(|runtime| runtime.id());
        !self.over.load(Ordering::Relaxed) && current.is_ok_and(|id| id == self.runtime)
    }

    /// Takes the rings that there are, and has the waker woken by the next one.
    fn listen(&self, waker: &Waker) {
        loop {
            match self
                .doorbell
                .poll_read_ready(&mut Context::from_waker(waker))
            {
                Poll::Pending => return,
                Poll::Ready(Ok(mut ready)) => {
                    let hung_up = ready.ready().is_read_closed();
                    // First, so that a ring that comes after it is reported again.
                    ready.clear_ready();
                    self.doorbell.get_ref().heard();
                    if hung_up {
                        // It would be reported for ever. The library's thread notices the end, and wakes the tasks.
                        return;
                    }
                }
                Poll::Ready(Err(_)) => {
                    self.over.store(true, Ordering::Relaxed);
                    // They ask again, and find who listens then.
                    return self.doorbell.get_ref().heard();
                }
            }
        }
    }
}

/// Weak, or the reactor would keep what is registered with it.
struct ReactorWaker(Weak<Registered>);

impl Wake for ReactorWaker {
    fn wake(self: Arc<ReactorWaker>) {
        if let Some(registered) = self.0.upgrade() {
            if let Some(waker) = registered.waker.get() {
                registered.listen(waker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinring::Link;

    /// The reactor and what is registered with it do not keep each other.
    #[tokio::test]
    async fn what_is_registered_goes_with_the_connection() {
        let (conn, peer) = Link::pair().unwrap();
        let listening = Listening::default();
        assert!(
            listening
                .registered(|| conn.doorbell(Interest::Recv))
                .is_some()
        );
        let registered = match &*listening.0.lock().unwrap() {
            ListenedBy::Runtime(registered) => Arc::downgrade(registered),
            other => panic!("{other:?}"),
        };
        peer.send(b"hello").unwrap();
        tokio::task::yield_now().await;
        drop(listening);
        assert!(registered.upgrade().is_none());
    }
}
