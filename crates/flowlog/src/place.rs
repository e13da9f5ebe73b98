//! A directory that one process at a time writes to.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;

use vtap_files::Error;

/// The directory; its lock is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes the directory if it is not there, and takes it. Where a file system has no locks, it
    /// is taken without.
    ///
    /// # Errors
    ///
    /// When it cannot be made; `WouldBlock` when another process has it.
    pub(crate) fn take(path: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&path).map_err(Error::at(&path))?;
        let lock = File::open(&path).map_err(Error::at(&path))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            let why = "another process writes there: stop it, or write elsewhere";
            return Err(Error { path, source: io::Error::new(io::ErrorKind::WouldBlock, why) });
        }
        Ok(Self { path, _lock: lock })
    }
}
