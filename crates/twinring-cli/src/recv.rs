//! `twinring recv`: files from a `twinring send`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use twinring::ErrorKind;

use crate::exit::{Exit, Failure};
use crate::names::printable;
use crate::progress::Progress;
use crate::protocol::{Header, MAX_TO_RECEIVER, Reason, ToReceiver, ToSender, VERSION};
use crate::report::say;
use crate::session::{Connections, LinkArgs, RingArgs, Session, Side};
use crate::store::{Incoming, Refusal, Target};

pub(crate) const HELP: &str = "\
Examples:
  twinring recv files                  into this directory, with `twinring send files FILE`
  twinring recv files -o inbox --keep  from one sender after the other
  mv \"$(twinring recv files -q)\" elsewhere

The path of each file is printed, one a line. A file is written under a temporary name \
(.twinring-*.part) and gets its own once its checksum is verified. Existing files are refused \
without --force; names that would leave the directory always are.";

/// `twinring recv`
#[derive(Args, Debug)]
pub(crate) struct RecvArgs {
    #[command(flatten)]
    link: LinkArgs,
    #[command(flatten)]
    ring: RingArgs,

    /// Directory to put the files into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,

    /// Replace files that exist
    #[arg(short, long)]
    force: bool,

    /// Write each file to the disk before it counts as received
    #[arg(long)]
    sync: bool,

    /// When the sender has gone, wait for the next one
    #[arg(short, long)]
    keep: bool,
}

/// How long a sender may take to greet; a peer that does not greet is no sender.
const GREETING: Duration = Duration::from_secs(10);
/// How long it may stay once it has nothing more to send.
const GOODBYE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &RecvArgs) -> Result<(), Failure> {
    check_directory(args)?;
    let connections = if args.keep {
        Connections::Many
    } else {
        Connections::One
    };
    let side = Side::Host {
        ring_capacity: args.ring.ring_capacity,
    };
    let open = || Session::open(&args.link, side, MAX_TO_RECEIVER, connections);
    let mut session = open()?;
    session.wait_connected(args.link.timeout)?;
    loop {
        let mut receiver = Receiver {
            session: &session,
            target: Target {
                directory: args.output.clone(),
                force: args.force,
                sync: args.sync,
            },
            quiet: args.link.quiet,
            message: Vec::new(),
            files: 0,
            named: 0,
            failed: 0,
            over: false,
        };
        let received = receiver.transfer();
        if !args.keep {
            return received;
        }
        match received {
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            // The next sender may do better.
            Err(failure) => failure.message().into_iter().for_each(say),
            Ok(()) => {}
        }
        if !receiver.see_off() {
            drop(session);
            session = open()?;
        }
    }
}

fn check_directory(args: &RecvArgs) -> Result<(), Failure> {
    let directory = args.output.display();
    let why = match args.output.metadata() {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => "it is not a directory".to_owned(),
        Err(e) => e.to_string(),
    };
    Err(Failure::new(
        Exit::Files,
        format_args!("cannot put files into {directory}: {why}"),
    ))
}

struct Receiver<'a> {
    session: &'a Session,
    target: Target,
    quiet: bool,
    message: Vec<u8>,
    /// How many files there will be, according to the sender.
    files: u64,
    /// How many there have been.
    named: u64,
    failed: u64,
    /// The link has reported that the connection is over.
    over: bool,
}

