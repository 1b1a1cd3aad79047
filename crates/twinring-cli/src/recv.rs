//! `twinring recv`: files from a `twinring send`.

mod listing;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use twinring::Connection;

use crate::exit::{Exit, Failure};
use crate::names::{printable, shown, shown_path};
use crate::progress::Progress;
use crate::protocol::{Header, MAX_TO_RECEIVER, Reason, ToReceiver, ToSender, VERSION};
use crate::report::say;
use crate::session::{Connections, LinkArgs, RingArgs, Session, Side};
use crate::store::{Incoming, Refusal, Target};
use listing::Listing;

pub(crate) const HELP: &str = "\
Examples:
  twinring recv files                  into this directory, with `twinring send files FILE`
  twinring recv files -o inbox --keep  from one sender after the other
  mv \"$(twinring recv files -q)\" elsewhere

The path of each file is printed, one a line. Exit code 0 means that everything that the sender was \
asked to send is there and verified. A file is written under a temporary name \
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

const LEFT: &str = "the sender left before everything had arrived";

pub(crate) fn run(args: &RecvArgs) -> Result<(), Failure> {
    let target = Target {
        directory: args.output.clone(),
        force: args.force,
        sync: args.sync,
    };
    let fit = target.check();
    fit.map_err(|why| Failure::new(Exit::Files, why))?;
    if !args.link.quiet {
        say_left_behind(&target);
    }
    let connections = if args.keep {
        Connections::Many
    } else {
        Connections::One
    };
    let side = Side::Host {
        ring_capacity: args.ring.ring_capacity,
    };
    let session = Session::open(&args.link, side, MAX_TO_RECEIVER, connections)?;
    let mut listing = Listing::new();
    let mut timeout = args.link.timeout;
    while let Some(conn) = session.next(timeout.take())? {
        let mut receiver = Receiver {
            session: &session,
            conn: &conn,
            target: &target,
            listing: &mut listing,
            quiet: args.link.quiet,
            message: Vec::new(),
            files: 0,
            named: 0,
            failed: 0,
        };
        let received = receiver.transfer();
        let failed = receiver.failed_files();
        session.done(&conn, &received);
        if let Some(outcome) = session.outcome() {
            return outcome;
        }
        if !args.keep {
            return received.and(failed).and(listing.outcome());
        }
        // The next sender may do better.
        if let Err(failure) = failed {
            failure.message().into_iter().for_each(say);
        }
        // Whoever reads the paths would miss its files.
        listing.outcome()?;
    }
    Ok(())
}

fn say_left_behind(target: &Target) {
    let what = match target.left_behind() {
        0 => return,
        1 => "1 partial file".to_owned(),
        n => format!("{n} partial files"),
    };
    say(format_args!(
        "{} holds {what} of a killed `recv`; remove .twinring-*.part there while no other `recv` uses it",
        shown_path(&target.directory)
    ));
}

struct Receiver<'a> {
    session: &'a Session,
    conn: &'a Connection,
    target: &'a Target,
    listing: &'a mut Listing,
    quiet: bool,
    message: Vec<u8>,
    /// How many files there will be, according to the sender.
    files: u64,
    /// How many there have been.
    named: u64,
    failed: u64,
}

impl Receiver<'_> {
    /// Receives everything from one sender.
    fn transfer(&mut self) -> Result<(), Failure> {
        self.greet()?;
        loop {
            self.next()?;
            let all = self.named == self.files;
            match self.decode()? {
                ToReceiver::File(header) if !all => self.file(header)?,
                ToReceiver::Missing { name, why } if !all => self.missing(&name, &why),
                ToReceiver::Done if all => return Ok(()),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Files that were refused are no failure of the transfer, but of the command.
    fn failed_files(&self) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            n => Err(Failure::new(
                Exit::Files,
                format_args!("{n} of {} files failed", self.named),
            )),
        }
    }

    fn greet(&mut self) -> Result<(), Failure> {
        let got = self.conn.within(GREETING).recv_into(&mut self.message);
        if got.as_ref().is_err_and(twinring::Error::is_timeout) {
            return Err(Failure::new(
                Exit::Other,
                "the peer is no `twinring send`: it does not greet as one",
            ));
        }
        self.received(got)?;
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

    /// The sender cannot send it, and knows that.
    fn missing(&mut self, name: &[u8], why: &str) {
        self.named += 1;
        self.failed += 1;
        say_failed(&shown(name), &the_sender_says(why));
    }

    /// Receives one file; refusing it is not a failure of the transfer.
    fn file(&mut self, header: Header) -> Result<(), Failure> {
        self.named += 1;
        let shown = shown(&header.name);
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
                        text: the_sender_says(&why),
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
                // The file is there, whether the sender still hears that or not.
                let answered = self.answer(&ToSender::Stored);
                self.listing.print(&place);
                answered
            }
            Err(refusal) => self.refuse(shown, refusal),
        }
    }

    fn refuse(&mut self, shown: &str, refusal: Refusal) -> Result<(), Failure> {
        self.failed += 1;
        say_failed(shown, &refusal.text);
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
        let got = self.conn.recv_into(&mut self.message);
        self.received(got)
    }

    fn received(&self, got: twinring::Result<Option<usize>>) -> Result<(), Failure> {
        match got {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Failure::new(Exit::PeerGone, LEFT)),
            Err(e) => Err(self.session.lost(e, LEFT)),
        }
    }

    fn decode(&self) -> Result<ToReceiver<'_>, Failure> {
        ToReceiver::decode(&self.message)
            .map_err(|e| Failure::new(Exit::Other, format_args!("the peer is {e}")))
    }

    fn answer(&self, answer: &ToSender) -> Result<(), Failure> {
        let sent = self.conn.send(&answer.encode());
        sent.map_err(|e| self.session.lost(e, LEFT))
    }
}

fn say_failed(shown: &str, why: &str) {
    say(format_args!("\"{shown}\" was not received: {why}"));
}

fn the_sender_says(why: &str) -> String {
    format!("the sender says: {}", printable(why))
}

fn unexpected(message: &ToReceiver<'_>) -> Failure {
    let what = match message {
        ToReceiver::Start { .. } => "a second greeting",
        ToReceiver::File(_) => "a file",
        ToReceiver::Data(_) => "data",
        ToReceiver::End { .. } => "the end of a file",
        ToReceiver::Cancel(_) => "the end of a file that failed",
        ToReceiver::Missing { .. } => "a missing file",
        ToReceiver::Done => "the end of all files",
    };
    Failure::new(
        Exit::Other,
        format_args!("the sender broke the file protocol: {what} does not belong here"),
    )
}
