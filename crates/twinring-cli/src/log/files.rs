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
//!
//! Others may rename, remove or cut FILE at any time: each round begins with a look whether it is still there and as long as
//! this collector has made it.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Numbers;
use super::record::now;
use super::tail::{self, Clients, End};
use crate::exit::{Exit, Failure};
use crate::os::files::{is_at, open_alone};
use crate::report::say;

/// So much is written between two lines that say how far each client has got.
const CLIENTS_EVERY: u64 = 8 << 20;

/// How long a collector that was killed may take to leave its file.
const OPEN: Duration = Duration::from_secs(2);

pub(super) struct Files {
    path: PathBuf,
    /// How long a file may become, and how many are kept besides.
    rotate: Option<u64>,
    keep: u32,
    file: File,
    /// Not a device or a pipe, which has no end to be read.
    is_regular: bool,
    len: u64,
    /// Where to say next how far clients have got; where to begin another file.
    clients_at: u64,
    rotate_at: u64,
    pub(super) numbers: Numbers,
}

impl Files {
    /// Opens the file for this collector alone, repairs its end, and learns how far each client has got.
    pub(super) fn open(path: &Path, rotate: Option<u64>, keep: u32) -> Result<Files, Failure> {
        Files::try_open(path, rotate, keep).map_err(|e| failed(path, &e))
    }

    fn try_open(path: &Path, rotate: Option<u64>, keep: u32) -> io::Result<Files> {
        let file = open(path)?;
        // A symbolic link stays what it is: what it leads to is rotated, beside itself.
        let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink());
        let path = match is_link {
            true => fs::canonicalize(path)?,
            false => path.to_owned(),
        };
        let mut files = Files {
            path,
            rotate,
            keep,
            is_regular: file.metadata()?.is_file(),
            file,
            len: 0,
            clients_at: u64::MAX,
            rotate_at: u64::MAX,
            numbers: Numbers::default(),
        };
        if files.is_regular {
            files.begin()?;
        }
        Ok(files)
    }

    fn begin(&mut self) -> io::Result<()> {
        let end = self.end()?;
        let is_damaged = self.learn()?;
        self.mend(match end {
            End::Whole | End::Unended | End::Half(_) if is_damaged => End::Damaged,
            end => end,
        })?;
        match self.len {
            0 => self.write_first(),
            _ => Ok(()),
        }
    }

    /// How the file ends, if it is a log.
    fn end(&mut self) -> io::Result<End> {
        let end = tail::end(&mut self.file)?;
        let old_is_log = || tail::is_log(&mut File::open(self.old(1))?);
        match end {
            End::Zeros if old_is_log().unwrap_or(false) => Ok(End::Damaged),
            End::Zeros | End::Foreign => Err(io::Error::other(
                "it is no log: it does not begin with a record. Name another file",
            )),
            end => Ok(end),
        }
    }

    /// Learns how far each client has got from this file, and from older ones if it does not tell of all. Returns whether a
    /// line in it that should have told is damaged.
    fn learn(&mut self) -> io::Result<bool> {
        let from = tail::from(&mut self.file)?;
        let (is_damaged, mut tells_all) = (from.is_damaged, from.tells_all);
        let mut old = Vec::new();
        for number in 1..=self.keep {
            if tells_all {
                break;
            }
            let path = self.old(number);
            let Some(mut file) = open_old(&path).map_err(cannot("read", &path))? else {
                break;
            };
            let from = tail::from(&mut file).map_err(cannot("read", &path))?;
            tells_all = from.tells_all;
            old.push((file, from.at));
        }
        for (mut file, at) in old.into_iter().rev() {
            tail::learn(&mut file, at, &mut self.numbers)?;
        }
        tail::learn(&mut self.file, from.at, &mut self.numbers)?;
        Ok(is_damaged)
    }

    /// Makes its end one that lines can be added to, or begins another file.
    fn mend(&mut self, end: End) -> io::Result<()> {
        match end {
            // It will come again.
            End::Half(whole) => self.file.set_len(whole)?,
            End::Unended => {
                self.file.seek(SeekFrom::End(0))?;
                self.file.write_all(b"\n")?;
            }
            End::Damaged => {
                self.set_aside()?;
                say(format_args!(
                    "{} was damaged, as when the machine fails: it is {} now, and another file is begun",
                    self.path.display(),
                    self.old(1).display()
                ));
                self.file = open(&self.path)?;
            }
            End::Empty | End::Whole | End::Zeros | End::Foreign => {}
        }
        self.len = self.file.seek(SeekFrom::End(0))?;
        self.rotate_at = self.rotate.unwrap_or(u64::MAX);
        self.clients_at = self.len + CLIENTS_EVERY;
        Ok(())
    }

    /// Goes on with the file that has this path now. What it tells of clients is older than what this collector knows.
    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        let end = self.end()?;
        self.mend(end)?;
        self.write_first()
    }

    /// Looks whether others have renamed, removed or changed the file, and goes on in the one that is there then. To be called
    /// while `numbers` say what is written, and nothing that is still to be.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        if self.is_regular {
            self.try_look().map_err(|e| self.failed(&e))
        } else {
            Ok(())
        }
    }

    fn try_look(&mut self) -> io::Result<()> {
        if !is_at(&self.path, &self.file).unwrap_or(false) {
            return self.reopen();
        }
        if self.file.metadata()?.len() == self.len {
            return Ok(());
        }
        let end = self.end()?;
        self.mend(end)?;
        self.write_first()
    }

    /// Whether so many bytes more make it as long as it may become.
    pub(super) fn is_full_with(&self, bytes: usize) -> bool {
        self.len + bytes as u64 >= self.rotate_at
    }

    /// Adds whole lines, all or none. Their records are in `numbers`, and no others that are not written.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.try_append(lines).map_err(|e| self.failed(&e))
    }

    fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
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

    /// The first line of a file; what it takes is not the records'.
    fn write_first(&mut self) -> io::Result<()> {
        let before = self.len;
        self.write_clients()?;
        self.rotate_at = self.rotate_at.saturating_add(self.len - before);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if let Err(e) = self.set_aside() {
            say(format_args!(
                "cannot begin another file after {}: {e}; it becomes longer",
                self.path.display()
            ));
            self.rotate_at = self.len + self.rotate.unwrap_or(0);
            return Ok(());
        }
        self.reopen()
    }

    /// Makes it the first of the old ones. If somebody has removed it, these stay.
    fn set_aside(&self) -> io::Result<()> {
        if !is_at(&self.path, &self.file).unwrap_or(false) {
            return Ok(());
        }
        let is_free = |number: &u32| fs::symlink_metadata(self.old(*number)).is_err();
        let last = (1..self.keep).find(is_free).unwrap_or(self.keep);
        let rename = |from: &Path, to: PathBuf| {
            let what = format!("rename {} to", from.display());
            fs::rename(from, &to).map_err(cannot(&what, &to))
        };
        for number in (1..last).rev() {
            rename(&self.old(number), self.old(number + 1))?;
        }
        rename(&self.path, self.old(1))
    }

    fn old(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn failed(&self, e: &io::Error) -> Failure {
        failed(
            &self.path,
            &format_args!("{e}; what is not written stays with the applications"),
        )
    }
}

