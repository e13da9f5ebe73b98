//! What became of rows.

/// Counts of a [`Rotating`](crate::Rotating) since it was opened. Every row that was handed to it
/// is in exactly one of `rows`, `waiting` and `lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows handed in.
    pub accepted: u64,
    /// Rows in files: what a kill leaves.
    pub rows: u64,
    /// Rows in memory: of a frame that is not full yet, or because the disk takes nothing.
    pub waiting: u64,
    /// Rows given up: there was no room for them in memory either, or the run ended.
    pub lost: u64,
    /// Bytes in files, packed where they are, heads included.
    pub bytes: u64,
    /// Files completed, those left by an earlier run not included.
    pub files: u64,
    /// Complete files removed because there were more than were to be kept.
    pub removed: u64,
    /// Attempts that failed: to write, to complete a file, or to remove one.
    pub errors: u64,
    /// Attempts to write again after a failed one.
    pub retries: u64,
}

impl Counters {
    /// Whether every row is accounted for: `accepted = rows + waiting + lost`.
    pub const fn balance(&self) -> bool {
        self.accepted == self.rows + self.waiting + self.lost
    }
}
