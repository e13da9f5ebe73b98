//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("{}: cannot read: {cause}; check the name and that you may read it", path.display())]
    Read {
        /// As it was named.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// It was read, and has mistakes: all of them, a line each.
    #[error("{}", lines(.0))]
    Wrong(Vec<Mistake>),
}

fn lines(mistakes: &[Mistake]) -> String {
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was said.
    pub origin: Origin,
    /// What was said, in short.
    pub said: String,
    /// What is wrong with it, and what is allowed.
    pub wrong: String,
}

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the template; a mistake there is a bug.
    Template,
    /// In a file, on this line; the first is 1.
    File(PathBuf, usize),
    /// On the command line, with this flag.
    Flag(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Template => f.write_str("default: ")?,
            Origin::File(path, line) => write!(f, "{}:{line}: ", path.display())?,
            Origin::Flag(_) => {}
        }
        write!(f, "{}: {}", self.said, self.wrong)
    }
}
