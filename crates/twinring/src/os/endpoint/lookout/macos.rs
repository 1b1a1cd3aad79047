//! macOS: a kqueue with each watched place's directory in it.

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

use crate::os::endpoint::Place;
use crate::os::event::{Hub, Source, Watched};

#[derive(Debug)]
pub(crate) struct Lookout {
    notices: Arc<Notices>,
    watched: Watched<Notices>,
}

#[derive(Debug)]
struct Notices {
    queue: OwnedFd,
}

impl Lookout {
    pub(crate) fn new(hub: &Hub, key: u64) -> io::Result<Lookout> {
        let queue = kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        let notices = Arc::new(Notices { queue });
        let watched = hub.watch(&notices, Notices::source, key)?;
        Ok(Lookout { notices, watched })
    }

    pub(crate) fn for_host(&self, _: &Hub, place: &Place, key: u64) -> io::Result<Watch> {
        Ok(self.watch(place, key))
    }

    pub(crate) fn for_guest(&self, _: &Hub, place: &Place, key: u64) -> io::Result<Watch> {
        Ok(self.watch(place, key))
    }

    fn watch(&self, place: &Place, key: u64) -> Watch {
        Watch {
            notices: self.notices.clone(),
            path: place.directory().to_owned(),
            key,
            directory: None,
        }
    }

    pub(crate) fn changed(&self, keys: &mut Vec<u64>) {
        let mut events = [const { MaybeUninit::<Event>::uninit() }; 64];
        // SAFETY: no descriptor is added, so none has to stay open.
        let taken = unsafe { kevent(&self.notices.queue, &[], &mut events, Some(Duration::ZERO)) };
        if let Ok((events, _)) = taken {
            keys.extend(events.iter().map(|event| event.udata().addr() as u64));
        }
        // It fails only if the system has broken its word; then each guest still looks now and then.
        let _ = self.watched.again();
    }
}

impl Notices {
    fn source(&self) -> Source<'_> {
        Source::Readable(self.queue.as_fd())
    }
}

#[derive(Debug)]
pub(crate) struct Watch {
    notices: Arc<Notices>,
    path: PathBuf,
    key: u64,
    /// In the queue; closing it takes it out.
    directory: Option<OwnedFd>,
}

impl Watch {
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
            ptr::without_provenance_mut(self.key as usize),
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

    /// Also when the path leads to another directory by now.
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
