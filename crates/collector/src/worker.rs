//! The loop of one source.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vtap_capture::live::{self, Live};
use vtap_capture::{self as capture};
use vtap_export::Filtered;
use vtap_pipeline::{Pipeline, Report};

use crate::Now;
use crate::rows::Queue;

/// How long a worker waits for packets before it looks around.
const WAIT: Duration = Duration::from_millis(100);

/// How long a worker that was stopped reads on for what is in the ring.
const DRAIN: Duration = Duration::from_secs(2);

/// Between a worker and those who ask it.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Raised to ask for the counters.
    asked: AtomicU64,
    told: Mutex<Told>,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// The question that this answers.
    pub(crate) answers: u64,
    pub(crate) source: live::Counters,
    pub(crate) report: Report,
    pub(crate) flows: u64,
}

impl Slot {
    /// Asks for the counters as they are now; the answer has this number.
    pub(crate) fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

/// A source, its belt, and the way to the writer.
pub(crate) struct Worker<'a, L> {
    pub(crate) source: L,
    pub(crate) pipeline: Pipeline,
    pub(crate) queue: Filtered<Queue>,
    pub(crate) slot: &'a Slot,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) now: Now,
}

impl<L: Live> Worker<'_, L> {
    /// Reads until it is stopped and the ring is empty, or the source fails. What was read is told
    /// in either case.
    pub(crate) fn run(mut self) -> Result<(), capture::Error> {
        let ran = self.read();
        let Self { pipeline, queue, .. } = &mut self;
        let Ok(_) = pipeline.finish(queue);
        queue.sink.pass_on();
        // A source that has failed may have no counters any more; those told last stand.
        let told = self.tell(u64::MAX);
        ran.and(told)
    }

    fn read(&mut self) -> Result<(), capture::Error> {
        let mut drained_by = None;
        let mut answered = 0;
        loop {
            let Self { source, pipeline, queue, .. } = self;
            let took = source.poll(WAIT, |packet| {
                let Ok(()): Result<(), Infallible> = pipeline.queue(packet, queue);
            })?;
            let Ok(()) = pipeline.flush(queue);
            queue.sink.offer();
            let asked = self.slot.asked.load(Ordering::Relaxed);
            if asked != answered {
                self.tell(asked)?;
                answered = asked;
            }
            if self.stop.load(Ordering::Relaxed) {
                let now = (self.now)();
                let by = *drained_by.get_or_insert(now + DRAIN);
                if took == 0 || now >= by {
                    return Ok(());
                }
            }
        }
    }

    fn tell(&mut self, answers: u64) -> Result<(), capture::Error> {
        let flows = self.pipeline.tracker.as_ref().map_or(0, |tracker| tracker.flows() as u64);
        let counters = self.source.counters();
        let source = counters.as_ref().map_or_else(|_| self.slot.told().source, |now| *now);
        self.slot.tell(Told { answers, source, report: self.pipeline.report(), flows });
        counters.map(|_| ())
    }
}
