//! A place for rows that goes on for months.

use std::fmt;
use std::io;
use std::mem;
use std::path::PathBuf;

use vtap_packet::Timestamp;

use crate::disk::{Disk, System, leave_free};
use crate::frame::{FRAME_BYTES, Packer};
use crate::growing::Growing;
use crate::health::{Trouble, Untold};
use crate::name::Names;
use crate::waiting::Waiting;
use crate::{Counters, Error, Health, Leftovers, Rotation};

/// Takes rows and spreads them over files by size and time.
///
/// A row is a line: it ends with a newline and has no other. Files are called
/// `{stem}-{YYYYMMDD}T{HHMMSS}Z[-N].{extension}[.zst]` after the time at which they began, UTC;
/// N counts from 2 where one second saw several. They are `.partial` until they are complete, and
/// nothing is ever overwritten. A file begins with its first row, so none is empty.
///
/// No call fails for the disk's sake: what cannot be written waits, then is lost and counted.
/// [`tick`](Self::tick) about once a second tries again and completes files whose time is over;
/// after it, [`health`](Self::health) has what somebody should hear of. At the end comes
/// [`finish`](Self::finish), or what waits is lost uncounted and the last file keeps its partial
/// name. `now` is the time of the wall clock; where it is put back, files are named by what it
/// says then.
///
/// ```
/// # use std::time::Duration;
/// # use vtap_files::{Health, Rotating, Rotation};
/// # use vtap_packet::Timestamp;
/// # let directory = tempfile::tempdir()?;
/// # let now = Timestamp::new(1_764_547_200, 0);
/// let hourly = Rotation { every: Some(Duration::from_secs(3600)), ..Rotation::default() };
/// let mut rows = Rotating::open(directory.path(), ["rows", "csv"], "key,value\n", hourly)?;
/// rows.write(b"a,1\nb,2\n", now);
/// rows.tick(now + Duration::from_secs(3600));
/// while let Some(Health::Failing(error)) = rows.health() {
///     eprintln!("{error}");
/// }
/// let file = directory.path().join("rows-20251201T000000Z.csv");
/// assert_eq!(std::fs::read(file)?, b"key,value\na,1\nb,2\n");
/// rows.finish(now)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "what is not finished is not complete"]
pub struct Rotating {
    names: Names,
    head: Vec<u8>,
    rotation: Rotation,
    /// Rows that make a write worth while.
    worth_bytes: usize,
    packer: Option<Packer>,
    disk: Box<dyn Disk>,
    growing: Option<Growing>,
    waiting: Waiting,
    trouble: Option<Trouble>,
    untold: Untold,
    is_not_removing: bool,
    counters: Counters,
    leftovers: Leftovers,
}

impl Rotating {
    /// A place for rows in a directory that is there, under a stem that no other place uses:
    /// `[stem, extension]`, such as `["events", "json"]`. Every file begins with `head`, which may
    /// be empty or lines of its own, and is not counted as rows.
    ///
    /// Files of this stem that a killed run left are completed, cut behind their last whole row,
    /// but for those that another process is writing: [`leftovers`](Self::leftovers) has which.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or `rotation` has no meaning.
    pub fn open(
        directory: impl Into<PathBuf>,
        [stem, extension]: [&str; 2],
        head: &str,
        rotation: Rotation,
    ) -> Result<Self, Error> {
        let packed = rotation.compression.is_some();
        let (stem, extension) = (stem.to_owned(), extension.to_owned());
        let names = Names { directory: directory.into(), stem, extension, packed };
        Self::with_disk(names, head, rotation, Box::new(System))
    }

    fn with_disk(
        names: Names,
        head: &str,
        rotation: Rotation,
        mut disk: Box<dyn Disk>,
    ) -> Result<Self, Error> {
        let at = || Error::at(&names.directory);
        rotation.check().map_err(at())?;
        let packer = rotation.compression.map(Packer::new).transpose().map_err(at())?;
        let worth_bytes =
            if packer.is_some() { FRAME_BYTES.min(rotation.buffer_bytes).max(1) } else { 1 };
        let leftovers = Leftovers::complete(&mut *disk, &names, head.as_bytes())?;
        Ok(Self {
            names,
            head: head.into(),
            rotation,
            worth_bytes,
            packer,
            disk,
            growing: None,
            waiting: Waiting::default(),
            trouble: None,
            untold: Untold::default(),
            is_not_removing: false,
            counters: Counters::default(),
            leftovers,
        })
    }

