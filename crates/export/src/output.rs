//! A format and a place, chosen at run time.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use vtap_files::Partial;
use vtap_flow::{Event, Gap, Record, Sink};
use vtap_networks::Description;

use crate::rows::Rows;
use crate::{Error, Format, Log};

/// Writes events in any [`Format`] to a stream or a file.
///
/// Events go in through [`Sink`]; then [`finish`](Self::finish), after a failed run too, or the
/// last batch is lost.
#[must_use = "what is not finished is not written"]
pub struct Output {
    /// Named in errors; the one that a file has once it is complete.
    path: Option<PathBuf>,
    rows: Rows<Target>,
}

impl Output {
    /// Writes to `stream`, standard output as a rule. It needs no buffer of its own. Rows of the
    /// other log may follow, without headings of their own.
    pub fn stream(format: Format, log: Log, stream: Box<dyn Write + Send>) -> Self {
        Self { path: None, rows: Rows::new(format, &format.head(log), Target::Stream(stream)) }
    }

    /// Writes to a file that gets its name when this output is finished.
    pub(crate) fn file(format: Format, log: Log, file: Partial) -> Self {
        let path = Some(file.path().to_path_buf());
        Self { path, rows: Rows::new(format, &format.head(log), Target::File(file)) }
    }

    /// Writes what is told of a flow, in a format that has a place for it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn flow(&mut self, record: &Record, description: &Description) -> Result<(), Error> {
        let written = self.rows.flow(record, description);
        written.map_err(|source| Error { path: self.path.clone(), source })
    }

    /// Writes nothing.
    pub const fn none() -> Self {
        Self { path: None, rows: Rows::None }
    }

    /// Sets the `resourceId` of the firewall's shape, which is the only one that has it.
    pub fn set_resource_id(&mut self, id: &str) {
        self.rows.set_resource_id(id);
    }

    /// How many events the format had no place for: [`Azure::omitted`](crate::Azure::omitted), 0
    /// elsewhere.
    pub const fn omitted(&self) -> u64 {
        self.rows.omitted()
    }

    /// Writes what was gathered, so that a reader sees it now.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.rows.flush().map_err(|source| Error { path: self.path.clone(), source })
    }

    /// Writes what is left; a file gets its name.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or the file not renamed.
    pub fn finish(self) -> Result<(), Error> {
        match self.rows.finish().map_err(|source| Error { path: self.path, source })? {
            Some(Target::File(file)) => Ok(file.finish()?),
            Some(Target::Stream(_)) | None => Ok(()),
        }
    }
}

impl Sink for Output {
    type Error = Error;

    fn event(&mut self, event: &Event) -> Result<(), Error> {
        self.rows.event(event).map_err(|source| Error { path: self.path.clone(), source })
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Error> {
        self.rows.gap(gap).map_err(|source| Error { path: self.path.clone(), source })
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("path", &self.path).finish_non_exhaustive()
    }
}

enum Target {
    Stream(Box<dyn Write + Send>),
    File(Partial),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::File(file) => file.flush(),
        }
    }
}
