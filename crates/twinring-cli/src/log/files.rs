//! The file that records are written to: whole lines, none twice, and another file when it is long.
//!
//! ```text
//! FILE      {"kind":"clients",…}   how far each client had got when the file was begun, and again every 8 MiB
//!           {"client":…}           what has come since
//! FILE.1    the file before, and so on up to FILE.KEEP
//! ```
//!
//! A collector that begins reads back to the last such line, so it knows the last number of each client. Killed between
//! any two steps, it leaves files of which the next one learns the same.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::client::{Client, Numbers};
use super::record::{Record, now};
use crate::exit::{Exit, Failure};
use crate::os::files::open_alone;
use crate::report::say;

/// So much is written between two lines that say how far each client has got.
const CLIENTS_EVERY: u64 = 8 << 20;

/// What every line of such a file begins with; the first is one of [`Clients`].
const BEGINS: [&[u8]; 4] = [
    b"{\"kind\":\"clients\",",
    b"{\"client\":\"",
    b"{\"number\":",
    b"{\"time\":\"",
];

/// No more is read back.
const FARTHEST: u64 = 64 << 20;

const PIECE: u64 = 256 << 10;

/// How long a collector that was killed may take to leave its file.
const OPEN: Duration = Duration::from_secs(2);

/// How far each client has got.
#[derive(Serialize, Deserialize)]
struct Clients {
    kind: String,
    time: String,
    clients: Vec<(Client, u64)>,
}

pub(super) struct Files {
    path: PathBuf,
    /// How long a file may become, and how many are kept besides.
    rotate: Option<u64>,
    keep: u32,
    file: File,
    len: u64,
    /// Where to say next how far clients have got; where to begin another file.
    clients_at: u64,
    rotate_at: u64,
    pub(super) numbers: Numbers,
}

impl Files {
    /// Opens the file for this collector alone, repairs its end, and learns how far each client has got.
    pub(super) fn open(path: &Path, rotate: Option<u64>, keep: u32) -> Result<Files, Failure> {
        let failed = |e: io::Error| {
            let what = format!("cannot write to {}: {e}", path.display());
            Failure::new(Exit::Files, what)
        };
        let file = open(path).map_err(failed)?;
        let mut files = Files {
            path: path.to_owned(),
            rotate,
            keep,
            file,
            len: 0,
            clients_at: u64::MAX,
            rotate_at: u64::MAX,
            numbers: Numbers::default(),
        };
        // A device or a pipe has no end to be read.
        if files.file.metadata().map_err(failed)?.is_file() {
            files.begin().map_err(failed)?;
        }
        Ok(files)
    }