    /// Goes on by other sizes, times and limits; the file that is being written ends by them.
    /// Compression and the room for rows that wait stay as they are.
    ///
    /// # Errors
    ///
    /// When `rotation` has no meaning. Nothing is changed then.
    pub fn set_rotation(&mut self, rotation: Rotation) -> Result<(), Error> {
        rotation.check().map_err(Error::at(&self.names.directory))?;
        let Rotation { compression, buffer_bytes, .. } = self.rotation;
        self.rotation = Rotation { compression, buffer_bytes, ..rotation };
        Ok(())
    }

    /// Takes whole rows. They go to the file now, or when a frame is full; where the disk takes
    /// nothing they wait.
    pub fn write(&mut self, rows: &[u8], now: Timestamp) {
        if self.trouble.is_none() && self.is_due(now) {
            self.attempt(now, |rotating| rotating.turn(now));
        }
        self.counters.accepted += self.waiting.push(rows);
        if self.trouble.is_none() {
            self.attempt(now, |rotating| rotating.put(now, rotating.worth_bytes));
        }
        self.trim();
    }

    /// Writes what waits for a full frame, so that a reader sees it and a kill leaves it. Each
    /// flush ends a frame; many small ones pack less well.
    pub fn flush(&mut self, now: Timestamp) {
        if self.trouble.is_none() {
            self.attempt(now, |rotating| rotating.put(now, 1));
        }
    }

    /// Completes a file whose time is over, and tries again what has failed, after 1 s at first
    /// and at most 30 s.
    pub fn tick(&mut self, now: Timestamp) {
        match &self.trouble {
            None if !self.is_due(now) => {}
            None => self.attempt(now, |rotating| rotating.turn(now)),
            Some(trouble) if trouble.is_due(now) => {
                self.counters.retries += 1;
                self.attempt(now, |rotating| rotating.turn(now));
            }
            Some(_) => {}
        }
    }

    /// Writes what waits and completes the file. What cannot be written now is lost, and counted;
    /// a file that cannot be completed keeps its partial name until a run opens this stem again.
    /// Rows that come afterwards begin another file.
    ///
    /// # Errors
    ///
    /// When rows are lost, or the file keeps its partial name.
    ///
    /// # Panics
    ///
    /// When a row is not accounted for, which is a bug.
    pub fn finish(&mut self, now: Timestamp) -> Result<(), Error> {
        let written = self.put(now, 1);
        let completed = self.complete();
        self.counters.errors += u64::from(written.is_err()) + u64::from(completed.is_err());
        self.growing = None;
        self.counters.lost += self.waiting.trim(0);
        let counters = self.counters();
        assert!(counters.balance() && counters.waiting == 0, "broken law: {counters:?}");
        written.and(completed)
    }

    /// What has changed for better or worse and was not told before; to be asked until `None`.
    pub fn health(&mut self) -> Option<Health> {
        self.untold.take()
    }

