//! Where a side will run, and how it is started there.

use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use windows_service::service::ServiceSidType;
use windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;

use super::Account;
use super::running::{Holder, Side, kept};
use crate::args::Role;
use crate::context::Context;
use crate::proof::OrSkip;
use crate::system::calls::command_line;
use crate::system::service::{Service, service_sid};
use crate::system::task::{Logon, Principal, Task};
use crate::system::token;

const NO_SID: &str = "cannot find out the SID of a service";

/// Where a side will run.
pub(crate) struct Stage<'a> {
    context: &'a Context,
    account: Account,
    program: PathBuf,
    folder: PathBuf,
    /// The user that it will be for its peers.
    pub(crate) sid: String,
    /// Whom they have to let in for that, with commas between them.
    pub(crate) accounts: String,
    /// Whom it admits, if it decides: see `side::rule`.
    admits: Option<String>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(context: &'a Context, account: Account) -> anyhow::Result<Stage<'a>> {
        Stage::with_program(context, account, &context.program)
    }

    /// Of another build of this program.
    pub(crate) fn with_program(
        context: &'a Context,
        account: Account,
        program: &Path,
    ) -> anyhow::Result<Stage<'a>> {
        let sid = match account {
            Account::User => context.user()?.sid.clone(),
            Account::System | Account::SystemService => "S-1-5-18".to_owned(),
            Account::LocalService | Account::RestrictedService => "S-1-5-19".to_owned(),
            Account::VirtualService => service_sid(&context.plan.job(account)).or_skip(NO_SID)?,
            _ => context.facts.token.user.clone(),
        };
        let accounts = match account {
            // What it may write to has to name both.
            Account::RestrictedService => {
                let service = service_sid(&context.plan.job(account)).or_skip(NO_SID)?;
                format!("{sid},{service}")
            }
            _ => sid.clone(),
        };
        let may_write = |sid: &str| format!("(A;OICI;0x1301bf;;;{sid})");
        let writers = match account {
            Account::User
            | Account::LocalService
            | Account::RestrictedService
            | Account::VirtualService => accounts.split(',').map(may_write).collect(),
            // The label comes after the list.
            Account::Low => may_write(&sid) + "S:(ML;OICI;NW;;;LW)",
            Account::NotElevated | Account::S4u => may_write(&sid),
            _ => String::new(),
        };
        let folder = context.new_folder(account.word(), &writers)?;
        let program = match account {
            // A program from a file of low integrity runs at low integrity; the copy inherits it from the folder.
            Account::Low => {
                let copy = folder.join("windows-proof.exe");
                std::fs::copy(program, &copy)?;
                copy
            }
            _ => program.to_owned(),
        };
        Ok(Stage {
            context,
            account,
            program,
            folder,
            sid,
            accounts,
            admits: None,
        })
    }

    /// What the side must say of itself, or it would prove something else.
    fn must_be(&self) -> String {
        match self.account {
            Account::Own | Account::User => format!("user {} ", self.sid),
            Account::Low => token::low(),
            Account::NotElevated => "token: Limited".to_owned(),
            _ => format!("user {} in session 0", self.sid),
        }
    }

    /// As a host, it decides by this rule.
    pub(crate) fn admitting(self, rule: &str) -> Stage<'a> {
        Stage {
            admits: Some(rule.to_owned()),
            ..self
        }
    }

    /// A host or guest of the link `name`.
    pub(crate) fn start(self, role: Role, name: &str, access: &str) -> anyhow::Result<Side> {
        let role = match role {
            Role::Host => "host",
            Role::Guest => "guest",
        };
        let command = match self.account.is_service() {
            true => "service",
            false => "side",
        };
        let admits = self.admits.clone();
        let mut arguments = vec![command, "--role", role, "--name", name, "--access", access];
        if let Some(rule) = &admits {
            arguments.extend(["--admits", rule]);
        }
        self.run(&arguments)
    }

    /// Tries what a stranger could do with a pipe.
    pub(crate) fn try_pipe(self, pipe: &str) -> anyhow::Result<String> {
        let side = self.run(&["try-pipe", "--pipe", pipe])?;
        let open = side.wait_for("open: ")?;
        let instance = side.wait_for("instance: ")?;
        Ok(format!("{}, {}", open.text, instance.text))
    }

    /// What the host of a pipe says to somebody who connects and says nothing.
    pub(crate) fn listen(self, pipe: &str) -> anyhow::Result<String> {
        let side = self.run(&["try-pipe", "--pipe", pipe, "--listen"])?;
        Ok(side.wait_for("told: ")?.text)
    }

    fn run(self, arguments: &[&str]) -> anyhow::Result<Side> {
        let log = self.folder.join("said.log");
        let path = log.display().to_string();
        let arguments: Vec<String> = arguments
            .iter()
            .chain(&["--log", &path])
            .map(|argument| (*argument).to_owned())
            .collect();
        let holder = self.begin(&arguments);
        let holder = match self.account {
            Account::Own | Account::Low => holder?,
            account => holder.or_skip(&format!("cannot start a program as {account}"))?,
        };
        let mut side = Side {
            account: self.account,
            log,
            holder,
            runs_as: String::new(),
        };
        let first = side.wait_for("runs as ");
        side.runs_as = match self.account {
            Account::Own | Account::Low => first?,
            account => first.or_skip(&format!("no program runs as {account}"))?,
        }
        .text;
        let must_be = self.must_be();
        ensure!(
            side.runs_as.contains(&must_be),
            "a side that was to be {must_be:?} {}",
            side.runs_as
        );
        Ok(side)
    }

    fn begin(&self, arguments: &[String]) -> anyhow::Result<Holder> {
        let context = self.context;
        let job = context.plan.job(self.account);
        let service = |account: Option<&str>, sid| {
            let service = Service::create(&job, account, sid, &self.program, arguments)?;
            service.start()?;
            Ok(Holder::Service(service))
        };
        let task = |sid: &str, logon| {
            let principal = Principal {
                sid: sid.to_owned(),
                logon,
            };
            let arguments = command_line(arguments)?;
            Task::start(&job, &principal, &self.program, &arguments, &self.folder).map(Holder::Task)
        };
        let own = &context.facts.token.user;
        match self.account {
            Account::Own | Account::Low => {
                let child = Command::new(&self.program)
                    .args(arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .creation_flags(CREATE_NO_WINDOW)
                    .spawn()
                    .context("cannot start this program")?;
                kept(child.into())
            }
            Account::User => {
                let program = self.program.display().to_string();
                let line = command_line(&[&[program][..], arguments].concat())?;
                let process = context.user()?.start(&self.program, &line)?;
                kept(process)
            }
            Account::NotElevated => task(own, Logon::Limited),
            Account::S4u => task(own, Logon::S4u),
            Account::System => task("S-1-5-18", Logon::Service),
            Account::LocalService => task("S-1-5-19", Logon::Service),
            Account::SystemService => service(None, ServiceSidType::None),
            Account::RestrictedService => service(
                Some(r"NT AUTHORITY\LocalService"),
                ServiceSidType::Restricted,
            ),
            Account::VirtualService => {
                service(Some(&format!(r"NT SERVICE\{job}")), ServiceSidType::None)
            }
        }
    }
}
