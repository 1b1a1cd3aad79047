//! `twinring`: pipes, files, logs and a demo over twinring links, from the command line.
//!
//! ```text
//! talk        listen, connect ─┬─ exec         --exec: a program joined to the link
//!                              ├─ input        standard input, and how much of it has gone
//!                              ├─ framing      bytes of a stream ⇄ messages
//!                              └─ output       messages to a stream
//! send  ─┐ source              what is sent: files, pipes, standard input
//! recv  ─┼─ protocol           the messages between the two
//!        │ listing             the paths that recv prints
//!        └─ store, names       a file as it arrives, its holes, what killed ones left; which names are allowed
//! log         what many applications say, to a file or to standard output
//! demo        two processes of this program, with figures
//!
//! session     a link opened with the options of the command line; its statuses; how it ends
//! access      which users the link may connect
//! exit        exit codes        interrupt  Ctrl-C        report, progress, size  texts
//! os          what differs between systems: signals, groups of processes, files
//! ```

#![deny(unsafe_code)]

mod access;
mod completions;
mod demo;
mod exec;
mod exit;
mod framing;
mod input;
mod interrupt;
mod log;
mod names;
mod os;
mod output;
mod progress;
mod protocol;
mod recv;
mod report;
mod send;
mod session;
mod size;
mod store;
mod talk;

use std::io::Write;

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure};
use crate::report::say;

const EXAMPLES: &str = "\
Examples, each in two terminals:
  twinring listen chat            |  twinring connect chat
  twinring recv files -o inbox    |  twinring send files photo.jpg
One process is enough for: twinring demo

`twinring help COMMAND` says more.
";

/// Messages, streams and files between two processes of one machine, over shared memory.
///
/// Two processes, one link name. Either side may start first, stop, be killed and come back; each is
/// told at once when the other connects, closes or crashes.
#[derive(Parser, Debug)]
#[command(name = "twinring", version, after_help = after_help(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn after_help() -> String {
    format!("{EXAMPLES}\n{}", exit::HELP)
}

fn with_codes(examples: &str) -> String {
    format!("{examples}\n\n{}", exit::HELP)
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Host a link: the input goes to the peer as messages, its messages to the output (as nc -l)
    #[command(after_help = with_codes(talk::LISTEN_HELP))]
    Listen(talk::ListenArgs),
    /// Connect to a link as its guest: like listen, from the other side (as nc)
    #[command(after_help = with_codes(talk::CONNECT_HELP))]
    Connect(talk::ConnectArgs),
    /// Send files to a `twinring recv`
    #[command(after_help = with_codes(send::HELP))]
    Send(send::SendArgs),
    /// Receive files from a `twinring send`
    #[command(after_help = with_codes(recv::HELP))]
    Recv(recv::RecvArgs),
    /// Collect what many applications log (crate twinring-tracing), and show it
    #[command(after_help = log::HELP)]
    Log(log::LogArgs),
    /// Show what a link does: speed, a crash, a reconnection, in a few seconds
    #[command(after_help = demo::HELP)]
    Demo(demo::DemoArgs),
    /// The second process of the demo
    #[command(hide = true)]
    DemoPeer(demo::PeerArgs),
    /// Print the completions of a shell
    #[command(after_help = completions::HELP)]
    Completions(completions::CompletionsArgs),
}

fn main() {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => explain(&e),
    };
    interrupt::install();
    let done = match &cli.command {
        Command::Listen(args) => talk::listen(args),
        Command::Connect(args) => talk::connect(args),
        Command::Send(args) => send::run(args),
        Command::Recv(args) => recv::run(args),
        Command::Log(args) => log::run(args),
        Command::Demo(args) => demo::run(args),
        Command::DemoPeer(args) => demo::run_peer(args),
        Command::Completions(args) => completions::run(args),
    };
    if let Err(failure) = done {
        fail(&failure);
    }
}

/// Prints the help or the version that was asked for, or what is wrong with the command line.
fn explain(e: &clap::Error) -> ! {
    let printed = e.print().and_then(|()| std::io::stdout().flush());
    let code = match printed {
        Err(why) if !e.use_stderr() => {
            say(format_args!("cannot write to standard output: {why}"));
            Exit::Other.code()
        }
        _ => e.exit_code(),
    };
    std::process::exit(code)
}

fn fail(failure: &Failure) {
    if let Some(message) = failure.message() {
        say(message);
    }
    match failure.exit {
        Exit::Interrupted => interrupt::die(),
        Exit::OutputGone => {
            os::die_of(os::SIGPIPE);
            std::process::exit(Exit::OutputGone.code())
        }
        exit => std::process::exit(exit.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
