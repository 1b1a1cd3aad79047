//! `twinring log`: what many applications say, to a file or to standard output.
//!
//! ```text
//! mod ── collect ──► hub      all clients on one thread
//!                    record   what they say, checked       client   who they are, how far each has got
//!                    sink ─┬► files   lines that survive   tail     what is in them already
//!                          └► text    lines for people     filter
//! read               a file's records
//! ```

mod client;
mod files;
mod filter;
mod hub;
mod read;
mod record;
mod sink;
mod tail;
mod text;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ColorChoice, ValueEnum};
use twinring::{Access, ErrorKind, Link, Listener};

use crate::access::{self, parse_access};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::os::{await_gone_output, raise_limit_of_files};
use crate::report::say;
use crate::session::interrupted;
use crate::size::parse_size;

use files::Files;
use filter::Filter;
use hub::{Hub, Woken};
use sink::Sink;

pub(crate) const HELP: &str = "\
Examples:
  twinring log app                              what applications say to \"app\", as it comes
  twinring log app -o app.log                   the same to a file, a line of JSON for each record
  twinring log app -o app.log --rotate 100M --keep 5
  twinring log --read app.log --level warn      what is in a file
  twinring log --read app.log --follow --grep timeout

Applications use the crate twinring-tracing, or send lines: twinring connect app. They may be started before, and \
this command may be stopped, killed and started again: a file has every record once (lines without a number at least \
once), standard output at least once. A second collector of the same name or file is refused.

Exit codes:
  0    --read: the file was read to its end
  1    standard output cannot be written, or something else failed
  2    the command line is wrong (also a bad link name or option)
  4    refused: the name has a collector, or access is denied
  6    the file cannot be read or written, is no log, or has a collector
  130  interrupted (Ctrl-C); on Unix the command dies by the signal, as shells and supervisors expect
If nobody reads standard output any more, it ends without a word: on Unix by SIGPIPE, on Windows with 1.";

/// A pause after a round with little in it: what comes meanwhile costs its sender no wake-up, which is most of what a record
/// can cost.
const PAUSE: Duration = Duration::from_millis(5);

/// So many bytes of lines are little.
const LITTLE: usize = 32 << 10;

/// How long a collector that is interrupted goes on with what is there.
const DRAIN: Duration = Duration::from_secs(1);

/// When it ends, whatever it waits for.
const GRACE: Duration = Duration::from_secs(3);

/// What applications are told that lose their collector by an interrupt.
const INTERRUPTED: u32 = 130;

/// `twinring log`
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// The name that the applications send to: any text of 1 to 255 bytes
    #[arg(required_unless_present = "read")]
    name: Option<String>,

    /// Write to this file, one JSON object in a line, instead of standard output
    #[arg(short, long, value_name = "FILE", requires = "name")]
    output: Option<PathBuf>,

    /// Begin another file when FILE has this length; the old one becomes FILE.1, and that FILE.2. Others may
    /// rename FILE, too (logrotate): a new one is begun then
    #[arg(long, value_name = "SIZE", value_parser = parse_length, requires = "output")]
    rotate: Option<u64>,

    /// Keep this many old files
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), requires = "rotate")]
    keep: u32,

    /// Take at most so much of each application in a second; what is more waits there, and is dropped there and counted if that
    /// has no room
    #[arg(long, value_name = "SIZE", value_parser = parse_length, conflicts_with = "read")]
    rate: Option<u64>,

    /// Show what is in a file that was written by --output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "output"])]
    read: Option<PathBuf>,

    /// At the end of the file wait for more, also when it is rotated
    // It conflicts with the name, or clap would take that for a reason not to require `read`.
    #[arg(short = 'F', long, requires = "read", conflicts_with = "name")]
    follow: bool,

    #[command(flatten)]
    filter: Filter,

    /// What standard output gets
    #[arg(
        short,
        long,
        value_name = "HOW",
        value_enum,
        default_value_t,
        conflicts_with = "output"
    )]
    format: Format,

    /// Colours: `auto` on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,

    /// Memory for what an application may be ahead: a power of two from 64K to 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_ring, default_value = "256K")]
    ring_capacity: u64,

    /// Directory for the link's lock and socket, the same as the applications' [default: the user's own runtime
    /// directory; for --access service /run/twinring]; not used on Windows
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,

    #[arg(long, value_name = "WHO", value_parser = parse_access, default_value = "same", help = access::HELP)]
    access: Access,

    /// Print nothing but records and errors
    #[arg(short, long)]
    quiet: bool,
}

