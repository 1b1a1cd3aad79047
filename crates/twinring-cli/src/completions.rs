//! `twinring completions`: what a shell needs to complete command lines.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::exit::{Exit, Failure};

pub(crate) const HELP: &str = "\
Examples:
  bash        twinring completions bash > ~/.local/share/bash-completion/completions/twinring
  zsh         twinring completions zsh > ~/.zfunc/_twinring
  fish        twinring completions fish > ~/.config/fish/completions/twinring.fish
  PowerShell  twinring completions powershell >> $PROFILE";

/// `twinring completions`
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "twinring", &mut script);
    let mut stdout = io::stdout();
    let written = stdout.write_all(&script).and_then(|()| stdout.flush());
    written.map_err(|e| {
        Failure::new(
            Exit::Other,
            format_args!("cannot write to standard output: {e}"),
        )
    })
}