fn failed(path: &Path, e: &dyn Display) -> Failure {
    Failure::new(
        Exit::Files,
        format_args!("cannot write to {}: {e}", path.display()),
    )
}

/// Says of an error what could not be done with another file.
fn cannot(what: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let what = format!("cannot {what} {}", path.display());
    move |e| io::Error::new(e.kind(), format!("{what}: {e}"))
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

/// Opens an old file, if there is one.
fn open_old(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(it) if it.is_file() => File::open(path).map(Some),
        Ok(_) => Err(io::Error::other(
            "it is no file; rename it, or name another file for the log",
        )),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Client;
    use super::super::record::Record;
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
                None => assert!(now.starts_with(b"{\"kind\":\"clients\",") && now.ends_with(b"\n")),
            }
            assert_eq!(
                is_known(&mut files, 1, 1),
                len + 1 >= last && len + 1 < whole.len(),
                "{len}"
            );
        }
    }

    /// What a machine that fails may leave, and what somebody may have done.
    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut files = Files::open(&path, None, 1).unwrap();
        for number in 1..100 {
            append(&mut files, 1, number);
        }
        drop(files);
        // Without the older ones: all is in this one.
        append(&mut Files::open(&path, None, 1).unwrap(), 2, 7);
        let sound = fs::read(&path).unwrap();
        let with = |damage: &[u8]| [&sound, damage].concat();
        let first_line = String::from_utf8(sound.clone()).unwrap();
        let first_line = first_line.replacen("\"clients\":[", "\"clients\":[[", 1);
        for damaged in [
            with(&[0; 5000]),
            with(b"\0\0\n\0"),
            with(b"{\"client\":\"00\0\0\0"),
            with(b"{\"client\":\"00\xff\xff\xff"),
            with(b"{\"kind\":\"clients\",\"time\":\"\",\"clients\":[[\"1\"]]}\n"),
            with(b"{\"kind\":\"clients\",\"time\":\"\",\"clients\":[[\"1\"]]}\n{\"client\":\"0"),
            with(&[b'x'; 5 << 20]),
            with("\n\u{fffd}\n".repeat(1 << 20).as_bytes()),
            first_line.into_bytes(),
        ] {
            fs::write(&path, &damaged).unwrap();
            let mut files = Files::open(&path, None, 1).unwrap();
            let old = fs::read(folder.path().join("log.1")).unwrap();
            assert!(old == damaged, "it is kept");
            assert!(is_known(&mut files, 1, 99) && is_known(&mut files, 2, 7));
            drop(files);
            fs::remove_file(folder.path().join("log.1")).unwrap();
            // The next one needs the new one only.
            let mut files = Files::open(&path, None, 1).unwrap();
            assert!(is_known(&mut files, 1, 99) && is_known(&mut files, 2, 7));
        }
        // Of a file of zeros beside an old log it is clear whose it was.
        fs::rename(&path, folder.path().join("log.1")).unwrap();
        fs::write(&path, [0; 9000]).unwrap();
        let mut files = Files::open(&path, None, 2).unwrap();
        assert!(is_known(&mut files, 1, 99));
        assert_eq!(fs::read(folder.path().join("log.1")).unwrap(), [0; 9000]);
    }

    /// It may be the beginning of a log, or of anything.
    #[test]
    fn what_may_be_another_s_is_not_cut() {
        for text in [
            "{",
            "{\"kind\":\"clients\",",
            "{\"kind\":\"clients\",\"time\":",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            fs::write(&path, text).unwrap();
            drop(Files::open(&path, None, 1).unwrap());
            let old = fs::read_to_string(folder.path().join("log.1")).unwrap();
            assert_eq!(old, text);
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
            files.look().unwrap();
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
            "\0\0\0",
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
