//! Why events could not be written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Output that failed, and where.
#[derive(Debug)]
pub struct Error {
    /// The file or directory; `None` for standard output.
    pub path: Option<PathBuf>,
    /// What the system said.
    pub source: io::Error,
}

impl Error {
    /// For `map_err`: names the path of an I/O error.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self { path: Some(path.to_path_buf()), source }
    }

    /// Whether the reader has closed its end, as `head` does; a run then ends quietly.
    pub fn is_broken_pipe(&self) -> bool {
        self.source.kind() == io::ErrorKind::BrokenPipe
    }
}

impl From<vtap_files::Error> for Error {
    fn from(error: vtap_files::Error) -> Self {
        Self { path: Some(error.path), source: error.source }
    }
}

/// Where; what the system said is the [`source`](std::error::Error::source).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "cannot write {}", path.display()),
            None => f.write_str("cannot write to standard output"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place_and_keeps_its_cause() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Error { path: None, source: closed() };
        assert_eq!(error.to_string(), "cannot write to standard output");
        assert!(error.is_broken_pipe());
        assert!(std::error::Error::source(&error).is_some());

        let error = Error::at(Path::new("out/events.json"))(io::ErrorKind::StorageFull.into());
        assert_eq!(error.to_string(), "cannot write out/events.json");
        assert!(!error.is_broken_pipe());
    }
}
