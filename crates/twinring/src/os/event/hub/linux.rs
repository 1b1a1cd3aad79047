//! Linux: epoll, each descriptor armed for one report at a time.
//!
//! One report at a time, because a level that nobody attends to (a guest that calls while the host
//! takes no calls, a hang-up whose messages are still being read) would be reported for ever.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::os::event::{Alarm, Deadline, Source};

/// Reports taken per call to the system.
const BATCH: usize = 64;

/// The key of the hub's own alarm.
const WAKE: u64 = super::MOST_KEYS;

#[derive(Debug)]
pub(crate) struct Hub {
    epoll: Arc<OwnedFd>,
    alarm: Alarm,
}

impl Hub {
    pub(crate) fn new() -> io::Result<Hub> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let alarm = Alarm::new()?;
        if let Some((fd, _)) = interest(alarm.source()) {
            epoll::add(&epoll, fd, EventData::new_u64(WAKE), EventFlags::IN)?;
        }
        Ok(Hub { epoll, alarm })
    }

    pub(crate) fn watch<T>(
        &self,
        owner: &Arc<T>,
        source: fn(&T) -> Source<'_>,
        key: u64,
    ) -> io::Result<Watched<T>> {
        if let Some((fd, events)) = interest(source(owner)) {
            epoll::add(&self.epoll, fd, EventData::new_u64(key), events)?;
        }
        Ok(Watched {
            epoll: self.epoll.clone(),
            owner: owner.clone(),
            source,
            key,
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
                WAKE => self.alarm.clear(),
                key => ready.push(key),
            }
        }
        Ok(())
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::Readable(self.epoll.as_fd())
    }

    pub(crate) fn wake(&self) {
        self.alarm.set();
    }
}

#[derive(Debug)]
pub(crate) struct Watched<T> {
    epoll: Arc<OwnedFd>,
    owner: Arc<T>,
    source: fn(&T) -> Source<'_>,
    key: u64,
}

impl<T> Watched<T> {
    pub(crate) fn again(&self) -> io::Result<()> {
        if let Some((fd, events)) = interest((self.source)(&self.owner)) {
            epoll::modify(&self.epoll, fd, EventData::new_u64(self.key), events)?;
        }
        Ok(())
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        if let Some((fd, _)) = interest((self.source)(&self.owner)) {
            // It is in there, unless the system has broken its word.
            let _ = epoll::delete(&self.epoll, fd);
        }
    }
}

fn interest(source: Source<'_>) -> Option<(BorrowedFd<'_>, EventFlags)> {
    let (fd, events) = match source {
        Source::Alarm(alarm) => (alarm.hear(), EventFlags::IN),
        Source::Readable(fd) => (fd, EventFlags::IN),
        Source::Writable(fd) => (fd, EventFlags::OUT),
        Source::HungUp(fd) => (fd, EventFlags::RDHUP),
        // A bell has one hearer, who sleeps on it himself.
        Source::Bell(_) | Source::Never => return None,
    };
    Some((fd, events | EventFlags::ONESHOT))
}
