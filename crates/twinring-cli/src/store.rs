//! One file as it arrives: in a temporary file beside its place until it is verified.
//!
//! ```text
//! partial     temporary files          holes       zeros that take no room
//! ```

mod holes;
mod partial;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use xxhash_rust::xxh3::Xxh3;

use crate::names::{self, BadName, Rules, shown_path};
use crate::os::files;
use crate::protocol::{Header, Reason};
use crate::size::show_bytes;

/// Where files go, and what to do with existing ones.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) directory: PathBuf,
    /// Replace files that exist.
    pub(crate) force: bool,
    /// Wait until the disk has the file before it counts as stored.
    pub(crate) sync: bool,
}

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// A file that is arriving. If it is dropped before it is finished, nothing of it remains.
pub(crate) struct Incoming {
    target: Target,
    place: PathBuf,
    /// The same, as the system takes it however long it is.
    long_place: PathBuf,
    header: Header,
    file: NamedTempFile,
    hash: Xxh3,
    length: u64,
}

impl Target {
    /// Checks that files can be made in the directory, by making one.
    pub(crate) fn check(&self) -> Result<(), String> {
        let directory = shown_path(&self.directory);
        let why = match self.directory.metadata() {
            Err(e) => e.to_string(),
            Ok(there) if !there.is_dir() => "it is not a directory".into(),
            Ok(_) => match partial::create(&self.directory, None) {
                Ok(_) => return Ok(()),
                Err(e) => format!("no file can be made there: {e}"),
            },
        };
        Err(format!("cannot put files into {directory}: {why}"))
    }

    /// How many temporary files receivers left there that were killed.
    pub(crate) fn left_behind(&self) -> usize {
        partial::left(&self.directory)
    }

    /// Checks the file's name and creates the temporary file.
    pub(crate) fn begin(&self, header: Header) -> Result<Incoming, Refusal> {
        names::check(&header.name, Rules::here()).map_err(bad_name)?;
        let name = files::name(&header.name).ok_or_else(|| bad_name(BadName::NotUnicode))?;
        let place = self.directory.join(&name);
        self.check_place(&place)?;
        let directory = files::long(&self.directory);
        let file = partial::create(&directory, header.mode)
            .map_err(|e| refusal("cannot make a file", &self.directory, &e))?;
        Ok(Incoming {
            target: self.clone(),
            long_place: directory.join(name),
            place,
            header,
            file,
            hash: Xxh3::new(),
            length: 0,
        })
    }

    fn check_place(&self, place: &Path) -> Result<(), Refusal> {
        match place.symlink_metadata() {
            Ok(there) if there.is_dir() => Err(Refusal {
                reason: Reason::Exists,
                text: "a directory of this name exists".into(),
            }),
            Ok(_) if !self.force => Err(exists()),
            _ => Ok(()),
        }
    }
}

impl Incoming {
    /// Writes the next bytes.
    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let begin = self.length;
        self.length += data.len() as u64;
        match self.header.size {
            Some(size) if self.length > size => return Err(not_the_size("more", size)),
            _ => {}
        }
        self.hash.update(data);
        let file = self.file.as_file_mut();
        let written = match self.header.sparse {
            true => holes::write(file, begin, data),
            false => file.write_all(data),
        };
        written.map_err(|e| {
            let what = format!("cannot write after {}", show_bytes(self.length));
            refusal(&what, &self.target.directory, &e)
        })
    }

    /// Verifies the file and moves it to its place, which is returned.
    pub(crate) fn finish(self, length: u64, hash: u128) -> Result<PathBuf, Refusal> {
        if (self.length, self.hash.digest128()) != (length, hash) {
            return Err(Refusal {
                reason: Reason::Mismatch,
                text: format!(
                    "what arrived is not what was sent: {} bytes of {length}, checksum {}",
                    self.length,
                    if self.hash.digest128() == hash {
                        "right"
                    } else {
                        "wrong"
                    }
                ),
            });
        }
        match self.header.size {
            Some(size) if size != length => return Err(not_the_size("fewer", size)),
            _ => {}
        }
        let failed = |what, e: &io::Error| refusal(what, &self.target.directory, e);
        if self.header.sparse {
            let ended = self.file.as_file().set_len(length);
            ended.map_err(|e| failed("cannot give the file its length", &e))?;
        }
        if let Some(time) = self.header.modified.and_then(|time| time.to_system()) {
            // Not every file system can keep every time; the contents are what matters.
            let _ = self.file.as_file().set_modified(time);
        }
        if self.target.sync {
            let synced = self.file.as_file().sync_all();
            synced.map_err(|e| failed("cannot get the file to the disk", &e))?;
        }
        let placed = if self.target.force {
            self.file.persist(&self.long_place)
        } else {
            self.file.persist_noclobber(&self.long_place)
        };
        match placed {
            Ok(_) => Ok(self.place),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
            Err(e) => Err(refusal(
                "cannot put the file in its place",
                &self.target.directory,
                &e.error,
            )),
        }
    }
}

fn bad_name(why: BadName) -> Refusal {
    Refusal {
        reason: Reason::BadName,
        text: format!("the name is not allowed: {why}; send it with --name"),
    }
}

