//! `twinring send`: files to a `twinring recv`.

mod source;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use twinring::{Connection, ErrorKind, Timeout};
use xxhash_rust::xxh3::Xxh3;

use crate::exit::{Exit, Failure};
use crate::names::{printable, shown, shown_path};
use crate::progress::Progress;
use crate::protocol::{MAX_TO_SENDER, ToReceiver, ToSender, VERSION};
use crate::report::say;
use crate::session::{Connections, LinkArgs, Session, Side};
use crate::size::{show_bytes, show_rate, show_time};
use source::{Missing, Next, Source, sources};

pub(crate) const HELP: &str = "\
Examples:
  twinring send files a.jpg b.txt      with `twinring recv files` in another terminal
  tar c dir | twinring send files - --name dir.tar

Exit code 0 means that the receiver has verified the checksum of every file and put it in its \
place. A file that cannot be read, changes while it is sent, or is refused by the receiver (it exists \
there, say) does not stop the others; the exit code is then 6 on both sides, and each such file is \
reported with the reason. Times, permissions (not owners) and holes of files are kept.";

/// `twinring send`
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    link: LinkArgs,

    /// Files to send; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Send the one FILE under this name [default: the file's own]
    #[arg(long = "name", id = "file_name", value_name = "NAME")]
    name: Option<OsString>,
}

/// How long a receiver may take to answer the greeting; a peer that does not answer is no receiver.
const GREETING: Duration = Duration::from_secs(10);

const LEFT: &str = "the receiver left before everything was sent";

pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let (sources, missing) = sources(args)?;
    for Missing { path, why, .. } in &missing {
        say_failed(path, why);
    }
    let files = sources.len() + missing.len();
    if sources.is_empty() {
        return Err(failed_files(missing.len(), files));
    }
    let session = Session::open(&args.link, Side::Guest, MAX_TO_SENDER, Connections::One)?;
    let Some(conn) = session.next(args.link.timeout)? else {
        return Err(Failure::silent(Exit::Interrupted));
    };
    let mut sender = Sender {
        session: &session,
        conn: &conn,
        quiet: args.link.quiet,
        block: Vec::new(),
        at: (0, files as u64),
        sent: 0,
    };
    let start = Instant::now();
    let transferred = sender.transfer(&sources, &missing);
    let (sent, time) = (sender.sent, start.elapsed());
    session.done(
        &conn,
        &transferred.as_ref().map(drop).map_err(Failure::clone),
    );
    let failed = transferred?;
    if failed > 0 {
        return Err(failed_files(failed, files));
    }
    if !args.link.quiet {
        say(format_args!(
            "sent {files} {}, {} in {} ({}), verified by the receiver",
            if files == 1 { "file" } else { "files" },
            show_bytes(sent),
            show_time(time),
            show_rate(sent, time)
        ));
    }
    Ok(())
}

fn say_failed(path: &Path, why: &str) {
    say(format_args!("{} was not sent: {why}", shown_path(path)));
}

fn failed_files(failed: usize, files: usize) -> Failure {
    Failure::new(
        Exit::Files,
        format_args!("{failed} of {files} files failed"),
    )
}

struct Sender<'a> {
    session: &'a Session,
    conn: &'a Connection,
    quiet: bool,
    /// The first byte marks it as data.
    block: Vec<u8>,
    /// The number of this file, from 1, and of all.
    at: (u64, u64),
    sent: u64,
}

/// Why one file was not sent; the others may be.
type Why = String;

