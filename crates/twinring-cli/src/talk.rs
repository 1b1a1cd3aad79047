//! `twinring listen` and `twinring connect`: standard input to the peer, its messages to standard
//! output.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use twinring::{By, Connection, End, ErrorKind};

use crate::exec;
use crate::exit::{Exit, Failure};
use crate::framing::{Framing, Messages, Next};
use crate::input::{Progress, Stdin};
use crate::interrupt;
use crate::output::{Output, Step, step, write_out};
use crate::report::say;
use crate::session::{
    Connections, LimitArgs, LinkArgs, OnInterrupt, RingArgs, Session, Side, interrupted, leave,
};
use crate::size::parse_pause;

pub(crate) const LISTEN_HELP: &str = "\
Examples:
  twinring listen chat                    what is typed here appears at the peer, and back
  twinring listen log --keep >> all.log   collect lines from one process after the other
  twinring listen db --keep --exec sqlite3 x.db
                                          each peer talks to a program of its own
  twinring listen data -f raw > dir.tar   bytes as they are

When the input ends, the peer is told that nothing more comes, and receiving goes on until the peer has \
finished, too: so a question gets its answer. -q ends sooner. Input that is read while no peer is connected is for \
the next one; with --keep, so is what a peer had not taken when it left. A message counts as taken when it has been \
written.

A program of --exec whose guest has left gets the end of its input, after a second SIGTERM (on Windows Ctrl-Break), \
after five more SIGKILL, and its children with it; the next guest is served meanwhile.";

pub(crate) const CONNECT_HELP: &str = "\
Examples:
  twinring connect chat                   with `twinring listen chat` in another terminal
  echo status | twinring connect svc      a request, and its answers
  tar c dir | twinring connect data -q 0 -f raw
  twinring connect svc --timeout 2 --exec ./client

The host may be started later, and a busy one is waited for, in the order of arrival, until --timeout. When the input \
ends, the host is told that nothing more comes, and receiving goes on until the host has finished, \
too; -q (once the host has everything) and --count end sooner.";

/// A guest's pause between two connections.
const PAUSE: Duration = Duration::from_millis(200);

/// How often to look whether a connection has ended whose peer has finished.
const LOOK: Duration = Duration::from_millis(10);

/// After this time of waiting for the end of the input the user is told so.
const TELL: Duration = Duration::from_secs(1);

/// `twinring listen`
#[derive(Args, Debug)]
#[command(mut_arg("quiet", |quiet| quiet.short(None)))]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    ring: RingArgs,
    #[command(flatten)]
    talk: TalkArgs,
}

/// `twinring connect`
#[derive(Args, Debug)]
#[command(mut_arg("quiet", |quiet| quiet.short(None)))]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    talk: TalkArgs,

    /// End with the exit code of the host's --exec program, as ssh does
    #[arg(long, conflicts_with_all = ["exec", "keep"])]
    exit_status: bool,
}

#[derive(Args, Debug)]
struct TalkArgs {
    #[command(flatten)]
    link: LinkArgs,
    #[command(flatten)]
    limit: LimitArgs,

    /// How messages are told apart on input and output
    #[arg(short, long, value_name = "HOW", value_enum, default_value_t)]
    framing: Framing,

    /// When the peer has gone, wait for the next one
    #[arg(short, long)]
    keep: bool,

    /// When the input has ended and the peer has everything, wait at most this long for it to finish (0: not at all)
    #[arg(short = 'q', long, value_name = "TIME", value_parser = parse_pause)]
    quit_after: Option<Duration>,

    /// The end of the input is the end of what is sent: always so; accepted because nc has it
    #[arg(short = 'N', hide = true)]
    _shut_down: bool,

    /// End after this many received messages
    #[arg(short, long, value_name = "N")]
    count: Option<NonZeroU64>,

    /// Run a program for each connection, with its input and output connected to the link; everything
    /// that follows is its command line. When the program ends, so does the connection
    #[arg(
        long,
        value_names = ["CMD", "ARGS"],
        num_args = 1..,
        allow_hyphen_values = true,
        conflicts_with_all = ["quit_after", "count"]
    )]
    exec: Vec<OsString>,
}

pub(crate) fn listen(args: &ListenArgs) -> Result<(), Failure> {
    let side = Side::Host {
        ring_capacity: args.ring.ring_capacity,
    };
    run(&args.talk, side, false)
}

