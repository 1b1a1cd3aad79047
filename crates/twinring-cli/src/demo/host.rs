//! The first process: starts the second one, sends requests, measures and reports.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use twinring::{Connection, End, Link, Status};
use xxhash_rust::xxh3::Xxh3;

use super::orders::{
    ECHO, FLOOD, SMALL_DONE, STREAM, STREAM_DONE, Sum, Tally, sealed_number, small,
};
use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::size::{show_bytes, show_count, show_rate, show_time};

pub(crate) const HELP: &str = "\
It starts a second process of this program, lets the two work over a link with a name of its own, \
kills the second one, and shows how the link handles that. Exit code 0: everything went as it \
should; any other: something did not, and the message says what.";

/// `twinring demo`
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Print the figures only, as one JSON object
    #[arg(long)]
    json: bool,
}

/// How long the demo may take to end after an interrupt.
const INTERRUPTED: Duration = Duration::from_secs(2);
/// How long each measurement lasts.
const MEASURE: Duration = Duration::from_millis(800);
/// The stream ends after this many bytes, or after [`STREAM_TIME`].
const STREAM_BYTES: u64 = 2 << 30;
const STREAM_TIME: Duration = Duration::from_millis(1500);
/// Length of the stream's messages.
const BLOCK: usize = 1 << 20;
/// Length of the one large message.
const LARGE: usize = 64 << 20;
/// How long the second process sends before it is killed.
const FLOOD_TIME: Duration = Duration::from_millis(300);
/// And how long this side does not read before that.
const UNREAD_TIME: Duration = Duration::from_millis(20);
/// The time within which everything must happen, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time limit for the whole demo, on the slowest machine.
const LONGEST: Duration = Duration::from_secs(90);

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    // A hang would be the worst thing for a demo to show.
    thread::spawn(|| {
        thread::sleep(LONGEST);
        crate::report::say("the demo hangs; it is given up");
        std::process::exit(Exit::Other.code());
    });
    // A directory of its own, so that it runs where the user has no runtime directory.
    let directory = tempfile::Builder::new()
        .prefix("twinring-demo-")
        .tempdir()
        .map_err(|e| failed(format_args!("cannot make a temporary directory: {e}")))?;
    // The link creates it, without access for others, whatever the umask is.
    let private = directory.path().join("run");
    let mut demo = Demo::begin(&private, args.json)?;
    let shown = demo.show();
    demo.end();
    shown?;
    demo.sum_up();
    match UNPRINTED.get() {
        Some(e) => Err(failed(format_args!("cannot write to standard output: {e}"))),
        None => Ok(()),
    }
}

/// Why something could not be printed. The demo goes on: its statuses come on other threads.
static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Other, what)
}

/// A status, and when it was reported.
type Event = (Instant, Status);

struct Demo<'a> {
    link: Link,
    /// From the first `connect` on.
    conn: Option<Connection>,
    directory: &'a Path,
    statuses: Receiver<Event>,
    peer: Option<Child>,
    json: bool,
    start: Instant,
    figures: Vec<(&'static str, f64)>,
}

impl<'a> Demo<'a> {
    fn begin(directory: &'a Path, json: bool) -> Result<Demo<'a>, Failure> {
        // The process id alone may be in use, for example in another container.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let name = format!(
            "twinring-demo-{}-{:x}",
            std::process::id(),
            now.unwrap_or_default().as_nanos()
        );
        let start = Instant::now();
        let (tell, statuses) = mpsc::channel();
        if !json {
            print(format_args!(
                "twinring demo: two processes exchange messages through shared memory, over the link\n  {name}\n\
                 This process hosts the link and starts the other one. Lines with » are the link's statuses,\n\
                 as they come.\n"
            ));
        }
        let link = Link::host(&name)
            .directory(directory)
            .on_status(move |status| {
                let now = Instant::now();
                if !json {
                    let at = now.duration_since(start).as_secs_f64();
                    print(format_args!("  » {at:.3} s  {status}"));
                }
                let _ = tell.send((now, status.clone()));
            })
            .open()?;
        let interrupted = link.clone();
        interrupt::watch(
            move || interrupted.close(Exit::Interrupted.code() as u32, "interrupted"),
            INTERRUPTED,
            || {},
        );
        Ok(Demo {
            link,
            conn: None,
            directory,
            statuses,
            peer: None,
            json,
            start,
            figures: Vec::new(),
        })
    }

