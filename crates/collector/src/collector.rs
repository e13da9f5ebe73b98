//! The threads of a collector, from start to the last row.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vtap_capture as capture;
use vtap_capture::live::Live;
use vtap_export::{Filtered, FlagSet};
use vtap_packet::Timestamp;
use vtap_pipeline::Pipeline;

use crate::Now;
use crate::accounting::{Accounting, RowCounters};
use crate::host::{self, Nic, Softnet};
use crate::rows::{self, Counts, Queued, Rows, Taken};
use crate::worker::{Recording, Slot, Worker};

/// How often what was gathered is written.
const TICK: Duration = Duration::from_millis(500);

/// How long an answer of the workers is waited for; they look around every 100 ms.
const ANSWER: Duration = Duration::from_millis(400);

/// What a collector is made of.
pub struct Setup<L> {
    /// The sources, each with the belt for its packets, and what is kept of these.
    pub belts: Vec<(L, Pipeline, Option<Recording>)>,
    /// Where rows go.
    pub rows: Box<dyn Rows>,
    /// Which events are rows.
    pub flags: FlagSet,
    /// Whether repeated segments are rows as well.
    pub retransmissions: bool,
    /// Rows that wait for the writer at most.
    pub queue: usize,
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

/// A collector that runs.
#[derive(Debug)]
pub struct Collector {
    belts: Vec<Belt>,
    writer: JoinHandle<Option<vtap_export::Error>>,
    shared: Arc<Shared>,
    interfaces: Vec<String>,
    nics: Vec<(String, Nic)>,
    softnet: Softnet,
    since: Timestamp,
    now: Now,
}

/// A worker's thread.
#[derive(Debug)]
struct Belt {
    thread: JoinHandle<Result<(), capture::Error>>,
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    counts: Arc<Counts>,
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
    /// Whether the last row was written, or given up, in time.
    pub written: bool,
}

impl Collector {
    /// Starts the threads. Privileges are best dropped before, as threads inherit them.
    ///
    /// # Errors
    ///
    /// The system has no more threads.
    pub fn start<L: Live + Send + 'static>(setup: Setup<L>) -> std::io::Result<Self> {
        let Setup { belts, rows, flags, retransmissions, queue, interfaces, now } = setup;
        let shared = Arc::new(Shared::default());
        let (ends, queued) = rows::queue(belts.len(), queue, &shared.counts);
        let root = Path::new("/");
        let (nics, softnet) = (host::nics(root, &interfaces), Softnet::read(root));
        let mut running = Vec::with_capacity(belts.len());
        for (number, ((source, pipeline, recording), end)) in
            belts.into_iter().zip(ends).enumerate()
        {
            let slot = Arc::new(Slot::default());
            let (shared, its) = (Arc::clone(&shared), Arc::clone(&slot));
            let work = move || {
                let queue = Filtered { sink: end, flags, retransmissions };
                let (slot, stop) = (&*its, &shared.stop);
                let recorded = None;
                Worker { source, pipeline, recording, queue, slot, stop, now, recorded }.run()
            };
            let thread = thread::Builder::new().name(format!("belt {number}")).spawn(work)?;
            running.push(Belt { thread, slot });
        }
        let counts = Arc::clone(&shared.counts);
        let write = move || write(&queued, rows, &counts, now);
        let writer = thread::Builder::new().name("writer".into()).spawn(write)?;
        let softnet = softnet.unwrap_or_default();
        Ok(Self { belts: running, writer, shared, interfaces, nics, softnet, since: now(), now })
    }

    /// The counters now. A worker that is too busy to answer is told of as it was last.
    pub fn accounting(&self) -> Accounting {
        let asked: Vec<_> = self.belts.iter().map(|belt| belt.slot.ask()).collect();
        let by = (self.now)() + ANSWER;
        let answered = || {
            let mut belts = self.belts.iter().zip(&asked);
            belts.all(|(belt, asked)| {
                belt.thread.is_finished() || belt.slot.told().answers >= *asked
            })
        };
        while !answered() && (self.now)() < by {
            thread::sleep(Duration::from_millis(2));
        }
        self.told()
    }

    fn told(&self) -> Accounting {
        let root = Path::new("/");
        let mut nics = host::nics(root, &self.interfaces);
        for (name, nic) in &mut nics {
            let before = self.nics.iter().find(|(known, _)| known == name);
            *nic = nic.since(before.map_or_else(Nic::default, |(_, nic)| *nic));
        }
        let mut all = Accounting {
            since: self.since,
            at: (self.now)(),
            nics,
            softnet: Softnet::read(root).unwrap_or_default().since(self.softnet),
            rows: self.shared.counts.read(),
            ..Accounting::default()
        };
        for belt in &self.belts {
            let told = belt.slot.told();
            all.source += told.source;
            all.report += told.report;
            all.flows += told.flows;
            all.recorded.extend(told.recorded);
        }
        all
    }

    /// Whether a thread has ended by itself: a source has failed, or nobody takes rows any more.
    pub fn is_over(&self) -> bool {
        self.writer.is_finished() || self.belts.iter().any(|belt| belt.thread.is_finished())
    }

    /// Stops reading, writes what is left, and ends. A writer that hangs (a pipe that nobody reads,
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
        let (written, accounting) = (self.threads_ended(), self.told());
        let mut ended = Ended { accounting, sources: Vec::new(), rows: None, written };
        for belt in self.belts.into_iter().filter(|belt| belt.thread.is_finished()) {
            ended.sources.extend(joined(belt.thread).err());
        }
        if written {
            ended.rows = joined(self.writer);
            ended.accounting.assert_laws();
        }
        ended
    }

    fn threads_ended(&self) -> bool {
        self.writer.is_finished() && self.belts.iter().all(|belt| belt.thread.is_finished())
    }
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The thread that writes, until every worker has ended, or nobody takes rows any more.
fn write(
    queued: &Queued,
    mut rows: Box<dyn Rows>,
    counts: &Counts,
    now: Now,
) -> Option<vtap_export::Error> {
    let mut next = now() + TICK;
    while let Some(batch) = queued.receive(TICK) {
        for row in &batch {
            rows.take(row);
        }
        if batch.capacity() > 0 {
            queued.recycle(batch);
        }
        let time = now();
        // A clock that was set back would leave it waiting.
        if time >= next || next.since(time) > TICK {
            rows.tick(time);
            next = time + TICK;
        }
        counts.settle(rows.counters());
        if let Some(error) = rows.over() {
            return Some(error);
        }
    }
    rows.finish(now());
    counts.settle(rows.counters());
    rows.over()
}

impl Counts {
    fn settle(&self, taken: Taken) {
        let Taken { written, lost, omitted } = taken;
        self.written.store(written, Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
        self.omitted.store(omitted, Ordering::Relaxed);
    }

    fn read(&self) -> RowCounters {
        // Those at the end of the way first, so that none is seen there that was not made.
        let [written, lost, omitted, overflowed, made] =
            [&self.written, &self.lost, &self.omitted, &self.overflowed, &self.made]
                .map(|count| count.load(Ordering::Relaxed));
        RowCounters { made, overflowed, written, lost, omitted }
    }
}
