//! Where one message ends and the next begins, on streams that consist only of bytes.
//!
//! | framing | on input | on output |
//! |---|---|---|
//! | line | each line is a message, without its newline | the message and a newline |
//! | raw | each piece is a message, as the system gives it | the bytes alone |
//! | length | 8 bytes, the length as a little-endian integer, then the message | the same |

use std::io::{self, BufRead, BufReader, Read, Write};

use clap::ValueEnum;

/// How messages are told apart on standard input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// One line is one message; a newline is added on output
    #[default]
    Line,
    /// Bytes as they come, in pieces of up to 64 KiB; message boundaries mean nothing
    Raw,
    /// Each message after its length in 8 bytes, little-endian; keeps boundaries of any bytes
    Length,
}

/// The longest message of raw framing: the most that one read returns.
const PIECE: usize = 64 * 1024;

/// Reads messages from a stream of bytes.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    framing: Framing,
    input: BufReader<R>,
    /// The last message was too long, and has not been read to its end.
    is_within: bool,
    /// Of a message with a length: the bytes that have not been read.
    missing: u64,
}

/// What the input has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Message,
    /// The next message is longer than asked for.
    TooLong,
    /// There is nothing more.
    End,
}

impl<R: Read> Messages<R> {
    pub(crate) fn new(framing: Framing, input: R) -> Messages<R> {
        Messages {
            framing,
            input: BufReader::with_capacity(PIECE, input),
            is_within: false,
            missing: 0,
        }
    }

    /// Reads the next message, of at most `longest` bytes, into `message`. After [`Next::TooLong`] this goes on with
    /// the same message, for somebody who takes more, if the buffer is the same.
    ///
    /// Memory grows as bytes arrive, up to `longest`, never by an announced length.
    pub(crate) fn next(&mut self, message: &mut Vec<u8>, longest: u64) -> io::Result<Next> {
        let longest = usize::try_from(longest).unwrap_or(usize::MAX);
        match self.framing {
            Framing::Line => self.line(message, longest),
            Framing::Raw => self.piece(message, longest),
            Framing::Length => self.counted(message, longest),
        }
    }

    fn line(&mut self, message: &mut Vec<u8>, longest: usize) -> io::Result<Next> {
        let mut any = std::mem::take(&mut self.is_within);
        if !any {
            message.clear();
        }
        loop {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                return Ok(if any { Next::Message } else { Next::End });
            }
            any = true;
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let n = newline.unwrap_or(buffer.len());
            let room = longest.saturating_sub(message.len());
            if n > room {
                append(message, &buffer[..room])?;
                self.input.consume(room);
                self.is_within = true;
                return Ok(Next::TooLong);
            }
            append(message, &buffer[..n])?;
            self.input.consume(n + usize::from(newline.is_some()));
            if newline.is_some() {
                return Ok(Next::Message);
            }
        }
    }

    fn piece(&mut self, message: &mut Vec<u8>, longest: usize) -> io::Result<Next> {
        message.clear();
        let buffer = fill(&mut self.input)?;
        // Whoever takes nothing is offered a byte, and says so.
        let n = buffer.len().min(longest.max(1));
        append(message, &buffer[..n])?;
        self.input.consume(n);
        Ok(if n > 0 { Next::Message } else { Next::End })
    }

    fn counted(&mut self, message: &mut Vec<u8>, longest: usize) -> io::Result<Next> {
        if !std::mem::take(&mut self.is_within) {
            message.clear();
            let mut length = [0; 8];
            match self.exactly(8, |at, bytes| {
                length[at..][..bytes.len()].copy_from_slice(bytes);
                Ok(())
            })? {
                0 => return Ok(Next::End),
                8 => self.missing = u64::from_le_bytes(length),
                _ => return Err(torn()),
            }
        }
        if self.missing > longest as u64 {
            self.is_within = true;
            return Ok(Next::TooLong);
        }
        let n = self.exactly(self.missing, |_, bytes| append(message, bytes))?;
        match n == self.missing {
            true => Ok(Next::Message),
            false => Err(torn()),
        }
    }

    /// Reads so many bytes, or what there is before the end. Returns how many there were.
    fn exactly(
        &mut self,
        length: u64,
        mut take: impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut done = 0;
        while done < length {
            let buffer = fill(&mut self.input)?;
            let n = buffer
                .len()
                .min(usize::try_from(length - done).unwrap_or(usize::MAX));
            if n == 0 {
                break;
            }
            take(done as usize, &buffer[..n])?;
            self.input.consume(n);
            done += n as u64;
        }
        Ok(done)
    }
}

/// What has been read and not consumed; nothing at the end.
fn fill<R: Read>(input: &mut BufReader<R>) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    Ok(input.buffer())
}

