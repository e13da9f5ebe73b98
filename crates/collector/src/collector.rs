//! The threads of a collector, from start to the last row.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vtap_capture as capture;
use vtap_capture::live::Live;
use vtap_export::{Filtered, FlagSet};
use vtap_files::Rotation;
use vtap_pipeline::Pipeline;
use vtap_recorder::Recording;

use crate::Now;
use crate::accounting::{Accounting, FlowCounters, RowCounters};
use crate::ends::Ends;
use crate::flows::{self, Flows};
use crate::queue::{Counts, queue};
use crate::rows::{self, Rows};
use crate::uploads::Uploads;
use crate::watch::{Ending, Watch};
use crate::worker::{Slot, Worker};
use crate::writers;

/// What a collector is made of.
pub struct Setup<L> {
    /// The sources, each with the belt for its packets, and what is kept of these.
    pub belts: Vec<(L, Pipeline, Option<Recording>)>,
    /// Where rows go.
    pub rows: Box<dyn Rows>,
    /// Where what is told of flows goes; the belts are to tell of them then.
    pub flows: Option<Box<dyn Flows>>,
    /// Tells of uploads, where there are any.
    pub uploads: Option<Uploads>,
    /// What can be changed while it runs.
    pub tuning: Tuning,
    /// Rows of events that wait for the writer at most.
    pub queue: usize,
    /// What is told of flows and waits for their logs at most.
    pub flow_queue: usize,
    /// Interfaces whose cards are looked at; all for none.
    pub interfaces: Vec<String>,
    /// The clock.
    pub now: Now,
}

impl<L> std::fmt::Debug for Setup<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("belts", &self.belts.len()).finish_non_exhaustive()
    }
}

/// What of a collector can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Which events are rows.
    pub flags: FlagSet,
    /// Whether repeated segments are rows as well.
    pub retransmissions: bool,
    /// When files of events are begun, and how many are kept, where these go to files.
    pub rotation: Rotation,
    /// The same of rows of flows.
    pub flow_rotation: Rotation,
}

/// A collector that runs.
#[derive(Debug)]
pub struct Collector {
    belts: Vec<JoinHandle<Result<(), capture::Error>>>,
    writer: JoinHandle<Option<vtap_export::Error>>,
    flows: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    watch: Watch,
    now: Now,
}

/// What the threads share with those who look on.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Tells the workers to end.
    pub(crate) stop: AtomicBool,
    tuning: Mutex<Tuning>,
    /// How often it was changed.
    tunings: AtomicU64,
    /// Raised when the writer's thread ends.
    pub(crate) writer_ended: AtomicBool,
    /// Raised when the thread of the logs of flows ends.
    pub(crate) flows_ended: AtomicBool,
    rows_made: Arc<Counts>,
    pub(crate) rows_taken: Mutex<rows::Taken>,
    flows_made: Arc<Counts>,
    pub(crate) flows_taken: Mutex<flows::Taken>,
}

