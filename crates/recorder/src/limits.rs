//! What a session may take: the cloud's settings, with its defaults and ranges.
//!
//! Names in messages are those of the cloud's API; defaults and ranges are those of Network
//! Watcher's `packetCaptures` and of its `captureSettings` for continuous capture.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of all files of a session.
pub const TOTAL_BYTES: u64 = 1 << 30;
/// How long a session runs.
pub const TIME: Duration = Duration::from_secs(18_000);
/// How long a continuous session runs.
pub const RING_TIME: Duration = Duration::from_secs(86_400);
/// Files that a ring keeps.
pub const RING_FILES: u32 = 10;
/// Bytes of a file of a ring.
pub const RING_BYTES: u64 = 100 << 20;

const TOTAL_BYTES_RANGE: RangeInclusive<u64> = 1..=4_294_967_295;
const SECONDS_RANGE: RangeInclusive<u64> = 1..=18_000;
const RING_SECONDS_RANGE: RangeInclusive<u64> = 1..=604_800;
const RING_FILES_RANGE: RangeInclusive<u64> = 1..=10_000;
const RING_BYTES_RANGE: RangeInclusive<u64> = 1..=4_294_967_295;

/// When packets are cut, and when a session stops. `None` sets no limit, which the cloud does not
/// offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept of a packet, from its start; 0 keeps all. Its length on the wire is kept as well.
    pub bytes_per_packet: u32,
    /// Bytes of all files, headers included; the session stops before the packet that would exceed
    /// them.
    pub total_bytes: Option<u64>,
    /// Time from the start; the session stops when it has passed, packets or not.
    pub time: Option<Duration>,
    /// Packets recorded; the session stops with the last one.
    pub packets: Option<u64>,
    /// Continuous capture: one file after another, of which the newest are kept.
    pub ring: Option<Ring>,
}

/// Files of a continuous capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Complete files kept, beside the one that is written.
    pub files: u32,
    /// Bytes of a file at most, headers included. One packet fits, whatever its length.
    pub bytes: u64,
    /// Whether files of earlier sessions in the folder, unfinished ones included, count as part of
    /// the ring, so that they go as their turn comes. Otherwise nothing is removed that the session
    /// did not write itself.
    pub adopt: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_per_packet: 0,
            total_bytes: Some(TOTAL_BYTES),
            time: Some(TIME),
            packets: None,
            ring: None,
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self { files: RING_FILES, bytes: RING_BYTES, adopt: false }
    }
}

/// A setting that the cloud would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {value} is outside {} to {}", range.start(), range.end())]
pub struct OutOfRange {
    /// In the words of the API.
    pub setting: &'static str,
    /// As it was given.
    pub value: u64,
    /// What it may be.
    pub range: RangeInclusive<u64>,
}

impl Limits {
    /// Of a continuous session: a ring, a day, and no limit on the sum of its bytes.
    pub fn continuous(ring: Ring) -> Self {
        Self { total_bytes: None, time: Some(RING_TIME), ring: Some(ring), ..Self::default() }
    }

    /// Holds what is limited against the ranges of the cloud.
    ///
    /// # Errors
    ///
    /// The first setting that is outside its range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let seconds = self.time.map(|time| time.as_secs());
        let (time, seconds_range) = match self.ring {
            None => ("timeLimitInSeconds", SECONDS_RANGE),
            Some(_) => ("sessionTimeLimitInSeconds", RING_SECONDS_RANGE),
        };
        let ring = self.ring;
        for (setting, value, range) in [
            ("totalBytesPerSession", self.total_bytes, TOTAL_BYTES_RANGE),
            (time, seconds, seconds_range),
            ("fileCount", ring.map(|ring| ring.files.into()), RING_FILES_RANGE),
            ("fileSizeInBytes", ring.map(|ring| ring.bytes), RING_BYTES_RANGE),
        ] {
            if let Some(value) = value
                && !range.contains(&value)
            {
                return Err(OutOfRange { setting, value, range });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_ranges() {
        assert_eq!(Limits::default().check(), Ok(()));
        assert_eq!(Limits::continuous(Ring::default()).check(), Ok(()));
    }

    #[test]
    fn a_value_outside_is_refused_with_its_range() {
        let week = Duration::from_secs(604_800);
        let one = Limits { time: Some(week), ..Limits::default() };
        assert_eq!(
            one.check().unwrap_err().to_string(),
            "timeLimitInSeconds: 604800 is outside 1 to 18000"
        );
        let ring = Limits { time: Some(week), ..Limits::continuous(Ring::default()) };
        assert_eq!(ring.check(), Ok(()));
        let files = Limits::continuous(Ring { files: 10_001, ..Ring::default() });
        assert_eq!(files.check().unwrap_err().setting, "fileCount");
        let bytes = Limits::continuous(Ring { bytes: 1 << 32, ..Ring::default() });
        assert_eq!(bytes.check().unwrap_err().value, 1 << 32);
        let none = Limits { total_bytes: Some(0), ..Limits::default() };
        assert_eq!(none.check().unwrap_err().setting, "totalBytesPerSession");
    }
}
