//! The directory that is served, and nothing beside it.

use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::http::Validator;

/// A directory. What is opened lies in it, whatever the path and its symbolic links say: `cap-std` sees to that.
pub(crate) struct Files(Dir);

impl Files {
    pub(crate) fn open(dir: &Path) -> io::Result<Files> {
        Dir::open_ambient_dir(dir, ambient_authority()).map(Files)
    }

    /// A regular file; everything else is not found.
    pub(crate) fn file(&self, path: &str) -> io::Result<(File, Validator)> {
        let path = path.trim_start_matches('/');
        // Looked at first: to open a named pipe would wait for its other end.
        if !self.0.metadata(path)?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.0.open(path)?.into_std();
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let validator = Validator {
            len: metadata.len(),
            changed: metadata.modified().ok(),
        };
        Ok((file, validator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_found() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("served");
        std::fs::create_dir_all(dir.join("inner")).unwrap();
        std::fs::write(home.path().join("secret"), "secret").unwrap();
        std::fs::write(dir.join("inner/open"), "open").unwrap();
        let files = Files::open(&dir).unwrap();
        assert!(files.file("/inner/open").is_ok());
        assert!(files.file("//inner/../inner/open").is_ok());
        let secret = home.path().join("secret");
        for path in [
            "/../secret",
            "/inner/../../secret",
            "/..\\secret",
            "/inner/..\\..\\secret",
            "/./../secret",
            "/",
            "",
            "/inner",
            "/inner/open/",
            "/inner/open/..",
            secret.to_str().unwrap(),
            "/C:\\windows\\win.ini",
            "/CON",
        ] {
            assert!(files.file(path).is_err(), "{path}");
        }
    }
}
