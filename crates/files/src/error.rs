//! Why a file could not be written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file or directory that failed.
#[derive(Debug)]
pub struct Error {
    /// Which one.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Error {
    /// For `map_err`: names the path of an I/O error.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self { path: path.to_path_buf(), source }
    }
}

/// Where; what the system said is the [`source`](std::error::Error::source).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}", self.path.display())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