fn append(message: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    message.try_reserve(bytes.len()).map_err(|_| {
        let text = format!(
            "there is no memory for a message of more than {} bytes",
            message.len()
        );
        io::Error::new(io::ErrorKind::OutOfMemory, text)
    })?;
    message.extend_from_slice(bytes);
    Ok(())
}

fn torn() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the input ended inside a message",
    )
}

/// Writes one message to a stream of bytes.
pub(crate) fn write(framing: Framing, output: &mut impl Write, message: &[u8]) -> io::Result<()> {
    if framing == Framing::Length {
        output.write_all(&(message.len() as u64).to_le_bytes())?;
    }
    output.write_all(message)?;
    if framing == Framing::Line {
        output.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(framing: Framing, input: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut messages = Messages::new(framing, input);
        let (mut all, mut message) = (Vec::new(), Vec::new());
        while messages.next(&mut message, u64::MAX)? == Next::Message {
            all.push(message.clone());
        }
        Ok(all)
    }

    #[test]
    fn lines() {
        let all = read(Framing::Line, b"one\n\nthree\r\n\xff\0").unwrap();
        assert_eq!(all, [&b"one"[..], b"", b"three\r", b"\xff\0"]);
        assert!(read(Framing::Line, b"").unwrap().is_empty());
        assert_eq!(read(Framing::Line, b"\n").unwrap(), [b""]);
    }

    #[test]
    fn raw_pieces() {
        assert_eq!(read(Framing::Raw, b"a\nb").unwrap(), [b"a\nb"]);
        let long = vec![7; 3 * PIECE + 1];
        let all = read(Framing::Raw, &long).unwrap();
        assert_eq!(all.concat(), long);
        assert!(all.iter().all(|piece| piece.len() <= PIECE));
    }

    /// It is kept for somebody who takes more.
    #[test]
    fn too_long() {
        let mut message = Vec::new();
        let mut next = |messages: &mut Messages<&[u8]>, longest| {
            let next = messages.next(&mut message, longest).unwrap();
            (next, message.clone())
        };
        let mut lines = Messages::new(Framing::Line, &b"four\nfive5\n"[..]);
        assert_eq!(next(&mut lines, 4), (Next::Message, b"four".to_vec()));
        for (longest, has) in [(4, "five"), (2, "five"), (0, "five")] {
            assert_eq!(next(&mut lines, longest), (Next::TooLong, has.into()));
        }
        assert_eq!(next(&mut lines, 5), (Next::Message, b"five5".to_vec()));
        assert_eq!(next(&mut lines, 5).0, Next::End);
        let stream = b"\x03\0\0\0\0\0\0\0abc\xff\0\0\0\0\0\0\x7f";
        let mut counted = Messages::new(Framing::Length, &stream[..]);
        assert_eq!(next(&mut counted, 2).0, Next::TooLong);
        assert_eq!(next(&mut counted, 3), (Next::Message, b"abc".to_vec()));
        assert_eq!(next(&mut counted, 1 << 40).0, Next::TooLong);
        let mut pieces = Messages::new(Framing::Raw, &b"abc"[..]);
        assert_eq!(next(&mut pieces, 2), (Next::Message, b"ab".to_vec()));
        assert_eq!(next(&mut pieces, 0), (Next::Message, b"c".to_vec()));
    }

    #[test]
    fn torn_lengths() {
        assert!(read(Framing::Length, b"").unwrap().is_empty());
        for input in [
            &b"\x01"[..],
            b"\x01\0\0\0\0\0\0\0",
            b"\x05\0\0\0\0\0\0\0four",
            b"\xff\xff\xff\xff\xff\xff\xff\xffnot that much",
        ] {
            let e = read(Framing::Length, input).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    proptest! {
        #[test]
        fn length_framing_keeps_every_message(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)
        ) {
            let mut stream = Vec::new();
            for message in &sent {
                write(Framing::Length, &mut stream, message).unwrap();
            }
            prop_assert_eq!(read(Framing::Length, &stream).unwrap(), sent);
        }

        #[test]
        fn line_framing_keeps_every_line(
            mut sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)
        ) {
            let mut stream = Vec::new();
            for message in &mut sent {
                message.retain(|byte| *byte != b'\n');
                write(Framing::Line, &mut stream, message).unwrap();
            }
            prop_assert_eq!(read(Framing::Line, &stream).unwrap(), sent);
        }

        #[test]
        fn any_bytes_are_messages_or_an_error(stream in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(read(Framing::Raw, &stream).unwrap().concat(), stream.clone());
            let _ = read(Framing::Length, &stream);
        }
    }
}
