//! The work: hashes every file of a folder. It knows nothing of GUIs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use inventory::{Amount, Entry, Stage};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::job::{Interrupted, Job};

const RECENT: usize = 8;
/// How much is read between two looks at what is wanted.
const PIECE: usize = 64 * 1024;

/// Once through the folder.
pub(crate) fn run(job: &Job) -> Result<(), Interrupted> {
    let mut pace = Pace {
        job,
        began: Instant::now(),
        read: 0,
    };
    job.update(|now| {
        now.stage = Stage::Listing;
        now.files = Amount::default();
        now.bytes = Amount::default();
        now.skipped = 0;
        now.seconds = 0.0;
        now.recent.clear();
    });

    let mut files = Vec::new();
    let mut bytes = 0;
    for entry in WalkDir::new(&job.folder).sort_by_file_name() {
        pace.checkpoint()?;
        match entry.and_then(|entry| Ok((entry.metadata()?, entry))) {
            Ok((metadata, entry)) if metadata.is_file() => {
                bytes += metadata.len();
                files.push(entry.into_path());
            }
            Ok(_) => {}
            Err(_) => job.update(|now| now.skipped += 1),
        }
    }
    job.update(|now| {
        now.stage = Stage::Hashing;
        now.files.total = files.len() as u64;
        now.bytes.total = bytes;
    });

    for path in &files {
        let hashed = pace.hash(path)?;
        job.update(|now| {
            now.files.done += 1;
            match hashed {
                Ok((len, sha256)) => {
                    let path = path.strip_prefix(&job.folder).unwrap_or(path);
                    let path = path.display().to_string();
                    now.recent.insert(0, Entry { path, len, sha256 });
                    now.recent.truncate(RECENT);
                }
                Err(_) => now.skipped += 1,
            }
        });
    }
    Ok(())
}

/// Keeps the run within its limit, and to what is wanted.
struct Pace<'a> {
    job: &'a Job,
    /// Moved by each pause, which counts for nothing.
    began: Instant,
    read: u64,
}

impl Pace<'_> {
    fn checkpoint(&mut self) -> Result<(), Interrupted> {
        self.began += self.job.checkpoint()?;
        Ok(())
    }

    fn hash(&mut self, path: &Path) -> Result<io::Result<(u64, String)>, Interrupted> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) => return Ok(Err(e)),
        };
        let (mut hasher, mut len) = (Sha256::new(), 0);
        let mut piece = vec![0; PIECE];
        loop {
            self.checkpoint()?;
            let read = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Err(e)),
            };
            hasher.update(&piece[..read]);
            len += read as u64;
            self.count(read as u64);
        }
        let hash: String = hasher
            .finalize()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        Ok(Ok((len, hash)))
    }

    fn count(&mut self, read: u64) {
        self.read += read;
        let due = Duration::from_secs_f64(self.read as f64 / self.job.bytes_per_second as f64);
        if let Some(early) = due.checked_sub(self.began.elapsed()) {
            thread::sleep(early);
        }
        let seconds = self.began.elapsed().as_secs_f64();
        self.job.update(|now| {
            now.bytes.done += read;
            now.seconds = seconds;
        });
    }
}
