//! Whether files reach the store, told once each time that it changes.

use std::path::PathBuf;

use crate::Error;

/// A change that somebody should hear of.
#[derive(Debug)]
pub enum Health {
    /// The store takes nothing. Files wait on the disk; attempts go on, every 5 minutes at the
    /// rarest.
    Failing(Error),
    /// It takes files again.
    Recovered,
    /// One file is not taken, or cannot be read; others go on, and it is tried again.
    Refused(Error),
    /// A file was taken away before the store had it.
    Vanished(PathBuf),
    /// A directory cannot be looked at, a file that went cannot be removed, or the journal cannot be
    /// written. It is tried again at each look.
    Disk(Error),
}

/// What has not been told yet: the first of each kind since it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    failing: Option<Error>,
    recovered: bool,
    refused: Option<Error>,
    vanished: Option<PathBuf>,
    disk: Option<Error>,
}

impl Untold {
    pub(crate) fn failing(&mut self, error: Error) {
        // Where the recovery was not told, nobody thinks that it works.
        if self.recovered {
            self.recovered = false;
        } else {
            self.failing = Some(error);
        }
    }

    pub(crate) fn recovered(&mut self) {
        // One that nobody heard of is over.
        self.recovered = self.failing.take().is_none();
    }

    pub(crate) fn refused(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    pub(crate) fn vanished(&mut self, file: PathBuf) {
        self.vanished.get_or_insert(file);
    }

    pub(crate) fn disk(&mut self, error: Error) {
        self.disk.get_or_insert(error);
    }

    pub(crate) fn take(&mut self) -> Option<Health> {
        if let Some(error) = self.failing.take() {
            return Some(Health::Failing(error));
        }
        if std::mem::take(&mut self.recovered) {
            return Some(Health::Recovered);
        }
        let refused = self.refused.take().map(Health::Refused);
        refused
            .or_else(|| self.vanished.take().map(Health::Vanished))
            .or_else(|| self.disk.take().map(Health::Disk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> Error {
        Error::Url { url: "x:".into(), why: "unknown".into() }
    }

    #[test]
    fn a_change_that_comes_to_nothing_before_it_is_told_is_left_out() {
        let mut untold = Untold::default();
        untold.failing(error());
        untold.recovered();
        assert!(untold.take().is_none());
        untold.failing(error());
        assert!(matches!(untold.take(), Some(Health::Failing(_))));
        untold.recovered();
        untold.failing(error());
        assert!(untold.take().is_none());
        untold.recovered();
        assert!(matches!(untold.take(), Some(Health::Recovered)));
        assert!(untold.take().is_none());
    }
}