impl Sender<'_> {
    /// Sends everything; returns how many files failed.
    fn transfer(
        &mut self,
        sources: &[Source<'_>],
        missing: &[Missing<'_>],
    ) -> Result<usize, Failure> {
        self.greet()?;
        for Missing { name, why, .. } in missing {
            self.at.0 += 1;
            self.missing(name, why)?;
        }
        let mut failed = missing.len();
        for source in sources {
            self.at.0 += 1;
            if let Err(why) = self.file(source)? {
                failed += 1;
                say_failed(source.path, &why);
            }
        }
        self.send(&ToReceiver::Done)?;
        Ok(failed)
    }

    /// The receiver counts it as failed, too.
    fn missing(&self, name: &[u8], why: &str) -> Result<(), Failure> {
        self.send(&ToReceiver::Missing {
            name: name.to_vec(),
            why: why.to_owned(),
        })
    }

    fn send(&self, message: &ToReceiver<'_>) -> Result<(), Failure> {
        self.send_bytes(&message.encode())
    }

    fn send_bytes(&self, message: &[u8]) -> Result<(), Failure> {
        self.conn.send(message).map_err(|e| self.lost(e))
    }

    fn receive(&self) -> Result<ToSender, Failure> {
        let answer = self.receive_within(Timeout::Never)?;
        answer.ok_or_else(not_a_receiver)
    }

    /// The next answer; `None` if there is none in this time.
    fn receive_within(&self, timeout: impl Into<Timeout>) -> Result<Option<ToSender>, Failure> {
        match self.conn.within(timeout).recv() {
            Ok(Some(message)) => decode(&message).map(Some),
            Ok(None) => Err(Failure::new(Exit::PeerGone, LEFT)),
            Err(e) if e.is_timeout() => Ok(None),
            Err(e) => Err(self.lost(e)),
        }
    }

    /// The failure that ends the transfer.
    fn lost(&self, e: twinring::Error) -> Failure {
        match e.kind() {
            ErrorKind::TooLarge => not_a_receiver(),
            _ => self.session.lost(e, LEFT),
        }
    }

    fn greet(&self) -> Result<(), Failure> {
        self.send(&ToReceiver::Start {
            version: VERSION,
            files: self.at.1,
        })?;
        let answer = self.receive_within(GREETING)?;
        match answer.ok_or_else(not_a_receiver)? {
            ToSender::Welcome { version } if version == VERSION => Ok(()),
            ToSender::Welcome { version } => Err(Failure::new(
                Exit::Refused,
                format_args!(
                    "the receiver speaks version {version} of the file protocol, this program version {VERSION}"
                ),
            )),
            other => Err(unexpected(&other)),
        }
    }

    fn file(&mut self, source: &Source<'_>) -> Result<Result<(), Why>, Failure> {
        let (mut input, header) = match source.open() {
            Ok(opened) => opened,
            Err(e) => {
                self.missing(&source.name, &e.to_string())?;
                return Ok(Err(e.to_string()));
            }
        };
        let size = header.size;
        self.send(&ToReceiver::File(header))?;
        match self.receive()? {
            ToSender::Accept => {}
            ToSender::Refused { text, .. } => return Ok(Err(refused(&text))),
            other => return Err(unexpected(&other)),
        }
        let progress = Progress::new(&shown(&source.name), self.at, size, self.quiet);
        let mut hash = Xxh3::new();
        let mut length = 0;
        loop {
            let n = match input.next(&mut self.block) {
                Ok(Next::Block(n)) => n,
                Ok(Next::Nothing) => 0,
                Ok(Next::End) => break,
                Err(e) => {
                    self.send(&ToReceiver::Cancel(e.to_string()))?;
                    return match self.receive()? {
                        ToSender::Refused { .. } => Ok(Err(e.to_string())),
                        other => Err(unexpected(&other)),
                    };
                }
            };
            if n > 0 {
                hash.update(&self.block[1..]);
                self.send_bytes(&self.block)?;
                length += n as u64;
                progress.add(n);
            }
            // Full disks show half-way; the rest need not be sent then.
            if let Some(answer) = self.receive_within(Timeout::Now)? {
                return match answer {
                    ToSender::Refused { text, .. } => {
                        self.send(&ToReceiver::Cancel(String::new()))?;
                        Ok(Err(refused(&text)))
                    }
                    other => Err(unexpected(&other)),
                };
            }
        }
        self.send(&ToReceiver::End {
            length,
            hash: hash.digest128(),
        })?;
        match self.receive()? {
            ToSender::Stored => {
                self.sent += length;
                Ok(Ok(()))
            }
            ToSender::Refused { text, .. } => Ok(Err(refused(&text))),
            other => Err(unexpected(&other)),
        }
    }
}

fn decode(message: &[u8]) -> Result<ToSender, Failure> {
    ToSender::decode(message)
        .map_err(|e| Failure::new(Exit::Other, format_args!("the peer is {e}")))
}

fn refused(text: &str) -> Why {
    format!("the receiver says: {}", printable(text))
}

fn unexpected(answer: &ToSender) -> Failure {
    Failure::new(
        Exit::Other,
        format_args!("the receiver broke the file protocol: {answer:?} does not belong here"),
    )
}

fn not_a_receiver() -> Failure {
    Failure::new(
        Exit::Other,
        "the peer is no `twinring recv`: it does not answer as one",
    )
}
