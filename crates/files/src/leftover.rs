//! Files that an earlier run did not complete.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::growing::place;
use crate::name::{Name, Names};
use crate::{Error, frame, waiting};

/// What became of the partial files that were there when a [`Rotating`](crate::Rotating) was
/// opened.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Cut behind their last whole row and given their names.
    pub completed: Vec<PathBuf>,
    /// Removed, as they had no whole row.
    pub removed: Vec<PathBuf>,
    /// Left alone: another process is writing them.
    pub in_use: Vec<PathBuf>,
    /// Left as they are, and why.
    pub failed: Vec<Error>,
}

impl Leftovers {
    /// Completes what is left of the stem.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub(crate) fn complete(disk: &mut dyn Disk, names: &Names, head: &[u8]) -> Result<Self, Error> {
        let mut all = Self::default();
        for name in names.partials()? {
            let partial = names.partial(&name);
            match complete(disk, names, head, name) {
                Ok(Fate::Completed(path)) => all.completed.push(path),
                Ok(Fate::Removed) => all.removed.push(partial),
                Ok(Fate::InUse) => all.in_use.push(partial),
                Ok(Fate::Gone) => {}
                Err(error) => all.failed.push(error),
            }
        }
        Ok(all)
    }
}

enum Fate {
    Completed(PathBuf),
    Removed,
    InUse,
    /// Another process was faster.
    Gone,
}

fn complete(disk: &mut dyn Disk, names: &Names, head: &[u8], name: Name) -> Result<Fate, Error> {
    let partial = names.partial(&name);
    let at = || Error::at(&partial);
    let mut file = match File::options().read(true).write(true).open(&partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fate::Gone),
        opened => opened.map_err(at())?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(Fate::InUse),
        Err(TryLockError::Error(error)) => return Err(at()(error)),
        Ok(()) => {}
    }
    if !is_still(&file, &partial).map_err(at())? {
        return Ok(Fate::Gone);
    }
    let end = if name.packed {
        frame::last_end(BufReader::new(&file))
    } else {
        last_row(&mut file, head)
    };
    let end = end.map_err(at())?;
    if end == 0 {
        disk.remove(&partial).map_err(at())?;
        return Ok(Fate::Removed);
    }
    if end < file.metadata().map_err(at())?.len() {
        disk.truncate(&file, end).map_err(at())?;
    }
    disk.sync(&file).map_err(at())?;
    place(disk, names, &partial, name).map(Fate::Completed)
}

/// Whether the name is still that of the file that was locked: another process may have completed
/// it in between.
fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where the last whole row ends; 0 if there is nothing but the head. Reads from the end.
fn last_row(file: &mut File, head: &[u8]) -> io::Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut until = file.metadata()?.len();
    let end = loop {
        if until == 0 {
            return Ok(0);
        }
        let from = until.saturating_sub(BLOCK_BYTES as u64);
        let length = usize::try_from(until - from).unwrap_or(BLOCK_BYTES);
        let block = block.get_mut(..length).unwrap_or_default();
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(block)?;
        if let Some(end) = waiting::last_end(block) {
            break from + end as u64;
        }
        until = from;
    };
    if end > head.len() as u64 {
        return Ok(end);
    }
    let mut rows = vec![0; usize::try_from(end).unwrap_or(0)];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut rows)?;
    Ok(if head.starts_with(&rows) { 0 } else { end })
}

const BLOCK_BYTES: usize = 64 << 10;
