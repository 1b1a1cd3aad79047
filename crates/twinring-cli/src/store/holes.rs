//! Files with holes: runs of zeros are skipped, and take no room where the file system can do that.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// The blocks of nearly every file system are of this size or parts of it.
const BLOCK: usize = 4096;

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes `data` to its place in a new file, but for whole blocks of zeros. If the file ends with
/// those, it is too short afterwards.
pub(super) fn write(file: &mut File, offset: u64, data: &[u8]) -> io::Result<()> {
    let (mut at, mut rest) = (offset, data);
    // What is to be written begins here.
    let mut begin = offset;
    while !rest.is_empty() {
        let block = BLOCK - (at % BLOCK as u64) as usize;
        let (block, after) = rest.split_at(block.min(rest.len()));
        if block == &ZEROS[..block.len()] {
            write_run(file, offset, data, begin..at)?;
            begin = at + block.len() as u64;
        }
        (at, rest) = (at + block.len() as u64, after);
    }
    write_run(file, offset, data, begin..at)
}

fn write_run(
    file: &mut File,
    offset: u64,
    data: &[u8],
    run: std::ops::Range<u64>,
) -> io::Result<()> {
    if run.is_empty() {
        return Ok(());
    }
    let part = (run.start - offset) as usize..(run.end - offset) as usize;
    file.seek(SeekFrom::Start(run.start))?;
    file.write_all(&data[part])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_contents_are_right_however_they_come(
            runs in prop::collection::vec((any::<bool>(), 1..3 * BLOCK), 0..6),
            piece in 1..3 * BLOCK,
        ) {
            let mut contents = Vec::new();
            for (zeros, length) in runs {
                contents.resize(contents.len() + length, if zeros { 0 } else { 7 });
            }
            let mut file = tempfile::tempfile().unwrap();
            let mut offset = 0;
            for piece in contents.chunks(piece) {
                write(&mut file, offset, piece).unwrap();
                offset += piece.len() as u64;
            }
            file.set_len(offset).unwrap();
            file.rewind().unwrap();
            let mut back = Vec::new();
            file.read_to_end(&mut back).unwrap();
            prop_assert!(back == contents);
        }
    }
}
