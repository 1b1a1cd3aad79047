//! How the program ends: the exit codes, and the messages for them.

use std::fmt;

use twinring::{By, End, Error, ErrorKind};

/// The part of `--help` that lists the exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0    all input was delivered, and what the peer sent came to its own end
  1    something else failed
  2    the command line is wrong (also a bad link name or option)
  3    no peer came within --timeout
  4    refused: the name is in use, the host is busy, access is denied, or the versions differ
  5    the peer crashed, failed, or left before it had taken everything
  6    a file could not be read, written or verified, changed while it was sent, or exists already
  130  interrupted (Ctrl-C); on Unix the command dies by the signal, as shells and supervisors expect
With --exec, the program's own exit code is passed on once it has run; a guest that asks for it with
--exit-status ends with it, too.";

/// An exit code other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Other,
    Usage,
    NoPeer,
    Refused,
    PeerGone,
    Files,
    Interrupted,
    /// Nobody reads standard output any more, as in `| head`: no error worth a line, and on Unix the end that shells expect.
    OutputGone,
    /// The code of a program that was run with `--exec`, here or by the peer.
    Program(i32),
}

impl Exit {
    pub(crate) fn code(self) -> i32 {
        match self {
            Exit::Other | Exit::OutputGone => 1,
            Exit::Usage => 2,
            Exit::NoPeer => 3,
            Exit::Refused => 4,
            Exit::PeerGone => 5,
            Exit::Files => 6,
            Exit::Interrupted => 130,
            Exit::Program(code) => code,
        }
    }
}

/// Why the program ends without success.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure {
            exit,
            message: Some(message.to_string()),
        }
    }

    /// A failure that has been reported already.
    pub(crate) fn silent(exit: Exit) -> Failure {
        Failure {
            exit,
            message: None,
        }
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        let exit = match e.kind() {
            ErrorKind::InvalidName | ErrorKind::InvalidOption => Exit::Usage,
            ErrorKind::TimedOut => Exit::NoPeer,
            ErrorKind::NameInUse
            | ErrorKind::Busy
            | ErrorKind::WrongOwner
            | ErrorKind::AccessDenied
            | ErrorKind::Version => Exit::Refused,
            // In a call that does not expect it, this is the interrupt handler's work.
            ErrorKind::Closed => return Failure::silent(Exit::Interrupted),
            ErrorKind::Ended => match e.end() {
                Some(End::Closed { by: By::Local, .. }) => {
                    return Failure::silent(Exit::Interrupted);
                }
                Some(end) => exit_of(end).unwrap_or(Exit::PeerGone),
                None => Exit::Other,
            },
            _ => Exit::Other,
        };
        Failure::new(exit, e)
    }
}

/// The exit code for a connection that ended like this; `None` if it ended well.
pub(crate) fn exit_of(end: &End) -> Option<Exit> {
    match end {
        // A code of 0 is a goodbye, or a peer that has what it wanted.
        End::Finished | End::Closed { code: 0, .. } | End::Stopped { code: 0, .. } => None,
        End::Fault { .. } => Some(Exit::Other),
        _ => Some(Exit::PeerGone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_ends_are_successes() {
        assert_eq!(exit_of(&End::Finished), None);
        assert_eq!(exit_of(&End::Crashed), Some(Exit::PeerGone));
    }

    #[test]
    fn the_help_lists_every_code() {
        for exit in [
            Exit::Other,
            Exit::Usage,
            Exit::NoPeer,
            Exit::Refused,
            Exit::PeerGone,
            Exit::Files,
            Exit::Interrupted,
        ] {
            let start = format!("\n  {:<4} ", exit.code());
            assert!(HELP.contains(&start), "{exit:?} is not in the help");
        }
    }
}