/// How a record looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// As in a file
    Json,
}

/// The shortest file that is rotated: its first line alone may take some of that.
fn parse_length(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size < 64 << 10 => Err("write at least 64K".into()),
        size => Ok(size),
    }
}

/// A record has to fit into a quarter of it.
fn parse_ring(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size if size < 64 << 10 => Err("write at least 64K".into()),
        size => Ok(size),
    }
}

pub(crate) fn run(args: &LogArgs) -> Result<(), Failure> {
    let stdout = || Sink::stdout(args.color, args.format, args.filter.clone());
    match (&args.name, &args.read) {
        (_, Some(path)) => read::read(path, args.follow, &mut stdout()),
        (Some(name), None) => {
            // Before the file is touched: the name may have a collector.
            let listener = listen(args, name)?;
            let sink = match &args.output {
                Some(path) => match Files::open(path, args.rotate, args.keep) {
                    Ok(files) => Sink::files(files, args.filter.clone()),
                    Err(failure) => {
                        close(&listener, &failure);
                        return Err(failure);
                    }
                },
                None => stdout(),
            };
            if !args.quiet {
                say(format_args!("waiting for applications on link {name:?}"));
            }
            Err(collect(&listener, args.rate, sink))
        }
        (None, None) => unreachable!("the command line has one of them"),
    }
}

fn listen(args: &LogArgs, name: &str) -> Result<Listener, Failure> {
    // Each client takes some.
    raise_limit_of_files();
    let builder = Link::host(name)
        .ring_capacity(args.ring_capacity)
        .max_message(record::MAX_MESSAGE)
        .max_stream(record::MAX_MESSAGE)
        .access(args.access.clone())
        // Why an application does not get in: once for each kind in a row. One that ends at once has no need to.
        .on_error(|e| {
            if e.kind() != ErrorKind::NotConnected {
                say(e);
            }
        });
    let builder = match &args.directory {
        Some(path) => builder.directory(path),
        None => builder,
    };
    Ok(builder.listen()?)
}

/// Until it is interrupted, or cannot write. Why it has ended.
fn collect(listener: &Listener, rate: Option<u64>, mut sink: Sink) -> Failure {
    let mut hub = Hub::new(listener, rate);
    let woken = hub.woken();
    let stop = {
        let woken = woken.clone();
        move || woken.stop()
    };
    interrupt::watch(stop.clone(), GRACE, || {});
    if sink.is_stdout() {
        // Nobody may log anything for long after nobody reads it any more. Without this thread, the next record tells.
        let watch = move || {
            if await_gone_output() {
                stop();
            }
        };
        let _ = thread::Builder::new().name("output".into()).spawn(watch);
    }
    let failure = match rounds(&mut hub, &woken, &mut sink) {
        Ok(()) if interrupt::signal().is_none() => Failure::silent(Exit::OutputGone),
        Ok(()) => interrupted(),
        Err(failure) => failure,
    };
    // Told before the process ends, so that nobody takes it for a crash.
    match failure.exit {
        Exit::Interrupted => listener.close(INTERRUPTED, "interrupted"),
        _ => close(listener, &failure),
    }
    interrupt::unwatch();
    failure
}

fn close(listener: &Listener, failure: &Failure) {
    listener.close(failure.exit.code() as u32, "the log cannot be written");
}

fn rounds(hub: &mut Hub, woken: &Woken, sink: &mut Sink) -> Result<(), Failure> {
    let mut stop_at = None;
    loop {
        hub.wait();
        let mut received = hub.receive();
        if !received.is_empty() {
            sink.begin_round()?;
        }
        for one in &mut received {
            let mut bytes = 0;
            while let Some(message) = one.batch.next_message() {
                bytes += message.len() as u64;
                sink.add(message, one.client, one.pid)?;
            }
            hub.spent(one.id, bytes);
        }
        // Killed after this, it has written what comes again: the next one knows it by its numbers.
        let len = sink.write()?;
        for one in &mut received {
            one.batch.take();
        }
        if woken.is_stopped() {
            let stop_at = *stop_at.get_or_insert_with(|| Instant::now() + DRAIN);
            if received.is_empty() || Instant::now() > stop_at {
                return Ok(());
            }
        } else if len < LITTLE {
            drop(received);
            hub.pause(PAUSE);
        }
    }
}
