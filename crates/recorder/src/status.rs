//! What a session is and what became of it, in the cloud's words.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use serde_json::{Value, json};
use vtap_packet::Timestamp;

use crate::name;
use crate::writer::FileStatus;

/// Why a session stopped. The cloud documents `TimeExceeded` only; the others are named in its
/// manner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The time limit has passed.
    TimeExceeded,
    /// The next packet would not have fitted into the bytes of the session.
    TotalBytesExceeded,
    /// As many packets as were wanted are recorded.
    PacketCountExceeded,
    /// Somebody stopped it.
    UserStopped,
    /// The capture that was read has ended.
    SourceEnded,
    /// The source failed.
    SourceFailed,
    /// Files could not be written, in a session that does not try again.
    StorageFailed,
}

/// The cloud's codes in `packetCaptureError`; vtap never says `InternalError` or `AgentStopped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureError {
    /// The source failed.
    CaptureFailed,
    /// A file could not be completed or removed.
    LocalFileFailed,
    /// Packets could not be written.
    StorageFailed,
}

/// Every packet that was offered is in exactly one of these:
/// `offered = filtered + left_out + over_limit + dropped + recorded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that the session was shown.
    pub offered: u64,
    /// No filter matched.
    pub filtered: u64,
    /// Of another link type than the first, in pcap.
    pub left_out: u64,
    /// Behind a limit: the packet that would have exceeded it, and those after it.
    pub over_limit: u64,
    /// Found no room in the buffer, as the disk was slower than the packets or did not take them;
    /// or were in the buffer still when the session ended without a disk that took them.
    pub dropped: u64,
    /// Bytes of their frames, as they would have been recorded.
    pub dropped_bytes: u64,
    /// In a file, or, while the session runs, on their way to it.
    pub recorded: u64,
    /// Bytes of their frames, as far as they are recorded.
    pub recorded_bytes: u64,
}

impl Counters {
    /// # Panics
    ///
    /// If a packet is in no counter or in two, which is a bug.
    pub fn assert_laws(&self) {
        let Self { offered, filtered, left_out, over_limit, dropped, recorded, .. } = *self;
        assert_eq!(
            offered,
            filtered + left_out + over_limit + dropped + recorded,
            "offered = filtered + left_out + over_limit + dropped + recorded: {self:?}"
        );
    }
}

/// For sessions side by side.
impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        let Self { offered, filtered, left_out, over_limit, dropped, .. } = other;
        let Self { dropped_bytes, recorded, recorded_bytes, .. } = other;
        self.offered += offered;
        self.filtered += filtered;
        self.left_out += left_out;
        self.over_limit += over_limit;
        self.dropped += dropped;
        self.dropped_bytes += dropped_bytes;
        self.recorded += recorded;
        self.recorded_bytes += recorded_bytes;
    }
}

/// A session at some time, or at its end.
#[derive(Clone, Debug)]
pub struct Status {
    /// As it was given.
    pub name: String,
    /// When it started.
    pub started: Timestamp,
    /// When this is.
    pub now: Timestamp,
    /// Why it stopped; `None` while it runs.
    pub stop_reason: Option<StopReason>,
    /// What went wrong.
    pub errors: Vec<CaptureError>,
    /// The same in words.
    pub messages: Vec<String>,
    /// Why nothing can be written at present.
    pub failing: Option<String>,
    /// Whether that is because the reader of a stream has gone, who may have seen enough.
    pub closed: bool,
    /// What became of each packet.
    pub counters: Counters,
    /// Files that are there, oldest first.
    pub files: Vec<FileStatus>,
    /// Files of the ring that were removed.
    pub removed: u64,
}

impl Status {
    /// `Running`, `Stopped` or `Error`.
    pub const fn state(&self) -> &'static str {
        match self.stop_reason {
            None => "Running",
            Some(StopReason::StorageFailed | StopReason::SourceFailed) => "Error",
            Some(_) => "Stopped",
        }
    }

    /// How long it has run.
    pub const fn elapsed(&self) -> Duration {
        self.now.since(self.started)
    }

    /// The cloud's status object, with what it does not know under `vtap`.
    pub fn to_json(&self) -> Value {
        let Counters { offered, filtered, left_out, over_limit, .. } = self.counters;
        let Counters { dropped, dropped_bytes, recorded, recorded_bytes, .. } = self.counters;
        let file = |file: &FileStatus| {
            json!({
                "path": file.path.display().to_string(),
                "packets": file.packets,
                "bytes": file.bytes,
                "complete": file.complete,
            })
        };
        let mut status = json!({
            "name": self.name,
            "captureStartTime": name::seven_digits(self.started),
            "packetCaptureStatus": self.state(),
            "packetCaptureError": self.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "vtap": {
                "time": name::seven_digits(self.now),
                "offered": offered,
                "filtered": filtered,
                "left_out": left_out,
                "over_limit": over_limit,
                "dropped": dropped,
                "dropped_bytes": dropped_bytes,
                "recorded": recorded,
                "recorded_bytes": recorded_bytes,
                "files": self.files.iter().map(file).collect::<Vec<_>>(),
                "removed": self.removed,
                "failing": self.failing,
                "messages": self.messages,
            },
        });
        if let (Some(reason), Value::Object(fields)) = (self.stop_reason, &mut status) {
            fields.insert("stopReason".to_owned(), reason.to_string().into());
        }
        status
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeExceeded => "TimeExceeded",
            Self::TotalBytesExceeded => "TotalBytesExceeded",
            Self::PacketCountExceeded => "PacketCountExceeded",
            Self::UserStopped => "UserStopped",
            Self::SourceEnded => "SourceEnded",
            Self::SourceFailed => "SourceFailed",
            Self::StorageFailed => "StorageFailed",
        })
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CaptureFailed => "CaptureFailed",
            Self::LocalFileFailed => "LocalFileFailed",
            Self::StorageFailed => "StorageFailed",
        })
    }
}