impl Shared {
    /// The tuning in force, where that is not the one of number `known`, which is brought up to date.
    pub(crate) fn tuned(&self, known: &mut u64) -> Option<Tuning> {
        let number = self.tunings.load(Ordering::Relaxed);
        if std::mem::replace(known, number) == number {
            return None;
        }
        Some(self.tuning.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// What became of rows of events.
    pub(crate) fn rows(&self) -> RowCounters {
        // Those at the end of the way first, so that none is seen there that was not made.
        let taken = *self.rows_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let rows::Taken { written, lost, omitted } = taken;
        let (made, overflowed) = self.rows_made.read();
        RowCounters { made, overflowed, written, lost, omitted }
    }

    /// What became of what was told of flows.
    pub(crate) fn flows(&self) -> FlowCounters {
        let taken = *self.flows_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (made, overflowed) = self.flows_made.read();
        FlowCounters { made, overflowed, taken }
    }
}

/// How a collector ended.
#[derive(Debug)]
pub struct Ended {
    /// The last counters. The laws hold, where the writer came to its end.
    pub accounting: Accounting,
    /// Sources that failed.
    pub sources: Vec<capture::Error>,
    /// Why rows could not be written any more.
    pub rows: Option<vtap_export::Error>,
    /// Whether the last row, and what was told of the last flow, was written, or given up, in time.
    pub written: bool,
}

impl Collector {
    /// Starts the threads. Privileges are best dropped before, as threads inherit them.
    ///
    /// # Errors
    ///
    /// The system has no more threads.
    pub fn start<L: Live + Send + 'static>(setup: Setup<L>) -> std::io::Result<Self> {
        let Setup { belts, rows, flows, uploads, tuning, queue: room, flow_queue, .. } = setup;
        let (interfaces, now) = (setup.interfaces, setup.now);
        let Tuning { flags, retransmissions, .. } = tuning;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            tuning: Mutex::new(tuning),
            tunings: AtomicU64::new(0),
            writer_ended: AtomicBool::new(false),
            flows_ended: AtomicBool::new(false),
            rows_made: Arc::default(),
            rows_taken: Mutex::default(),
            flows_made: Arc::default(),
            flows_taken: Mutex::default(),
        });
        let slots: Vec<_> = belts.iter().map(|_| Arc::new(Slot::default())).collect();
        let watch = Watch::new(slots.clone(), Arc::clone(&shared), interfaces, uploads, now);
        // Those who write come first, so that they are there when there is something to write.
        let (row_ends, queued) = queue(belts.len(), room, &shared.rows_made);
        let its = Arc::clone(&shared);
        let write = move || {
            let _ending = Ending(&its.writer_ended);
            writers::rows(&queued, rows, &its, now)
        };
        let writer = thread::Builder::new().name("writer".into()).spawn(write)?;
        let mut flow_ends: Vec<_> = belts.iter().map(|_| None).collect();
        let flows = match flows {
            None => None,
            Some(flows) => {
                let (ends, queued) = queue(belts.len(), flow_queue, &shared.flows_made);
                flow_ends = ends.into_iter().map(Some).collect();
                let its = Arc::clone(&shared);
                let write = move || {
                    let _ending = Ending(&its.flows_ended);
                    writers::flows(&queued, flows, &its, now);
                };
                Some(thread::Builder::new().name("flows".into()).spawn(write)?)
            }
        };
        let mut running = Vec::with_capacity(belts.len());
        let belts = belts.into_iter().zip(row_ends.into_iter().zip(flow_ends)).zip(slots);
        for (belt, (((source, pipeline, recording), (rows, flows)), slot)) in belts.enumerate() {
            let shared = Arc::clone(&shared);
            let work = move || {
                let _ending = Ending(&slot.ended);
                let queue = Filtered { sink: Ends { belt, rows, flows }, flags, retransmissions };
                let (slot, shared) = (&*slot, &*shared);
                let recorded = vtap_recorder::Counters::default();
                Worker { source, pipeline, recording, queue, slot, shared, now, recorded }.run()
            };
            running.push(thread::Builder::new().name(format!("belt {belt}")).spawn(work)?);
        }
        Ok(Self { belts: running, writer, flows, shared, watch, now })
    }

    /// The counters now. A worker that is too busy to answer is told of as it was last.
    pub fn accounting(&self) -> Accounting {
        self.watch.accounting()
    }

    /// Changes what can be changed, from the next batch on.
    pub fn tune(&self, tuning: Tuning) {
        *self.shared.tuning.lock().unwrap_or_else(PoisonError::into_inner) = tuning;
        self.shared.tunings.fetch_add(1, Ordering::Relaxed);
    }

    /// For others that want to look on, in threads of their own, until after the end.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Whether a thread has ended by itself: a source has failed, or nobody takes rows any more.
    pub fn is_over(&self) -> bool {
        self.writer.is_finished()
            || self.flows.as_ref().is_some_and(JoinHandle::is_finished)
            || self.belts.iter().any(JoinHandle::is_finished)
    }

    /// Stops reading, writes what is left, and ends. One who writes and hangs (a pipe that nobody reads,
    /// a network file system) is left behind after `patience`.
    ///
    /// # Panics
    ///
    /// If a thread did, or if a law does not hold, which is a bug.
    pub fn stop(self, patience: Duration) -> Ended {
        self.shared.stop.store(true, Ordering::Relaxed);
        let by = (self.now)() + patience;
        while !self.threads_ended() && (self.now)() < by {
            thread::sleep(Duration::from_millis(5));
        }
        let (written, accounting) = (self.threads_ended(), self.watch.told());
        let mut ended = Ended { accounting, sources: Vec::new(), rows: None, written };
        for belt in self.belts.into_iter().filter(JoinHandle::is_finished) {
            ended.sources.extend(joined(belt).err());
        }
        if written {
            ended.rows = joined(self.writer);
            self.flows.map(joined);
            ended.accounting.assert_laws();
        }
        ended
    }

    fn threads_ended(&self) -> bool {
        self.writer.is_finished()
            && self.flows.iter().all(JoinHandle::is_finished)
            && self.belts.iter().all(JoinHandle::is_finished)
    }
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
