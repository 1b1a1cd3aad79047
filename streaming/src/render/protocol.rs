//! What is rendered, and what the two processes say to each other.

use serde::{Deserialize, Serialize};

/// Bytes of a pixel: red, green, blue.
const PIXEL: usize = 3;
/// A band is about so long: it is what is rendered again, at most, after a worker's end.
const BAND: usize = 256 << 10;
/// A message: the first row as a number of four bytes, then the rows.
pub(super) const ROW_NUMBER: usize = 4;

/// What is to be rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Pixels of a row, 1 to 16384.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// How long to look at a point.
    pub iterations: u32,
}

/// To a worker: the rows from this one on, and then the end.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) picture: Picture,
    pub(super) from: u16,
}

impl Picture {
    pub(super) fn row_len(&self) -> usize {
        usize::from(self.width) * PIXEL
    }

    pub(super) fn len(&self) -> usize {
        self.row_len() * usize::from(self.height)
    }

    /// How many rows the band has that begins with this row.
    pub(super) fn band(&self, from: u16) -> u16 {
        let rows = u16::try_from(BAND / self.row_len()).unwrap_or(u16::MAX);
        rows.max(1).min(self.height.saturating_sub(from))
    }
}
