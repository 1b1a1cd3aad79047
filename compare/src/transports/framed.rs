//! Messages on a stream of bytes: a length and the bytes, in one call for each message where the
//! system can; read through a buffer, long ones straight to their place.

use std::io::{BufReader, IoSlice, Read, Write};

use super::buffer::Buffer;
use super::{Receiver, Sender};
use crate::cell::Result;

/// Of the reader.
const BUFFER: usize = 64 * 1024;
const PREFIX: usize = 8;

/// How a message is handed to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    /// Length and bytes gathered by the system.
    Gathered,
    /// Copied together first if they are short, for systems that gather nothing.
    #[cfg_attr(not(windows), allow(dead_code, reason = "for named pipes"))]
    Joined,
}

pub(super) struct FramedSender<W> {
    to: W,
    hand: Hand,
    joined: Vec<u8>,
    /// Gives a second writer, if writes of several threads do not mix.
    another: Option<fn(&W) -> std::io::Result<W>>,
}

impl<W> FramedSender<W> {
    pub(super) fn new(to: W, hand: Hand) -> FramedSender<W> {
        FramedSender {
            to,
            hand,
            joined: Vec::new(),
            another: None,
        }
    }

    /// Several threads may write at once: each message is one write that the system keeps whole.
    #[cfg_attr(windows, allow(dead_code, reason = "for pipes of Unix"))]
    pub(super) fn whole_writes(mut self, another: fn(&W) -> std::io::Result<W>) -> Self {
        self.another = Some(another);
        self
    }
}

impl<W: Write + Send + 'static> Sender for FramedSender<W> {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let len = (message.len() as u64).to_ne_bytes();
        if self.hand == Hand::Joined && message.len() <= BUFFER {
            self.joined.clear();
            self.joined.extend_from_slice(&len);
            self.joined.extend_from_slice(message);
            return Ok(self.to.write_all(&self.joined)?);
        }
        let done = if self.hand == Hand::Gathered {
            self.to
                .write_vectored(&[IoSlice::new(&len), IoSlice::new(message)])?
        } else {
            0
        };
        if done < PREFIX {
            self.to.write_all(&len[done..])?;
        }
        Ok(self.to.write_all(&message[done.saturating_sub(PREFIX)..])?)
    }

    fn another(&self) -> Result<Option<Self>> {
        match self.another {
            None => Ok(None),
            Some(another) => Ok(Some(FramedSender {
                to: another(&self.to)?,
                hand: self.hand,
                joined: Vec::new(),
                another: self.another,
            })),
        }
    }
}

pub(super) struct FramedReceiver<R> {
    from: BufReader<R>,
    message: Buffer,
}

impl<R: Read> FramedReceiver<R> {
    pub(super) fn new(from: R) -> FramedReceiver<R> {
        FramedReceiver {
            from: BufReader::with_capacity(BUFFER, from),
            message: Buffer::received(),
        }
    }
}

impl<R: Read + Send + 'static> Receiver for FramedReceiver<R> {
    fn recv(&mut self, read: impl FnOnce(&[u8])) -> Result<()> {
        let mut len = [0; PREFIX];
        self.from.read_exact(&mut len)?;
        let message = self.message.take(u64::from_ne_bytes(len) as usize);
        self.from.read_exact(message)?;
        read(message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        for hand in [Hand::Gathered, Hand::Joined] {
            let mut sender = FramedSender::new(Vec::new(), hand);
            for len in [0, 1, 64, 100_000] {
                sender.send(&vec![7; len]).unwrap();
            }
            let mut receiver = FramedReceiver::new(std::io::Cursor::new(sender.to));
            for len in [0, 1, 64, 100_000] {
                let mut got = None;
                receiver.recv(|bytes| got = Some(bytes.to_vec())).unwrap();
                assert_eq!(got, Some(vec![7; len]));
            }
            assert!(receiver.recv(|_| ()).is_err());
        }
    }
}
