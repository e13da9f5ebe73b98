//! What is asked of the operating system.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with, statvfs};
use rustix::io::Errno;

/// Everything that may fail while rows are written; tests have one that does.
pub(crate) trait Disk: fmt::Debug + Send {
    /// See [`free`].
    fn free(&mut self, directory: &Path) -> io::Result<u64>;

    /// A new file, written at its end wherever that is; fails where there is one.
    fn create(&mut self, path: &Path) -> io::Result<File>;

    /// All of `bytes`, or an error and nobody knows how many.
    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;

    /// Cuts what is behind the first `bytes`.
    fn truncate(&mut self, file: &File, bytes: u64) -> io::Result<()>;

    /// Returns when the disk has what was written.
    fn sync(&mut self, file: &File) -> io::Result<()>;

    /// Gives a file another name; fails where that is taken.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// The operating system itself.
#[derive(Debug)]
pub(crate) struct System;

impl Disk for System {
    fn free(&mut self, directory: &Path) -> io::Result<u64> {
        free(directory)
    }

    fn create(&mut self, path: &Path) -> io::Result<File> {
        File::options().append(true).create_new(true).open(path)
    }

    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn truncate(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can (NFS): look first. Processes of ours do not race here,
            // as each holds the partial name that belongs to `to`.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                if is_taken(to) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                fs::rename(from, to)
            }
            renamed => Ok(renamed?),
        }
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Bytes that an unprivileged user may still write where `directory` is; `u64::MAX` where nothing
/// limits them.
///
/// # Errors
///
/// What statvfs(3) says.
pub fn free(directory: &Path) -> io::Result<u64> {
    let stat = statvfs(directory)?;
    // A tmpfs without a limit has no blocks, and none free.
    let is_bounded = stat.f_blocks > 0;
    Ok(if is_bounded { stat.f_bavail.saturating_mul(stat.f_frsize) } else { u64::MAX })
}

/// The directory that a file is in.
pub fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Fails unless `least` bytes are free once `next` are written.
pub(crate) fn leave_free(
    disk: &mut dyn Disk,
    directory: &Path,
    next: u64,
    least: u64,
) -> io::Result<()> {
    let free = disk.free(directory)?;
    if free.saturating_sub(next) >= least {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    let why = format!("{} MiB are free, and {} MiB stay free: make room", mib(free), mib(least));
    Err(io::Error::new(io::ErrorKind::StorageFull, why))
}

/// Whether anything has this name, a dangling link included.
pub(crate) fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Returns when the names in the directory of `path` are on the disk.
pub(crate) fn sync_names(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}
