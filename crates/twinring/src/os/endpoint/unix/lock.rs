//! The lock file of a name.
//!
//! Who has it locked is the name's only owner. Who finds it unlocked may remove it, but only while holding the
//! lock; so who has locked it has to look whether it is still the file of that name.

use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, ftruncate, openat, statat,
};
use rustix::io::{Errno, read, write};

use super::files::{identity, own_uid};
use crate::os::file_size;
use crate::os::process::NotInChildren;

/// The longest text that a lock file may have: of a process and a link's name.
const LONGEST_TEXT: usize = 512;

pub(super) fn name(key: &str) -> String {
    format!("{key}.lock")
}

/// Opens the lock file; it need not exist if `create` is set.
pub(super) fn open(directory: &OwnedFd, key: &str, create: bool) -> Result<NotInChildren, Errno> {
    // NONBLOCK in case that it is something else.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let create = if create {
        OFlags::CREATE
    } else {
        OFlags::empty()
    };
    let mode = Mode::RUSR | Mode::WUSR;
    openat(directory, name(key), flags | create, mode).map(NotInChildren::new)
}

/// What came of an attempt to lock a file.
pub(super) enum Locked {
    Ours,
    /// Another process has it locked.
    NotOurs,
    /// It has been removed meanwhile: that lock excludes nobody.
    Removed,
}

/// Locks the file, whose `stat` this is.
pub(super) fn lock(
    file: &NotInChildren,
    stat: &Stat,
    directory: &OwnedFd,
    key: &str,
) -> Result<Locked, Errno> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) => return Ok(Locked::NotOurs),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    match statat(directory, name(key), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) if identity(&named) == identity(stat) => Ok(Locked::Ours),
        Ok(_) | Err(Errno::NOENT) => Ok(Locked::Removed),
        Err(e) => Err(e),
    }
}

/// Unlocked explicitly and not only by closing it: a process that another thread is just starting has a
/// copy of the descriptor for a moment.
pub(super) fn unlock(file: &NotInChildren) {
    let _ = flock(file, FlockOperation::Unlock);
}

/// Writes who has it. For people only: if it fails (a full disk), that is no reason not to run.
pub(super) fn write_text(file: &NotInChildren, label: &str) {
    let text = format!("process {}: {label}\n", std::process::id());
    let _ = ftruncate(file, 0);
    if file_size::is_allowed(text.len() as u64) {
        let _ = write(file, text.as_bytes());
    }
}

/// Who has it, as far as the text says.
pub(super) fn read_text(file: &OwnedFd) -> Option<String> {
    let mut text = [0u8; 32];
    let n = read(file, &mut text).ok()?;
    let text = std::str::from_utf8(&text[..n]).ok()?;
    Some(text.split(':').next()?.to_owned()).filter(|owner| owner.starts_with("process "))
}

/// Whether this is a lock file that a process of this user has made, and not a file of another program that is called
/// like one.
pub(super) fn is_certainly_ours(file: &NotInChildren, stat: &Stat) -> bool {
    let mut text = [0u8; 8];
    let made_by_us = stat.st_uid == own_uid()
        && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_nlink == 1
        && !Mode::from_raw_mode(stat.st_mode).intersects(Mode::RWXG | Mode::RWXO | Mode::XUSR)
        && u64::try_from(stat.st_size).is_ok_and(|size| size <= LONGEST_TEXT as u64);
    // Empty if its host was killed before it had written.
    made_by_us
        && matches!(rustix::io::pread(file, &mut text, 0), Ok(n) if text[..n] == b"process "[..n])
}
