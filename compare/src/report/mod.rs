//! Tables and pictures of a file of rows.
//!
//! ```text
//! text ─ tables ───┬─ data    which runs count, and their medians
//!        pictures ─┴
//!            └ svg           how a picture is drawn
//! ```

mod data;
mod numbers;
mod pictures;
mod svg;
mod tables;
mod text;

use std::path::{Path, PathBuf};

use self::data::Data;
use crate::common::{Result, print};
use crate::results;

#[derive(clap::Args, Debug)]
pub(crate) struct ReportArgs {
    /// Rows, as `full` and `short` write them
    file: PathBuf,
    /// Where report.md and the pictures go [default: beside the rows]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl ReportArgs {
    pub(crate) fn of(file: &Path) -> ReportArgs {
        ReportArgs {
            file: file.into(),
            folder: None,
        }
    }
}

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let data = Data::of(results::read(&args.file)?)
        .map_err(|error| format!("{}: {error}", args.file.display()))?;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => args.file.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let pictures = pictures::all(&data);
    let text = text::report(&data, &pictures);
    print::result(&text)?;
    let write = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
    };
    if !folder.as_os_str().is_empty() {
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    write("report.md", &text)?;
    for picture in &pictures {
        write(picture.file, &picture.svg)?;
    }
    print::note(format_args!(
        "written: report.md and {} pictures in {}",
        pictures.len(),
        folder.display()
    ));
    Ok(())
}
