//! Where a test and its children meet: a name, and a directory of its own.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use twinring::{Builder, Link};

use super::Child;

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Host,
    Guest,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Host, Side::Guest];

    pub(crate) fn opposite(self) -> Side {
        match self {
            Side::Host => Side::Guest,
            Side::Guest => Side::Host,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Host => "host",
            Side::Guest => "guest",
        })
    }
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Side, String> {
        match text {
            "host" => Ok(Side::Host),
            "guest" => Ok(Side::Guest),
            other => Err(format!("{other:?} is no side")),
        }
    }
}

/// A name that no other test uses, and a directory that goes with the test.
#[derive(Debug)]
pub(crate) struct Place {
    name: String,
    directory: PathBuf,
    /// Whether it is this process that removes the directory.
    owner: bool,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place::named("test")
    }

    /// A place whose name begins with this.
    pub(crate) fn named(name: &str) -> Place {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "{}-{}",
            std::process::id(),
            PLACES.fetch_add(1, Ordering::Relaxed)
        );
        Place {
            name: format!("{name} {unique}"),
            // Short: it becomes part of a socket's path.
            directory: std::env::temp_dir().join(format!("twinring-{unique}")),
            owner: true,
        }
    }

    /// The place of the parent.
    pub(super) fn of_parent(name: String, directory: PathBuf) -> Place {
        Place {
            name,
            directory,
            owner: false,
        }
    }

    /// Another name in the directory of a place that lives longer.
    pub(crate) fn at(name: &str, directory: &Path) -> Place {
        Place::of_parent(name.to_owned(), directory.to_owned())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn builder(&self, side: Side) -> Builder {
        match side {
            Side::Host => Link::host(&self.name),
            Side::Guest => Link::guest(&self.name),
        }
        .directory(&self.directory)
    }

    pub(crate) fn host(&self) -> Builder {
        self.builder(Side::Host)
    }

    pub(crate) fn guest(&self) -> Builder {
        self.builder(Side::Guest)
    }

    /// Starts a child in a role of this test file, as one side of the link.
    pub(crate) fn start(&self, role: &str, side: Side) -> Child {
        self.start_with(role, side, |_| {})
    }

    /// As [`start`](Place::start), with changes to the process that will be.
    pub(crate) fn start_with(
        &self,
        role: &str,
        side: Side,
        change: impl FnOnce(&mut Command),
    ) -> Child {
        Child::start(self, role, side, change).expect("the test can start itself")
    }

    /// As [`start`](Place::start), where there is no futex_waitv(2).
    #[cfg(target_os = "linux")]
    pub(crate) fn start_on_older_kernel(&self, role: &str, side: Side) -> Child {
        use std::os::unix::process::CommandExt;
        self.start_with(role, side, |command| {
            let refuse = || {
                super::refuse(libc::SYS_futex_waitv, libc::ENOSYS);
                Ok(())
            };
            // SAFETY: two system calls, between fork and exec.
            unsafe { command.pre_exec(refuse) };
        })
    }

    /// As [`start_with`](Place::start_with), if the system lets the test start itself so.
    pub(crate) fn try_start_with(
        &self,
        role: &str,
        side: Side,
        change: impl FnOnce(&mut Command),
    ) -> io::Result<Child> {
        Child::start(self, role, side, change)
    }

    /// The files in the directory, by their endings, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = std::fs::read_dir(&self.directory)
            .map(|entries| {
                entries
                    .map(|entry| entry.unwrap().path())
                    .map(|path| path.extension().unwrap().to_str().unwrap().to_owned())
                    .collect()
            })
            .unwrap_or_default();
        files.sort();
        files
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.owner {
            // There is none on Windows.
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}