impl Receiver<'_> {
    /// Receives everything from one sender.
    fn transfer(&mut self) -> Result<(), Failure> {
        self.greet()?;
        loop {
            self.next()?;
            match self.decode()? {
                ToReceiver::File(header) => self.file(header)?,
                ToReceiver::Done => break,
                other => return Err(unexpected(&other)),
            }
        }
        match self.failed {
            0 => Ok(()),
            n => Err(Failure::new(
                Exit::Files,
                format_args!("{n} of {} files failed", self.named),
            )),
        }
    }

    fn greet(&mut self) -> Result<(), Failure> {
        let link = &self.session.link;
        loop {
            match link.recv_into_timeout(&mut self.message, GREETING) {
                Ok(_) => break,
                // The peer has gone before it could greet.
                Err(e) if e.kind() == ErrorKind::TimedOut && !link.status().is_connected() => {}
                Err(e) if e.kind() == ErrorKind::TimedOut => {
                    return Err(Failure::new(
                        Exit::Other,
                        "the peer is no `twinring send`: it does not greet as one",
                    ));
                }
                Err(e) => return Err(self.lost_at_recv(e)),
            }
        }
        match self.decode()? {
            ToReceiver::Start { version, files } => {
                self.files = files;
                self.answer(&ToSender::Welcome { version: VERSION })?;
                if version == VERSION {
                    return Ok(());
                }
                Err(Failure::new(
                    Exit::Refused,
                    format_args!(
                        "the sender speaks version {version} of the file protocol, this program version {VERSION}"
                    ),
                ))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Receives one file; refusing it is not a failure of the transfer.
    fn file(&mut self, header: Header) -> Result<(), Failure> {
        self.named += 1;
        let shown = printable(&header.name);
        let size = header.size;
        let mut incoming = match self.target.begin(header) {
            Ok(incoming) => incoming,
            Err(refusal) => return self.refuse(&shown, refusal),
        };
        self.answer(&ToSender::Accept)?;
        let progress = Progress::new(&shown, (self.named, self.files), size, self.quiet);
        loop {
            self.next()?;
            match self.decode()? {
                ToReceiver::Data(data) => {
                    let length = data.len();
                    if let Err(refusal) = incoming.write(data) {
                        drop((incoming, progress));
                        self.refuse(&shown, refusal)?;
                        return self.skip();
                    }
                    progress.add(length);
                }
                ToReceiver::End { length, hash } => {
                    drop(progress);
                    return self.finish(&shown, incoming, length, hash);
                }
                ToReceiver::Cancel(why) => {
                    drop((incoming, progress));
                    let refusal = Refusal {
                        reason: Reason::Other,
                        text: format!("the sender cannot read it: {}", printable(&why)),
                    };
                    return self.refuse(&shown, refusal);
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    fn finish(
        &mut self,
        shown: &str,
        incoming: Incoming,
        length: u64,
        hash: u128,
    ) -> Result<(), Failure> {
        match incoming.finish(length, hash) {
            Ok(place) => {
                // If nobody reads this, the file is there all the same.
                let _ = writeln!(io::stdout(), "{}", place.display());
                self.answer(&ToSender::Stored)
            }
            Err(refusal) => self.refuse(shown, refusal),
        }
    }

    fn refuse(&mut self, shown: &str, refusal: Refusal) -> Result<(), Failure> {
        self.failed += 1;
        say(format_args!("{shown:?} was not received: {}", refusal.text));
        self.answer(&ToSender::Refused {
            reason: refusal.reason,
            text: refusal.text,
        })
    }

    /// The rest of a file that was refused half-way.
    fn skip(&mut self) -> Result<(), Failure> {
        loop {
            self.next()?;
            match self.decode()? {
                ToReceiver::Data(_) => {}
                ToReceiver::End { .. } | ToReceiver::Cancel(_) => return Ok(()),
                other => return Err(unexpected(&other)),
            }
        }
    }

    fn next(&mut self) -> Result<(), Failure> {
        match self.session.link.recv_into(&mut self.message) {
            Ok(_) => Ok(()),
            Err(e) => Err(self.lost_at_recv(e)),
        }
    }

    /// Reads to the end of this sender's connection, so that what comes after it is the next one's.
    /// `false` if the sender does not go.
    fn see_off(&mut self) -> bool {
        while !self.over {
            match self
                .session
                .link
                .recv_into_timeout(&mut self.message, GOODBYE)
            {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::TimedOut => return false,
                // Other errors end it, too.
                Err(e) => self.over = e.is_disconnect() || e.kind() == ErrorKind::ClosedHere,
            }
        }
        true
    }

    fn decode(&self) -> Result<ToReceiver<'_>, Failure> {
        ToReceiver::decode(&self.message)
            .map_err(|e| Failure::new(Exit::Other, format_args!("the peer is {e}")))
    }

    fn answer(&self, answer: &ToSender) -> Result<(), Failure> {
        let sent = self.session.link.send(&answer.encode());
        sent.map_err(|e| self.lost(e))
    }

    fn lost_at_recv(&mut self, e: twinring::Error) -> Failure {
        self.over = e.is_disconnect();
        self.lost(e)
    }

    /// The failure that ends the transfer.
    fn lost(&self, e: twinring::Error) -> Failure {
        match e.kind() {
            ErrorKind::Closed | ErrorKind::NotConnected => Failure::new(
                Exit::PeerGone,
                format_args!("{e}; the sender left before everything had arrived"),
            ),
            _ => self.session.failure(e),
        }
    }
}

fn unexpected(message: &ToReceiver<'_>) -> Failure {
    let what = match message {
        ToReceiver::Data(_) => "data".to_owned(),
        other => format!("{other:?}"),
    };
    Failure::new(
        Exit::Other,
        format_args!("the sender broke the file protocol: {what} does not belong here"),
    )
}
