//! One side of a link, in a process of its own: it says in a file what happens, and takes orders by another.
//!
//! Files, because the accounts of a proof have nothing else in common: no console, no session, no handles.

mod access;
mod log;
mod orders;
mod rule;
mod service;
pub(crate) mod who;

use std::fs::File;
use std::io;
use std::time::Duration;

use anyhow::ensure;
use twinring::{Connection, Error, Link};
use windows_sys::Win32::System::Threading::PROCESS_DUP_HANDLE;

use crate::args::{Role, SideArgs, TryPipeArgs};
use crate::system::calls::open_process;
use crate::system::pipe;
use crate::system::token::Token;

use rule::Rule;

pub(crate) use log::{Line, Log, lines};
pub(crate) use orders::{Order, give};
pub(crate) use service::run_as_service;

/// No side is left behind, whatever happens to the proof.
const LIFE: Duration = Duration::from_secs(150);

/// Lengths of the messages that a guest sends and gets back: within a frame, and in chunks.
const LENGTHS: [usize; 5] = [0, 1, 64, 5000, 200_000];
const MESSAGES: usize = 1000;

/// A host sends back what comes. A guest sends messages, looks whether they come back, and waits for the end.
pub(crate) fn run(args: &SideArgs) -> anyhow::Result<()> {
    let log = Log::create(&args.log)?;
    introduce(&log)?;
    orders::obey(&args.log, &log);
    if let Err(e) = talk(args, &log) {
        log.say(format_args!("failed: {e:#}"));
    }
    Ok(())
}

/// As whom this process runs, for the proof, which compares.
fn introduce(log: &Log) -> anyhow::Result<()> {
    let token = Token::of_this_process()?;
    log.say(format_args!("runs as {token}"));
    log.say(format_args!("is {}", who::itself(&token)));
    log.say(format_args!("groups {}", token.groups.join(",")));
    log.say(format_args!(
        "logon session {}",
        token.logon.as_deref().unwrap_or(NO_LOGON)
    ));
    Ok(())
}

/// In place of the SID of a logon session.
pub(crate) const NO_LOGON: &str = "none";

fn talk(args: &SideArgs, log: &Log) -> anyhow::Result<()> {
    let mut builder = match args.role {
        Role::Host => Link::host(&args.name),
        Role::Guest => Link::guest(&args.name),
    };
    if let Some(rule) = &args.admits {
        let (rule, log) = (Rule::parse(rule)?, log.clone());
        builder = builder.admit(move |peer| {
            log.say(format_args!("asked about {}", who::peer(peer)));
            rule.admits(peer)
        });
    }
    let errors = log.clone();
    let link = builder
        .access(access::parse(&args.access)?)
        .on_error(move |e| errors.say(said(e)))
        .open()?;
    log.say("opened");
    loop {
        let conn = link.within(LIFE).next()?;
        log.say(format_args!("connected to {}", conn.peer()));
        // Which of the ways this connection took: see os/endpoint/windows/offer.rs.
        let may_open = match open_process(conn.peer().pid, PROCESS_DUP_HANDLE) {
            Ok(_) => "yes".to_owned(),
            Err(e) => format!("no ({e})"),
        };
        log.say(format_args!("may take handles of its peer: {may_open}"));
        let ended = match args.role {
            Role::Host => echo(&conn),
            Role::Guest => exchange(&conn, log),
        };
        match ended {
            Ok(()) => log.say("ended Finished"),
            Err(e) => match e.downcast_ref::<Error>().and_then(Error::end) {
                Some(end) => log.say(format_args!("ended {end:?}")),
                None => return Err(e),
            },
        }
    }
}

fn said(e: &Error) -> String {
    format!("error {:?}: {e}", e.kind())
}

fn echo(conn: &Connection) -> anyhow::Result<()> {
    let mut message = Vec::new();
    while conn.recv_into(&mut message)?.is_some() {
        conn.send(&message)?;
    }
    Ok(())
}

fn exchange(conn: &Connection, log: &Log) -> anyhow::Result<()> {
    let mut bytes = 0;
    for number in 0..MESSAGES {
        let message = vec![number as u8; LENGTHS[number % LENGTHS.len()]];
        conn.send(&message)?;
        ensure!(
            conn.recv()?.as_ref() == Some(&message),
            "message {number} came back as another one"
        );
        bytes += message.len();
    }
    log.say(format_args!("exchanged {MESSAGES} messages, {bytes} bytes"));
    while conn.recv()?.is_some() {}
    Ok(())
}

/// Less than a host waits for the first word of a guest.
const LISTENS: Duration = Duration::from_secs(2);

/// Tries to open a pipe, and to add an instance of it.
pub(crate) fn try_pipe(args: &TryPipeArgs) -> anyhow::Result<()> {
    let log = Log::create(&args.log)?;
    introduce(&log)?;
    if args.listen {
        let told = pipe::what_it_says(&args.pipe, LISTENS);
        let told = told.unwrap_or_else(|e| format!("error: {e}"));
        log.say(format_args!("told: {told}"));
        return Ok(());
    }
    let opened = pipe::open(".", &args.pipe).map(drop::<File>);
    log.say(format_args!("open: {}", outcome(opened)));
    let added = pipe::instance(&args.pipe, false, None).map(drop);
    log.say(format_args!("instance: {}", outcome(added)));
    Ok(())
}

fn outcome(result: io::Result<()>) -> String {
    match result.as_ref().map_err(io::Error::raw_os_error) {
        Ok(()) => "done".to_owned(),
        Err(Some(code)) => format!("error {code}"),
        Err(None) => "failed".to_owned(),
    }
}
