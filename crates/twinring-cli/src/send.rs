//! `twinring send`: files to a `twinring recv`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use twinring::{Connection, ErrorKind, Timeout};
use xxhash_rust::xxh3::Xxh3;

use crate::exit::{Exit, Failure};
use crate::names::{self, printable};
use crate::progress::Progress;
use crate::protocol::{
    BLOCK, DATA, Header, MAX_TO_SENDER, Timestamp, ToReceiver, ToSender, VERSION,
};
use crate::report::say;
use crate::session::{Connections, LinkArgs, Session, Side};
use crate::size::{show_bytes, show_rate, show_time};

pub(crate) const HELP: &str = "\
Examples:
  twinring send files a.jpg b.txt      with `twinring recv files` in another terminal
  tar c dir | twinring send files - --name dir.tar

Exit code 0 means that the receiver has verified the checksum of every file and put it in its \
place. A file that the receiver refuses (it exists there, say) does not stop the others; the exit \
code is then 6, and each such file is reported with the reason.";

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
    name: Option<String>,
}

/// How long a receiver may take to answer the greeting; a peer that does not answer is no receiver.
const GREETING: Duration = Duration::from_secs(10);

const LEFT: &str = "the receiver left before everything was sent";

pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let sources = sources(args)?;
    let session = Session::open(&args.link, Side::Guest, MAX_TO_SENDER, Connections::One)?;
    let Some(conn) = session.next(args.link.timeout)? else {
        return Ok(());
    };
    let mut sender = Sender {
        session: &session,
        conn: &conn,
        quiet: args.link.quiet,
        block: Vec::new(),
        at: (0, sources.len() as u64),
        sent: 0,
    };
    let start = Instant::now();
    let transferred = sender.transfer(&sources);
    let (sent, time, files) = (sender.sent, start.elapsed(), sources.len());
    session.done(
        &conn,
        &transferred.as_ref().map(drop).map_err(Failure::clone),
    );
    let failed = transferred?;
    if failed > 0 {
        let what = format!("{failed} of {files} files failed");
        return Err(Failure::new(Exit::Files, what));
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

/// Something to be sent.
struct Source<'a> {
    path: &'a Path,
    name: String,
}

impl Source<'_> {
    fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    fn shown(&self) -> String {
        printable(&self.path.to_string_lossy())
    }

    /// Opens it, and returns what is known before it is read.
    fn open(&self) -> io::Result<(Input, Header)> {
        let mut header = Header {
            name: self.name.clone(),
            size: None,
            modified: None,
        };
        if self.is_stdin() {
            return Ok((Input::stdin()?, header));
        }
        // Windows reports "access denied" when a directory is opened.
        if self.path.is_dir() {
            return Err(io::Error::other(
                "it is a directory; pack it: tar c DIR | twinring send LINK - --name DIR.tar",
            ));
        }
        let file = File::open(self.path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            header.size = Some(metadata.len());
            header.modified = metadata.modified().ok().map(Timestamp::from);
        }
        Ok((Input::File(file), header))
    }
}

fn sources(args: &SendArgs) -> Result<Vec<Source<'_>>, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, what);
    let stdins = args
        .files
        .iter()
        .filter(|path| **path == Path::new("-"))
        .count();
    if stdins > 1 {
        return Err(usage("standard input (-) can only be sent once".into()));
    }
    if args.name.is_some() && args.files.len() > 1 {
        return Err(usage("--name goes with one FILE only".into()));
    }
    args.files
        .iter()
        .map(|path| {
            let name = match &args.name {
                Some(name) => name.clone(),
                None if path == Path::new("-") => {
                    return Err(usage("standard input (-) needs a --name".into()));
                }
                None => path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .ok_or_else(|| {
                        let path = printable(&path.to_string_lossy());
                        usage(format!(
                            "{path} has no name to send it under; give it a --name"
                        ))
                    })?
                    .to_owned(),
            };
            // The receiver checks by the rules of its system; these hold on every system.
            names::check(&name, names::Rules::Unix).map_err(|why| {
                usage(format!(
                    "{:?} is no name to send a file under: {why}; use --name",
                    printable(&name)
                ))
            })?;
            Ok(Source { path, name })
        })
        .collect()
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
    fn transfer(&mut self, sources: &[Source<'_>]) -> Result<u64, Failure> {
        self.greet(sources)?;
        let mut failed = 0;
        for source in sources {
            self.at.0 += 1;
            if let Err(why) = self.file(source)? {
                failed += 1;
                say(format_args!("{} was not sent: {why}", source.shown()));
            }
        }
        self.send(&ToReceiver::Done)?;
        Ok(failed)
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

    fn greet(&mut self, sources: &[Source<'_>]) -> Result<(), Failure> {
        self.send(&ToReceiver::Start {
            version: VERSION,
            files: sources.len() as u64,
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
            Err(e) => return Ok(Err(e.to_string())),
        };
        let size = header.size;
        self.send(&ToReceiver::File(header))?;
        match self.receive()? {
            ToSender::Accept => {}
            ToSender::Refused { text, .. } => return Ok(Err(refused(&text))),
            other => return Err(unexpected(&other)),
        }
        let progress = Progress::new(&source.name, self.at, size, self.quiet);
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

/// Where the bytes of a file come from.
enum Input {
    File(File),
    /// Standard input, which may be silent for hours. It is read by a thread of its own, so that the
    /// end of the receiver is noticed meanwhile.
    Stdin(Receiver<io::Result<Vec<u8>>>),
}

/// What an input has.
enum Next {
    /// This many bytes, now in the block.
    Block(usize),
    /// Nothing right now.
    Nothing,
    End,
}

/// How often to check the receiver while standard input is silent.
const LOOK: Duration = Duration::from_millis(50);

impl Input {
    fn stdin() -> io::Result<Input> {
        let (give, blocks) = mpsc::sync_channel(2);
        thread::Builder::new().name("input".into()).spawn(move || {
            let mut input = io::stdin().lock();
            loop {
                let mut block = Vec::new();
                let read = fill(&mut input, &mut block);
                let last = !matches!(read, Ok(n) if n > 0);
                if give.send(read.map(|_| block)).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Input::Stdin(blocks))
    }

    /// Makes `block` the next data message.
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<Next> {
        let n = match self {
            Input::File(file) => fill(file, block)?,
            Input::Stdin(blocks) => match blocks.recv_timeout(LOOK) {
                Ok(read) => {
                    *block = read?;
                    block.len() - 1
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Nothing),
                Err(RecvTimeoutError::Disconnected) => 0,
            },
        };
        Ok(if n > 0 { Next::Block(n) } else { Next::End })
    }
}

/// Makes `block` a data message with the next bytes of `input`, a whole block of them unless the
/// input ends. Returns how many bytes there are.
fn fill(input: &mut impl Read, block: &mut Vec<u8>) -> io::Result<usize> {
    block.clear();
    block.push(DATA);
    input.take(BLOCK as u64).read_to_end(block)
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