pub(crate) fn connect(args: &ConnectArgs) -> Result<(), Failure> {
    run(&args.talk, Side::Guest, args.exit_status)
}

fn run(args: &TalkArgs, side: Side, exit_status: bool) -> Result<(), Failure> {
    // Before anybody connects.
    let program = match args.exec.split_first() {
        Some((program, arguments)) => Some(exec::Program::find(
            program,
            arguments,
            args.framing,
            args.link.quiet,
        )?),
        None => None,
    };
    let connections = if args.keep {
        Connections::Many
    } else {
        Connections::One
    };
    let session = Session::open(&args.link, side, args.limit.max_message, connections)?;
    let session = Arc::new(session);
    let talked = match &program {
        Some(program) => {
            session.on_interrupt(OnInterrupt::TellProgram);
            let served = each(&session, args, side, |conn| program.serve(&session, conn));
            program.wait_for_all();
            served
        }
        None => {
            session.on_interrupt(OnInterrupt::Drain);
            let progress = Arc::new(Progress::default());
            let mut input = Some(Input {
                framing: args.framing,
                keep: args.keep,
                quit_after: args.quit_after,
                progress: progress.clone(),
            });
            let mut printer = Printer {
                session: &session,
                output: Output::stdout(args.framing),
                left: args.count.map(NonZeroU64::get),
                keep: args.keep,
                quiet: args.link.quiet,
                exit_status,
                progress,
            };
            each(&session, args, side, |conn| {
                // Nothing is read before there is somebody to have it.
                if let Some(input) = input.take() {
                    input.start(&session)?;
                }
                if !args.keep {
                    return printer.print(conn);
                }
                let over = thread::scope(|scope| {
                    if session.is_behind() {
                        // Beside the receiving: a peer may send before it reads.
                        scope.spawn(|| session.catch_up(conn));
                    }
                    let over = printer.print(conn);
                    // So that nothing more is sent on it.
                    match &over {
                        Ok(how) => leave(conn, how),
                        Err(failure) => leave(conn, &Err(failure.clone())),
                    }
                    over
                });
                session.keep_unread(conn);
                over
            })
        }
    };
    // The input's thread holds the session, too.
    session.end(talked.clone());
    talked
}

/// How one connection ended; an outer error ends the command, whatever `--keep` says.
pub(crate) type Over = Result<Result<(), Failure>, Failure>;

