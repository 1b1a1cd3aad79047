//! A writer for pipes of Windows, whose system gathers nothing: short pieces are copied together
//! first, so that a message and its length are one call.

use std::io::{IoSlice, Result, Write};

/// Copying longer pieces would cost more than a call.
const SHORT: usize = 64 * 1024;

pub(super) struct Joined<W> {
    to: W,
    joined: Vec<u8>,
}

impl<W: Write> Joined<W> {
    pub(super) fn new(to: W) -> Joined<W> {
        Joined {
            to,
            joined: Vec::new(),
        }
    }
}

impl<W: Write> Write for Joined<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.to.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Result<usize> {
        if pieces.iter().any(|piece| piece.len() > SHORT) {
            return self.to.write_vectored(pieces);
        }
        self.joined.clear();
        for piece in pieces {
            self.joined.extend_from_slice(piece);
        }
        self.to.write_all(&self.joined)?;
        Ok(self.joined.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the first piece only, as files of Windows do.
    #[derive(Default)]
    struct Calls(Vec<usize>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_pieces_are_one_call_and_long_ones_are_not_copied() {
        let mut joined = Joined::new(Calls::default());
        for len in [0, 64, SHORT, SHORT + 1] {
            let message = vec![2; len];
            let pieces = [IoSlice::new(&[1; 8]), IoSlice::new(&message)];
            assert!(joined.write_vectored(&pieces).unwrap() >= 8);
        }
        assert_eq!(joined.to.0, [8, 72, SHORT + 8, 8]);
    }
}
