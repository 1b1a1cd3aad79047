//! What a run makes on the machine: all names are decided here, and --dry-run lists them.

use std::env;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::args::Args;
use crate::launch::Account;
use crate::proofs;
use crate::system::facts::Facts;

#[derive(Debug)]
pub(crate) struct Plan {
    /// Of this run: part of all names.
    pub(crate) tag: String,
    /// For the programs and what they say.
    pub(crate) folder: PathBuf,
    /// The temporary user.
    pub(crate) user: String,
}

impl Plan {
    pub(crate) fn new(facts: &Facts) -> anyhow::Result<Plan> {
        let tag = format!("twproof{}", std::process::id());
        // Where other accounts have no way to, they need none.
        let parent = match facts.needs_accounts() {
            true => PathBuf::from(env::var_os("ProgramData").context("ProgramData is not set")?),
            false => env::temp_dir(),
        };
        Ok(Plan {
            folder: parent.join(&tag),
            user: tag.clone(),
            tag,
        })
    }

    /// The scheduled task or the service of an account.
    pub(crate) fn job(&self, account: Account) -> String {
        format!("{}-{}", self.tag, account.word())
    }

    /// What --dry-run says.
    pub(crate) fn describe(&self, args: &Args, facts: &Facts) -> String {
        let mut text = String::new();
        let mut say = |line: String| writeln!(text, "{line}").expect("a String takes everything");
        for (name, about) in facts.lines() {
            say(format!("{name}: {about}"));
        }
        say("\nIt would make, and remove at the end (the number differs from run to run):".into());
        say(format!(
            "  folder   {} (its access list names each account that is to write in it)",
            self.folder.display()
        ));
        say("  pipes    of twinring and of the proofs, under names that hold that number".into());
        if facts.needs_accounts() {
            say(format!(
                "  user     {}, local, in the group Users, with a random password",
                self.user
            ));
            for account in Account::ALL {
                if account.is_task() {
                    say(format!("  task     {}, {account}", self.job(account)));
                } else if account.is_service() {
                    say(format!("  service  {}, {account}", self.job(account)));
                }
            }
        }
        say("\nIt would leave:".into());
        say(format!("  the report, {}", args.report.display()));
        say("  what cargo builds, in the target folders".into());
        say("  what Windows itself notes of it: events in its logs, and a report of Windows Error Reporting for each \
             process that fails fast"
            .into());
        say("\nIt would prove:".into());
        for proof in proofs::ALL {
            say(match proof.is_left_out(facts, args.skip_tests) {
                None => format!("  {}", proof.name),
                Some(why) => format!("  SKIP {}: {why}", proof.name),
            });
        }
        text
    }
}
