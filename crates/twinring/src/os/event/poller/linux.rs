//! Linux: epoll, each descriptor armed for one report at a time.
//!
//! One report at a time, because a condition that nobody attends to (a guest that calls while the host
//! takes no calls, a hang-up while messages are still being read) would be reported for ever.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::os::event::{Deadline, LocalEvent, Source};

/// Reports fetched per system call.
const BATCH: usize = 64;

/// The token of the poller's own event.
const WAKE: u64 = super::MAX_TOKENS;

#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Arc<OwnedFd>,
    event: LocalEvent,
}

impl Poller {
    pub(crate) const REPORTS_RINGS_ONCE: bool = false;

    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let event = LocalEvent::new()?;
        if let Some((fd, _)) = interest(event.source()) {
            epoll::add(&epoll, fd, EventData::new_u64(WAKE), EventFlags::IN)?;
        }
        Ok(Poller { epoll, event })
    }

    pub(crate) fn watch<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        token: u64,
    ) -> io::Result<Watched<T>> {
        if let Some((fd, events)) = interest(source(owner)) {
            epoll::add(&self.epoll, fd, EventData::new_u64(token), events)?;
        }
        Ok(Watched {
            epoll: self.epoll.clone(),
            owner: owner.clone(),
            source,
            token,
        })
    }

    pub(crate) fn wait(&self, deadline: Deadline, ready: &mut Vec<u64>) -> io::Result<()> {
        let timeout = deadline.left().map(|left| Timespec {
            tv_sec: left.as_secs().min(i64::MAX as u64) as i64,
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut events = [const { std::mem::MaybeUninit::uninit() }; BATCH];
        let (events, _) = match epoll::wait(&self.epoll, &mut events, timeout.as_ref()) {
            Ok(events) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for event in events {
            match event.data.u64() {
                WAKE => self.event.clear(),
                token => ready.push(token),
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
    epoll: Arc<OwnedFd>,
    owner: Arc<T>,
    source: fn(&T) -> Source<'_>,
    token: u64,
}

impl<T> Watched<T> {
    pub(crate) fn again(&self) -> io::Result<()> {
        if let Some((fd, events)) = interest((self.source)(&self.owner)) {
            epoll::modify(&self.epoll, fd, EventData::new_u64(self.token), events)?;
        }
        Ok(())
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        if let Some((fd, _)) = interest((self.source)(&self.owner)) {
            // It is registered, unless the system is faulty.
            let _ = epoll::delete(&self.epoll, fd);
        }
    }
}

fn interest(source: Source<'_>) -> Option<(BorrowedFd<'_>, EventFlags)> {
    let (fd, events) = match source {
        Source::LocalEvent(event) => (event.fd(), EventFlags::IN),
        Source::Readable(fd) => (fd, EventFlags::IN),
        Source::Writable(fd) => (fd, EventFlags::OUT),
        Source::HungUp(fd) => (fd, EventFlags::RDHUP),
        // Each time: who is told need not ask for the next one.
        Source::Rings(fd) => return Some((fd, EventFlags::IN | EventFlags::ET)),
        // The thread that waits for a doorbell sleeps on it itself.
        Source::Doorbell(_) | Source::Never => return None,
    };
    Some((fd, events | EventFlags::ONESHOT))
}
