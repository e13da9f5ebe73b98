//! One file, complete or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Error, disk, name};

/// A file that is written as `NAME.partial` and becomes `NAME` when it is finished.
///
/// If the run dies, what it wrote stays under the partial name, and a file of an earlier run under
/// the final one.
#[derive(Debug)]
#[must_use = "a file that is not finished keeps its partial name"]
pub struct Partial {
    file: File,
    path: PathBuf,
    partial: PathBuf,
}

impl Partial {
    /// Begins the file that will be `path`; a partial file that is in the way is overwritten.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let partial = name::partial(&path);
        let file = File::create(&partial).map_err(Error::at(&partial))?;
        Ok(Self { file, path, partial })
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, once its bytes are on the disk; the name is on the disk, too, when
    /// this returns.
    ///
    /// # Errors
    ///
    /// When the disk cannot take them, or the name is that of a directory.
    pub fn finish(self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::at(&self.path))?;
        fs::rename(&self.partial, &self.path).map_err(Error::at(&self.path))?;
        disk::sync_names(&self.path).map_err(Error::at(&self.path))
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_once_it_is_finished() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("out");
        fs::write(&path, "old").unwrap();
        let mut file = Partial::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read(temp.path().join("out.partial")).unwrap(), b"new");
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!temp.path().join("out.partial").exists());
    }
}
