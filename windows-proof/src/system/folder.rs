//! The folder of a run. Its access list is there from the first moment on: what SYSTEM is to run must not be
//! written, nor have files put beside it, by anybody else; not even by this user without elevation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;

use super::calls::{ok, wide};
use super::security::Descriptor;
use super::token::Token;
use crate::undo::{self, Undo};

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The access list of everything in it.
    list: String,
    _undo: Undo,
}

impl Folder {
    /// Other accounts may read and run what is in it.
    pub(crate) fn create(path: &Path, token: &Token) -> anyhow::Result<Folder> {
        let mut list = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;FRFX;;;AU)".to_owned();
        if !token.is_elevated {
            list += &format!("(A;OICI;FA;;;{})", token.user);
        }
        let removed = path.to_owned();
        create(path, &list)?;
        let undo = undo::at_the_end(format!("folder {}", path.display()), move || {
            remove(&removed)
        });
        Ok(Folder {
            path: path.to_owned(),
            list,
            _undo: undo,
        })
    }

    /// A folder in it, which goes with it; with more entries in its access list.
    pub(crate) fn inner(&self, name: &str, entries: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        create(&path, &format!("{}{entries}", self.list))?;
        Ok(path)
    }
}

fn create(path: &Path, list: &str) -> anyhow::Result<()> {
    let descriptor = Descriptor::parse(list)?;
    // SAFETY: a zero-terminated string, and attributes that live as long as the call.
    ok(unsafe { CreateDirectoryW(wide(path).as_ptr(), &descriptor.attributes()) })
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// A program that has just ended keeps its file for a moment.
fn remove(path: &Path) -> anyhow::Result<()> {
    let mut last = Ok(());
    for _ in 0..50 {
        last = fs::remove_dir_all(path);
        if !path.exists() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Ok(last?)
}
