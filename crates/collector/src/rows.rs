//! Rows on their way from the belt to the thread that writes them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use vtap_export::Error;
use vtap_files::Rotation;
use vtap_flow::{Event, Gap, Sink};
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

/// Rows gathered before they are passed on, where the writer is busy.
const BATCH: usize = 256;

/// The end of the queue that a belt writes to. It never waits: rows that find it full are counted.
#[derive(Debug)]
pub(crate) struct Queue {
    full: Sender<Vec<Row>>,
    empty: Receiver<Vec<Row>>,
    batch: Vec<Row>,
    counts: Arc<Counts>,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Queued {
    full: Receiver<Vec<Row>>,
    empty: Sender<Vec<Row>>,
}

/// What the two ends count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) made: AtomicU64,
    pub(crate) overflowed: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) omitted: AtomicU64,
}

/// A queue that holds about so many rows, with an end for each of several belts.
pub(crate) fn queue(belts: usize, rows: usize, counts: &Arc<Counts>) -> (Vec<Queue>, Queued) {
    let batches = rows.div_ceil(BATCH).max(1);
    let (full, filled) = bounded(batches);
    let (emptied, empty) = bounded(batches);
    let end = || Queue {
        full: full.clone(),
        empty: empty.clone(),
        batch: Vec::with_capacity(BATCH),
        counts: Arc::clone(counts),
    };
    (std::iter::repeat_with(end).take(belts).collect(), Queued { full: filled, empty: emptied })
}

impl Queue {
    fn put(&mut self, row: Row) {
        self.batch.push(row);
        if self.batch.len() == BATCH {
            self.pass_on();
        }
    }

    /// Passes on what was gathered if the writer has nothing to do. Else it waits for more, so that
    /// a queue of few batches is one of many rows.
    pub(crate) fn offer(&mut self) {
        if self.full.is_empty() {
            self.pass_on();
        }
    }

    /// Passes on what was gathered.
    pub(crate) fn pass_on(&mut self) {
        let rows = self.batch.len() as u64;
        if rows == 0 {
            return;
        }
        self.counts.made.fetch_add(rows, Ordering::Relaxed);
        let fresh = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH));
        let batch = std::mem::replace(&mut self.batch, fresh);
        if self.full.try_send(batch).is_err() {
            self.counts.overflowed.fetch_add(rows, Ordering::Release);
        }
    }
}

impl Sink for Queue {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.put(Row::Event(*event));
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Infallible> {
        self.put(Row::Gap(*gap));
        Ok(())
    }
}

impl Queued {
    /// Waits for a batch until the time is over; `None` when every belt has ended and nothing is left.
    pub(crate) fn receive(&self, wait: Duration) -> Option<Vec<Row>> {
        match self.full.recv_timeout(wait) {
            Ok(batch) => Some(batch),
            Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Gives an emptied batch back.
    pub(crate) fn recycle(&self, mut batch: Vec<Row>) {
        batch.clear();
        // With the queue full of them there is no use for one more.
        let _ = self.empty.try_send(batch);
    }
}