    /// Whether the file's time is over at `now`, so that rows begin another one.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.growing.as_ref().is_some_and(|growing| growing.is_over(now))
    }

    /// What became of rows up to now.
    pub const fn counters(&self) -> Counters {
        Counters { waiting: self.waiting.count(), ..self.counters }
    }

    /// What an earlier run has left, and what became of it.
    pub const fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// Writes what waits, at the end of a file's time to that file, and begins no other without
    /// rows. A file whose time is over is complete even if not all rows have found room in it.
    fn turn(&mut self, now: Timestamp) -> Result<(), Error> {
        let written = self.put(now, 1);
        if self.is_due(now) {
            self.complete()?;
        }
        written
    }

    /// Writes rows while at least so many bytes of them wait; fewer have their file already, so that
    /// its time is theirs.
    fn put(&mut self, now: Timestamp, bytes: usize) -> Result<(), Error> {
        while !self.waiting.bytes().is_empty() {
            self.make_room()?;
            let growing = match &mut self.growing {
                Some(growing) => growing,
                none => {
                    let period = self.rotation.period(now);
                    none.insert(Growing::begin(&mut *self.disk, &self.names, now, period)?)
                }
            };
            if self.waiting.bytes().len() < bytes {
                break;
            }
            let before = growing.bytes();
            let head = if before == 0 { self.head.as_slice() } else { &[] };
            let most = self.rotation.bytes.filter(|_| self.packer.is_none());
            let room = most.map(|most| most.saturating_sub(before + head.len() as u64));
            let rows = self.waiting.first(FRAME_BYTES, room);
            match &mut self.packer {
                None => growing.append(&mut *self.disk, [head, rows])?,
                Some(packer) => {
                    let at = Error::at(&self.names.directory);
                    let joined = (!head.is_empty()).then(|| [head, rows].concat());
                    let frame = packer.pack(joined.as_deref().unwrap_or(rows)).map_err(at)?;
                    growing.append(&mut *self.disk, [frame, &[]])?;
                }
            }
            let written = rows.len();
            self.counters.bytes += growing.bytes() - before;
            self.counters.rows += self.waiting.written(written);
            if self.rotation.bytes.is_some_and(|most| growing.bytes() >= most) {
                growing.close();
                self.complete()?;
            }
        }
        Ok(())
    }

    /// Completes a file that is full, which the disk may have refused before, and looks whether
    /// there is space for the next rows.
    fn make_room(&mut self) -> Result<(), Error> {
        if self.growing.as_ref().is_some_and(Growing::is_full) {
            self.complete()?;
        }
        let next = self.waiting.bytes().len().min(FRAME_BYTES) as u64;
        let (directory, least) = (&self.names.directory, self.rotation.min_free_bytes);
        leave_free(&mut *self.disk, directory, next, least).map_err(Error::at(directory))
    }

    fn complete(&mut self) -> Result<(), Error> {
        let Some(growing) = &mut self.growing else { return Ok(()) };
        match growing.complete(&mut *self.disk, &self.names) {
            Ok(is_there) => {
                self.growing = None;
                self.counters.files += u64::from(is_there);
                self.remove_oldest();
                Ok(())
            }
            Err(error) => {
                // Renamed, or taken away by somebody: either way there is nothing to try again.
                if growing.is_gone() {
                    self.growing = None;
                }
                Err(error)
            }
        }
    }

    /// Removes files beyond those to keep. Where it cannot, rows go on.
    fn remove_oldest(&mut self) {
        let Some(keep) = self.rotation.keep else { return };
        let mut failed = None;
        match self.names.complete() {
            Ok(names) => {
                for name in names.iter().take(names.len().saturating_sub(keep)) {
                    let path = self.names.path(name);
                    match self.disk.remove(&path) {
                        Ok(()) => self.counters.removed += 1,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => failed = Some(Error::at(&path)(error)),
                    }
                }
            }
            Err(error) => failed = Some(error),
        }
        let was_failing = mem::replace(&mut self.is_not_removing, failed.is_some());
        if let Some(error) = failed {
            self.counters.errors += 1;
            if !was_failing {
                self.untold.not_removed(error);
            }
        }
    }

    /// Does something that the disk may refuse, and keeps account of whether it does.
    fn attempt(&mut self, now: Timestamp, work: impl FnOnce(&mut Self) -> Result<(), Error>) {
        let done = work(self);
        self.trim();
        match (done, &mut self.trouble) {
            (Ok(()), None) => {}
            (Ok(()), Some(trouble)) => {
                self.untold.recovered(self.counters.lost - trouble.lost_before);
                self.trouble = None;
            }
            (Err(error), trouble) => {
                self.counters.errors += 1;
                match trouble {
                    Some(trouble) => trouble.again(now),
                    None => {
                        self.trouble = Some(Trouble::begin(now, self.counters.lost));
                        self.untold.failing(error);
                    }
                }
            }
        }
    }

    /// Gives up what the buffer has no room for.
    fn trim(&mut self) {
        self.counters.lost += self.waiting.trim(self.rotation.buffer_bytes);
    }
}

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotating")
            .field("names", &self.names)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