    fn begin(&mut self) -> io::Result<()> {
        self.repair()?;
        if self.len == 0 {
            // Killed before the first line of the new one, or the first of all.
            match File::open(self.old(1)) {
                Ok(mut last) => learn(&mut last, &mut self.numbers)?,
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            self.begin_at(0);
            self.write_clients()
        } else {
            learn(&mut self.file, &mut self.numbers)?;
            self.file.seek(SeekFrom::End(0))?;
            self.begin_at(0);
            self.clients_at = self.len + CLIENTS_EVERY;
            Ok(())
        }
    }

    fn begin_at(&mut self, start: u64) {
        self.rotate_at = self.rotate.map_or(u64::MAX, |rotate| start + rotate);
        self.clients_at = start + CLIENTS_EVERY;
    }

    /// Cuts off half a line, which a collector that was killed has left. It will come again. One that lacks only its end gets that.
    fn repair(&mut self) -> io::Result<()> {
        self.len = self.file.seek(SeekFrom::End(0))?;
        let mut tail = Vec::new();
        let mut start = self.len;
        // To the second line end from behind: the last whole line, and what is left.
        while start > 0 && line_ends(&tail) < 2 {
            if self.len - start > FARTHEST {
                return Err(io::Error::other("it is no log: it has no lines"));
            }
            let piece = start.min(PIECE);
            start -= piece;
            tail = [read_at(&mut self.file, start, piece)?, tail].concat();
        }
        let whole = tail
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let (lines, half) = tail.split_at(whole);
        let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
        let is_ours = match last {
            // Without a whole line there is the beginning of the first one, or it is somebody else's.
            None | Some([]) => begins_with(half, &BEGINS[..1]),
            Some(last) => is_of_a_log(last) && is_of_a_log(half),
        };
        if !is_ours {
            let what = "it is no log: its last line is no record. Name another file";
            return Err(io::Error::other(what));
        }
        self.len = start + whole as u64;
        let lacks_its_end = serde_json::from_slice::<IgnoredAny>(half).is_ok();
        if lacks_its_end {
            self.file.seek(SeekFrom::End(0))?;
            self.file.write_all(b"\n")?;
            self.len += half.len() as u64 + 1;
        } else if !half.is_empty() {
            self.file.set_len(self.len)?;
        }
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Adds whole lines, all or none. Their records are in `numbers`.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write(lines)?;
        if self.len >= self.rotate_at {
            self.rotate()
        } else if self.len >= self.clients_at {
            self.write_clients()
        } else {
            Ok(())
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(e) = self.file.write_all(lines) {
            // A part of it may be there. If it cannot be cut off now, the next collector does it.
            let _ = self.file.set_len(self.len);
            return Err(e);
        }
        self.len += lines.len() as u64;
        Ok(())
    }

    fn write_clients(&mut self) -> io::Result<()> {
        let clients = Clients {
            kind: "clients".into(),
            time: now(),
            clients: self.numbers.all(),
        };
        let mut line = serde_json::to_vec(&clients)?;
        line.push(b'\n');
        self.write(&line)?;
        self.clients_at = self.len + CLIENTS_EVERY;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if let Err(e) = self.rename() {
            say(format_args!(
                "cannot begin another file after {}: {e}; it becomes longer",
                self.path.display()
            ));
            self.rotate_at = self.len + self.rotate.unwrap_or(0);
            return Ok(());
        }
        self.file = open(&self.path)?;
        self.len = 0;
        self.begin_at(0);
        self.write_clients()?;
        // What the first line takes is not the records'.
        self.begin_at(self.len);
        Ok(())
    }

    fn rename(&self) -> io::Result<()> {
        // If somebody has removed it, the old ones stay.
        fs::symlink_metadata(&self.path)?;
        let is_free = |number: &u32| !self.old(*number).exists();
        let last = (1..self.keep).find(is_free).unwrap_or(self.keep);
        for number in (1..last).rev() {
            fs::rename(self.old(number), self.old(number + 1))?;
        }
        fs::rename(&self.path, self.old(1))
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens a file to read and to write, unless another collector has it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // A device that cannot be read is none of those that have an end.
    options.read(true).write(true).create(true).truncate(false);
    let begin = Instant::now();
    loop {
        match open_alone(&mut options, path) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if begin.elapsed() > OPEN {
                    return Err(io::Error::other("another collector writes to it"));
                }
                thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Whether a line, or the beginning of one, may be one of ours.
fn is_of_a_log(line: &[u8]) -> bool {
    begins_with(line, &BEGINS)
}

fn begins_with(line: &[u8], begins: &[&[u8]]) -> bool {
    begins.iter().any(|begin| {
        let len = begin.len().min(line.len());
        begin[..len] == line[..len]
    })
}

fn read_at(file: &mut File, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Learns from the end of a file how far each client has got.
fn learn(file: &mut File, numbers: &mut Numbers) -> io::Result<()> {
    let len = file.seek(SeekFrom::End(0))?;
    let (mut start, mut from) = (len, 0);
    // A line of ours cannot be in another one: line ends in texts are escaped.
    let mark = [b"\n", BEGINS[0]].concat();
    let mut tail = Vec::new();
    while start > 0 && len - start < FARTHEST {
        let piece = start.min(PIECE);
        start -= piece;
        tail = [read_at(file, start, piece)?, tail].concat();
        // A new mark begins in the new piece.
        let searched = tail.len().min(piece as usize + mark.len());
        let found = tail[..searched]
            .windows(mark.len())
            .rposition(|window| window == mark);
        if let Some(found) = found {
            from = found + 1;
            break;
        }
    }
    for line in tail[from..].split(|byte| *byte == b'\n') {
        if line.starts_with(BEGINS[0]) {
            let clients: Clients = serde_json::from_slice(line)?;
            for (client, number) in clients.clients {
                numbers.is_new(client, number);
            }
        } else if let Ok(Record {
            client: Some(client),
            number: Some(number),
            ..
        }) = serde_json::from_slice(line)
        {
            numbers.is_new(client, number);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: u64, number: u64) -> Vec<u8> {
        let text = format!(
            r#"{{"number":{number},"time":"{}","level":"INFO","pid":1,"message":"{}"}}"#,
            now(),
            "x".repeat(100)
        );
        let mut line = Vec::new();
        Record::received(text.as_bytes(), Some(Client(client)), 1).line(&mut line);
        line
    }

    fn append(files: &mut Files, client: u64, number: u64) {
        assert!(files.numbers.is_new(Client(client), number));
        files.append(&line(client, number)).unwrap();
    }

    fn is_known(files: &mut Files, client: u64, number: u64) -> bool {
        !files.numbers.is_new(Client(client), number)
            && files.numbers.is_new(Client(client), number + 1)
    }

    #[test]
    fn the_next_collector_knows_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, None, 1).unwrap();
        for number in 1..100 {
            append(&mut files, 1, number);
        }
        append(&mut files, 2, 7);
        drop(files);
        let mut files = Files::open(&path, None, 1).unwrap();
        assert!(is_known(&mut files, 1, 99) && is_known(&mut files, 2, 7));
    }

    #[test]
    fn the_last_mark_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, None, 1).unwrap();
        append(&mut files, 1, 5);
        let many: Vec<u8> = (1..=90_000).flat_map(|number| line(2, number)).collect();
        files.numbers.is_new(Client(2), 90_000);
        files.append(&many).unwrap();
        assert!(many.len() as u64 > CLIENTS_EVERY);
        append(&mut files, 3, 8);
        drop(files);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("{\"kind\":\"clients\"").count(), 2);
        // What is before the mark is not read again.
        fs::write(&path, text.replace("\"number\":5,", "\"number\":9,")).unwrap();
        let mut files = Files::open(&path, None, 1).unwrap();
        assert!(is_known(&mut files, 1, 5));
        assert!(is_known(&mut files, 2, 90_000) && is_known(&mut files, 3, 8));
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, None, 1).unwrap();
        append(&mut files, 1, 1);
        append(&mut files, 1, 2);
        drop(files);
        let whole = fs::read(&path).unwrap();
        let last = whole.len() - line(1, 2).len();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let mut files = Files::open(&path, None, 1).unwrap();
            // Without its first line, another is begun; without a line end, the line gets one.
            let lacks_its_end = whole[len] == b'\n';
            let expected = match lacks_its_end {
                true => Some(len + 1),
                false => whole[..len]
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map(|at| at + 1),
            };
            let now = fs::read(&path).unwrap();
            match expected {
                Some(expected) => assert_eq!(now, whole[..expected], "{len}"),
                None => assert!(now.starts_with(BEGINS[0]) && now.ends_with(b"\n")),
            }
            assert_eq!(
                is_known(&mut files, 1, 1),
                len + 1 >= last && len + 1 < whole.len(),
                "{len}"
            );
        }
    }

