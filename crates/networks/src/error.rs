//! What is wrong with a `networks.toml`, and where.

use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("{}: cannot read: {cause}; check the name and that you may read it", path.display())]
    Read {
        /// As it was named.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// It was read, and has mistakes: all of them, a line each. Of mistakes that leave the shape
    /// of the file unclear, the first.
    #[error("{}", lines(path, mistakes))]
    Wrong {
        /// As it was named.
        path: PathBuf,
        /// In the order of lines.
        mistakes: Vec<Mistake>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// On this line; the first is 1.
    pub line: usize,
    /// What is said there, what is wrong with it, and what is allowed.
    pub wrong: String,
}

fn lines(path: &Path, mistakes: &[Mistake]) -> String {
    let line =
        |mistake: &Mistake| format!("{}:{}: {}", path.display(), mistake.line, mistake.wrong);
    mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
}
