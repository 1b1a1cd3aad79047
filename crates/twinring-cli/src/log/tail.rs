//! What is at the end of a file of records, read from behind: whether it is whole, and how far each client had got.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::client::{Client, Numbers};
use super::record::Record;

/// A longer line is none of ours.
pub(super) const LONGEST: u64 = 4 << 20;

/// No more is read back.
const FARTHEST: u64 = 64 << 20;

const PIECE: u64 = 256 << 10;

/// A file begins with this, as the collector writes it.
const FIRST: &[u8] = b"{\"kind\":\"clients\",\"time\":\"";

/// A line of [`Clients`]. It cannot be in another one: line ends in texts are escaped.
const CLIENTS: &[u8] = b"\n{\"kind\":\"clients\",";

/// What a line may begin with.
const BEGINS: [&[u8]; 4] = [
    b"{\"kind\":\"",
    b"{\"client\":\"",
    b"{\"number\":",
    b"{\"time\":\"",
];

/// How far each client has got.
#[derive(Serialize, Deserialize)]
pub(super) struct Clients {
    pub(super) kind: String,
    pub(super) time: String,
    pub(super) clients: Vec<(Client, u64)>,
}

/// How a file ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Empty,
    /// Whole lines.
    Whole,
    /// The last line lacks its line end only.
    Unended,
    /// Whole lines up to here, then half a one, as a collector leaves it that is killed within a write.
    Half(u64),
    /// It is a log, but no collector ends one like this: the machine has failed, or somebody has changed it.
    Damaged,
    /// Nothing but zeros, which a machine that fails may leave of a new file.
    Zeros,
    /// It is somebody else's.
    Foreign,
}

pub(super) fn end(file: &mut File) -> io::Result<End> {
    let len = file.seek(SeekFrom::End(0))?;
    if len == 0 {
        return Ok(End::Empty);
    }
    let head = read_at(file, 0, PIECE)?;
    if head.iter().all(|byte| *byte == 0) {
        return Ok(End::Zeros);
    }
    if FIRST.starts_with(&head) {
        // The beginning of a first line, or of something else: that is not cut.
        return Ok(End::Damaged);
    }
    if !is_log(file)? {
        return Ok(End::Foreign);
    }
    let floor = len.saturating_sub(FARTHEST);
    let whole = find_back(file, floor..len, b"\n")?.map_or(0, |at| at + 1);
    let half = line_at(file, whole..len)?;
    let last_end = whole.saturating_sub(1);
    let last = find_back(file, floor..last_end, b"\n")?.map_or(0, |at| at + 1);
    let is_sound = whole == 0 || is_line(&line_at(file, last..last_end)?);
    Ok(if !is_sound {
        End::Damaged
    } else if half.is_empty() {
        End::Whole
    } else if is_line(&half) {
        End::Unended
    } else if is_beginning(&half) {
        End::Half(whole)
    } else {
        End::Damaged
    })
}

/// Whether a file begins as a collector's.
pub(super) fn is_log(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut first = Vec::new();
    BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut first)?;
    // A file that was cut while it was written begins with a record.
    Ok(first.starts_with(FIRST) || first.ends_with(b"\n") && is_line(&first))
}

/// Whether this is a line of ours.
fn is_line(line: &[u8]) -> bool {
    if line.starts_with(&CLIENTS[1..]) {
        serde_json::from_slice::<Clients>(line).is_ok()
    } else if line.starts_with(BEGINS[0]) {
        serde_json::from_slice::<IgnoredAny>(line).is_ok()
    } else {
        serde_json::from_slice::<Record>(line).is_ok()
    }
}

/// Whether this may be the beginning of a line of ours.
fn is_beginning(half: &[u8]) -> bool {
    let begins = BEGINS.iter().any(|begin| {
        let len = begin.len().min(half.len());
        begin[..len] == half[..len]
    });
    // A character may be cut, too.
    let is_text = std::str::from_utf8(half).map_or_else(|e| e.error_len().is_none(), |_| true);
    begins && is_text && !half.iter().any(u8::is_ascii_control)
}

