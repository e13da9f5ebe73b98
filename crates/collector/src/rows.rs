//! Rows of events on their way from the belts to the thread that writes them.

use vtap_export::Error;
use vtap_files::Rotation;
use vtap_flow::{Event, Gap};
use vtap_packet::Timestamp;

/// Where a collector's rows go in the end. It never fails: what cannot be written is counted.
pub trait Rows: Send {
    /// Takes a row.
    fn take(&mut self, row: &Row);

    /// Called each half second or so: writes what was gathered, tries again what failed, begins a
    /// new file where it is time.
    fn tick(&mut self, now: Timestamp);

    /// Writes what is left, and gives files their names.
    fn finish(&mut self, now: Timestamp);

    /// What became of the rows taken.
    fn counters(&self) -> Taken;

    /// Goes on by other sizes, times and limits, where it writes files.
    fn rotate(&mut self, _rotation: Rotation) {}

    /// Whether there is no use in going on, and why: the reader of a pipe is gone.
    fn over(&mut self) -> Option<Error> {
        None
    }
}

/// What became of the rows that a place has taken; the rest waits in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Given to the system to write.
    pub written: u64,
    /// Given up, as they could not be written.
    pub lost: u64,
    /// Without a place in the format.
    pub omitted: u64,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub enum Row {
    /// An event of a flow.
    Event(Event),
    /// A gap of a mirror.
    Gap(Gap),
}
