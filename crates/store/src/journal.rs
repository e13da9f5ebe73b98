//! What went, where files stay: `.uploaded` in the spool.
//!
//! The first line names the store, each other one a file as it was when it went. It is written
//! beside and renamed, so it is whole; what went since the last time goes again after a crash.
//! Where it is damaged, or of another store, everything goes again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vtap_files::Partial;
use vtap_packet::Timestamp;

use crate::Error;
use crate::scan::{Key, Stamp};

/// The journal of one spool.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    store: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    store: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    file: String,
    bytes: u64,
    modified_ns: u64,
    inode: u64,
}

impl Journal {
    pub(crate) fn new(directory: &Path, store: &str) -> Self {
        Self { path: directory.join(NAME), store: store.to_owned() }
    }

    /// What it has; nothing where it is of another store.
    pub(crate) fn read(&self, spool: usize) -> Result<Vec<(Key, Stamp)>, Error> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            // Not text: damaged.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Vec::new()),
            read => read.map_err(Error::disk("read", &self.path))?,
        };
        let mut lines = text.lines();
        let head = lines.next().and_then(|line| serde_json::from_str::<Head>(line).ok());
        if head.is_none_or(|head| head.store != self.store) {
            return Ok(Vec::new());
        }
        let read = |line: &str| {
            let Line { file, bytes, modified_ns, inode } = serde_json::from_str(line).ok()?;
            let modified = Timestamp::from_nanos(modified_ns);
            let key = Key { spool, path: Path::new(&file).into() };
            Some((key, Stamp { bytes, modified, inode }))
        };
        Ok(lines.filter_map(read).collect())
    }

    pub(crate) fn write<'a>(
        &self,
        files: impl Iterator<Item = (&'a Key, Stamp)>,
    ) -> Result<(), Error> {
        let mut text = Vec::new();
        let at = || Error::disk("write", &self.path);
        let store = self.store.clone();
        serde_json::to_writer(&mut text, &Head { store }).map_err(|error| at()(error.into()))?;
        text.push(b'\n');
        for (key, Stamp { bytes, modified, inode }) in files {
            let Some(file) = key.object() else { continue };
            let line = Line { file: file.to_owned(), bytes, modified_ns: modified.nanos(), inode };
            serde_json::to_writer(&mut text, &line).map_err(|error| at()(error.into()))?;
            text.push(b'\n');
        }
        let placed = |error: vtap_files::Error| at()(error.source);
        let mut file = Partial::create(&self.path).map_err(placed)?;
        file.write_all(&text).map_err(at())?;
        file.finish().map_err(placed)
    }
}

/// Begins with a dot, so that it is not uploaded itself.
const NAME: &str = ".uploaded";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_remembered_for_its_store_only() {
        let temp = tempfile::tempdir().unwrap();
        let journal = Journal::new(temp.path(), "az://a");
        assert!(journal.read(0).unwrap().is_empty());
        let key = Key { spool: 1, path: Path::new("a \"b\"/c.pcap").into() };
        let stamp = Stamp { bytes: 7, modified: Timestamp::new(1, 2), inode: 9 };
        journal.write([(&key, stamp)].into_iter()).unwrap();
        assert_eq!(journal.read(1).unwrap(), [(key, stamp)]);
        assert!(Journal::new(temp.path(), "az://b").read(1).unwrap().is_empty());
        fs::write(temp.path().join(NAME), b"\xff\n").unwrap();
        assert!(journal.read(1).unwrap().is_empty());
    }
}
