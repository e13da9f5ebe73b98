//! Complete files below a directory.
//!
//! A file is complete when it has its name: not `.partial` behind it, and no dot before it. Links
//! are left alone, as they may lead anywhere.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vtap_packet::Timestamp;

use crate::Error;

/// Which bytes a file has: it changes whenever they do, as writers replace a file or end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    pub(crate) modified: Timestamp,
    pub(crate) inode: u64,
}

impl Stamp {
    pub(crate) fn of(data: &Metadata) -> Self {
        let modified = time(data.mtime(), data.mtime_nsec());
        Self { bytes: data.len(), modified, inode: data.ino() }
    }
}

/// When a file got its name, or later: what changes beside its bytes is of that time, too.
pub(crate) fn named(data: &Metadata) -> Timestamp {
    time(data.ctime(), data.ctime_nsec())
}

fn time(seconds: i64, nanos: i64) -> Timestamp {
    Timestamp::new(u64::try_from(seconds).unwrap_or(0), u64::try_from(nanos).unwrap_or(0))
}

/// A file by spool and path below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Index into the spools.
    pub(crate) spool: usize,
    pub(crate) path: Arc<Path>,
}

impl Key {
    /// Whether it changes under its name until its hour is over, as the flow log of a virtual network
    /// does.
    pub(crate) fn is_growing(&self) -> bool {
        self.path.file_name().is_some_and(|name| name == GROWING)
    }

    /// The path as text, if an object can have it.
    pub(crate) fn object(&self) -> Option<&str> {
        self.path.to_str().filter(|path| !path.contains(|c: char| c.is_ascii_control()))
    }
}

const GROWING: &str = "PT1H.json";

/// What a look at a spool has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<(Key, Stamp)>,
    /// Directories that are empty for an hour, so that nobody is about to write there.
    pub(crate) empty: Vec<PathBuf>,
    pub(crate) unnameable: u64,
    /// Spools that could not be read in full: what was not found there may be there.
    pub(crate) unread: BTreeSet<usize>,
    pub(crate) errors: Vec<Error>,
}

impl Found {
    /// Looks through `directory` and what is below it, past what cannot be read.
    pub(crate) fn look(&mut self, spool: usize, directory: &Path, now: Timestamp) {
        let mut open = vec![directory.to_path_buf()];
        while let Some(inner) = open.pop() {
            let is_root = inner == directory;
            match self.list(spool, directory, &inner, &mut open) {
                Ok(is_empty) if is_empty && !is_root => self.note_empty(inner, now),
                Ok(_) => {}
                // Removed since it was seen.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !is_root => {}
                Err(error) => {
                    self.unread.insert(spool);
                    self.errors.push(Error::disk("read", &inner)(error));
                }
            }
        }
    }

    fn list(
        &mut self,
        spool: usize,
        root: &Path,
        inner: &Path,
        open: &mut Vec<PathBuf>,
    ) -> io::Result<bool> {
        let mut is_empty = true;
        for entry in fs::read_dir(inner)? {
            let entry = entry?;
            is_empty = false;
            let name = entry.file_name();
            let bytes = name.as_encoded_bytes();
            if bytes.starts_with(b".") || bytes.ends_with(PARTIAL) {
                continue;
            }
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let Ok(below) = path.strip_prefix(root) else { continue };
                let key = Key { spool, path: below.into() };
                // Removed since it was listed: not there.
                let Ok(data) = entry.metadata() else { continue };
                match key.object() {
                    Some(_) => self.files.push((key, Stamp::of(&data))),
                    None => self.unnameable += 1,
                }
            }
        }
        Ok(is_empty)
    }

    fn note_empty(&mut self, directory: PathBuf, now: Timestamp) {
        let modified = fs::metadata(&directory).map(|data| Stamp::of(&data).modified);
        if modified.is_ok_and(|modified| now.since(modified) > EMPTY) {
            self.empty.push(directory);
        }
    }
}

/// What a file that is not complete has behind its name.
const PARTIAL: &[u8] = b".partial";

/// How long a directory is empty before it is removed.
const EMPTY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn only_complete_files_are_found_from_all_levels() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir_all(at(".hidden")).unwrap();
        for name in ["1.json", "a/2.json", "a/b/PT1H.json", "a/3.json.partial", ".uploaded"] {
            fs::write(at(name), name).unwrap();
        }
        fs::write(at(".hidden/4.json"), "x").unwrap();
        fs::write(at("new\nline"), "x").unwrap();
        fs::write(temp.path().join(OsStr::from_bytes(b"\xff")), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();

        let mut found = Found::default();
        found.look(3, temp.path(), Timestamp::EPOCH);
        let mut names: Vec<_> =
            found.files.iter().map(|(key, _)| key.path.to_str().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["1.json", "a/2.json", "a/b/PT1H.json"]);
        assert!(found.files.iter().all(|(key, stamp)| {
            key.spool == 3 && stamp.bytes == key.path.as_os_str().len() as u64
        }));
        assert_eq!(found.unnameable, 2);
        assert!(found.empty.is_empty() && found.unread.is_empty());
    }

    #[test]
    fn a_directory_that_was_empty_for_an_hour_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let empty = temp.path().join("y=2025");
        fs::create_dir(&empty).unwrap();
        let made = Stamp::of(&fs::metadata(&empty).unwrap()).modified;
        for (after, expected) in [(3600, 0), (3601, 1)] {
            let mut found = Found::default();
            found.look(0, temp.path(), made + Duration::from_secs(after));
            assert_eq!(found.empty.len(), expected);
        }
    }
}
