//! `twinring listen` and `twinring connect`: standard input to the peer, its messages to standard
//! output.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use twinring::ErrorKind;

use crate::exec;
use crate::exit::{Exit, Failure};
use crate::framing::{Framing, Messages};
use crate::output::{Output, Step, step};
use crate::report::say;
use crate::session::{Connections, LimitArgs, LinkArgs, RingArgs, Session, Side};

pub(crate) const LISTEN_HELP: &str = "\
Examples:
  twinring listen chat                    what is typed here appears at the peer, and back
  twinring listen log --keep >> all.log   collect lines from one process after the other
  twinring listen db --keep --exec sqlite3 x.db
                                          each peer talks to a program of its own
  twinring listen data -f raw > dir.tar   bytes as they are

Input that is read while no peer is connected is kept for the next one. When the input ends, \
receiving goes on until the peer closes, as with nc; -N ends then.";

pub(crate) const CONNECT_HELP: &str = "\
Examples:
  twinring connect chat                   with `twinring listen chat` in another terminal
  echo status | twinring connect svc --count 1
                                          one request, one answer
  tar c dir | twinring connect data -N -f raw
  twinring connect svc --timeout 2 --exec ./client

The host may be started later, and a busy one is tried again, until --timeout. When the input \
ends, receiving goes on until the peer closes, as with nc; -N and --count end sooner.";

/// The pause between two programs for the same host.
const PAUSE: Duration = Duration::from_millis(200);

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

    /// Close the link when the input ends, instead of receiving until the peer closes
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
    let open = |connections| Session::open(&args.link, side, args.limit.max_message, connections);
    if let Some((program, arguments)) = args.exec.split_first() {
        let program = exec::Program {
            program,
            arguments,
            framing: args.framing,
            quiet: args.link.quiet,
        };
        // A new link for each connection: what a program writes belongs to one peer only.
        let mut timeout = args.link.timeout;
        loop {
            let session = Arc::new(open(Connections::One)?);
            session.wait_connected(timeout)?;
            let served = program.serve(&session);
            session.close();
            match served {
                // An error with one peer does not concern the next one.
                Err(failure)
                    if args.keep && matches!(failure.exit, Exit::PeerGone | Exit::Program(_)) =>
                {
                    if let Some(message) = failure.message() {
                        say(message);
                    }
                }
                Ok(()) if args.keep => {}
                served => return served,
            }
            timeout = None;
            if side == Side::Guest {
                // A program that ends at once must not be started thousands of times a second.
                thread::sleep(PAUSE);
            }
        }
    }
    let session = Arc::new(open(connections)?);
    session.wait_connected(args.link.timeout)?;
    let sending = {
        let (session, framing, keep) = (session.clone(), args.framing, args.keep);
        let close_on_eof = args.close_on_eof;
        move || match send_input(&session, framing, keep) {
            Ok(Input::Ended) if close_on_eof => session.end(Ok(())),
            Ok(_) => {}
            Err(failure) => session.end(Err(failure)),
        }
    };
    // It may stay in a read of the input for ever; it ends with the process.
    thread::Builder::new()
        .name("input".into())
        .spawn(sending)
        .map_err(|e| Failure::new(Exit::Other, format_args!("cannot start a thread: {e}")))?;
    let printed = print_messages(&session, args);
    // The input's thread holds the session, too.
    session.close();
    printed
}

/// Why no more input is sent.
enum Input {
    Ended,
    /// The link is closed, or its one connection is over.
    LinkEnded,
}

fn send_input(session: &Session, framing: Framing, keep: bool) -> Result<Input, Failure> {
    let mut input = Messages::new(framing, io::stdin());
    let mut message = Vec::new();
    loop {
        match input.next(&mut message) {
            Ok(true) => {}
            Ok(false) => return Ok(Input::Ended),
            Err(e) => {
                return Err(Failure::new(
                    Exit::Other,
                    format_args!("cannot read standard input: {e}"),
                ));
            }
        }
        loop {
            match session.link.send(&message) {
                Ok(()) => break,
                Err(e) if e.kind() == ErrorKind::ClosedHere => return Ok(Input::LinkEnded),
                // The receiving side reports how the connection ended.
                Err(e) if e.is_disconnect() && !keep => return Ok(Input::LinkEnded),
                // No part of a message whose send failed is delivered: the next peer gets it.
                Err(e) if e.is_disconnect() => {
                    if session.link.wait_connected(Duration::MAX).is_err() {
                        return Ok(Input::LinkEnded);
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn print_messages(session: &Session, args: &TalkArgs) -> Result<(), Failure> {
    let mut output = Output::stdout(args.framing);
    let mut message = Vec::new();
    let mut left = args.count.map(NonZeroU64::get);
    while left != Some(0) {
        match step(&session.link, &mut output, &mut message) {
            Step::Written => left = left.map(|left| left - 1),
            // The reader of the output wants no more.
            Step::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Step::Output(e) => return Err(cannot_write(&e)),
            Step::Link(e) => match e.kind() {
                ErrorKind::ClosedHere => return session.outcome(),
                ErrorKind::Closed if !args.keep => return Ok(()),
                ErrorKind::Aborted => say(&e),
                _ if !args.keep => return Err(e.into()),
                _ if e.is_disconnect() => {}
                ErrorKind::TooLarge | ErrorKind::OutOfMemory => say(&e),
                _ => return Err(e.into()),
            },
        }
    }
    match output.flush() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&e)),
        _ => Ok(()),
    }
}

fn cannot_write(e: &io::Error) -> Failure {
    Failure::new(
        Exit::Other,
        format_args!("cannot write to standard output: {e}"),
    )
}
