//! Where files are kept: a folder, a file, or a stream; in tests, something that fails.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use vtap_capture::write::Format;
use vtap_files::{Error, Partial};
use vtap_packet::Timestamp;

use crate::name;

/// Makes files and removes them.
pub(crate) trait Store: Send + 'static {
    type Output: Output;

    /// Begins a file.
    fn create(&mut self, begun: Timestamp) -> Result<Self::Output, Error>;

    /// Bytes that the file system has left for us; `None` where that is no question.
    fn free(&mut self) -> io::Result<Option<u64>>;

    fn remove(&mut self, path: &Path) -> Result<(), Error>;

    /// Whether somebody else has taken a complete file away, as they may.
    fn is_gone(&self, path: &Path) -> bool;

    /// Whether writing may go on after an error: a stream has no way back to a whole packet.
    fn can_retry(&self) -> bool;
}

/// A file that is written.
pub(crate) trait Output: Send + 'static {
    /// The name it will have.
    fn path(&self) -> &Path;
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Comes back when it is on the disk.
    fn sync(&mut self) -> Result<(), Error>;
    /// Gives it its name.
    fn finish(self) -> Result<(), Error>;
    /// Takes it away.
    fn discard(self) -> Result<(), Error>;
}

/// What a session writes to.
pub enum Destination {
    /// One file of this name, which it gets when it is complete; one that is there is replaced
    /// then.
    File(PathBuf),
    /// Files named after the time at which they begin, see [`name::of`]; none is replaced. The
    /// folder is made if need be.
    Folder(PathBuf),
    /// A pipe or a device, of this name in messages.
    Stream(PathBuf, Box<dyn Write + Send>),
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Stream(path, _) => f.debug_tuple("Stream").field(path).finish(),
        }
    }
}

/// The real one.
pub(crate) struct Disk {
    destination: Destination,
    format: Format,
}

impl Disk {
    pub(crate) fn new(destination: Destination, format: Format) -> Result<Self, Error> {
        if let Destination::Folder(path) = &destination {
            fs::create_dir_all(path).map_err(Error::at(path))?;
        }
        Ok(Self { destination, format })
    }

    /// Files of earlier sessions in the folder, oldest first.
    pub(crate) fn earlier(&self) -> Result<Vec<PathBuf>, Error> {
        let Destination::Folder(folder) = &self.destination else { return Ok(Vec::new()) };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::at(folder))? {
            let entry = entry.map_err(Error::at(folder))?;
            if entry.file_name().to_str().is_some_and(|name| name::is_ours(name, self.format)) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }
}

impl Store for Disk {
    type Output = Written;

    fn create(&mut self, begun: Timestamp) -> Result<Written, Error> {
        match &mut self.destination {
            Destination::File(path) => Partial::create(&*path).map(Written::File),
            Destination::Folder(folder) => {
                let mut begun = begun;
                loop {
                    match Partial::create_new(folder.join(name::of(begun, self.format))) {
                        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                            begun = begun + Duration::from_millis(1);
                        }
                        created => return created.map(Written::File),
                    }
                }
            }
            Destination::Stream(path, out) => {
                let out = std::mem::replace(out, Box::new(io::sink()));
                Ok(Written::Stream(path.clone(), out))
            }
        }
    }

    fn free(&mut self) -> io::Result<Option<u64>> {
        let folder = match &self.destination {
            Destination::File(path) => vtap_files::directory(path),
            Destination::Folder(path) => path,
            Destination::Stream(..) => return Ok(None),
        };
        vtap_files::free(folder).map(Some)
    }

    fn remove(&mut self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            // Somebody else has taken it away, as they may.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::at(path)),
        }
    }

    fn is_gone(&self, path: &Path) -> bool {
        matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    fn can_retry(&self) -> bool {
        !matches!(self.destination, Destination::Stream(..))
    }
}

pub(crate) enum Written {
    File(Partial),
    Stream(PathBuf, Box<dyn Write + Send>),
}

impl Output for Written {
    fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Stream(path, _) => path,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(_, out) => {
                let written = out.write(bytes)?;
                out.flush()?;
                Ok(written)
            }
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.truncate(len),
            Self::Stream(..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        match self {
            Self::File(file) => file.sync(),
            Self::Stream(..) => Ok(()),
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Self::File(file) => file.finish(),
            Self::Stream(path, mut out) => out.flush().map_err(Error::at(&path)),
        }
    }

    fn discard(self) -> Result<(), Error> {
        match self {
            Self::File(file) => file.discard(),
            Self::Stream(..) => Ok(()),
        }
    }
}
