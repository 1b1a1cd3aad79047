//! macOS: a kqueue.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::os::event::{Deadline, LocalEvent, Source};

/// Reports fetched per system call.
const BATCH: usize = 64;

/// The token of the poller's own event.
const WAKE: u64 = super::MAX_TOKENS;

/// Added to the token of a source of which only the end is to be reported.
const AT_END: u64 = super::MAX_TOKENS << 1;

#[derive(Debug)]
pub(crate) struct Poller {
    queue: Arc<OwnedFd>,
    event: Arc<LocalEvent>,
    woken: Watched<LocalEvent>,
}

impl Poller {
    pub(crate) const REPORTS_RINGS_ONCE: bool = false;

    pub(crate) fn new() -> io::Result<Poller> {
        let queue = Arc::new(kqueue()?);
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        let event = Arc::new(LocalEvent::new()?);
        let watched = watch(&queue, &event, LocalEvent::source, WAKE)?;
        Ok(Poller {
            queue,
            event,
            woken: watched,
        })
    }

    pub(crate) fn watch<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        token: u64,
    ) -> io::Result<Watched<T>> {
        watch(&self.queue, owner, source, token)
    }

    pub(crate) fn wait(&self, deadline: Deadline, ready: &mut Vec<u64>) -> io::Result<()> {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        // SAFETY: no descriptor is added, so none has to stay open.
        let (events, _) = match unsafe { kevent(&self.queue, &[], &mut events, deadline.left()) } {
            Ok(events) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for event in events {
            let token = event.udata().addr() as u64;
            if token == WAKE {
                self.event.clear();
                self.woken.again()?;
            } else if token & AT_END == 0 || event.flags().contains(EventFlags::EOF) {
                ready.push(token & !AT_END);
            }
        }
        Ok(())
    }

    pub(crate) fn wake(&self) {
        self.event.set();
    }
}

#[derive(Debug)]
pub(crate) struct Watched<T> {
    queue: Arc<OwnedFd>,
    owner: Arc<T>,
    source: fn(&T) -> Source<'_>,
    token: u64,
}

fn watch<T>(
    queue: &Arc<OwnedFd>,
    owner: &Arc<T>,
    source: fn(&T) -> Source<'_>,
    token: u64,
) -> io::Result<Watched<T>> {
    let watched = Watched {
        queue: queue.clone(),
        owner: owner.clone(),
        source,
        token,
    };
    watched.again()?;
    Ok(watched)
}

impl<T> Watched<T> {
    pub(crate) fn again(&self) -> io::Result<()> {
        match interest((self.source)(&self.owner)) {
            Some(interest) => self.change(EventFlags::ADD | interest.how, interest),
            None => Ok(()),
        }
    }

    fn change(&self, flags: EventFlags, interest: Filter) -> io::Result<()> {
        let token = ptr::without_provenance_mut((self.token | interest.mark) as usize);
        let mut none: [Event; 0] = [];
        // SAFETY: the owner keeps the descriptor open, and `drop` removes it from the queue before it
        // releases the owner.
        unsafe {
            kevent(
                &self.queue,
                &[Event::new(interest.filter, flags, token)],
                &mut none,
                Some(std::time::Duration::ZERO),
            )
        }?;
        Ok(())
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        if let Some(interest) = interest((self.source)(&self.owner)) {
            // One that has been reported is out already.
            let _ = self.change(EventFlags::DELETE, interest);
        }
    }
}

/// How the queue waits for a source.
struct Filter {
    filter: EventFilter,
    how: EventFlags,
    /// Added to the token.
    mark: u64,
}

/// A queue cannot report the end of a socket alone, only together with what can be read. So the socket
/// is reported at each change instead of once, and only its end is passed on.
fn interest(source: Source<'_>) -> Option<Filter> {
    let (filter, how, mark) = match source {
        Source::LocalEvent(event) => {
            let fd = event.fd().as_raw_fd();
            (EventFilter::Read(fd), EventFlags::ONESHOT, 0)
        }
        Source::Readable(fd) => (EventFilter::Read(fd.as_raw_fd()), EventFlags::ONESHOT, 0),
        Source::Writable(fd) => (EventFilter::Write(fd.as_raw_fd()), EventFlags::ONESHOT, 0),
        Source::HungUp(fd) => (EventFilter::Read(fd.as_raw_fd()), EventFlags::CLEAR, AT_END),
        Source::Rings(fd) => (EventFilter::Read(fd.as_raw_fd()), EventFlags::CLEAR, 0),
        // The thread that waits for a doorbell sleeps on it itself.
        Source::Doorbell(_) | Source::Never => return None,
    };
    Some(Filter { filter, how, mark })
}
