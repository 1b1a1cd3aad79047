//! What differs between systems in files: modes, holes and names.

pub(crate) use here::{is_sparse, mode, name, with_mode};

#[cfg(unix)]
mod here {
    use std::ffi::OsString;
    use std::fs::{Metadata, OpenOptions};
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

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
}

#[cfg(windows)]
mod here {
    use std::ffi::OsString;
    use std::fs::{Metadata, OpenOptions};
    use std::os::windows::fs::MetadataExt;

    const FILE_ATTRIBUTE_SPARSE_FILE: u32 = 0x200;

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
}
