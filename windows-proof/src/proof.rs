//! When a proof is done, and what it came to: PASS only for what was done.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::args::Args;
use crate::context::Context;
use crate::plan::Plan;
use crate::report::{Report, Verdict};
use crate::system::facts::Facts;
use crate::{proofs, undo};

pub(crate) struct Proof {
    pub(crate) name: &'static str,
    pub(crate) rights: Rights,
    pub(crate) under_wine: UnderWine,
    /// Takes long, and is left out if that is asked for.
    pub(crate) is_test: bool,
    /// The evidence, or what is wrong; [`Skip`] if it could not be done.
    pub(crate) show: fn(&Context) -> anyhow::Result<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    Any,
    Administrator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnderWine {
    /// Wine does it as well; what it shows there is that the proof itself works.
    Runs,
    CannotShow(&'static str),
}

/// A proof that was not done, for this reason.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends a proof as not done.
pub(crate) fn skip<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Skip(why.into()).into())
}

/// What failed is part of the setting, not of what is proved.
pub(crate) trait OrSkip<T> {
    fn or_skip(self, what: &str) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrSkip<T> for Result<T, E> {
    fn or_skip(self, what: &str) -> anyhow::Result<T> {
        self.or_else(|e| skip(format!("{what}: {:#}", e.into())))
    }
}

impl Proof {
    /// Why it will not even be tried here.
    pub(crate) fn is_left_out(&self, facts: &Facts, skip_tests: bool) -> Option<String> {
        if self.is_test && skip_tests {
            return Some("--skip-tests".to_owned());
        }
        if let (Some(_), UnderWine::CannotShow(why)) = (&facts.wine, self.under_wine) {
            return Some(format!("Wine cannot show it: {why}"));
        }
        if self.rights == Rights::Administrator && !facts.token.is_elevated {
            return Some("it needs an administrator (an elevated prompt)".to_owned());
        }
        None
    }

    fn run(&self, context: &Context) -> (Verdict, String) {
        match self.is_left_out(&context.facts, context.skip_tests) {
            None => self.try_it(context),
            Some(why) if context.try_all && !self.is_test => {
                let (verdict, evidence) = self.try_it(context);
                let tried = format!("{why}; tried all the same: {verdict:?}, {evidence}");
                (Verdict::Skip, tried)
            }
            Some(why) => (Verdict::Skip, why),
        }
    }

    fn try_it(&self, context: &Context) -> (Verdict, String) {
        // Whatever a proof does, the others are done and everything is removed.
        match catch_unwind(AssertUnwindSafe(|| (self.show)(context))) {
            Ok(Ok(evidence)) => (Verdict::Pass, evidence),
            Ok(Err(e)) => match e.downcast_ref::<Skip>() {
                Some(Skip(why)) => (Verdict::Skip, why.clone()),
                None => (Verdict::Fail, format!("{e:#}")),
            },
            Err(_) => (Verdict::Fail, "the proof itself broke off".to_owned()),
        }
    }
}

/// Everything, in order; 1 if something failed, 2 if nothing could be begun.
pub(crate) fn run(args: &Args) -> ExitCode {
    match prove(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("windows-proof: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn prove(args: &Args) -> anyhow::Result<bool> {
    let facts = Facts::find()?;
    let plan = Plan::new(&facts)?;
    if args.dry_run {
        print!("{}", plan.describe(args, &facts));
        return Ok(true);
    }
    ctrlc::set_handler(|| undo::everything_and_end())?;

    let mut report = Report::default();
    for (name, text) in facts.lines() {
        report.note(Verdict::Info, name, &text);
    }
    {
        let context = Context::new(args, facts, plan)?;
        for proof in proofs::ALL {
            let (verdict, evidence) = proof.run(&context);
            report.note(verdict, proof.name, &evidence);
        }
    }
    for what in undo::left() {
        report.note(Verdict::Fail, "everything is removed", &what);
    }
    report.write(&args.report)?;
    println!(
        "{}; the report is in {}",
        report.summary(),
        args.report.display()
    );
    Ok(report.count(Verdict::Fail) == 0)
}
