//! What failed, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

pub use crate::failure::{Cause, Failure};

/// Why nothing can be uploaded, or one file could not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL of the destination.
    #[error("{url}: {why}")]
    Url {
        /// As it was given, without what may be secret.
        url: String,
        /// What is wrong, and what is right.
        why: String,
    },
    /// The file with credentials.
    #[error("{}: {why}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is right.
        why: String,
    },
    /// A file or directory of a spool.
    #[error("cannot {step} {}: {source}", path.display())]
    Disk {
        /// What was tried: "read", "remove".
        step: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Directories that cannot be told apart.
    #[error("{} lies in {}: what is in both would go twice; name one of them", inner.display(), outer.display())]
    Nested {
        /// The directory inside.
        inner: PathBuf,
        /// The one around it.
        outer: PathBuf,
    },
    /// No thread for the uploads.
    #[error("cannot start the thread for uploads: {0}")]
    Thread(io::Error),
    /// An upload.
    #[error(transparent)]
    Upload(Box<Failure>),
}

impl Error {
    /// For `map_err`: names step and path of an I/O error.
    pub(crate) fn disk(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { step, path: path.to_path_buf(), source }
    }
}
