//! `--exec`: a program whose standard input and output are connected to one link connection.
//!
//! ```text
//! connection ──► feed ────────► program ──► Sender ──► connection
//!                (this thread)     │        (its own thread)
//!                                  └─ Supervisor (its own thread): waits for the end of both, and sees to it
//! ```

use std::ffi::{OsStr, OsString};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use twinring::{By, Connection, End, ErrorKind};

use crate::exit::{Exit, Failure};
use crate::framing::{Framing, Messages, Next};
use crate::interrupt;
use crate::os::{self, Group, SIGTERM};
use crate::output::{Output, Step, step};
use crate::report::say;
use crate::session::{Session, interrupted, leave};
use crate::talk::{Over, too_long};

/// How often to look whether a program or its connection has ended.
const LOOK: Duration = Duration::from_millis(10);

/// How long a program may go on after its guest has left, or its output may stay open after its own end, before it
/// is asked to end.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// How long it may take to end then.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// The longest that the end of a program takes.
pub(crate) const LONGEST_END: Duration = Duration::from_secs(8);

/// A program to run for each connection.
pub(crate) struct Program {
    /// As the user calls it.
    name: OsString,
    path: PathBuf,
    arguments: Vec<OsString>,
    framing: Framing,
    quiet: bool,
    /// Those that have not ended yet.
    running: Mutex<Vec<JoinHandle<()>>>,
}

/// How a program's part in a connection went.
struct Outcome {
    how: Result<(), Failure>,
    /// How the connection had ended before the program had.
    end: Option<End>,
    /// The program wrote more than the peer has accepted.
    left: bool,
}

impl Program {
    /// Finds the program, so that one that does not exist is reported before anybody connects.
    pub(crate) fn find(
        name: &OsStr,
        arguments: &[OsString],
        framing: Framing,
        quiet: bool,
    ) -> Result<Program, Failure> {
        os::keep_exit_codes();
        let given = Path::new(name);
        // On Windows, a path from the root of the present drive on is none that `which` knows.
        let is_rooted = given.has_root() && !given.is_absolute() && given.is_file();
        let path = match which::which(name) {
            Ok(path) => path,
            Err(_) if is_rooted => given.to_owned(),
            Err(_) => {
                let text = "there is no such program, or it cannot be executed";
                return Err(failed(name, "run", &io::Error::other(text)));
            }
        };
        Ok(Program {
            name: name.to_owned(),
            path,
            arguments: arguments.to_vec(),
            framing,
            quiet,
            running: Mutex::default(),
        })
    }

    /// Runs the program for this connection. Returns when both have ended, or the connection has: then the program is
    /// brought to its end meanwhile.
    pub(crate) fn serve(&self, session: &Session, conn: &Connection) -> Over {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut group = Group::spawn(command).map_err(|e| failed(&self.name, "run", &e))?;
        let Some((stdin, stdout)) = group.pipes() else {
            return Err(failed(&self.name, "run", &io::ErrorKind::BrokenPipe.into()));
        };
        let outcome = self.supervise(group, stdout, conn)?;
        let fed = feed(session, conn, Output::new(self.framing, stdin));
        let outcome = loop {
            match outcome.recv_timeout(LOOK) {
                Ok(outcome) => break Some(outcome),
                // Unless the program is what ended it.
                Err(RecvTimeoutError::Timeout) => match conn.end() {
                    Some(End::Closed { by: By::Local, .. }) | None => {}
                    Some(_) => break None,
                },
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        Ok(match outcome {
            Some(Outcome { how, end, left }) => how.and(fed).and_then(|()| match end {
                Some(end) => session
                    .ended(conn, &end)
                    .and_then(|()| session.all_taken(conn, left)),
                None => Ok(()),
            }),
            None => fed.and_then(|()| match conn.end() {
                Some(end) => session
                    .ended(conn, &end)
                    .and_then(|()| session.all_taken(conn, false)),
                None => Ok(()),
            }),
        })
    }

    /// Starts what sends the program's output, and sees to its end. The result comes when it has ended.
    fn supervise(
        &self,
        group: Group,
        stdout: ChildStdout,
        conn: &Connection,
    ) -> Result<Receiver<Outcome>, Failure> {
        let (tell, outcome) = sync_channel(1);
        let (name, quiet) = (self.name.clone(), self.quiet);
        let output = Messages::new(self.framing, stdout);
        let mut supervisor = Supervisor {
            group,
            conn: conn.clone(),
        };
        let started = thread::Builder::new()
            .name("program".into())
            .spawn(move || {
                let outcome = supervisor.run(output, &name, quiet);
                // The connection may be over, and nobody wait for it.
                let _ = tell.send(outcome);
            });
        let thread = started.map_err(|e| failed(&self.name, "start a thread for", &e))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|thread| !thread.is_finished());
        running.push(thread);
        Ok(outcome)
    }

    /// Waits until none of the programs runs any more.
    pub(crate) fn wait_for_all(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in running.drain(..) {
            // It has told of its panic itself.
            let _ = thread.join();
        }
    }
}

fn failed(name: &OsStr, what: &str, e: &io::Error) -> Failure {
    let program = Path::new(name).display();
    Failure::new(Exit::Other, format_args!("cannot {what} {program}: {e}"))
}

/// Sees to the end of one program.
struct Supervisor {
    group: Group,
    conn: Connection,
}

/// What became of a program's output.
struct Sent {
    how: Result<(), Failure>,
    /// There was more than the peer has accepted.
    left: bool,
}

impl Supervisor {
    /// Sends what the program writes, and ends the connection when the program has ended.
    fn run(&mut self, output: Messages<ChildStdout>, name: &OsStr, quiet: bool) -> Outcome {
        let conn = self.conn.clone();
        let started = thread::Builder::new()
            .name("output".into())
            .spawn(move || send_output(&conn, output));
        let (sent, status) = match started {
            Ok(sending) => self.end(sending),
            Err(e) => {
                self.group.kill();
                (Sent::nothing(), Err(e))
            }
        };
        // Before this side ends it: whether the peer has.
        let end = self.conn.end();
        let how = match status {
            _ if interrupt::signal().is_some() => Err(interrupted()),
            Ok(status) => sent.how.and_then(|()| success(name, status)),
            Err(e) => Err(failed(name, "wait for", &e)),
        };
        leave(&self.conn, &how);
        let how = how.map_err(|failure| match failure.exit {
            Exit::Program(_) if quiet => Failure::silent(failure.exit),
            _ => failure,
        });
        Outcome {
            how,
            end,
            left: sent.left,
        }
    }

