//! Linux: one inotify instance (a user has few of them), one watch per directory.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::os::endpoint::Rendezvous;
use crate::os::event::{Poller, Source, Watched};

#[derive(Debug)]
pub(crate) struct NameWatcher {
    /// `None` if the user has no inotify instance left: then every watch is blind.
    inotify: Option<(Arc<Inotify>, Watched<Inotify>)>,
}

#[derive(Debug)]
struct Inotify {
    fd: OwnedFd,
    directories: Mutex<Directories>,
}

#[derive(Debug, Default)]
struct Directories {
    /// The watches that share the directory with this watch descriptor.
    watchers: HashMap<i32, Vec<Watcher>>,
    /// How many descriptors have been removed.
    removed: u64,
}

impl Directories {
    /// No watch needs it any more, or the directory has gone.
    fn remove(&mut self, descriptor: i32) -> Option<Vec<Watcher>> {
        self.removed += 1;
        self.watchers.remove(&descriptor)
    }
}

#[derive(Debug)]
struct Watcher {
    token: u64,
    /// The names of the place's files begin with this.
    file: String,
}

impl NameWatcher {
    pub(crate) fn new(poller: &Poller, token: u64) -> io::Result<NameWatcher> {
        let Ok(fd) = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) else {
            return Ok(NameWatcher { inotify: None });
        };
        let inotify = Arc::new(Inotify {
            fd,
            directories: Mutex::default(),
        });
        let watched = poller.watch(&inotify, Inotify::source, token)?;
        Ok(NameWatcher {
            inotify: Some((inotify, watched)),
        })
    }

    pub(crate) fn watch(
        &self,
        _: &Poller,
        rendezvous: &Rendezvous,
        token: u64,
    ) -> io::Result<NameWatch> {
        Ok(NameWatch {
            inotify: self.inotify.as_ref().map(|(inotify, _)| inotify.clone()),
            directory: rendezvous.directory().to_owned(),
            file: rendezvous.key().to_owned(),
            token,
            descriptor: None,
        })
    }

    pub(crate) fn changed(&self, tokens: &mut Vec<u64>) {
        if let Some((inotify, watched)) = &self.inotify {
            inotify.take(tokens);
            // It fails only if the system is faulty; then each guest still looks now
            // and then.
            let _ = watched.again();
        }
    }
}

/// The events that are reported: a host's socket comes by a rename, and goes like any file.
const WHAT: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

impl Inotify {
    fn source(&self) -> Source<'_> {
        Source::Readable(self.fd.as_fd())
    }

    fn directories(&self) -> MutexGuard<'_, Directories> {
        // Nothing can panic while it is held.
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, directory: &Path, watcher: Watcher) -> Option<i32> {
        loop {
            let removed = self.directories().removed;
            // Without the lock: the path may lead to a file system that does not answer.
            let descriptor = inotify::add_watch(&self.fd, directory, WHAT).ok()?;
            let mut directories = self.directories();
            // If another thread has removed this very descriptor meanwhile, it is no longer valid.
            if directories.removed == removed {
                let watchers = directories.watchers.entry(descriptor).or_default();
                watchers.push(watcher);
                return Some(descriptor);
            }
        }
    }

    fn remove(&self, descriptor: i32, token: u64) {
        let mut directories = self.directories();
        if let Some(watchers) = directories.watchers.get_mut(&descriptor) {
            watchers.retain(|watcher| watcher.token != token);
            if watchers.is_empty() {
                directories.remove(descriptor);
                // It fails if the directory has gone meanwhile.
                let _ = inotify::remove_watch(&self.fd, descriptor);
            }
        }
    }

    fn is_watched(&self, descriptor: i32, token: u64) -> bool {
        self.directories()
            .watchers
            .get(&descriptor)
            .is_some_and(|watchers| watchers.iter().any(|watcher| watcher.token == token))
    }

    fn take(&self, tokens: &mut Vec<u64>) {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.fd, &mut space);
        let mut directories = self.directories();
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                tokens.extend(
                    directories
                        .watchers
                        .values()
                        .flatten()
                        .map(|watcher| watcher.token),
                );
                continue;
            }
            let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
            if event.events().intersects(gone) {
                // The path leads elsewhere now; `renew` finds out where.
                if let Some(watchers) = directories.remove(event.wd()) {
                    tokens.extend(watchers.iter().map(|watcher| watcher.token));
                    let _ = inotify::remove_watch(&self.fd, event.wd());
                }
                continue;
            }
            let (Some(name), Some(watchers)) =
                (event.file_name(), directories.watchers.get(&event.wd()))
            else {
                continue;
            };
            let concerned = watchers
                .iter()
                .filter(|watcher| name.to_bytes().starts_with(watcher.file.as_bytes()));
            tokens.extend(concerned.map(|watcher| watcher.token));
        }
    }
}

#[derive(Debug)]
pub(crate) struct NameWatch {
    inotify: Option<Arc<Inotify>>,
    directory: PathBuf,
    file: String,
    token: u64,
    descriptor: Option<i32>,
}

impl NameWatch {
    pub(crate) fn renew(&mut self) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        if self.is_blind() {
            let watcher = Watcher {
                token: self.token,
                file: self.file.clone(),
            };
            self.descriptor = inotify.add(&self.directory, watcher);
        }
    }

    pub(crate) fn is_blind(&self) -> bool {
        match (&self.inotify, self.descriptor) {
            (Some(inotify), Some(descriptor)) => !inotify.is_watched(descriptor, self.token),
            _ => true,
        }
    }
}

impl Drop for NameWatch {
    fn drop(&mut self) {
        if let (Some(inotify), Some(descriptor)) = (&self.inotify, self.descriptor) {
            inotify.remove(descriptor, self.token);
        }
    }
}
