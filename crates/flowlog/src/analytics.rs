//! Traffic analytics: flows summed up over an interval, in the columns of the cloud's table
//! `NTANetAnalytics`.
//!
//! ```text
//! traffic-analytics/NTANetAnalytics-20251201T000000Z.jsonl
//! traffic-analytics/NTANetAnalytics-20251201T000000Z.parquet
//! ```
//!
//! Two files for each interval, named by its begin. Both have the same rows; JSON lines leave out
//! what is null. Flows are one row where they share everything but the source port: addresses,
//! destination port, protocol, direction, network card and flow type. Microsoft documents columns
//! and aggregation in `traffic-analytics-schema`, the types in the table's reference.
//!
//! | file | holds |
//! |---|---|
//! | `group` | what flows share that are one row, and their sums |
//! | [`column`](mod@column) | name, type and value of each column |
//! | `jsonl`, `parquet` | rows as text, and in columns |

pub mod column;
mod group;
mod jsonl;
#[cfg(feature = "parquet")]
mod parquet;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vtap_files::Partial;
use vtap_flow::Record;
use vtap_networks::Description;
use vtap_packet::Timestamp;

use crate::begun::Begun;
use crate::place::Place;
use crate::{Error, Ids};
use column::{Names, Row};
use group::{Group, Key};

/// Rows of an interval that are held in memory. An interval with more of them is written in parts,
/// each a pair of files of its own; a row may then be in several of them, and sums are the same.
pub const ROWS: usize = 100_000;

/// Directory that is made in the one given.
pub const DIRECTORY: &str = "traffic-analytics";

const TABLE: &str = "NTANetAnalytics";

#[cfg(feature = "parquet")]
const EXTENSIONS: &[&str] = &["jsonl", "parquet"];
#[cfg(not(feature = "parquet"))]
const EXTENSIONS: &[&str] = &["jsonl"];

/// Over how long flows are summed up. Intervals begin at the full hour, or at every tenth minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// The cloud's faster one.
    TenMinutes,
    /// The cloud's default.
    #[default]
    Hour,
}

impl Interval {
    /// How long it is.
    pub const fn span(self) -> Duration {
        match self {
            Self::TenMinutes => Duration::from_secs(600),
            Self::Hour => Duration::from_secs(3600),
        }
    }

    /// The begin of the one that `time` is in.
    fn begin(self, time: Timestamp) -> Timestamp {
        let secs = self.span().as_secs();
        Timestamp::new(time.secs() / secs * secs, 0)
    }
}

/// Sums up flows and writes them.
///
/// Time is that at which records are told: what is told in an interval is summed up in it. Once
/// time has passed its end, its files are there, complete and on the disk. A record told earlier
/// than the one before it counts in the interval of that one.
#[derive(Debug)]
pub struct Analytics {
    place: Place,
    names: Names,
    interval: Interval,
    begin: Timestamp,
    begun: Begun,
    groups: BTreeMap<Key, Group>,
    /// The last attempt to write has failed; the next is made when an interval is over.
    failed: bool,
    counters: Counters,
}

/// What became of the records: `records = written + waiting + lost`, where none waits after
/// [`finish`](Analytics::finish).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records of flows.
    pub records: u64,
    /// Records whose counts are in files.
    pub written: u64,
    /// Records dropped, because the disk refused the rows before.
    pub lost: u64,
    /// Rows in files.
    pub rows: u64,
    /// Files that were completed.
    pub files: u64,
}