    fn show(&mut self) -> Result<(), Failure> {
        self.connect()?;
        self.ping_pong()?;
        self.small_messages()?;
        self.stream()?;
        self.large_message()?;
        self.kill()?;
        self.reconnect()?;
        self.close()?;
        Ok(())
    }

    fn sum_up(&mut self) {
        let time = self.start.elapsed();
        self.figure("seconds", time.as_secs_f64());
        self.say(format_args!(
            "\nAll went as it should, in {}.",
            show_time(time)
        ));
        if self.json {
            let figures: Vec<_> = self
                .figures
                .iter()
                .map(|(name, value)| format!("\"{name}\":{value:.3}"))
                .collect();
            print(format_args!("{{{}}}", figures.join(",")));
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        self.wait_for("waiting", |status| matches!(status, Status::Waiting))?;
        self.step(
            "1. Connect: the second process connects to the link. Either side may start first.",
        );
        let began = Instant::now();
        self.spawn()?;
        let connected = self.wait_for("connected", Status::is_connected)?;
        self.conn = Some(self.link.within(PATIENCE).next()?);
        let time = connected - began;
        self.figure("connect_ms", time.as_secs_f64() * 1e3);
        self.say(format_args!(
            "  connected {} after the start of the process",
            show_time(time)
        ));
        Ok(())
    }

    fn ping_pong(&mut self) -> Result<(), Failure> {
        self.step("2. Ping-pong: 64 bytes there and back, one at a time.");
        let patient = self.conn()?.within(PATIENCE);
        let ping = [ECHO; 64];
        let mut pong = Vec::new();
        let mut times = Vec::new();
        let begin = Instant::now();
        while begin.elapsed() < MEASURE {
            let sent = Instant::now();
            patient.send(&ping)?;
            patient.recv_into(&mut pong)?;
            times.push(sent.elapsed());
            check(pong == ping, "a pong is not its ping")?;
        }
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let (p50, p99) = (at(50), at(99));
        self.figure("ping_pong_count", times.len() as f64);
        self.figure("ping_pong_p50_us", p50.as_secs_f64() * 1e6);
        self.figure("ping_pong_p99_us", p99.as_secs_f64() * 1e6);
        self.say(format_args!(
            "  {} round trips: half of them within {} (p50), 99 of 100 within {} (p99)",
            show_count(times.len() as u64),
            show_time(p50),
            show_time(p99)
        ));
        Ok(())
    }

    fn small_messages(&mut self) -> Result<(), Failure> {
        self.step("3. Many small messages: 64 bytes each, numbered, one way.");
        let conn = self.conn()?;
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < MEASURE {
            for _ in 0..100 {
                conn.send(&small(count))?;
                count += 1;
            }
        }
        self.conn()?.send(&[SMALL_DONE])?;
        let answer = self.answer()?;
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        let right = Tally { count, wrong: 0 };
        check(
            Tally::decode(&answer) == Some(right),
            "small messages were lost, or came out of order",
        )?;
        self.figure("small_messages_per_s", rate);
        self.say(format_args!(
            "  {} messages, all there and in order: {} messages a second",
            show_count(count),
            show_count(rate as u64)
        ));
        Ok(())
    }

    fn stream(&mut self) -> Result<(), Failure> {
        self.step(
            "4. A stream: blocks of 1 MiB, checksums compared at the end (XXH3 on both sides).",
        );
        let mut block = noise(BLOCK);
        let mut hash = Xxh3::new();
        let mut bytes = 0u64;
        let begin = Instant::now();
        while bytes < STREAM_BYTES && begin.elapsed() < STREAM_TIME {
            block[8..16].copy_from_slice(&bytes.to_le_bytes());
            hash.update(&block);
            self.conn()?.send(&block)?;
            bytes += block.len() as u64;
        }
        self.conn()?.send(&[STREAM_DONE])?;
        let answer = self.answer()?;
        let time = begin.elapsed();
        let right = Sum {
            bytes,
            hash: hash.digest(),
        };
        check(
            Sum::decode(&answer) == Some(right),
            "the stream did not arrive as it was sent",
        )?;
        self.figure("stream_gb_per_s", bytes as f64 / time.as_secs_f64() / 1e9);
        self.say(format_args!(
            "  {} in {}: {}, checksum {:016x} on both sides",
            show_bytes(bytes),
            show_time(time),
            show_rate(bytes, time),
            right.hash
        ));
        Ok(())
    }

    fn large_message(&mut self) -> Result<(), Failure> {
        self.step(
            "5. One large message: 64 MiB through rings of 1 MiB; it arrives whole or not at all.",
        );
        let message = noise(LARGE);
        let begin = Instant::now();
        self.conn()?.send(&message)?;
        self.conn()?.send(&[STREAM_DONE])?;
        let answer = self.answer()?;
        let time = begin.elapsed();
        let mut hash = Xxh3::new();
        hash.update(&message);
        let right = Sum {
            bytes: LARGE as u64,
            hash: hash.digest(),
        };
        check(
            Sum::decode(&answer) == Some(right),
            "the large message did not arrive as it was sent",
        )?;
        self.figure("large_message_ms", time.as_secs_f64() * 1e3);
        self.say(format_args!(
            "  sent, received, verified and answered in {}",
            show_time(time)
        ));
        Ok(())
    }

    fn kill(&mut self) -> Result<(), Failure> {
        self.step(
            "6. A crash: the second process is killed in the middle of sending, without a goodbye.",
        );
        let patient = self.conn()?.within(PATIENCE);
        patient.send(&[FLOOD])?;
        let mut message = Vec::new();
        let mut count = 0;
        let begin = Instant::now();
        while begin.elapsed() < FLOOD_TIME {
            patient.recv_into(&mut message)?;
            check_flood(&message, count)?;
            count += 1;
        }
        // Meanwhile the ring fills with messages that are committed but not yet read.
        thread::sleep(UNREAD_TIME);
        let killed = Instant::now();
        if let Some(peer) = &mut self.peer {
            peer.kill()
                .map_err(|e| failed(format_args!("cannot kill the second process: {e}")))?;
        }
        let before = count;
        // What was sent before the end is still delivered; then the end is reported.
        let e = loop {
            match patient.recv_into(&mut message) {
                Ok(Some(_)) => {
                    check_flood(&message, count)?;
                    count += 1;
                }
                Ok(None) => return Err(failed("the crash was reported as a good end")),
                Err(e) => break e,
            }
        };
        check(
            e.end() == Some(&End::Crashed),
            format_args!("the crash was not reported as one: {e}"),
        )?;
        let gone = self.wait_for("disconnected", |status| {
            matches!(status, Status::Disconnected(_, End::Crashed))
        })?;
        let noticed = gone - killed;
        self.wait_for("waiting", |status| matches!(status, Status::Waiting))?;
        self.peer_ended()?;
        self.figure("crash_noticed_ms", noticed.as_secs_f64() * 1e3);
        self.say(format_args!(
            "  noticed {} after the kill; {} messages had been read before it, {} that were unread in the\n  \
             ring were delivered after it: all whole and in order, none torn",
            show_time(noticed),
            show_count(before),
            show_count(count - before)
        ));
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), Failure> {
        self.step("7. It comes back: started again, the link connects by itself, with new memory.");
        let before = self.conn()?.id();
        let began = Instant::now();
        self.spawn()?;
        let connected = self.wait_for("connected", Status::is_connected)?;
        self.conn = Some(self.link.within(PATIENCE).next()?);
        self.conn()?.send(&[ECHO])?;
        let answer = self.answer()?;
        let answered = began.elapsed();
        check(answer == [ECHO], "the new process does not answer")?;
        check(
            self.conn()?.id() != before,
            "the new connection is the old one",
        )?;
        self.figure("reconnect_ms", (connected - began).as_secs_f64() * 1e3);
        self.say(format_args!(
            "  connected {} after the start of the process, first answer after {}",
            show_time(connected - began),
            show_time(answered)
        ));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.step("8. Goodbye: both processes say that they have finished, and have everything.");
        self.conn()?.finish()?;
        let last = self.conn()?.within(PATIENCE).recv()?;
        check(last.is_none(), "the second process has not finished")?;
        self.wait_for("finished", |status| {
            matches!(status, Status::Disconnected(_, End::Finished))
        })?;
        self.wait_for("waiting", |status| matches!(status, Status::Waiting))?;
        let ended = self.peer_ended()?;
        check(
            ended.success(),
            format_args!("the second process failed: {ended}"),
        )?;
        self.say("  a goodbye is told apart from a crash");
        Ok(())
    }

    /// Starts the second process.
    fn spawn(&mut self) -> Result<(), Failure> {
        let child = std::env::current_exe().and_then(|program| {
            Command::new(program)
                .arg("demo-peer")
                .arg(self.link.name())
                .arg(self.directory)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
        });
        match child {
            Ok(child) => {
                self.peer = Some(child);
                Ok(())
            }
            Err(e) => Err(failed(format_args!("cannot start the second process: {e}"))),
        }
    }

    fn peer_ended(&mut self) -> Result<ExitStatus, Failure> {
        match self.peer.take().map(|mut peer| peer.wait()) {
            Some(Ok(status)) => Ok(status),
            _ => Err(failed("the second process cannot be waited for")),
        }
    }

    /// The next status must be this one. Returns when it was reported.
    fn wait_for(&self, what: &str, is_it: impl Fn(&Status) -> bool) -> Result<Instant, Failure> {
        match self.statuses.recv_timeout(PATIENCE) {
            Ok((at, status)) if is_it(&status) => Ok(at),
            _ if interrupt::signal().is_some() => Err(Failure::silent(Exit::Interrupted)),
            Ok((_, status)) => Err(failed(format_args!(
                "the link should be {what}, but it is {status}"
            ))),
            Err(_) => Err(failed(format_args!(
                "the link should be {what}, but nothing has happened for {}",
                show_time(PATIENCE)
            ))),
        }
    }

    fn conn(&self) -> Result<&Connection, Failure> {
        let conn = self.conn.as_ref();
        conn.ok_or_else(|| failed("there is no connection"))
    }

    fn answer(&self) -> Result<Vec<u8>, Failure> {
        let answer = self.conn()?.within(PATIENCE).recv()?;
        answer.ok_or_else(|| failed("the second process has finished too soon"))
    }

    /// Closes the link, and leaves no process behind.
    fn end(&mut self) {
        if let Some(peer) = &mut self.peer {
            let _ = peer.kill();
            let _ = peer.wait();
        }
        interrupt::unwatch();
        self.link.close(0, "the demo is over");
        // The status has been printed by then.
        let _ = self.wait_for("closed", |status| matches!(status, Status::Closed));
    }

    fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.push((name, value));
    }

    fn step(&self, text: &str) {
        self.say(format_args!("\n{text}"));
    }

    fn say(&self, text: impl std::fmt::Display) {
        if !self.json {
            print(text);
        }
    }
}

fn check_flood(message: &[u8], number: u64) -> Result<(), Failure> {
    check(
        sealed_number(message) == Some(number),
        "a message is torn, or out of order",
    )
}

fn check(right: bool, wrong: impl std::fmt::Display) -> Result<(), Failure> {
    if right { Ok(()) } else { Err(failed(wrong)) }
}

/// Bytes that are not all alike; the first marks them as part of the stream.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.push(STREAM);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Prints one line at once; it does not matter if nobody reads it.
fn print(text: impl std::fmt::Display) {
    let line = format!("{text}\n");
    let mut out = io::stdout().lock();
    if let Err(e) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
        let _ = UNPRINTED.set(e);
    }
}