/// Where to read what each client's last number is.
pub(super) struct From {
    pub(super) at: u64,
    /// A line there tells of all clients, so that nothing older needs to be read.
    pub(super) tells_all: bool,
    /// A line that should have told could not be read.
    pub(super) is_damaged: bool,
}

pub(super) fn from(file: &mut File) -> io::Result<From> {
    let len = file.seek(SeekFrom::End(0))?;
    let floor = len.saturating_sub(FARTHEST);
    let (mut end, mut is_damaged) = (len, false);
    loop {
        let found = find_back(file, floor..end, CLIENTS)?;
        let at = found.map_or(floor, |found| found + 1);
        file.seek(SeekFrom::Start(at))?;
        let mut line = Vec::new();
        BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line)?;
        let is_one = line.starts_with(&CLIENTS[1..]);
        let tells_all = is_one && is_line(&line);
        // Half a line at the end is none.
        is_damaged |= is_one && !tells_all && line.ends_with(b"\n");
        match found {
            Some(found) if !tells_all => end = found,
            _ => {
                return Ok(From {
                    at,
                    tells_all,
                    is_damaged,
                });
            }
        }
    }
}

/// Learns from what is there on how far each client has got. Lines that cannot be read are left out.
pub(super) fn learn(file: &mut File, at: u64, numbers: &mut Numbers) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    let (mut file, mut line) = (BufReader::new(file), Vec::new());
    loop {
        line.clear();
        let len = file.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if len == 0 {
            return Ok(());
        }
        if line.starts_with(&CLIENTS[1..]) {
            if let Ok(clients) = serde_json::from_slice::<Clients>(&line) {
                for (client, number) in clients.clients {
                    numbers.is_new(client, number);
                }
            }
        } else if let Ok(Record {
            client: Some(client),
            number: Some(number),
            ..
        }) = serde_json::from_slice(&line)
        {
            numbers.is_new(client, number);
        }
    }
}

/// Where this is last within a part of a file.
fn find_back(file: &mut File, part: std::ops::Range<u64>, what: &[u8]) -> io::Result<Option<u64>> {
    let mut end = part.end;
    // The beginning of the piece that was read before: it may be the rest of what begins in the next one.
    let mut rest = Vec::new();
    while end > part.start {
        let start = end.saturating_sub(PIECE).max(part.start);
        let mut piece = read_at(file, start, end - start)?;
        piece.extend_from_slice(&rest);
        let found = piece.windows(what.len()).rposition(|window| window == what);
        if let Some(found) = found {
            return Ok(Some(start + found as u64));
        }
        piece.truncate(what.len() - 1);
        (rest, end) = (piece, start);
    }
    Ok(None)
}

/// A line; nothing that could be one of ours if it is too long for that.
fn line_at(file: &mut File, line: std::ops::Range<u64>) -> io::Result<Vec<u8>> {
    match line.end - line.start {
        len if len > LONGEST => Ok(vec![0]),
        len => read_at(file, line.start, len),
    }
}

fn read_at(file: &mut File, start: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// At each place around the border of two pieces.
    #[test]
    fn found_from_behind() {
        let mut file = tempfile::tempfile().unwrap();
        let len = 2 * PIECE + 100;
        file.write_all(&vec![b'x'; len as usize]).unwrap();
        let (what, around) = (b"\n{mark", PIECE + 85);
        assert_eq!(find_back(&mut file, 0..len, what).unwrap(), None);
        for at in around..around + 30 {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(what).unwrap();
            assert_eq!(find_back(&mut file, 0..len, what).unwrap(), Some(at));
            assert_eq!(find_back(&mut file, 0..at + 5, what).unwrap(), None);
            assert_eq!(find_back(&mut file, at + 1..len, what).unwrap(), None);
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"xxxxxx").unwrap();
        }
    }
}