impl Analytics {
    /// Writes below `directory`, beside what is there. What a killed run has begun there and not
    /// completed is removed: an incomplete file of columns cannot be read.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or read, or another process writes there.
    pub fn open(directory: impl AsRef<Path>, ids: &Ids, interval: Interval) -> Result<Self, Error> {
        let place = Place::take(directory.as_ref().join(DIRECTORY))?;
        for entry in fs::read_dir(&place.path).map_err(Error::at(&place.path))? {
            let path = entry.map_err(Error::at(&place.path))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TABLE) && name.ends_with(".partial") {
                fs::remove_file(&path).map_err(Error::at(&path))?;
            }
        }
        Ok(Self {
            place,
            names: Names::of(ids),
            interval,
            begin: Timestamp::EPOCH,
            begun: Begun::default(),
            groups: BTreeMap::new(),
            failed: false,
            counters: Counters::default(),
        })
    }

    /// Takes what is told of a flow.
    ///
    /// # Errors
    ///
    /// When rows of the interval before could not be written. They stay, are written with those
    /// of this one, and so is this record; beyond [`ROWS`] new ones are counted as lost.
    pub fn record(&mut self, record: &Record, description: &Description) -> Result<(), Error> {
        let mut advanced = self.tick(record.told);
        self.counters.records += 1;
        let key = Key::of(record, description);
        if self.groups.len() >= ROWS && !self.groups.contains_key(&key) {
            if !self.failed {
                advanced = self.flush();
            }
            if self.failed {
                self.counters.lost += 1;
                return advanced;
            }
        }
        let is_first = self.begun.is_first(record);
        let group = self.groups.entry(key).or_insert_with(|| Group::of(description));
        group.add(record, is_first);
        advanced
    }

    /// Says that packet time has come to `now`, whether there were flows or not.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record).
    pub fn tick(&mut self, now: Timestamp) -> Result<(), Error> {
        let begin = self.interval.begin(now);
        // Earlier by less than an interval: told late. By more: time was set back.
        let is_straggler = begin <= self.begin && self.begin.since(begin) <= self.interval.span();
        if is_straggler {
            return Ok(());
        }
        let flushed = self.flush();
        self.begin = begin;
        flushed
    }

    /// Writes what the last interval has so far.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record); it may be called again.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.flush()
    }

    /// What became of the records so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The directory that it makes and writes to.
    pub fn directory(&self) -> &Path {
        &self.place.path
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let written = self.write();
        self.failed = written.is_err();
        if written.is_ok() {
            self.counters.written += self.groups.values().map(|group| group.records).sum::<u64>();
            self.counters.rows += self.groups.len() as u64;
            self.counters.files += EXTENSIONS.len() as u64;
            self.groups.clear();
        }
        written
    }

    fn write(&self) -> Result<(), Error> {
        let end = self.begin + self.interval.span();
        let rows: Vec<_> = self
            .groups
            .iter()
            .map(|(key, group)| Row { key, group, names: &self.names, begin: self.begin, end })
            .collect();
        let paths = self.free_names();
        let mut files = Vec::new();
        for (path, extension) in paths.into_iter().zip(EXTENSIONS) {
            let mut file = Partial::create(&path)?;
            let written = match *extension {
                #[cfg(feature = "parquet")]
                "parquet" => parquet::write(&mut file, &rows),
                _ => jsonl::write(&mut file, &rows),
            };
            written.map_err(Error::at(&path))?;
            // Both have their bytes on the disk before one of them has its name.
            file.sync()?;
            files.push(file);
        }
        let mut complete: Vec<PathBuf> = Vec::new();
        for file in files {
            let path = file.path().to_path_buf();
            if let Err(error) = file.finish() {
                // The rows are written again, to other files: they must not be there twice.
                for path in complete {
                    fs::remove_file(&path).map_err(Error::at(&path))?;
                }
                return Err(error);
            }
            complete.push(path);
        }
        Ok(())
    }

    /// Names of the first part of this interval that is not there.
    fn free_names(&self) -> Vec<PathBuf> {
        let begin: String =
            self.begin.to_string().chars().filter(|c| !"-:".contains(*c)).take(15).collect();
        let mut part = 1_u64;
        loop {
            let number = if part > 1 { format!("-{part}") } else { String::new() };
            let path = |extension: &&str| {
                self.place.path.join(format!("{TABLE}-{begin}Z{number}.{extension}"))
            };
            let paths: Vec<_> = EXTENSIONS.iter().map(path).collect();
            if paths.iter().all(|path| !is_taken(path)) {
                return paths;
            }
            part += 1;
        }
    }
}

/// Whether anything has this name.
fn is_taken(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}
