//! Which directories, what becomes of files, how much at once.

use std::path::PathBuf;
use std::time::Duration;

/// What is uploaded, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directories. None may lie in another.
    pub spools: Vec<Spool>,
    /// What becomes of a file once the store has it.
    pub after: After,
    /// How long a file that grows under its name (`PT1H.json`) rests between two uploads. Each is a
    /// whole put of what the file holds by then.
    pub refresh: Duration,
    /// Requests with a body at the same time, 1 at least. Memory is bounded by this many blocks of
    /// 8 MiB; they are larger only in files over 78 GiB, which no store takes in so many blocks.
    pub parallel: usize,
    /// How long a file stays for sure once it has its name. Writers name files after the second in
    /// which they begin: if one were removed within that second, the next could have its name, and
    /// would take its place in the store.
    pub remove_after: Duration,
    /// How often the directories are looked at. Where that takes long, it is done more rarely: one
    /// twentieth of the time goes to it at most.
    pub scan_every: Duration,
}

impl Default for Config {
    /// No directory yet; files are removed, growing ones uploaded every 5 minutes.
    fn default() -> Self {
        Self {
            spools: Vec::new(),
            after: After::Remove,
            refresh: Duration::from_secs(300),
            parallel: 4,
            remove_after: Duration::from_secs(10),
            scan_every: Duration::from_secs(5),
        }
    }
}

/// A directory whose complete files are uploaded, from all its levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// The directory. It has to be there.
    pub directory: PathBuf,
    /// What stands before the path of a file below `directory`, behind the prefix of the
    /// destination: `captures` makes `captures/2025/a.pcap` of `2025/a.pcap`. Empty for nothing.
    pub prefix: String,
}

/// What becomes of a file once the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is removed. One that grows goes when it has not changed for 65 minutes.
    Remove,
    /// It stays, and a file `.uploaded` in its spool remembers that it went. Whoever wrote it may
    /// remove it; should that be before it went, it is counted as vanished.
    Keep,
}
