//! What is told of flows, on its way from the belts to the logs of flows.
//!
//! These have a queue and a thread of their own: one of them may hold its thread up for a second
//! when a minute is over, which is to cost neither packets nor rows of events.

use vtap_files::Rotation;
use vtap_flow::{Answer, Record};
use vtap_packet::Timestamp;

/// Takes what is told of flows. It never fails: what cannot be written is counted.
pub trait Flows: Send {
    /// Takes a record or a name.
    fn take(&mut self, told: Told);

    /// Called each half second or so: writes what was gathered and what is due, tries again what
    /// failed.
    fn tick(&mut self, now: Timestamp);

    /// Writes what is left, and gives files their names.
    fn finish(&mut self, now: Timestamp);

    /// What became of what was taken.
    fn counters(&self) -> Taken;

    /// Goes on by other sizes, times and limits, where it writes files.
    fn rotate(&mut self, _rotation: Rotation) {}
}

/// What a belt tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// Of a flow.
    Record {
        /// Index of the belt, which numbers packets for itself.
        belt: usize,
        /// What is told.
        record: Box<Record>,
    },
    /// A DNS answer, which names addresses.
    Answer(Box<Answer>),
}

/// What became of what was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// DNS answers.
    pub answers: u64,
    /// Records of flows.
    pub records: u64,
    /// Of these, that a flow has begun, which is no row.
    pub begun: u64,
    /// Rows of flows.
    pub rows: Log,
    /// Tuples of the flow log of a virtual network: one or two of each record.
    pub tuples: Log,
    /// Records that are summed up by traffic analytics.
    pub sums: Log,
}

/// What became of all that one log was to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// To be written.
    pub made: u64,
    /// Of these, in files.
    pub written: u64,
    /// Of these, given up, as they could not be written.
    pub lost: u64,
}

impl Log {
    /// In memory: gathered until it is time, or until the disk takes them.
    pub const fn waiting(&self) -> u64 {
        self.made.saturating_sub(self.written + self.lost)
    }
}
