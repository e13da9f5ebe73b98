//! One file, complete or not there.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
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

    /// As [`create`](Self::create), where neither the file nor a partial one of its name may be
    /// there.
    ///
    /// # Errors
    ///
    /// When it cannot be created; `AlreadyExists` where one of them is there.
    pub fn create_new(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Error { path, source: io::ErrorKind::AlreadyExists.into() });
        }
        let partial = name::partial(&path);
        let file = File::create_new(&partial).map_err(Error::at(&partial))?;
        Ok(Self { file, path, partial })
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name it has until it is finished.
    pub fn partial_path(&self) -> &Path {
        &self.partial
    }

    /// Cuts the file to its first `len` bytes and goes on writing behind them.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    ///
    /// When the disk cannot take it.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::at(&self.path))
    }

    /// Takes the file away, unfinished.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn discard(self) -> Result<(), Error> {
        fs::remove_file(&self.partial).map_err(Error::at(&self.partial))
    }

    /// Gives the file its name, once its bytes are on the disk; the name is on the disk, too, when
    /// this returns.
    ///
    /// # Errors
    ///
    /// When the disk cannot take them, or the name is that of a directory.
    pub fn finish(self) -> Result<(), Error> {
        self.sync()?;
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
    #[test]
    fn a_new_file_takes_no_name_that_is_there() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("out");
        let first = Partial::create_new(&path).unwrap();
        let exists = io::ErrorKind::AlreadyExists;
        assert_eq!(Partial::create_new(&path).unwrap_err().source.kind(), exists);
        first.finish().unwrap();
        assert_eq!(Partial::create_new(&path).unwrap_err().source.kind(), exists);
        assert!(!temp.path().join("out.partial").exists());
    }

    #[test]
    fn a_file_that_is_cut_goes_on_where_it_was_cut() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("out");
        let mut file = Partial::create(&path).unwrap();
        file.write_all(b"whole and half").unwrap();
        file.truncate(5).unwrap();
        file.write_all(b", whole").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole, whole");

        Partial::create(&path).unwrap().discard().unwrap();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
