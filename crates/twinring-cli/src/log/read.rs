//! `--read`: the records of a file, and those that are still to come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::record::Record;
use super::sink::Sink;
use super::tail::LONGEST;
use crate::exit::{Exit, Failure};
use crate::os::output_is_gone;
use crate::report::say;

/// How often to look for more.
const LOOK: Duration = Duration::from_millis(100);

/// By so many first bytes a file is known again.
const KNOWN: u64 = 256;

pub(super) fn read(path: &Path, follow: bool, sink: &mut Sink) -> Result<(), Failure> {
    let failed = |e: io::Error| {
        let what = format!("cannot read {}: {e}", path.display());
        Failure::new(Exit::Files, what)
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    // Lines that are ours, and those that are not.
    let (mut ours, mut others) = (0u64, 0u64);
    loop {
        let mut more = true;
        while more {
            let left = LONGEST.saturating_sub(line.len() as u64);
            let len = file.by_ref().take(left).read_until(b'\n', &mut line);
            more = len.map_err(failed)? > 0;
            if line.ends_with(b"\n") || left == 0 {
                match serde_json::from_slice::<Record>(&line) {
                    Ok(record) => {
                        ours += 1;
                        sink.show(&record);
                    }
                    Err(_) if line.starts_with(b"{\"kind\":") => ours += 1,
                    Err(_) => others += 1,
                }
                line.clear();
                more = true;
            }
            if !more || file.buffer().is_empty() {
                sink.write()?;
            }
        }
        // Half a line may be the beginning of the first record, but not for somebody who does not wait for the rest.
        if ours == 0 && (others > 0 || !follow && !line.is_empty()) {
            return Err(Failure::new(
                Exit::Files,
                format_args!("{} is no log: no line of it is a record", path.display()),
            ));
        }
        if !follow {
            break;
        }
        thread::sleep(LOOK);
        if output_is_gone() {
            return Err(Failure::silent(Exit::OutputGone));
        }
        // Rotated after the last look: what came before that is read first.
        if let Some(next) = successor(path, file.get_mut()).map_err(failed)? {
            if !file.fill_buf().map_err(failed)?.is_empty() {
                continue;
            }
            file = BufReader::new(next);
            line.clear();
        }
    }
    if others > 0 {
        say(format_args!(
            "{others} lines of {} are no records",
            path.display()
        ));
    }
    Ok(())
}

/// The file that has this path now, if it is another one, or has become shorter.
fn successor(path: &Path, file: &mut File) -> io::Result<Option<File>> {
    let mut now = match File::open(path) {
        Ok(now) => now,
        // Between two steps of a rotation.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let at = file.stream_position()?;
    file.seek(SeekFrom::Start(0))?;
    let (mut known, mut begin) = (Vec::new(), Vec::new());
    file.by_ref().take(KNOWN.min(at)).read_to_end(&mut known)?;
    file.seek(SeekFrom::Start(at))?;
    now.by_ref().take(KNOWN).read_to_end(&mut begin)?;
    if begin.starts_with(&known) && now.metadata()?.len() >= at {
        return Ok(None);
    }
    now.seek(SeekFrom::Start(0))?;
    Ok(Some(now))
}
