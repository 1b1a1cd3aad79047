//! `twinring listen` and `twinring connect`: standard input to the peer, its messages to standard
//! output.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use twinring::{Connection, End, ErrorKind};

use crate::exec;
use crate::exit::{Exit, Failure};
use crate::framing::{Framing, Messages};
use crate::output::{Output, Step, step};
use crate::report::say;
use crate::session::{Connections, LimitArgs, LinkArgs, RingArgs, Session, Side, leave};

pub(crate) const LISTEN_HELP: &str = "\
Examples:
  twinring listen chat                    what is typed here appears at the peer, and back
  twinring listen log --keep >> all.log   collect lines from one process after the other
  twinring listen db --keep --exec sqlite3 x.db
                                          each peer talks to a program of its own
  twinring listen data -f raw > dir.tar   bytes as they are

Input that is read while no peer is connected is kept for the next one. When the input ends, the peer \
is told that nothing more comes, and receiving goes on until the peer has finished, too; -N ends \
once the peer has everything.";

pub(crate) const CONNECT_HELP: &str = "\
Examples:
  twinring connect chat                   with `twinring listen chat` in another terminal
  echo status | twinring connect svc      a request, and its answers
  tar c dir | twinring connect data -N -f raw
  twinring connect svc --timeout 2 --exec ./client

The host may be started later, and a busy one is waited for, in the order of arrival, until --timeout. When the input \
ends, the host is told that nothing more comes, and receiving goes on until the host has finished, \
too; -N (once the host has everything) and --count end sooner.";

/// A guest's pause between two connections.
const PAUSE: Duration = Duration::from_millis(200);

/// How often to look whether a connection has ended whose peer has finished.
const LOOK: Duration = Duration::from_millis(10);

/// `twinring listen`
#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    ring: RingArgs,
    #[command(flatten)]
    talk: TalkArgs,
}

/// `twinring connect`
#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    talk: TalkArgs,
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

    /// When the input ends and the peer has everything, end, instead of receiving until it has finished
    #[arg(short = 'N', long)]
    close_on_eof: bool,

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
        conflicts_with_all = ["close_on_eof", "count"]
    )]
    exec: Vec<OsString>,
}

pub(crate) fn listen(args: &ListenArgs) -> Result<(), Failure> {
    let side = Side::Host {
        ring_capacity: args.ring.ring_capacity,
    };
    run(&args.talk, side)
}

pub(crate) fn connect(args: &ConnectArgs) -> Result<(), Failure> {
    run(&args.talk, Side::Guest)
}

fn run(args: &TalkArgs, side: Side) -> Result<(), Failure> {
    let connections = if args.keep {
        Connections::Many
    } else {
        Connections::One
    };
    let session = Session::open(&args.link, side, args.limit.max_message, connections)?;
    let session = Arc::new(session);
    let talked = match args.exec.split_first() {
        Some((program, arguments)) => {
            let program = exec::Program {
                program,
                arguments,
                framing: args.framing,
                quiet: args.link.quiet,
            };
            each(&session, args, side, |conn| program.serve(&session, conn))
        }
        None => {
            let mut input = Some(Input {
                framing: args.framing,
                keep: args.keep,
                close_on_eof: args.close_on_eof,
            });
            let mut printer = Printer {
                session: &session,
                output: Output::stdout(args.framing),
                left: args.count.map(NonZeroU64::get),
                keep: args.keep,
            };
            each(&session, args, side, |conn| {
                // Nothing is read before there is somebody to have it.
                if let Some(input) = input.take() {
                    input.start(&session)?;
                }
                printer.print(conn)
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
    close_on_eof: bool,
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
        let mut input = Messages::new(self.framing, io::stdin());
        let mut message = Vec::new();
        let mut conn = session.current_after(None);
        while let Some(current) = &conn {
            match input.next(&mut message) {
                Ok(true) => {}
                Ok(false) => {
                    session.finish();
                    if self.close_on_eof && current.flush().is_ok() {
                        session.end(Ok(()));
                    }
                    return Ok(());
                }
                Err(e) => {
                    let text = format!("cannot read standard input: {e}");
                    return Err(Failure::new(Exit::Other, text));
                }
            }
            while let Some(current) = &conn {
                match current.send(&message) {
                    Ok(()) => break,
                    // The thread that receives reports how the connection ended.
                    Err(e) if e.kind() == ErrorKind::Ended && !self.keep => return Ok(()),
                    Err(e) if !self.keep => return Err(e.into()),
                    Err(e) if e.kind() == ErrorKind::Ended => {}
                    // Only this peer does not take it.
                    Err(e) => {
                        say(&e);
                        leave(current, &Err(e.into()));
                    }
                }
                // No part of a message whose send failed is delivered: the next peer gets it.
                conn = session.current_after(Some(current.id()));
            }
        }
        Ok(())
    }
}

/// Messages to standard output.
struct Printer<'a> {
    session: &'a Session,
    output: Output<io::StdoutLock<'static>>,
    /// How many more to print.
    left: Option<u64>,
    keep: bool,
}

impl Printer<'_> {
    fn print(&mut self, conn: &Connection) -> Over {
        let mut message = Vec::new();
        while self.left != Some(0) {
            match step(conn, &mut self.output, &mut message) {
                Step::Written => self.left = self.left.map(|left| left - 1),
                // The input may not be at its end.
                Step::Finished => return Ok(self.session.ended(&outlast(conn))),
                // The reader of the output wants no more.
                Step::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                    self.session.end(Ok(()));
                    return Ok(Ok(()));
                }
                Step::Output(e) => return Err(cannot_write(&e)),
                Step::Failed(e) => match e.end() {
                    Some(_) if e.kind() == ErrorKind::StreamEnded => say(&e),
                    Some(end) => return Ok(self.session.ended(end)),
                    None if self.keep && e.kind() == ErrorKind::TooLarge => say(&e),
                    None => return Ok(Err(e.into())),
                },
            }
        }
        self.session.end(Ok(()));
        match self.output.flush() {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&e)),
            _ => Ok(Ok(())),
        }
    }
}

/// Waits for the end of a connection whose peer has finished.
fn outlast(conn: &Connection) -> End {
    loop {
        if let Some(end) = conn.end() {
            return end;
        }
        thread::sleep(LOOK);
    }
}

fn cannot_write(e: &io::Error) -> Failure {
    Failure::new(
        Exit::Other,
        format_args!("cannot write to standard output: {e}"),
    )
}
