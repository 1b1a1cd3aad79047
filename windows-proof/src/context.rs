//! What the proofs share: the machine, the folder, the temporary user and group, the command that was built.

use std::cell::{Cell, OnceCell, RefCell};
use std::env;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::args::Args;
use crate::plan::Plan;
use crate::proof::{OrSkip, skip};
use crate::system::account::TemporaryUser;
use crate::system::facts::Facts;
use crate::system::folder::Folder;
use crate::system::group::TemporaryGroup;

/// Made when it is first needed, or not, once and for all.
type Made<T> = OnceCell<Result<T, String>>;

pub(crate) struct Context {
    pub(crate) facts: Facts,
    pub(crate) plan: Plan,
    pub(crate) skip_tests: bool,
    pub(crate) try_all: bool,
    pub(crate) kills: u32,
    /// The repository.
    pub(crate) root: PathBuf,
    /// This program, where every account may run it.
    pub(crate) program: PathBuf,
    /// twinring.exe, once it is built.
    twinring: RefCell<Option<PathBuf>>,
    user: Made<TemporaryUser>,
    group: Made<TemporaryGroup>,
    /// Sides and links so far.
    number: Cell<u32>,
    // Last: what is above may use it.
    folder: Folder,
}

impl Context {
    pub(crate) fn new(args: &Args, facts: Facts, plan: Plan) -> anyhow::Result<Context> {
        let folder = Folder::create(&plan.folder, &facts.token)?;
        let program = plan.folder.join("windows-proof.exe");
        std::fs::copy(env::current_exe()?, &program).context("cannot copy this program")?;
        // cargo says where the manifest is, and the repository is around it.
        let root = match env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) {
            Some(folder) => folder.parent().map(PathBuf::from).unwrap_or(folder),
            None => env::current_dir()?,
        };
        let twinring = args
            .twinring
            .as_ref()
            .map(std::path::absolute)
            .transpose()?;
        Ok(Context {
            facts,
            plan,
            skip_tests: args.skip_tests,
            try_all: args.try_all,
            kills: args.kills,
            root,
            program,
            twinring: RefCell::new(twinring),
            user: Made::default(),
            group: Made::default(),
            number: Cell::new(0),
            folder,
        })
    }

    /// A name that this run has not used yet.
    pub(crate) fn new_name(&self, what: &str) -> String {
        self.number.set(self.number.get() + 1);
        format!("{}-{what}-{}", self.plan.tag, self.number.get())
    }

    /// A folder in which `writers` (entries of an access list) may write.
    pub(crate) fn new_folder(&self, what: &str, writers: &str) -> anyhow::Result<PathBuf> {
        self.folder.inner(&self.new_name(what), writers)
    }

    pub(crate) fn set_twinring(&self, path: PathBuf) {
        self.twinring.borrow_mut().get_or_insert(path);
    }

    pub(crate) fn twinring_is_given(&self) -> bool {
        self.twinring.borrow().is_some()
    }

    pub(crate) fn twinring(&self) -> anyhow::Result<PathBuf> {
        match &*self.twinring.borrow() {
            Some(path) if path.exists() => Ok(path.clone()),
            Some(path) => anyhow::bail!("there is no {}", path.display()),
            None => skip("there is no twinring.exe: it was not built"),
        }
    }

    pub(crate) fn user(&self) -> anyhow::Result<&TemporaryUser> {
        let create = || TemporaryUser::create(&self.plan.user);
        self.made("user", &self.user, create)
    }

    pub(crate) fn group(&self) -> anyhow::Result<&TemporaryGroup> {
        let create = || TemporaryGroup::create(&self.plan.group);
        self.made("group", &self.group, create)
    }

    fn made<'a, T>(
        &self,
        what: &str,
        made: &'a Made<T>,
        create: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<&'a T> {
        if self.facts.is_domain_controller {
            return skip(format!("a domain controller has no local {what}s"));
        }
        let made = made.get_or_init(|| create().map_err(|e| format!("{e:#}")));
        made.as_ref()
            .map_err(|e| anyhow::anyhow!("{e}"))
            .or_skip(&format!("cannot make a local {what}"))
    }
}
