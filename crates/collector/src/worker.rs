//! The loop of one source.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vtap_capture as capture;
use vtap_capture::live::{self, Live};
use vtap_export::Filtered;
use vtap_pipeline::{Pipeline, Report, Taken};
use vtap_recorder::{Counters, Recording, StopReason};

use crate::Now;
use crate::collector::{Shared, Tuning};
use crate::ends::Ends;

/// How long a worker waits for packets before it looks around.
const WAIT: Duration = Duration::from_millis(100);

/// How long a worker that was stopped reads on for what is in the ring.
const DRAIN: Duration = Duration::from_secs(2);

/// Between a worker and those who ask it.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Raised to ask for the counters.
    asked: AtomicU64,
    /// Raised when the worker's thread ends, even by a panic.
    pub(crate) ended: AtomicBool,
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
    pub(crate) recorder: Counters,
}

impl Slot {
    /// Asks for the counters as they are now; the answer has this number.
    pub(crate) fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The question that was answered last.
    pub(crate) fn answers(&self) -> u64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).answers
    }

    fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

/// A source, its belt, and the way to those who write.
pub(crate) struct Worker<'a, L> {
    pub(crate) source: L,
    pub(crate) pipeline: Pipeline,
    pub(crate) recording: Option<Recording>,
    pub(crate) queue: Filtered<Ends>,
    pub(crate) slot: &'a Slot,
    pub(crate) shared: &'a Shared,
    pub(crate) now: Now,
    /// What was recorded, once that is over.
    pub(crate) recorded: Counters,
}

impl<L: Live> Worker<'_, L> {
    /// Reads until it is stopped and the ring is empty, or the source fails. What was read is told
    /// in either case.
    pub(crate) fn run(mut self) -> Result<(), capture::Error> {
        let ran = self.read();
        let Self { pipeline, queue, .. } = &mut self;
        queue.sink.wait();
        let Ok(_) = pipeline.finish(queue);
        queue.sink.pass_on();
        if let Some(recording) = self.recording.take() {
            // Its last file is complete when this is back.
            let reason = match &ran {
                Ok(()) => StopReason::UserStopped,
                Err(_) => StopReason::SourceFailed,
            };
            self.recorded = recording.recorder.stop(reason).counters;
        }
        // A source that has failed may have no counters any more; those told last stand.
        let told = self.tell(u64::MAX);
        ran.and(told)
    }

    fn read(&mut self) -> Result<(), capture::Error> {
        let mut drained_by = None;
        let (mut answered, mut tuned) = (0, 0);
        loop {
            let Self { source, pipeline, queue, .. } = self;
            if let Some(Tuning { flags, retransmissions, .. }) = self.shared.tuned(&mut tuned) {
                (queue.flags, queue.retransmissions) = (flags, retransmissions);
            }
            let took = match &mut self.recording {
                None => source.poll(WAIT, |packet| {
                    let Ok(()): Result<(), Infallible> = pipeline.queue(packet, queue);
                })?,
                Some(recording) => {
                    let now = (self.now)();
                    recording.recorder.tick(now);
                    source.poll(WAIT, |packet| {
                        let show = |taken: &Taken<'_>| recording.take(&packet, taken, now);
                        let Ok(()): Result<(), Infallible> =
                            pipeline.queue_shown(packet, queue, show);
                    })?
                }
            };
            let Ok(()) = pipeline.flush(queue);
            queue.sink.offer();
            let asked = self.slot.asked.load(Ordering::Relaxed);
            if asked != answered {
                self.tell(asked)?;
                answered = asked;
            }
            if self.shared.stop.load(Ordering::Relaxed) {
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
        let recorder = match &self.recording {
            Some(recording) => recording.recorder.status().counters,
            None => self.recorded,
        };
        let report = self.pipeline.report();
        self.slot.tell(Told { answers, source, report, flows, recorder });
        counters.map(|_| ())
    }
}
