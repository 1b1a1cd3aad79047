use std::path::PathBuf;
use crate::cell::Result;
#[derive(clap::Args, Debug)]
pub(crate) struct ReportArgs { file: PathBuf }
impl ReportArgs { pub(crate) fn of(file: &std::path::Path) -> ReportArgs { ReportArgs { file: file.into() } } }
pub(crate) fn run(args: &ReportArgs) -> Result<()> { println!("{}", args.file.display()); Ok(()) }
pub(crate) fn wine_warning(v: &str) -> String { v.into() }