    #[test]
    fn rotated_and_killed_between_any_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, Some(2000), 3).unwrap();
        append(&mut files, 1, 1);
        for number in 1..200 {
            append(&mut files, 2, number);
        }
        drop(files);
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2", "log.3"]);
        for begun in [None, Some(""), Some("{\"kind\":\"cli")] {
            fs::rename(&path, folder.path().join("log.1")).unwrap();
            if let Some(begun) = begun {
                fs::write(&path, begun).unwrap();
            }
            let mut files = Files::open(&path, Some(2000), 3).unwrap();
            assert!(!files.numbers.is_new(Client(1), 1), "{begun:?}");
            assert!(!files.numbers.is_new(Client(2), 199), "{begun:?}");
        }
    }

    #[test]
    fn all_old_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, Some(2000), u32::MAX).unwrap();
        for number in 1..200 {
            append(&mut files, 1, number);
        }
        drop(files);
        let count = fs::read_dir(folder.path()).unwrap().count();
        assert!(count > 10, "{count}");
        for number in 1..count {
            let old = folder.path().join(format!("log.{number}"));
            assert!(old.exists(), "{number} of {count}");
        }
    }

    #[test]
    fn old_files_stay_if_somebody_removes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, Some(2000), 3).unwrap();
        for number in 1..100 {
            append(&mut files, 1, number);
        }
        fs::remove_file(&path).unwrap();
        for number in 100..200 {
            append(&mut files, 1, number);
        }
        for number in 1..=3 {
            assert!(folder.path().join(format!("log.{number}")).exists());
        }
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thesis.txt");
        for text in [
            "a thesis",
            "a thesis\n",
            "{\"a\":1}\n",
            "{\"client\":\"1\"}\nhalf",
            // As a line of ours may begin, but as no file of ours.
            "{\"time\":\"noon\"}",
            "{\"client\":\"some",
        ] {
            fs::write(&path, text).unwrap();
            let failure = Files::open(&path, None, 1).err().unwrap();
            assert_eq!(failure.exit, Exit::Files);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_file_is_for_one_collector() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _first = Files::open(&path, None, 1).unwrap();
        let failure = Files::open(&path, None, 1).err().unwrap();
        let message = failure.message().unwrap();
        assert!(message.contains("another collector"), "{message}");
    }
}
