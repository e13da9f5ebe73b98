//! All that a comparison finds.

use vtap_packet::Timestamp;

use crate::alteration::Altered;
use crate::delay::Delay;
use crate::loss::Loss;
use crate::order::Reordered;
use crate::skip::Skip;

/// One of the two captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideReport {
    /// Packets given to the comparison.
    pub packets: u64,
    /// When the earliest and the latest were captured; `None` for a capture without any.
    pub span: Option<(Timestamp, Timestamp)>,
    pub(crate) skipped: [u64; Skip::ALL.len()],
}

impl SideReport {
    /// Packets set aside for this reason.
    pub fn skipped(&self, skip: Skip) -> u64 {
        self.skipped.get(skip as usize).copied().unwrap_or_default()
    }

    /// Packets set aside.
    pub fn all_skipped(&self) -> u64 {
        self.skipped.iter().sum()
    }
}

/// Packets whose bytes are at the tap, cut in another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resegmented {
    /// Packets of the source.
    pub packets: u64,
    /// Frames of the tap.
    pub frames: u64,
}

/// What a mirror did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The packets of the source.
    pub source: SideReport,
    /// The frames of the tap.
    pub tap: SideReport,
    /// Packets of the source that are at the tap.
    pub mirrored: u64,
    /// Frames of the tap that are in the source.
    pub mirrored_frames: u64,
    /// Of both of these, what is cut in another way.
    pub resegmented: Resegmented,
    /// What is not at the tap.
    pub loss: Loss,
    /// Frames of the tap that are copies of a mirrored one.
    pub duplicated: u64,
    /// Frames of the tap that are not in the source.
    pub extra: u64,
    /// Of these, frames captured when the source's capture did not run.
    pub extra_outside: u64,
    /// What came in another order.
    pub reordered: Reordered,
    /// What is changed.
    pub altered: Altered,
    /// How long it took; `None` where nothing is mirrored.
    pub delay: Option<Delay>,
}

impl Report {
    /// The laws, each with the two sides that have to be equal.
    pub fn laws(&self) -> [(&'static str, u64, u64); 3] {
        let Self { source, tap, loss, resegmented, .. } = self;
        [
            (
                "source.packets = mirrored + lost + before + after + skipped",
                source.packets,
                self.mirrored + loss.packets + loss.before + loss.after + source.all_skipped(),
            ),
            (
                "tap.frames = mirrored_frames + duplicated + extra + skipped",
                tap.packets,
                self.mirrored_frames + self.duplicated + self.extra + tap.all_skipped(),
            ),
            (
                "mirrored - resegmented.packets = mirrored_frames - resegmented.frames",
                self.mirrored + resegmented.frames,
                self.mirrored_frames + resegmented.packets,
            ),
        ]
    }

    /// Checks the laws.
    ///
    /// # Panics
    ///
    /// If one does not hold: a packet was lost or counted twice, so no number can be trusted.
    pub fn assert_laws(&self) {
        for (law, left, right) in self.laws() {
            assert!(left == right, "broken law: {law}: {left} != {right}");
        }
    }
}
