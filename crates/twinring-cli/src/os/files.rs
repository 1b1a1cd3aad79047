//! What differs between systems in files: modes, holes, names, and whether a process has a file open.

pub(crate) use here::{hold, is_at, is_held, is_sparse, long, mode, name, open_alone, with_mode};

#[cfg(unix)]
mod here {
    use std::ffi::OsString;
    use std::fs::{self, File, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::{Path, PathBuf};

    use rustix::fs::{FlockOperation, Mode, OFlags, flock};

    /// Who may read, write and run a file. What a set-uid bit gives is not for a copy.
    pub(crate) fn mode(file: &Metadata) -> Option<u32> {
        Some(file.mode() & 0o777)
    }

    /// New files get this mode, less the umask.
    pub(crate) fn with_mode(options: &mut OpenOptions, mode: u32) {
        options.mode(mode);
    }

    /// Whether a file takes less room than its length.
    pub(crate) fn is_sparse(file: &Metadata) -> bool {
        file.blocks().saturating_mul(512) < file.len()
    }

    /// A name as the system has it, if it can be one.
    pub(crate) fn name(bytes: &[u8]) -> Option<OsString> {
        Some(OsString::from_vec(bytes.to_vec()))
    }

    /// A directory that is there, for paths of any length below it.
    pub(crate) fn long(directory: &Path) -> PathBuf {
        directory.to_owned()
    }

    /// Marks a file as open, until it is closed. Some network file systems cannot: it then looks left behind.
    pub(crate) fn hold(file: &File) {
        let _ = flock(file, FlockOperation::NonBlockingLockExclusive);
    }

    /// Opens a file that nobody else has open by this function; else the error is `WouldBlock`. What is written is added to
    /// its end, wherever others have cut it; on Windows none can.
    pub(crate) fn open_alone(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        let file = options.append(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::ErrorKind::WouldBlock.into()),
            // Some network file systems cannot.
            _ => Ok(file),
        }
    }

    /// Whether a path still leads to this file, and not to another one.
    pub(crate) fn is_at(path: &Path, file: &File) -> io::Result<bool> {
        let (there, this) = (fs::metadata(path)?, file.metadata()?);
        Ok((there.dev(), there.ino()) == (this.dev(), this.ino()))
    }

    /// Whether a process holds a file, or that cannot be seen.
    pub(crate) fn is_held(path: &Path) -> bool {
        // A pipe would be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => flock(file, FlockOperation::NonBlockingLockShared).is_err(),
            Err(_) => true,
        }
    }
}

#[cfg(windows)]
mod here {
    use std::ffi::OsString;
    use std::fs::{File, Metadata, OpenOptions};
    use std::io;
    use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
    use std::path::{Path, PathBuf};

    use same_file::Handle;

    const FILE_ATTRIBUTE_SPARSE_FILE: u32 = 0x200;
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_DELETE: u32 = 4;
    const ERROR_SHARING_VIOLATION: i32 = 32;

    pub(crate) fn mode(_: &Metadata) -> Option<u32> {
        None
    }

    pub(crate) fn with_mode(_: &mut OpenOptions, _: u32) {}

    pub(crate) fn is_sparse(file: &Metadata) -> bool {
        file.file_attributes() & FILE_ATTRIBUTE_SPARSE_FILE != 0
    }

    pub(crate) fn name(bytes: &[u8]) -> Option<OsString> {
        std::str::from_utf8(bytes).ok().map(OsString::from)
    }

    /// With a prefix: not every library adds it to a path that is too long without.
    pub(crate) fn long(directory: &Path) -> PathBuf {
        directory
            .canonicalize()
            .unwrap_or_else(|_| directory.to_owned())
    }

    /// Windows knows who has a file open.
    pub(crate) fn hold(_: &File) {}

    pub(crate) fn open_alone(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        options.share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE);
        options.open(path).map_err(|e| match e.raw_os_error() {
            Some(ERROR_SHARING_VIOLATION) => io::ErrorKind::WouldBlock.into(),
            _ => e,
        })
    }

    pub(crate) fn is_at(path: &Path, file: &File) -> io::Result<bool> {
        Ok(Handle::from_path(path)? == Handle::from_file(file.try_clone()?)?)
    }

    pub(crate) fn is_held(path: &Path) -> bool {
        // Without a share for writing: refused while a process has it open to write.
        OpenOptions::new()
            .read(true)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE)
            .open(path)
            .is_err()
    }
}
