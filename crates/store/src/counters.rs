//! What became of files.

use vtap_packet::Timestamp;

/// Counts of an [`Uploader`](crate::Uploader) since it was started, and what is pending now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Uploads that the store has acknowledged. A file that grows is one each time.
    pub uploaded: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Uploads that failed; each is tried again.
    pub failed: u64,
    /// Files removed after their upload.
    pub removed: u64,
    /// Files that somebody took away before the store had them: lost. One that came and went between
    /// two looks at the directory is not seen.
    pub vanished: u64,
    /// Files that the store has not, or not as they are now.
    pub pending_files: u64,
    /// Bytes of these.
    pub pending_bytes: u64,
    /// When the oldest of these was written last.
    pub oldest_pending: Option<Timestamp>,
    /// Files whose names no object can have: not UTF-8, or with control characters. They stay.
    pub unnameable: u64,
}
