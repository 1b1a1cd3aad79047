//! What hosts that have ended left behind: the files of names that nobody holds.
//!
//! A program that makes up a name for each run would fill the directory. So each host removes a few of those files, whoever they are from: only while it holds the name's lock (see `lock.rs`), and nothing but
//! what is certainly a link's.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, fstat, statat, unlinkat};
use rustix::io::Errno;

use super::files::own_uid;
use super::lock::{self, Locked};

/// Names that one host looks at.
const MOST_NAMES: usize = 32;
/// Files in the directory of which it learns the names. Others may be many, and are in use.
const MOST_FILES: usize = 1024;

/// How long this process looks for no more of them: it may have a thousand hosts.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether this process has not looked for a while. If so, the caller looks now.
pub(super) fn may_look() -> bool {
    static NEXT: Mutex<Option<Instant>> = Mutex::new(None);
    // Nothing can panic while it is held.
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let may = next.is_none_or(|next| now >= next);
    if may {
        *next = Some(now + PAUSE);
    }
    may
}

/// Removes the files of some names of which no process is the host, other than `own`. After `most_time` it looks at
/// no further one: each can take milliseconds in a large directory.
pub(super) fn remove_some(directory: &OwnedFd, own: &str, most_time: Duration) {
    let began = Instant::now();
    let names = names(directory, own);
    // Anywhere, so that each gets its turn.
    let mut random = [0u8; 8];
    if names.len() > MOST_NAMES && getrandom::fill(&mut random).is_err() {
        return;
    }
    let first = u64::from_ne_bytes(random) % (names.len() as u64).max(1);
    let from_first = names.iter().cycle().skip(first as usize);
    for (key, has_lock) in from_first.take(names.len().min(MOST_NAMES)) {
        remove(directory, key, *has_lock);
        if began.elapsed() >= most_time {
            return;
        }
    }
}

/// The keys of names that have files here, and whether a lock is among these.
fn names(directory: &OwnedFd, own: &str) -> BTreeMap<String, bool> {
    let mut names = BTreeMap::new();
    let Ok(files) = Dir::read_from(directory) else {
        return names;
    };
    for file in files.take(MOST_FILES).map_while(Result::ok) {
        let name = file.file_name().to_bytes();
        let Some((key, ending)) = name.split_at_checked(own.len()) else {
            continue;
        };
        let is_digit = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let is_links = matches!(ending, b".lock" | b".sock" | b".new");
        if is_links && key != own.as_bytes() && key.iter().all(is_digit) {
            let key = String::from_utf8_lossy(key).into_owned();
            *names.entry(key).or_default() |= ending == b".lock";
        }
    }
    names
}

/// Removes a name's files, unless a process has the name. If anything is not as it should be, all of it stays.
fn remove(directory: &OwnedFd, key: &str, has_lock: bool) -> Option<()> {
    let sockets = [format!("{key}.sock"), format!("{key}.new")];
    if !sockets
        .iter()
        .all(|name| is_socket_or_nothing(directory, name))
    {
        return None;
    }
    // Without its lock file, a socket may be that of a host which is about to put its lock back.
    let file = lock::open(directory, key, !has_lock).ok()?;
    let stat = fstat(&file).ok()?;
    if !lock::is_certainly_ours(&file, &stat) {
        return None;
    }
    if let Ok(Locked::Ours) = lock::lock(&file, &stat, directory, key) {
        // The lock last: from then on it may be another host's name.
        for name in sockets.iter().chain([&lock::name(key)]) {
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(_) => break,
            }
        }
        lock::unlock(&file);
    }
    Some(())
}

fn is_socket_or_nothing(directory: &OwnedFd, name: &str) -> bool {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            FileType::from_raw_mode(stat.st_mode) == FileType::Socket
                && stat.st_uid == own_uid()
                && stat.st_nlink == 1
        }
        Err(e) => e == Errno::NOENT,
    }
}
