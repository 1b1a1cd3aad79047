//! `--exec`: a program whose standard input and output are connected to one link connection.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use twinring::ErrorKind;

use crate::exit::{Exit, Failure};
use crate::framing::{Framing, Messages};
use crate::interrupt;
use crate::output::{Output, Step, step};
use crate::report::say;
use crate::session::Session;

/// How often to check whether a program that has closed its output has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A program to run for each connection.
pub(crate) struct Program<'a> {
    pub(crate) program: &'a OsStr,
    pub(crate) arguments: &'a [OsString],
    pub(crate) framing: Framing,
    pub(crate) quiet: bool,
}

impl Program<'_> {
    /// Runs the program for the session's current connection, until both have ended.
    pub(crate) fn serve(&self, session: &Arc<Session>) -> Result<(), Failure> {
        let failed = |what: &str, e: io::Error| {
            let program = Path::new(self.program).display();
            Failure::new(Exit::Other, format_args!("cannot {what} {program}: {e}"))
        };
        let mut child = Command::new(self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| failed("run", e))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let running = Arc::new(Running(Mutex::new(child)));
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(failed("run", io::ErrorKind::BrokenPipe.into()));
        };
        // The program's end is the connection's end; everything it wrote has been sent by then.
        let sending = {
            let (session, running, framing) = (session.clone(), running.clone(), self.framing);
            move || {
                let sent = send_output(&session, framing, stdout);
                let ended = running.wait().map(drop);
                session.end(sent.and(ended.map_err(cannot_wait)));
            }
        };
        let sender = thread::Builder::new()
            .name("output".into())
            .spawn(sending)
            .map_err(|e| failed("start a thread for", e))?;

        let over = self.feed(session, Output::new(self.framing, stdin));
        // That ends its input. Nothing is accepted any more from a peer that comes now.
        session.link.close();
        if interrupt::happened() {
            running.kill();
        }
        let status = running.wait().map_err(cannot_wait)?;
        let _ = sender.join();
        match over {
            Some(failure) if status.success() || failure.exit == Exit::Interrupted => Err(failure),
            _ => self.report(status),
        }
    }

    /// Gives the peer's messages to the program until the connection ends. Returns how, if it ended badly.
    fn feed<W: io::Write>(&self, session: &Session, mut stdin: Output<W>) -> Option<Failure> {
        let mut message = Vec::new();
        loop {
            match step(&session.link, &mut stdin, &mut message) {
                Step::Written => {}
                Step::Link(e) => match e.kind() {
                    ErrorKind::Closed => return None,
                    ErrorKind::ClosedHere => return session.outcome().err(),
                    ErrorKind::Aborted => say(&e),
                    _ => return Some(e.into()),
                },
                // It reads no more, but may still write something.
                Step::Output(_) => loop {
                    match session.link.recv_into(&mut message) {
                        Ok(_) => {}
                        Err(e) => match e.kind() {
                            ErrorKind::Aborted => {}
                            ErrorKind::Closed => return None,
                            ErrorKind::ClosedHere => return session.outcome().err(),
                            _ => return Some(e.into()),
                        },
                    }
                },
            }
        }
    }

    fn report(&self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        if !self.quiet {
            say(format_args!(
                "{}: {status}",
                Path::new(self.program).display()
            ));
        }
        let code = status.code().unwrap_or(Exit::Other.code());
        Err(Failure::silent(Exit::Program(code)))
    }
}

/// Sends what the program writes. Once the connection is over, the rest is read and discarded, so that
/// the program can end as it likes.
fn send_output(session: &Session, framing: Framing, stdout: ChildStdout) -> Result<(), Failure> {
    let mut output = Messages::new(framing, stdout);
    let mut message = Vec::new();
    let mut over = Ok(false);
    loop {
        match output.next(&mut message) {
            Ok(true) if matches!(over, Ok(false)) => {
                over = match session.link.send(&message) {
                    Ok(()) => Ok(false),
                    // The receiving side reports how the connection ended.
                    Err(e) if e.is_disconnect() || e.kind() == ErrorKind::ClosedHere => Ok(true),
                    Err(e) => {
                        let failure = Failure::from(e);
                        session.end(Err(failure.clone()));
                        Err(failure)
                    }
                };
            }
            Ok(true) => {}
            Ok(false) => return over.map(drop),
            Err(e) => {
                return over.and(Err(Failure::new(
                    Exit::Other,
                    format_args!("cannot read the program's output: {e}"),
                )));
            }
        }
    }
}

fn cannot_wait(e: io::Error) -> Failure {
    Failure::new(
        Exit::Other,
        format_args!("cannot wait for the program: {e}"),
    )
}

/// The program, for the two threads that wait for it.
struct Running(Mutex<Child>);

impl Running {
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            let status = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .try_wait()?;
            if let Some(status) = status {
                return Ok(status);
            }
            if interrupt::happened() {
                self.kill();
            }
            thread::sleep(LOOK);
        }
    }

    fn kill(&self) {
        // It fails only if the program has ended already.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}
