//! Segments that may have overtaken another.
//!
//! A mirror reorders: an acknowledgment comes before what it acknowledges, a SYN-ACK before its
//! SYN. Such a segment waits for some milliseconds before it is called INVALID, and is judged
//! again after each segment of its flow that passes.

use std::collections::VecDeque;

use vtap_packet::Timestamp;

use crate::batch::Pending;
use crate::limits;

/// Segments that wait, in the order they came.
#[derive(Debug)]
pub(crate) struct Held {
    waiting: VecDeque<Waiting>,
    /// How many there are by a byte of their hashes: whether one of a flow waits is asked for
    /// every segment, and nearly always answered by a zero.
    of_hash: Box<[u16; 256]>,
}

/// One of them.
#[derive(Debug)]
struct Waiting {
    pending: Pending,
    until: Timestamp,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::with_capacity(limits::HELD + 1), of_hash: Box::new([0; 256]) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a segment of the flow with this hash may be among them.
    #[inline]
    pub(crate) fn concerns(&self, hash: u64) -> bool {
        !self.is_empty() && self.of_hash.get(byte(hash)).is_some_and(|waiting| *waiting > 0)
    }

    pub(crate) fn hold(&mut self, pending: Pending, until: Timestamp) {
        if let Some(waiting) = self.of_hash.get_mut(byte(pending.hash)) {
            *waiting += 1;
        }
        self.waiting.push_back(Waiting { pending, until });
    }

    /// Number of the oldest.
    pub(crate) fn first(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.pending.occasion.number)
    }

    /// The oldest, if it has waited long enough, or if there are too many, or too many `rows` wait
    /// for it.
    pub(crate) fn pop_due(&mut self, now: Timestamp, rows: usize) -> Option<Pending> {
        let oldest = self.waiting.front()?;
        let many = self.waiting.len() > limits::HELD || rows > limits::ROWS_HELD;
        let due = oldest.until <= now || many;
        due.then(|| self.take(0))?
    }

    /// The oldest: the input has ended.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        self.take(0)
    }

    /// Whether enough of one flow wait already.
    pub(crate) fn is_full_of(&self, hash: u64) -> bool {
        let same = self.waiting.iter().filter(|waiting| waiting.pending.hash == hash);
        self.concerns(hash) && same.count() >= limits::HELD_OF_FLOW
    }

    /// Place of the first segment at `from` or behind it whose hash this is.
    pub(crate) fn find(&self, hash: u64, from: usize) -> Option<usize> {
        let mut behind = self.waiting.iter().skip(from);
        behind.position(|waiting| waiting.pending.hash == hash).map(|at| at + from)
    }

    /// The segment at a place.
    pub(crate) fn get(&self, at: usize) -> Option<Pending> {
        self.waiting.get(at).map(|waiting| waiting.pending.clone())
    }

    /// Takes out the segment at a place.
    pub(crate) fn take(&mut self, at: usize) -> Option<Pending> {
        let Waiting { pending, .. } = self.waiting.remove(at)?;
        if let Some(waiting) = self.of_hash.get_mut(byte(pending.hash)) {
            *waiting -= 1;
        }
        Some(pending)
    }
}

/// The byte by which they are counted.
const fn byte(hash: u64) -> usize {
    hash.to_le_bytes()[0] as usize
}
