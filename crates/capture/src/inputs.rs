//! From what was typed to one source.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use vtap_packet::Packet;

use crate::merge::Merge;
use crate::{Damage, Error, File, Interface, Progress, Source, Taker};

/// Opens everything that `paths` name, as one source, merged by time.
///
/// A path is a file, a FIFO or a device; `-`, standard input; a directory, for the capture files
/// in it, by name, not those further down; or a pattern with `*`, `?` or `[`, where no file has
/// that very name. What cannot be opened is told by [`Inputs::unreadable`], and the rest is read.
///
/// # Errors
///
/// Nothing could be opened.
pub fn open(paths: &[PathBuf]) -> Result<Inputs, Error> {
    if let [path] = paths
        && !path.is_dir()
        && !is_pattern(path)
    {
        let source = Members::One(open_file(path)?);
        return Ok(Inputs { source, unreadable: Vec::new(), passed_over: Vec::new() });
    }
    let mut opening =
        Opening { merge: Merge::new(), unreadable: Vec::new(), passed_over: Vec::new() };
    for path in paths {
        if is_pattern(path) {
            opening.add_matches(path);
        } else {
            opening.add(path);
        }
    }
    let Opening { merge, unreadable, passed_over } = opening;
    if merge.is_empty() {
        return Err(nothing_opened(unreadable));
    }
    Ok(Inputs { source: Members::Many(merge), unreadable, passed_over })
}

/// An opened input of one or many files.
#[derive(Debug)]
pub struct Inputs {
    source: Members,
    unreadable: Vec<Error>,
    passed_over: Vec<PathBuf>,
}

#[derive(Debug)]
enum Members {
    One(File),
    Many(Merge),
}

impl Inputs {
    /// The files that are read, directories and patterns resolved; `-` for standard input.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (one, many) = match &self.source {
            Members::One(file) => (Some(file.path()), None),
            Members::Many(merge) => (None, Some(merge.paths())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Inputs that could not be opened, and files of a merge that failed later; the others were
    /// read all the same.
    pub fn unreadable(&self) -> impl Iterator<Item = &Error> {
        let failed = match &self.source {
            Members::One(_) => &[],
            Members::Many(merge) => merge.failed(),
        };
        self.unreadable.iter().chain(failed)
    }

    /// Files in directories that are no captures.
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }
}

impl Source for Inputs {
    #[inline]
    fn next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        match &mut self.source {
            Members::One(file) => file.next(),
            Members::Many(merge) => merge.next(),
        }
    }

    #[inline(always)]
    fn each_at_hand<T: Taker>(&mut self, taker: &mut T) -> ControlFlow<T::Stop> {
        match &mut self.source {
            Members::One(file) => file.each_at_hand(taker),
            Members::Many(_) => ControlFlow::Continue(()),
        }
    }

    fn progress(&self) -> Progress {
        match &self.source {
            Members::One(file) => file.progress(),
            Members::Many(merge) => merge.progress(),
        }
    }

    fn damage(&self) -> &[Damage] {
        match &self.source {
            Members::One(file) => file.damage(),
            Members::Many(merge) => merge.damage(),
        }
    }

    fn unlisted_damage(&self) -> u64 {
        match &self.source {
            Members::One(file) => file.unlisted_damage(),
            Members::Many(merge) => merge.unlisted_damage(),
        }
    }

    fn interface(&self, id: u32) -> Option<&Interface> {
        match &self.source {
            Members::One(file) => file.interface(id),
            Members::Many(merge) => merge.interface(id),
        }
    }
}

/// A merge that grows, and what is left out of it.
struct Opening {
    merge: Merge,
    unreadable: Vec<Error>,
    passed_over: Vec<PathBuf>,
}

impl Opening {
    fn add_matches(&mut self, pattern: &Path) {
        let failed = |why| Error::Pattern { pattern: pattern.display().to_string(), why };
        let matches = match pattern.to_str().map(glob::glob) {
            Some(Ok(matches)) => matches,
            Some(Err(error)) => return self.unreadable.push(failed(error.msg)),
            None => return self.unreadable.push(failed("not UTF-8")),
        };
        let mut found = false;
        for path in matches {
            found = true;
            match path {
                Ok(path) => self.add(&path),
                Err(error) => {
                    let path = error.path().to_owned();
                    self.unreadable.push(Error::Open { path, cause: error.into() });
                }
            }
        }
        if !found {
            self.unreadable.push(failed("nothing matches this pattern"));
        }
    }

    fn add(&mut self, path: &Path) {
        if path.is_dir() {
            return self.add_directory(path);
        }
        let added = open_file(path).and_then(|file| self.merge.add(path.to_owned(), file));
        self.unreadable.extend(added.err());
    }

    fn add_directory(&mut self, directory: &Path) {
        let mut paths = match list(directory) {
            Ok(paths) => paths,
            Err(cause) => {
                let path = directory.to_owned();
                return self.unreadable.push(Error::Open { path, cause });
            }
        };
        paths.sort();
        let mut added = false;
        for path in paths {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => continue,
                // A FIFO would wait for its writer.
                Ok(metadata) if !metadata.is_file() => {
                    self.passed_over.push(path);
                    continue;
                }
                _ => {}
            }
            match File::open(&path).and_then(|file| self.merge.add(path.clone(), file)) {
                Ok(()) => added = true,
                Err(Error::NotACapture { .. }) => self.passed_over.push(path),
                Err(error) => self.unreadable.push(error),
            }
        }
        if !added {
            self.unreadable.push(Error::EmptyDirectory(directory.to_owned()));
        }
    }
}

fn open_file(path: &Path) -> Result<File, Error> {
    if path == Path::new("-") { File::stdin() } else { File::open(path) }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '[']) && fs::symlink_metadata(path).is_err()
}

fn list(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// The one error there is, or all of them.
fn nothing_opened(mut errors: Vec<Error>) -> Error {
    if errors.len() > 1 {
        let others = errors.split_off(1);
        let first = errors.pop().unwrap_or(Error::NoInput);
        return Error::NothingOpened { first: Box::new(first), others };
    }
    errors.pop().unwrap_or(Error::NoInput)
}