    /// Waits until the program has ended, and its output, which its children may have as well; ends those that go on
    /// without the guest or without the program.
    fn end(&mut self, sending: JoinHandle<Sent>) -> (Sent, io::Result<ExitStatus>) {
        let mut escalation = Escalation::default();
        loop {
            let ended = match self.group.has_ended() {
                Ok(ended) => ended,
                Err(e) => return (Sent::nothing(), Err(e)),
            };
            if ended && sending.is_finished() {
                let sent = sending.join().unwrap_or_else(|panic| resume_unwind(panic));
                return (sent, self.group.wait());
            }
            let signal = interrupt::signal();
            let must_end = ended || signal.is_some() || self.conn.end().is_some();
            match escalation.next(must_end, signal.is_some()) {
                Measure::Wait => thread::sleep(LOOK),
                Measure::Ask => self.group.ask(signal.unwrap_or(SIGTERM)),
                Measure::Kill => self.group.kill(),
                // What still has the output is none of ours.
                Measure::GiveUp => return (Sent::nothing(), self.group.wait()),
            }
        }
    }
}

impl Sent {
    fn nothing() -> Sent {
        Sent {
            how: Ok(()),
            left: false,
        }
    }
}

/// What to do with a program that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Wait,
    Ask,
    Kill,
    GiveUp,
}

/// Which measure is next, and since when the last one has had its time.
#[derive(Debug, Default)]
struct Escalation {
    since: Option<Instant>,
    taken: usize,
}

impl Escalation {
    /// `at_once`: the program is to be asked at once.
    fn next(&mut self, must_end: bool, at_once: bool) -> Measure {
        if !must_end {
            return Measure::Wait;
        }
        let first = if at_once { Duration::ZERO } else { ASK_AFTER };
        let measures = [
            (first, Measure::Ask),
            (KILL_AFTER, Measure::Kill),
            (ASK_AFTER, Measure::GiveUp),
        ];
        let since = *self.since.get_or_insert_with(Instant::now);
        match measures.get(self.taken) {
            Some((after, measure)) if since.elapsed() >= *after => {
                self.taken += 1;
                self.since = None;
                *measure
            }
            _ => Measure::Wait,
        }
    }
}

fn success(name: &OsStr, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let text = format!("{}: {status}", Path::new(name).display());
    Err(Failure::new(Exit::Program(os::exit_code(status)), text))
}

/// Gives the peer's messages to the program until the peer has finished, the program reads no more, or the connection is
/// over.
fn feed<W: io::Write>(
    session: &Session,
    conn: &Connection,
    mut stdin: Output<W>,
) -> Result<(), Failure> {
    let mut batch = None;
    loop {
        match step(conn, &mut stdin, &mut batch) {
            Step::Written => {}
            Step::Finished => return Ok(()),
            // It may still write something. What it has not read nobody has taken, and the peer is to know.
            Step::Output(_) => {
                conn.stop(0, "the program reads no more");
                return Ok(());
            }
            Step::Failed(e) => match e.end() {
                Some(_) if e.kind() == ErrorKind::StreamEnded => say(&e),
                // The program has ended.
                Some(End::Closed { by: By::Local, .. }) => return Ok(()),
                Some(end) => return session.ended(conn, end),
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
fn send_output(conn: &Connection, mut output: Messages<ChildStdout>) -> Sent {
    let mut message = Vec::new();
    let (mut sent, mut over) = (Sent::nothing(), false);
    loop {
        let longest = if over {
            u64::MAX
        } else {
            conn.peer_max_message()
        };
        let how = match output.next(&mut message, longest) {
            Ok(Next::End) => return sent,
            Ok(_) if over => continue,
            Ok(Next::TooLong) => Err(too_long(conn)),
            Ok(Next::Message) => match conn.send(&message) {
                Ok(()) => continue,
                // The receiving side reports how the connection ended.
                Err(e) if e.kind() == ErrorKind::Ended => Ok(()),
                Err(e) => Err(e.into()),
            },
            Err(e) => {
                let text = format!("cannot read the program's output: {e}");
                sent.how = sent.how.and(Err(Failure::new(Exit::Other, text)));
                return sent;
            }
        };
        (over, sent.left) = (true, true);
        if how.is_err() {
            leave(conn, &how);
            sent.how = how;
        }
    }
}
