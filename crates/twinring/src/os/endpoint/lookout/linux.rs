//! Linux: one inotify instance (a user has few of them), one watch per directory.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::os::endpoint::Place;
use crate::os::event::{Hub, Source, Watched};

#[derive(Debug)]
pub(crate) struct Lookout {
    /// `None` if the user has no inotify instance left: then every watch is blind.
    notices: Option<(Arc<Notices>, Watched<Notices>)>,
}

#[derive(Debug)]
struct Notices {
    inotify: OwnedFd,
    /// Who watches the directory with this watch descriptor.
    directories: Mutex<HashMap<i32, Vec<Watcher>>>,
}

#[derive(Debug)]
struct Watcher {
    key: u64,
    /// The files of the place begin with this.
    file: String,
}

impl Lookout {
    pub(crate) fn new(hub: &Hub, key: u64) -> io::Result<Lookout> {
        let Ok(inotify) = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) else {
            return Ok(Lookout { notices: None });
        };
        let notices = Arc::new(Notices {
            inotify,
            directories: Mutex::default(),
        });
        let watched = hub.watch(&notices, Notices::source, key)?;
        Ok(Lookout {
            notices: Some((notices, watched)),
        })
    }

    pub(crate) fn for_host(&self, _: &Hub, place: &Place, key: u64) -> io::Result<Watch> {
        Ok(self.watch(place, key))
    }

    pub(crate) fn for_guest(&self, _: &Hub, place: &Place, key: u64) -> io::Result<Watch> {
        Ok(self.watch(place, key))
    }

    fn watch(&self, place: &Place, key: u64) -> Watch {
        Watch {
            notices: self.notices.as_ref().map(|(notices, _)| notices.clone()),
            directory: place.directory().to_owned(),
            file: place.key().to_owned(),
            key,
            descriptor: None,
        }
    }

    pub(crate) fn changed(&self, keys: &mut Vec<u64>) {
        if let Some((notices, watched)) = &self.notices {
            notices.take(keys);
            // It fails only if the system has broken its word; then each guest still looks now
            // and then.
            let _ = watched.again();
        }
    }
}

/// What is told of a directory: a host's socket comes by being renamed, and goes like any file.
const WHAT: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

impl Notices {
    fn source(&self) -> Source<'_> {
        Source::Readable(self.inotify.as_fd())
    }

    fn directories(&self) -> MutexGuard<'_, HashMap<i32, Vec<Watcher>>> {
        // Nothing can panic while it is held.
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, directory: &Path, watcher: Watcher) -> Option<i32> {
        // Within the lock, so that nobody lets go of the same directory in between.
        let mut directories = self.directories();
        let descriptor = inotify::add_watch(&self.inotify, directory, WHAT).ok()?;
        directories.entry(descriptor).or_default().push(watcher);
        Some(descriptor)
    }

    fn remove(&self, descriptor: i32, key: u64) {
        let mut directories = self.directories();
        if let Some(watchers) = directories.get_mut(&descriptor) {
            watchers.retain(|watcher| watcher.key != key);
            if watchers.is_empty() {
                directories.remove(&descriptor);
                // It fails if the directory has gone meanwhile.
                let _ = inotify::remove_watch(&self.inotify, descriptor);
            }
        }
    }

    fn is_watched(&self, descriptor: i32, key: u64) -> bool {
        self.directories()
            .get(&descriptor)
            .is_some_and(|watchers| watchers.iter().any(|watcher| watcher.key == key))
    }

    fn take(&self, keys: &mut Vec<u64>) {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut space);
        let mut directories = self.directories();
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                keys.extend(directories.values().flatten().map(|watcher| watcher.key));
                continue;
            }
            let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
            if event.events().intersects(gone) {
                // The path leads elsewhere now; `renew` finds out where.
                if let Some(watchers) = directories.remove(&event.wd()) {
                    keys.extend(watchers.iter().map(|watcher| watcher.key));
                    let _ = inotify::remove_watch(&self.inotify, event.wd());
                }
                continue;
            }
            let (Some(name), Some(watchers)) = (event.file_name(), directories.get(&event.wd()))
            else {
                continue;
            };
            let concerned = watchers
                .iter()
                .filter(|watcher| name.to_bytes().starts_with(watcher.file.as_bytes()));
            keys.extend(concerned.map(|watcher| watcher.key));
        }
    }
}

#[derive(Debug)]
pub(crate) struct Watch {
    notices: Option<Arc<Notices>>,
    directory: PathBuf,
    file: String,
    key: u64,
    descriptor: Option<i32>,
}

impl Watch {
    pub(crate) fn renew(&mut self) {
        let Some(notices) = &self.notices else {
            return;
        };
        if self.is_blind() {
            let watcher = Watcher {
                key: self.key,
                file: self.file.clone(),
            };
            self.descriptor = notices.add(&self.directory, watcher);
        }
    }

    pub(crate) fn is_blind(&self) -> bool {
        match (&self.notices, self.descriptor) {
            (Some(notices), Some(descriptor)) => !notices.is_watched(descriptor, self.key),
            _ => true,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let (Some(notices), Some(descriptor)) = (&self.notices, self.descriptor) {
            notices.remove(descriptor, self.key);
        }
    }
}
