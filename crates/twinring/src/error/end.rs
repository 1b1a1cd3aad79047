//! How a connection, or one direction of it, ended.

use std::fmt;

/// Which side of a connection did something.
///
/// ```
/// assert_ne!(twinring::By::Local, twinring::By::Peer);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// This process.
    Local,
    /// The process at the other end.
    Peer,
}

/// How a connection ended, or one direction of it, or a stream.
///
/// The same word is used by [`Connection::end`](crate::Connection::end), by
/// [`Status::Disconnected`](crate::Status::Disconnected) and by [`Error::end`](crate::Error::end).
/// Codes and texts are the program's own: any number, and at most 255 bytes of text.
///
/// ```
/// # use twinring::*;
/// # let (host, guest) = twinring::testing::pair()?;
/// host.close(3, "out of paper");
/// let error = guest.recv().unwrap_err();
/// match error.end() {
///     Some(End::Closed { by: By::Peer, code: 3, reason, .. }) => assert_eq!(reason, "out of paper"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), twinring::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The sender said that nothing more comes, and the receiver has everything.
    Finished,
    /// One side called [`close`](crate::Connection::close).
    #[non_exhaustive]
    Closed {
        /// Which side.
        by: By,
        /// The code that it gave.
        code: u32,
        /// The text that it gave.
        reason: String,
    },
    /// One side dropped its last handle without having finished: by an early return, by a panic, by a
    /// panic in a callback.
    #[non_exhaustive]
    Abandoned {
        /// Which side.
        by: By,
    },
    /// The peer's process ended, or its side vanished, without a word.
    Crashed,
    /// One side broke the protocol.
    #[non_exhaustive]
    Fault {
        /// Which side broke it.
        by: By,
        /// What it did.
        what: String,
    },
    /// The receiver wanted no more, of this direction or of this stream.
    #[non_exhaustive]
    Stopped {
        /// The code that it gave.
        code: u32,
        /// The text that it gave.
        reason: String,
    },
    /// The sender gave the stream up, by [`SendStream::abort`](crate::SendStream::abort).
    #[non_exhaustive]
    Aborted {
        /// The code that it gave.
        code: u32,
        /// The text that it gave.
        reason: String,
    },
}

/// A program's code and text, the text escaped: it comes from another process.
struct CodeAndText<'a>(u32, &'a str);

impl fmt::Display for CodeAndText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CodeAndText(code, reason) = self;
        if *code != 0 {
            write!(f, ", code {code}")?;
        }
        if !reason.is_empty() {
            write!(f, ": {}", reason.escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |by: &By| match by {
            By::Local => "this side",
            By::Peer => "the peer",
        };
        match self {
            End::Finished => f.write_str("finished"),
            End::Closed { by, code, reason } => {
                write!(
                    f,
                    "{} closed the connection{}",
                    who(by),
                    CodeAndText(*code, reason)
                )
            }
            End::Abandoned { by } => {
                write!(f, "{} gave up without finishing", who(by))
            }
            End::Crashed => f.write_str(
                "the peer has gone without a word: its process ended, or its link failed",
            ),
            End::Fault { by, what } => write!(f, "{} broke the protocol: {what}", who(by)),
            End::Stopped { code, reason } => {
                write!(
                    f,
                    "the receiver wants no more{}",
                    CodeAndText(*code, reason)
                )
            }
            End::Aborted { code, reason } => {
                write!(
                    f,
                    "the sender gave the stream up{}",
                    CodeAndText(*code, reason)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_are_escaped() {
        let end = End::Closed {
            by: By::Peer,
            code: 7,
            reason: "\x1b[31mred\n".to_owned(),
        };
        assert_eq!(
            end.to_string(),
            r"the peer closed the connection, code 7: \u{1b}[31mred\n"
        );
        let plain = End::Stopped {
            code: 0,
            reason: String::new(),
        };
        assert_eq!(plain.to_string(), "the receiver wants no more");
    }
}
