//! What lies between the capture thread and the disk: blocks of bytes as they will be in the file.
//!
//! There are so many blocks and no more. The capture thread fills the one at the tail; a full one
//! goes to the writer, which gives it back when its bytes are written. Whoever holds the lock only
//! copies a packet or moves a block, so neither side waits for the other's work. A tail that is
//! not full is taken by the writer after [`FLUSH`], whether more packets come or not.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vtap_packet::Timestamp;

/// Bytes of a block. A packet that is longer gets a block for itself.
pub(crate) const BLOCK: usize = 1 << 20;

/// A packet waits no longer before it is written.
pub(crate) const FLUSH: Duration = Duration::from_millis(500);

/// A part of a file: whole packets.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    /// Where in `bytes` each packet ends, with what describes its interface, and how many bytes of
    /// frame it has.
    pub(crate) ends: Vec<(usize, u32)>,
    /// For the first block of a file: when it begins.
    pub(crate) begins: Option<Timestamp>,
}

impl Block {
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BLOCK);
        self.ends.clear();
        self.begins = None;
    }
}

#[derive(Debug)]
pub(crate) enum Work {
    Block(Block),
    /// The file is complete.
    End,
}

/// Both ends hold one of these in an `Arc`.
#[derive(Debug)]
pub(crate) struct Queue {
    lanes: Mutex<Lanes>,
    /// There is work, or the end.
    filled: Condvar,
    /// There is a free block, or the writer has failed.
    emptied: Condvar,
}

#[derive(Debug)]
pub(crate) struct Lanes {
    /// What is filled.
    pub(crate) tail: Option<Block>,
    work: VecDeque<Work>,
    free: Vec<Block>,
    ended: bool,
    failed: bool,
}

impl Queue {
    /// Of at least two blocks, one to fill and one to write.
    pub(crate) fn new(bytes: usize) -> Self {
        let blocks = (bytes / BLOCK).max(2);
        let lanes = Lanes {
            tail: None,
            work: VecDeque::with_capacity(2 * blocks + 2),
            free: std::iter::repeat_with(Block::default).take(blocks).collect(),
            ended: false,
            failed: false,
        };
        Self { lanes: Mutex::new(lanes), filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Nobody panics while holding it; if so, its bytes are still whole packets.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a tail; if `wait`, by waiting for a free block. `false` where there
    /// is none.
    pub(crate) fn tail<'a>(
        &self,
        mut lanes: MutexGuard<'a, Lanes>,
        wait: bool,
    ) -> (MutexGuard<'a, Lanes>, bool) {
        loop {
            if lanes.tail.is_some() {
                return (lanes, true);
            }
            if let Some(mut block) = lanes.free.pop() {
                // But for the first time, it has that.
                block.bytes.reserve_exact(BLOCK);
                lanes.tail = Some(block);
            } else if wait && !lanes.failed {
                lanes = self.emptied.wait(lanes).unwrap_or_else(PoisonError::into_inner);
            } else {
                return (lanes, false);
            }
        }
    }

    /// Gives what was filled to the writer.
    pub(crate) fn push_tail(&self, lanes: &mut Lanes) {
        if let Some(block) = lanes.tail.take() {
            if block.bytes.is_empty() {
                lanes.tail = Some(block);
                return;
            }
            lanes.work.push_back(Work::Block(block));
            self.filled.notify_one();
        }
    }

    /// Says that the file is complete.
    pub(crate) fn push_end(&self, lanes: &mut Lanes) {
        lanes.work.push_back(Work::End);
        self.filled.notify_one();
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.filled.notify_one();
    }

    /// The writer's next piece of work; `None` at the end.
    pub(crate) fn next(&self) -> Option<Work> {
        let mut lanes = self.lock();
        loop {
            if let Some(work) = lanes.work.pop_front() {
                return Some(work);
            }
            if lanes.ended {
                return None;
            }
            let waited = self.filled.wait_timeout(lanes, FLUSH);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            lanes = guard;
            if timeout.timed_out() && lanes.work.is_empty() {
                self.push_tail(&mut lanes);
            }
        }
    }

    /// Takes a block back.
    pub(crate) fn free(&self, mut block: Block) {
        block.clear();
        self.lock().free.push(block);
        self.emptied.notify_one();
    }

    /// Waits so long, or to the end; whether that has come.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let waiting = |lanes: &mut Lanes| !lanes.ended;
        let waited = self.filled.wait_timeout_while(self.lock(), pause, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// The writer writes no more.
    pub(crate) fn fail(&self) {
        self.lock().failed = true;
        self.emptied.notify_all();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed
    }
}
