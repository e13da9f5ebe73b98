//! The file that rows go to now.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use vtap_packet::Timestamp;

use crate::Error;
use crate::disk::{Disk, is_taken, sync_names};
use crate::name::{Label, Name, Names};
use crate::rotation::Period;

/// A file under its partial name, locked against those who look for leftovers.
#[derive(Debug)]
pub(crate) struct Growing {
    file: File,
    partial: PathBuf,
    name: Name,
    period: Option<Period>,
    /// How far it holds whole rows.
    whole: u64,
    /// Something that is not whole may be behind them.
    is_torn: bool,
    is_full: bool,
}

impl Growing {
    /// Begins a file under the first name of this second that nobody has.
    pub(crate) fn begin(
        disk: &mut dyn Disk,
        names: &Names,
        now: Timestamp,
        period: Option<Period>,
    ) -> Result<Self, Error> {
        let mut label = Label::at(now);
        loop {
            let name = names.name(label);
            let path = names.path(&name);
            let partial = names.partial(&name);
            let file = if is_taken(&path) { None } else { create(disk, &partial)? };
            match file {
                // Since it was looked for, another process may have completed a file of this name.
                Some(_) if is_taken(&path) => {
                    disk.remove(&partial).map_err(Error::at(&partial))?;
                }
                Some(file) => {
                    let (whole, is_torn, is_full) = (0, false, false);
                    return Ok(Self { file, partial, name, period, whole, is_torn, is_full });
                }
                None => {}
            }
            label = name.label.next();
        }
    }

    /// How many bytes of whole rows it has.
    pub(crate) const fn bytes(&self) -> u64 {
        self.whole
    }

    /// Whether it takes no more rows at `now`.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.is_full || self.period.is_some_and(|period| period.is_over(now))
    }

    /// Whether it has the size at which it is complete.
    pub(crate) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Takes no more rows from now on.
    pub(crate) const fn close(&mut self) {
        self.is_full = true;
    }

    /// Writes whole rows. After an error the file has none of them, as soon as it can be cut.
    pub(crate) fn append(&mut self, disk: &mut dyn Disk, parts: [&[u8]; 2]) -> Result<(), Error> {
        self.mend(disk)?;
        self.is_torn = true;
        let mut bytes = 0;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if let Err(error) = disk.append(&mut self.file, part) {
                // If this fails, too, it is tried again before the next rows.
                let _ = self.mend(disk);
                return Err(Error::at(&self.partial)(error));
            }
            bytes += part.len() as u64;
        }
        self.is_torn = false;
        self.whole += bytes;
        Ok(())
    }

    /// Gives the file its name, once it is on the disk; removes it if it has no rows. Says whether
    /// there is a file.
    pub(crate) fn complete(&mut self, disk: &mut dyn Disk, names: &Names) -> Result<bool, Error> {
        self.mend(disk)?;
        if self.whole == 0 {
            disk.remove(&self.partial).map_err(Error::at(&self.partial))?;
            return Ok(false);
        }
        disk.sync(&self.file).map_err(Error::at(&self.partial))?;
        place(disk, names, &self.partial, self.name.clone())?;
        Ok(true)
    }

    /// Whether somebody has taken the file away.
    pub(crate) fn is_gone(&self) -> bool {
        !is_taken(&self.partial)
    }

    fn mend(&mut self, disk: &mut dyn Disk) -> Result<(), Error> {
        if self.is_torn {
            disk.truncate(&self.file, self.whole).map_err(Error::at(&self.partial))?;
            self.is_torn = false;
        }
        Ok(())
    }
}

/// A new file with a lock on it; `None` where another process has it.
fn create(disk: &mut dyn Disk, partial: &Path) -> Result<Option<File>, Error> {
    let file = match disk.create(partial) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        created => created.map_err(Error::at(partial))?,
    };
    // One that starts may have taken it for a leftover before it was locked, and has removed it,
    // or is about to. Where nothing can be locked, nobody takes leftovers.
    let is_theirs = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    let is_removed = file.metadata().is_ok_and(|data| data.nlink() == 0);
    Ok((!is_theirs && !is_removed).then_some(file))
}

/// Gives a file that is on the disk its name, or the next one of its second that nobody has.
pub(crate) fn place(
    disk: &mut dyn Disk,
    names: &Names,
    partial: &Path,
    mut name: Name,
) -> Result<PathBuf, Error> {
    loop {
        let path = names.path(&name);
        match disk.rename(partial, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                name.label = name.label.next();
            }
            renamed => {
                renamed.map_err(Error::at(partial))?;
                sync_names(&path).map_err(Error::at(&path))?;
                return Ok(path);
            }
        }
    }
}
