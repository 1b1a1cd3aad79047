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
    /// The temporary user and the temporary group.
    pub(crate) user: String,
    pub(crate) group: String,
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
            // Users and groups share their names.
            group: format!("{tag}-group"),
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
            say(format!(
                "  group    {}, local, whose only member is that user, for as long as one proof takes",
                self.group
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn an_administrator_is_told_of_all_accounts() {
        let mut facts = Facts::find().unwrap();
        facts.wine = None;
        facts.token.is_elevated = true;
        let plan = Plan::new(&facts).unwrap();
        let text = plan.describe(&Args::parse_from(["windows-proof"]), &facts);
        for (kind, count) in [("user ", 1), ("group ", 1), ("task ", 4), ("service ", 3)] {
            let begin = format!("  {kind}");
            let lines = text.lines().filter(|line| line.starts_with(&begin));
            assert_eq!(lines.count(), count, "{kind}: {text}");
        }
        assert!(!text.contains("SKIP"), "{text}");
    }
}