/// Serves one connection, or one after the other.
fn each(
    session: &Session,
    args: &TalkArgs,
    side: Side,
    mut serve: impl FnMut(&Connection) -> Over,
) -> Result<(), Failure> {
    let mut timeout = args.link.timeout;
    while let Some(conn) = session.next(timeout.take())? {
        let how = serve(&conn)?;
        session.done(&conn, &how);
        if let Some(outcome) = session.outcome() {
            return outcome;
        }
        if interrupt::signal().is_some() {
            return Err(interrupted());
        }
        if !args.keep {
            return how;
        }
        if side == Side::Guest {
            // A host that ends each connection at once must not be asked thousands of times a second.
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// What becomes of standard input.
struct Input {
    framing: Framing,
    keep: bool,
    quit_after: Option<Duration>,
    progress: Arc<Progress>,
}

impl Input {
    /// Starts a thread, which may stay in a read of the input for ever; it ends with the process.
    fn start(self, session: &Arc<Session>) -> Result<(), Failure> {
        let session = session.clone();
        thread::Builder::new()
            .name("input".into())
            .spawn(move || {
                if let Err(failure) = self.send(&session) {
                    session.end(Err(failure));
                }
            })
            .map(drop)
            .map_err(|e| Failure::new(Exit::Other, format_args!("cannot start a thread: {e}")))
    }

    fn send(&self, session: &Session) -> Result<(), Failure> {
        let mut input = Messages::new(self.framing, Stdin(&self.progress));
        let mut message = Vec::new();
        let mut conn = session.current_after(None);
        while let Some(current) = &conn {
            let next = input.next(&mut message, current.peer_max_message());
            let next = next.map_err(|e| cannot("read standard input", &e))?;
            if next == Next::End {
                return self.finish(session, current);
            }
            self.progress.set_holds(true);
            while let Some(current) = &conn {
                let sent = match next {
                    Next::TooLong => Err(too_long(current)),
                    _ => match current.send(&message) {
                        Ok(()) => {
                            self.progress.set_holds(false);
                            break;
                        }
                        Err(e) if e.kind() == ErrorKind::Ended => Ok(()),
                        Err(e) => Err(e.into()),
                    },
                };
                match sent {
                    // The thread that receives reports how the connection ended.
                    Ok(()) if !self.keep => return Ok(()),
                    Ok(()) => {}
                    Err(failure) if !self.keep => return Err(failure),
                    // Only this peer does not take it.
                    Err(failure) => {
                        failure.message().into_iter().for_each(say);
                        leave(current, &Err(failure));
                    }
                }
                // No part of a message whose send failed is delivered: the next peer gets it.
                conn = session.current_after(Some(current.id()));
                if next == Next::TooLong {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The input is at its end.
    fn finish(&self, session: &Session, current: &Connection) -> Result<(), Failure> {
        self.progress.set_ended();
        session.finish();
        let Some(quit_after) = self.quit_after else {
            return Ok(());
        };
        if current.flush().is_ok() {
            let began = Instant::now();
            while current.end().is_none() && began.elapsed() < quit_after {
                thread::sleep(LOOK.min(quit_after));
            }
            session.end(Ok(()));
        }
        Ok(())
    }
}

/// No more of a message is read than the peer takes.
pub(crate) fn too_long(conn: &Connection) -> Failure {
    let most = conn.peer_max_message();
    let text =
        format_args!("a message is too long: the peer takes at most {most} bytes").to_string();
    Failure::new(Exit::Other, text)
}

/// Messages to standard output.
struct Printer<'a> {
    session: &'a Session,
    output: Output<io::StdoutLock<'static>>,
    /// How many more to print.
    left: Option<u64>,
    keep: bool,
    quiet: bool,
    /// The code with which the peer closes is this command's.
    exit_status: bool,
    /// Of the input.
    progress: Arc<Progress>,
}

impl Printer<'_> {
    fn print(&mut self, conn: &Connection) -> Over {
        let mut batch = None;
        while self.left != Some(0) {
            match step(conn, &mut self.output, &mut batch) {
                Step::Written => self.left = self.left.map(|left| left - 1),
                // The input may not be at its end.
                Step::Finished => {
                    let end = self.outlast(conn);
                    return Ok(self.over(conn, end.as_ref()));
                }
                Step::Output(e) => return Err(cannot("write to standard output", &e)),
                Step::Failed(e) => match e.end() {
                    Some(_) if e.kind() == ErrorKind::StreamEnded => say(&e),
                    Some(end) => return Ok(self.over(conn, Some(end))),
                    None if self.keep && e.kind() == ErrorKind::TooLarge => say(&e),
                    None => return Ok(Err(e.into())),
                },
            }
        }
        let written = write_out(&mut self.output, &mut batch);
        written.map_err(|e| cannot("write to standard output", &e))?;
        self.session.end(Ok(()));
        Ok(Ok(()))
    }

    /// Waits for the end of a connection whose peer has finished. `None` if this side is interrupted before that.
    fn outlast(&self, conn: &Connection) -> Option<End> {
        let began = Instant::now();
        let mut told = self.quiet;
        while interrupt::signal().is_none() {
            if let Some(end) = conn.end() {
                return Some(end);
            }
            if !told && began.elapsed() >= TELL && !self.progress.has_ended() {
                say("the peer has finished; this side goes on until its input ends");
                told = true;
            }
            thread::sleep(LOOK);
        }
        None
    }

    /// How the command's part in a connection that has ended went.
    fn over(&self, conn: &Connection, end: Option<&End>) -> Result<(), Failure> {
        let Some(end) = end.filter(|_| interrupt::signal().is_none()) else {
            return Err(interrupted());
        };
        match end {
            End::Closed {
                by: By::Peer,
                code: code @ 1..=255,
                reason,
                ..
            } if self.exit_status => {
                return Err(Failure::new(Exit::Program(*code as i32), reason));
            }
            _ => {}
        }
        self.session.ended(conn, end)?;
        // The next peer gets what is left.
        if self.keep {
            return Ok(());
        }
        let left = self.progress.is_left_over();
        self.session.all_taken(conn, left)
    }
}

fn cannot(what: &str, e: &io::Error) -> Failure {
    Failure::new(Exit::Other, format_args!("cannot {what}: {e}"))
}
