//! What a client is to get, as one sequence of bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use serde::{Deserialize, Serialize};

use crate::os;

/// A head, and a part of a file after it. Positions count from the head's first byte on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status line and the fields, with the empty line.
    pub head: Vec<u8>,
    /// Where in the file the part begins.
    pub start: u64,
    /// How long it is.
    pub len: u64,
}

/// Where a position is.
enum Place {
    Head(usize),
    /// An offset in the file, and how many bytes are left.
    File(u64, u64),
}

impl Response {
    /// How many bytes it has in all.
    pub fn total(&self) -> u64 {
        self.head.len() as u64 + self.len
    }

    /// How much of the file has gone at this position.
    pub fn of_file(&self, position: u64) -> u64 {
        position.saturating_sub(self.head.len() as u64)
    }

    fn place(&self, position: u64) -> Place {
        match usize::try_from(position) {
            Ok(at) if at < self.head.len() => Place::Head(at),
            _ => {
                let gone = self.of_file(position);
                Place::File(
                    self.start.saturating_add(gone),
                    self.len.saturating_sub(gone),
                )
            }
        }
    }

    /// Writes from `position` on, as much as there is room for now and at most `most` bytes; 0 if the file has become shorter.
    pub(crate) fn write_from(
        &self,
        position: u64,
        most: usize,
        file: &File,
        mut socket: &TcpStream,
    ) -> io::Result<usize> {
        match self.place(position) {
            Place::Head(at) => socket.write(&self.head[at..]),
            Place::File(offset, left) => {
                let most = usize::try_from(left).map_or(most, |left| most.min(left));
                os::send_file(socket, file, offset, most)
            }
        }
    }

    /// Reads from `position` on; 0 if the file has become shorter.
    pub(crate) fn read_from(
        &self,
        position: u64,
        file: &File,
        into: &mut [u8],
    ) -> io::Result<usize> {
        match self.place(position) {
            Place::Head(at) => {
                let mut rest = &self.head[at..];
                rest.read(into)
            }
            Place::File(offset, left) => {
                let most = usize::try_from(left).map_or(into.len(), |left| into.len().min(left));
                os::read_at(file, &mut into[..most], offset)
            }
        }
    }
}