fn not_the_size(what: &str, size: u64) -> Refusal {
    Refusal {
        reason: Reason::Mismatch,
        text: format!("it has {what} bytes than the {size} that were announced"),
    }
}

fn exists() -> Refusal {
    Refusal {
        reason: Reason::Exists,
        text: "a file of this name exists; `recv --force` replaces it".into(),
    }
}

fn refusal(what: &str, directory: &Path, e: &io::Error) -> Refusal {
    let full = matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    Refusal {
        reason: if full { Reason::NoSpace } else { Reason::Other },
        text: format!("{what} in {}: {e}", shown_path(directory)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Timestamp;
    use std::fs;
    use xxhash_rust::xxh3::xxh3_128;

    fn target(force: bool) -> (tempfile::TempDir, Target) {
        let directory = tempfile::tempdir().unwrap();
        let target = Target {
            directory: directory.path().to_owned(),
            force,
            sync: true,
        };
        (directory, target)
    }

    fn header(name: &str) -> Header {
        Header {
            name: name.into(),
            size: None,
            mode: None,
            sparse: false,
            modified: Some(Timestamp {
                seconds: 1_000_000_000,
                nanos: 0,
            }),
        }
    }

    fn refusal(target: &Target, name: &str) -> Refusal {
        target.begin(header(name)).err().unwrap()
    }

    fn names(directory: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn stored_with_its_time() {
        let (directory, target) = target(false);
        let mut incoming = target.begin(header("a")).unwrap();
        incoming.write(b"one").unwrap();
        incoming.write(b"two").unwrap();
        assert_eq!(names(&directory).len(), 1, "only the temporary file");
        assert!(!directory.path().join("a").exists());
        let place = incoming.finish(6, xxh3_128(b"onetwo")).unwrap();
        assert_eq!(place, directory.path().join("a"));
        assert_eq!(fs::read(&place).unwrap(), b"onetwo");
        let time = fs::metadata(&place).unwrap().modified().unwrap();
        assert_eq!(Timestamp::from(time).seconds, 1_000_000_000);
        assert_eq!(names(&directory), ["a"]);
    }

    /// Windows takes no more than 260 characters without a prefix. (Wine takes more.)
    #[test]
    fn a_long_path() {
        let (directory, mut target) = target(false);
        for _ in 0..2 {
            target.directory.push("d".repeat(200));
        }
        fs::create_dir_all(&target.directory).unwrap();
        target.check().unwrap();
        for force in [false, true] {
            target.force = force;
            let mut incoming = target.begin(header("a")).unwrap();
            incoming.write(b"one").unwrap();
            let place = incoming.finish(3, xxh3_128(b"one")).unwrap();
            assert_eq!(place, target.directory.join("a"));
            assert_eq!(fs::read(&place).unwrap(), b"one");
        }
        drop(directory);
    }

    #[test]
    fn nothing_remains_of_a_failure() {
        let (directory, target) = target(false);
        let mut incoming = target.begin(header("a")).unwrap();
        incoming.write(b"one").unwrap();
        drop(incoming);
        assert!(names(&directory).is_empty());
        let mut incoming = target.begin(header("a")).unwrap();
        incoming.write(b"one").unwrap();
        let refusal = incoming.finish(3, 1).unwrap_err();
        assert_eq!(refusal.reason, Reason::Mismatch);
        let mut incoming = target.begin(header("a")).unwrap();
        incoming.write(b"one").unwrap();
        let refusal = incoming.finish(4, xxh3_128(b"one")).unwrap_err();
        assert_eq!(refusal.reason, Reason::Mismatch);
        assert!(names(&directory).is_empty());
    }

    #[test]
    fn existing_files_stay_without_force() {
        let (directory, target) = target(false);
        let place = directory.path().join("a");
        fs::write(&place, "old").unwrap();
        assert_eq!(refusal(&target, "a").reason, Reason::Exists);
        // Also one that appears while the other is arriving.
        let incoming = target.begin(header("b")).unwrap();
        fs::write(directory.path().join("b"), "old").unwrap();
        let refusal = incoming.finish(0, xxh3_128(b"")).unwrap_err();
        assert_eq!(refusal.reason, Reason::Exists);
        assert_eq!(names(&directory), ["a", "b"]);
        assert_eq!(fs::read(place).unwrap(), b"old");
        assert_eq!(fs::read(directory.path().join("b")).unwrap(), b"old");
    }

    #[test]
    fn force_replaces_files_but_not_directories() {
        let (directory, target) = target(true);
        fs::write(directory.path().join("a"), "old").unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        let mut incoming = target.begin(header("a")).unwrap();
        incoming.write(b"new").unwrap();
        let place = incoming.finish(3, xxh3_128(b"new")).unwrap();
        assert_eq!(fs::read(place).unwrap(), b"new");
        assert_eq!(refusal(&target, "d").reason, Reason::Exists);
    }

    #[test]
    fn hostile_names_and_missing_directories() {
        let (directory, mut target) = target(true);
        for name in ["../a", "/a", "..", "", "a/b", "a\\b", "a\0"] {
            assert_eq!(refusal(&target, name).reason, Reason::BadName, "{name:?}");
        }
        assert!(names(&directory).is_empty());
        target.directory = directory.path().join("none");
        assert_eq!(refusal(&target, "a").reason, Reason::Other);
    }
}
