//! In which state a database is, as far as its files tell, so that a result can be resumed by another process.
//!
//! SQLite has no number for this that outlives a connection: `PRAGMA data_version` means something to one connection only. So
//! this is made of the database file's length, its time of change and its first 100 bytes, which hold a counter of changes; and,
//! in the mode with a write-ahead log, of what its index says was committed last. It is to be read while a read transaction is
//! open: without a log nobody can write then, with one, [`Files`] are compared with what they were before.
//!
//! It errs on the side of change: a checkpoint or a `touch` counts as one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::protocol::Digest;

/// Of a database file.
const HEADER: usize = 100;
/// Where the header says which journal it has: 2 is a write-ahead log.
const READ_VERSION: usize = 19;
/// The header of a log's index, twice.
const INDEX: usize = 96;
/// What in it says what is committed: the number of frames and of pages, a checksum of all frames, and the log's salt.
const COMMITTED: std::ops::Range<usize> = 12..40;

/// What the files of a database say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    header: Vec<u8>,
    len: u64,
    modified: u128,
    index: Option<Vec<u8>>,
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// The database's file cannot be read, or has no time of change; or it has a log, and the log's index cannot be read.
    pub fn read(path: &Path) -> io::Result<Files> {
        let mut file = File::open(path)?;
        let mut header = vec![0; HEADER];
        file.read_exact(&mut header)?;
        let metadata = file.metadata()?;
        let since = metadata.modified()?.duration_since(UNIX_EPOCH);
        let index = match header[READ_VERSION] {
            2 => Some(read_index(path)?),
            _ => None,
        };
        Ok(Files {
            header,
            len: metadata.len(),
            modified: since.map_err(io::Error::other)?.as_nanos(),
            index,
        })
    }

    /// 32 hexadecimal digits.
    pub fn version(&self) -> String {
        let mut digest = Digest::default();
        digest.add(&self.header);
        digest.add(&self.len.to_le_bytes());
        digest.add(&self.modified.to_le_bytes());
        if let Some(index) = &self.index {
            digest.add(&index[COMMITTED]);
        }
        digest.text()
    }
}

fn read_index(database: &Path) -> io::Result<Vec<u8>> {
    // SQLite has its files beside the database, not beside a link to it.
    let mut path = OsString::from(fs::canonicalize(database)?);
    path.push("-shm");
    let mut index = vec![0; INDEX];
    File::open(path)?.read_exact(&mut index)?;
    Ok(index)
}
