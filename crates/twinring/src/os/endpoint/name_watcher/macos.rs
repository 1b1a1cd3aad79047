//! macOS: a kqueue that holds the directory of each watched place.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, VnodeEvents, kevent, kqueue};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::os::endpoint::Rendezvous;
use crate::os::event::{Poller, Source, Watched};

#[derive(Debug)]
pub(crate) struct NameWatcher {
    notices: Arc<WatchedFiles>,
    watched: Watched<WatchedFiles>,
}

#[derive(Debug)]
struct WatchedFiles {
    queue: OwnedFd,
}

impl NameWatcher {
    pub(crate) fn new(poller: &Poller, token: u64) -> io::Result<NameWatcher> {
        let queue = kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        let notices = Arc::new(WatchedFiles { queue });
        let watched = poller.watch(&notices, WatchedFiles::source, token)?;
        Ok(NameWatcher { notices, watched })
    }

    pub(crate) fn watch(
        &self,
        _: &Poller,
        place: &Rendezvous,
        token: u64,
    ) -> io::Result<NameWatch> {
        Ok(NameWatch {
            notices: self.notices.clone(),
            path: place.directory().to_owned(),
            token,
            directory: None,
        })
    }

    pub(crate) fn changed(&self, tokens: &mut Vec<u64>) {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; 64];
        // SAFETY: no descriptor is added, so none has to stay open.
        let taken = unsafe { kevent(&self.notices.queue, &[], &mut events, Some(Duration::ZERO)) };
        if let Ok((events, _)) = taken {
            tokens.extend(events.iter().map(|event| event.udata().addr() as u64));
        }
        // It fails only if the system is faulty; then each guest still looks now and then.
        let _ = self.watched.again();
    }
}

impl WatchedFiles {
    fn source(&self) -> Source<'_> {
        Source::Readable(self.queue.as_fd())
    }
}

#[derive(Debug)]
pub(crate) struct NameWatch {
    notices: Arc<WatchedFiles>,
    path: PathBuf,
    token: u64,
    /// Registered in the queue; closing it removes it.
    directory: Option<OwnedFd>,
}

impl NameWatch {
    pub(crate) fn renew(&mut self) {
        if self.is_blind() {
            self.directory = self.open();
        }
    }

    fn open(&self) -> Option<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = openat(CWD, &self.path, flags, Mode::empty()).ok()?;
        let event = Event::new(
            EventFilter::Vnode {
                vnode: fd.as_raw_fd(),
                flags: VnodeEvents::WRITE | VnodeEvents::DELETE | VnodeEvents::RENAME,
            },
            EventFlags::ADD | EventFlags::CLEAR,
            ptr::without_provenance_mut(self.token as usize),
        );
        let mut none: [Event; 0] = [];
        // SAFETY: the directory is open now; closing it takes its event out of the queue.
        unsafe {
            kevent(
                &self.notices.queue,
                &[event],
                &mut none,
                Some(Duration::ZERO),
            )
        }
        .ok()?;
        Some(fd)
    }

    /// Also true when the path leads to another directory by now.
    pub(crate) fn is_blind(&self) -> bool {
        let Some(open) = &self.directory else {
            return true;
        };
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let (Ok(ours), Ok(named)) = (rustix::fs::fstat(open), rustix::fs::stat(&self.path)) else {
            return true;
        };
        identity(ours) != identity(named)
    }
}
