//! `--exec`: a program whose standard input and output are connected to one link connection.

use std::ffi::{OsStr, OsString};
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use twinring::{By, Connection, End, ErrorKind};

use crate::exit::{Exit, Failure};
use crate::framing::{Framing, Messages};
use crate::interrupt;
use crate::output::{Output, Step, discard, step};
use crate::report::say;
use crate::session::{Session, leave};
use crate::talk::Over;

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
    /// Runs the program for this connection, until both have ended.
    pub(crate) fn serve(&self, session: &Session, conn: &Connection) -> Over {
        let mut child = Command::new(self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| self.failed("run", &e))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let running = Running(Mutex::new(child));
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(self.failed("run", &io::ErrorKind::BrokenPipe.into()));
        };
        thread::scope(|scope| {
            let sender = thread::Builder::new()
                .name("output".into())
                .spawn_scoped(scope, || self.send(conn, stdout, &running))
                .map_err(|e| {
                    running.kill();
                    self.failed("start a thread for", &e)
                })?;
            let fed = feed(session, conn, Output::new(self.framing, stdin));
            // Its input has ended.
            if interrupt::happened() {
                running.kill();
            }
            let (how, end) = sender.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok(how
                .and(fed)
                .and_then(|()| end.map_or(Ok(()), |end| session.ended(&end))))
        })
    }

    /// Sends what the program writes, and ends the connection when the program has ended. Returns how that
    /// went, and how the connection had ended before.
    fn send(
        &self,
        conn: &Connection,
        stdout: ChildStdout,
        running: &Running,
    ) -> Result<(Result<(), Failure>, Option<End>), Failure> {
        let sent = send_output(conn, Messages::new(self.framing, stdout));
        let status = running.wait().map_err(|e| self.failed("wait for", &e));
        let end = conn.end();
        let how = match &status {
            Ok(status) => sent.and_then(|()| self.success(*status)),
            Err(failure) => Err(failure.clone()),
        };
        leave(conn, &how);
        status?;
        let how = how.map_err(|failure| match failure.exit {
            Exit::Program(_) if self.quiet => Failure::silent(failure.exit),
            _ => failure,
        });
        Ok((how, end))
    }

    fn success(&self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        let code = status.code().unwrap_or(Exit::Other.code());
        let program = Path::new(self.program).display();
        let text = format!("{program}: {status}");
        Err(Failure::new(Exit::Program(code), text))
    }

    fn failed(&self, what: &str, e: &io::Error) -> Failure {
        let program = Path::new(self.program).display();
        Failure::new(Exit::Other, format_args!("cannot {what} {program}: {e}"))
    }
}

/// Gives the peer's messages to the program until the peer has finished.
fn feed<W: io::Write>(
    session: &Session,
    conn: &Connection,
    stdin: Output<W>,
) -> Result<(), Failure> {
    let mut message = Vec::new();
    // `None` once the program reads no more; it may still write something.
    let mut stdin = Some(stdin);
    loop {
        let step = match &mut stdin {
            Some(stdin) => step(conn, stdin, &mut message),
            None => discard(conn, &mut message),
        };
        match step {
            Step::Written => {}
            Step::Finished => return Ok(()),
            Step::Output(_) => stdin = None,
            Step::Failed(e) => match e.end() {
                Some(_) if e.kind() == ErrorKind::StreamEnded => say(&e),
                // The program has ended.
                Some(End::Closed { by: By::Local, .. }) => return Ok(()),
                Some(end) => return session.ended(end),
                None => {
                    let failed = Err(e.into());
                    leave(conn, &failed);
                    return failed;
                }
            },
        }
    }
}

/// Sends what the program writes. Once the connection is over, the rest is read and discarded, so that
/// the program can end as it likes.
fn send_output(conn: &Connection, mut output: Messages<ChildStdout>) -> Result<(), Failure> {
    let mut message = Vec::new();
    let (mut sent, mut over) = (Ok(()), false);
    loop {
        match output.next(&mut message) {
            Ok(true) if over => {}
            Ok(true) => match conn.send(&message) {
                Ok(()) => {}
                // The receiving side reports how the connection ended.
                Err(e) if e.kind() == ErrorKind::Ended => over = true,
                Err(e) => {
                    over = true;
                    sent = Err(e.into());
                    leave(conn, &sent);
                }
            },
            Ok(false) => return sent,
            Err(e) => {
                let text = format!("cannot read the program's output: {e}");
                return sent.and(Err(Failure::new(Exit::Other, text)));
            }
        }
    }
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
