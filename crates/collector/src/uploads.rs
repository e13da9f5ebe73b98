//! What is told of uploads, by whoever does them.

use std::fmt;
use std::sync::Arc;

use vtap_packet::Timestamp;

/// What became of files that are to go to a store.
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
    /// Files that somebody took away before the store had them: lost.
    pub vanished: u64,
    /// Files that the store has not, or not as they are now.
    pub pending_files: u64,
    /// Bytes of these.
    pub pending_bytes: u64,
    /// When the oldest of these was written last.
    pub oldest_pending: Option<Timestamp>,
    /// Files whose names no object can have. They stay.
    pub unnameable: u64,
}

/// Says what became of files up to now.
#[derive(Clone)]
pub struct Uploads(Arc<dyn Fn() -> Counters + Send + Sync>);

impl Uploads {
    /// By asking this, from any thread. It is asked until after the end.
    pub fn new(counters: impl Fn() -> Counters + Send + Sync + 'static) -> Self {
        Self(Arc::new(counters))
    }

    /// The counters now.
    pub(crate) fn counters(&self) -> Counters {
        (self.0)()
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Uploads").field(&self.counters()).finish()
    }
}
