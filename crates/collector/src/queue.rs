//! Bounded queues from the belts to the threads that write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Rows gathered before they are passed on, where the writer is busy.
const BATCH: usize = 256;

/// The end of a queue that a belt writes to. It does not wait: what finds it full is counted.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    full: Sender<Vec<T>>,
    empty: Receiver<Vec<T>>,
    batch: Vec<T>,
    counts: Arc<Counts>,
    /// How long it waits for room all the same, once packets have ended.
    patience: Option<Duration>,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Queued<T> {
    full: Receiver<Vec<T>>,
    empty: Sender<Vec<T>>,
}

/// What the belts count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    made: AtomicU64,
    overflowed: AtomicU64,
}

/// A queue that holds about so many rows, with an end for each of several belts.
pub(crate) fn queue<T>(
    belts: usize,
    rows: usize,
    counts: &Arc<Counts>,
) -> (Vec<Queue<T>>, Queued<T>) {
    let batches = rows.div_ceil(BATCH).max(1);
    let (full, filled) = bounded(batches);
    let (emptied, empty) = bounded(batches);
    let end = || Queue {
        full: full.clone(),
        empty: empty.clone(),
        batch: Vec::with_capacity(BATCH),
        counts: Arc::clone(counts),
        patience: None,
    };
    (std::iter::repeat_with(end).take(belts).collect(), Queued { full: filled, empty: emptied })
}

impl<T> Queue<T> {
    pub(crate) fn put(&mut self, row: T) {
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
        let is_taken = match self.patience {
            None => self.full.try_send(batch).is_ok(),
            Some(patience) => self.full.send_timeout(batch, patience).is_ok(),
        };
        if !is_taken {
            // A writer that took nothing for so long is not waited for again.
            self.patience = None;
            self.counts.overflowed.fetch_add(rows, Ordering::Release);
        }
    }

    /// From now on waits for room, as no packet is kept waiting any more.
    pub(crate) const fn wait(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }
}

impl<T> Queued<T> {
    /// Waits for a batch until the time is over; `None` when every belt has ended and nothing is left.
    pub(crate) fn receive(&self, wait: Duration) -> Option<Vec<T>> {
        match self.full.recv_timeout(wait) {
            Ok(batch) => Some(batch),
            Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Gives an emptied batch back.
    pub(crate) fn recycle(&self, mut batch: Vec<T>) {
        batch.clear();
        // With the queue full of them there is no use for one more.
        let _ = self.empty.try_send(batch);
    }
}

impl Counts {
    /// What was made, and what of it overflowed. To be read behind what became of the rest, so that
    /// nothing is seen there that was not made.
    pub(crate) fn read(&self) -> (u64, u64) {
        let overflowed = self.overflowed.load(Ordering::Acquire);
        (self.made.load(Ordering::Acquire), overflowed)
    }
}
