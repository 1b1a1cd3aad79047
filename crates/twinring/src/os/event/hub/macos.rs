//! macOS: a kqueue.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::os::event::{Alarm, Deadline, Source};

/// Reports taken per call to the system.
const BATCH: usize = 64;

/// The key of the hub's own alarm.
const WAKE: u64 = super::MOST_KEYS;

/// Added to the key of what is only to be reported at its end.
const AT_END: u64 = super::MOST_KEYS << 1;

#[derive(Debug)]
pub(crate) struct Hub {
    queue: Arc<OwnedFd>,
    alarm: Arc<Alarm>,
    woken: Watched<Alarm>,
}

impl Hub {
    pub(crate) fn new() -> io::Result<Hub> {
        let queue = Arc::new(kqueue()?);
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        let alarm = Arc::new(Alarm::new()?);
        let watched = watch(&queue, &alarm, Alarm::source, WAKE)?;
        Ok(Hub {
            queue,
            alarm,
            woken: watched,
        })
    }

    pub(crate) fn watch<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        key: u64,
    ) -> io::Result<Watched<T>> {
        watch(&self.queue, owner, source, key)
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
            let key = event.udata().addr() as u64;
            if key == WAKE {
                self.alarm.clear();
                self.woken.again()?;
            } else if key & AT_END == 0 || event.flags().contains(EventFlags::EOF) {
                ready.push(key & !AT_END);
            }
        }
        Ok(())
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Readable(self.queue.as_fd())
    }

    pub(crate) fn wake(&self) {
        self.alarm.set();
    }
}

#[derive(Debug)]
pub(crate) struct Watched<T> {
    queue: Arc<OwnedFd>,
    owner: Arc<T>,
    source: fn(&T) -> Source<'_>,
    key: u64,
}

fn watch<T>(
    queue: &Arc<OwnedFd>,
    owner: &Arc<T>,
    source: fn(&T) -> Source<'_>,
    key: u64,
) -> io::Result<Watched<T>> {
    let watched = Watched {
        queue: queue.clone(),
        owner: owner.clone(),
        source,
        key,
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

    fn change(&self, flags: EventFlags, interest: Interest) -> io::Result<()> {
        let key = ptr::without_provenance_mut((self.key | interest.mark) as usize);
        let mut none: [Event; 0] = [];
        // SAFETY: the owner keeps the descriptor open, and `drop` takes it out before it lets go
        // of the owner.
        unsafe {
            kevent(
                &self.queue,
                &[Event::new(interest.filter, flags, key)],
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

/// How the queue is to wait for a source.
struct Interest {
    filter: EventFilter,
    how: EventFlags,
    /// Added to the key.
    mark: u64,
}

/// The end of a socket is not to be had alone: it comes with what can be read, so it is reported at
/// each change instead of once, and only its end is passed on.
fn interest(source: Source<'_>) -> Option<Interest> {
    let (filter, how, mark) = match source {
        Source::Alarm(alarm) => {
            let fd = alarm.hear().as_raw_fd();
            (EventFilter::Read(fd), EventFlags::ONESHOT, 0)
        }
        Source::Readable(fd) => (EventFilter::Read(fd.as_raw_fd()), EventFlags::ONESHOT, 0),
        Source::Writable(fd) => (EventFilter::Write(fd.as_raw_fd()), EventFlags::ONESHOT, 0),
        Source::HungUp(fd) => (EventFilter::Read(fd.as_raw_fd()), EventFlags::CLEAR, AT_END),
        // A bell has one hearer, who sleeps on it himself.
        Source::Bell(_) | Source::Never => return None,
    };
    Some(Interest { filter, how, mark })
}
