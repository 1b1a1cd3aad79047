//! Tables and pictures of a file of rows.

mod data;
mod plot;
mod table;

use std::path::{Path, PathBuf};

use crate::cell::Result;
use crate::{print, rows};
use data::Data;

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

/// Said wherever figures of Wine might be taken for those of Windows.
pub(crate) fn wine_warning(version: &str) -> String {
    format!(
        "This is Wine {version}, not Windows: that it runs and is correct is shown here; the times \
         say nothing about Windows and are not to be published as such."
    )
}

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let data = Data::of(rows::read(&args.file)?)
        .map_err(|error| format!("{}: {error}", args.file.display()))?;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => args.file.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let pictures = plot::all(&data);
    let text = table::report(&data, &pictures);
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
