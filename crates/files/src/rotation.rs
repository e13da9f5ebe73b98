//! How rows are spread over files.

use std::io;
use std::time::Duration;

use vtap_packet::Timestamp;

/// When a new file begins, how many are kept, and what happens while the disk takes nothing.
///
/// By default all rows go to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file is complete with the row that brings it to this size; a packed one with the frame
    /// that does, which holds up to 1 MiB of rows.
    pub bytes: Option<u64>,
    /// A file is complete when the next multiple of this span since 1970, UTC, has come: every
    /// hour is at the full hour, every day at midnight, whenever the run began. A week ends on a
    /// Thursday, and a span that a day is no multiple of ends at another time each day.
    pub every: Option<Duration>,
    /// Only so many complete files stay; the oldest are removed.
    pub keep: Option<usize>,
    /// Files are packed with zstd at this level, 1 to 22. A level that zstd does not know is the
    /// next one that it knows.
    pub compression: Option<i32>,
    /// Rows of so many bytes wait while the disk takes none; what comes on top is lost.
    pub buffer_bytes: usize,
    /// Nothing is written where less than this would be free to unprivileged users afterwards.
    pub min_free_bytes: u64,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            bytes: None,
            every: None,
            keep: None,
            compression: None,
            buffer_bytes: 8 << 20,
            min_free_bytes: 256 << 20,
        }
    }
}

impl Rotation {
    /// Says which setting has no meaning.
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = if self.bytes == Some(0) {
            "files of 0 bytes"
        } else if self.every.is_some_and(|every| every < Duration::from_secs(1)) {
            "a new file more than once a second"
        } else if self.keep == Some(0) {
            "0 files to keep"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{wrong} cannot be had")))
    }

    /// The time that a file belongs to which begins at `now`.
    pub(crate) fn period(&self, now: Timestamp) -> Option<Period> {
        let length = self.every?;
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).max(1);
        let start = Timestamp::from_nanos(now.nanos() / nanos * nanos);
        Some(Period { start, length })
    }
}

/// From one multiple of a span to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    start: Timestamp,
    length: Duration,
}

impl Period {
    /// Whether another one has begun. A clock that is put back a little does not end it; one that
    /// is put back by more than a period does, or its file would stay open until it catches up.
    pub(crate) fn is_over(self, now: Timestamp) -> bool {
        now >= self.start + self.length || now + self.length < self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hour_is_at_the_full_hour() {
        let rotation = Rotation { every: Some(Duration::from_secs(3600)), ..Rotation::default() };
        // 00:59:59.5
        let begin = Timestamp::new(1_764_547_200 + 3599, 500_000_000);
        let period = rotation.period(begin).unwrap();
        assert!(!period.is_over(begin));
        assert!(!period.is_over(Timestamp::new(1_764_547_200 + 3599, 999_999_999)));
        assert!(period.is_over(Timestamp::new(1_764_547_200 + 3600, 0)));
    }

    #[test]
    fn a_clock_that_is_put_back_a_little_begins_no_file_and_one_put_back_far_does() {
        let rotation = Rotation { every: Some(Duration::from_secs(60)), ..Rotation::default() };
        let period = rotation.period(Timestamp::new(6000, 0)).unwrap();
        assert!(!period.is_over(Timestamp::new(5940, 0)));
        assert!(period.is_over(Timestamp::new(5939, 0)));
    }

    #[test]
    fn a_span_beyond_all_time_never_ends() {
        let rotation = Rotation { every: Some(Duration::MAX), ..Rotation::default() };
        let period = rotation.period(Timestamp::new(6000, 0)).unwrap();
        assert!(!period.is_over(Timestamp::new(u64::MAX / 2_000_000_000, 0)));
    }

    #[test]
    fn settings_without_meaning_are_named() {
        assert!(Rotation::default().check().is_ok());
        for (rotation, word) in [
            (Rotation { bytes: Some(0), ..Rotation::default() }, "0 bytes"),
            (Rotation { every: Some(Duration::ZERO), ..Rotation::default() }, "second"),
            (Rotation { keep: Some(0), ..Rotation::default() }, "keep"),
        ] {
            assert!(rotation.check().unwrap_err().to_string().contains(word));
        }
    }
}
