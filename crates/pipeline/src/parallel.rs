//! The loop over a source, on two threads.
//!
//! One finds packets, takes their envelopes off, reads their headers and recognises copies; the
//! other judges them and writes events. Between them go batches of what was read, which hold
//! nothing of the packets' bytes, through a channel that holds few: a slow sink holds the reading
//! back, and nothing is ever dropped. As one thread judges all packets in their order, events are
//! those of [`run`](crate::run()), byte for byte.
//!
//! More threads would not help: finding the next packet needs the one before, and with its
//! envelope and headers that takes as long as judging it.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use vtap_capture::Source;
use vtap_flow::{Batch, Judge, Reader, Sink};
use vtap_packet::Packet;

use crate::drive::{Belt, drive};
use crate::intake::Taken;
use crate::run::{Pace, RunError};
use crate::{Intake, Pipeline, Report};

/// Packets of a batch on its way between the threads: enough that the way costs little, and few
/// enough that a batch is still in a cache when it arrives.
const PACKETS: usize = 1024;

/// Batches there are: one is filled, one is judged, the others level out.
const BATCHES: usize = 8;

/// As [`run`](crate::run()), with a second thread. A pipeline without tracker has no use for one
/// and is run on this thread.
///
/// # Errors
///
/// When the source or the sink fails. The pipeline can still be finished, so that what was read
/// until then is told.
///
/// # Panics
///
/// If a law does not hold, which is a bug.
pub fn run_parallel<S>(
    source: &mut impl Source,
    pipeline: &mut Pipeline,
    sink: &mut S,
    pace: &mut impl Pace,
) -> Result<Report, RunError<S::Error>>
where
    S: Sink + Send,
    S::Error: Send,
{
    let Pipeline { intake, tracker: Some(tracker) } = pipeline else {
        return crate::run(source, pipeline, sink, pace);
    };
    tracker.flush(sink).map_err(RunError::Sink)?;
    let (reader, judge) = tracker.split();
    let (full, filled) = bounded(BATCHES);
    let (emptied, empty) = bounded(BATCHES);
    for _ in 0..BATCHES {
        // The channel has room for all there are.
        let _ = emptied.send(Batch::with_capacity(PACKETS));
    }
    let (read, judged) = thread::scope(|scope| {
        let sink = &mut *sink;
        let judging = scope.spawn(move || take_all(judge, filled, emptied, sink));
        let read = Reading { intake, reader, full, empty, batch: Batch::with_capacity(PACKETS) }
            .all(source, pace);
        (read, judging.join())
    });
    match judged {
        Ok(judged) => judged.map_err(RunError::Sink)?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    read?;
    pipeline.finish(sink).map_err(RunError::Sink)
}

fn take_all<S: Sink>(
    judge: &mut Judge,
    filled: Receiver<Batch>,
    emptied: Sender<Batch>,
    sink: &mut S,
) -> Result<(), S::Error> {
    for mut batch in filled {
        judge.take(&mut batch, sink)?;
        // Nobody takes it where the other thread has come to its end.
        let _ = emptied.send(batch);
    }
    Ok(())
}

/// The thread that reads.
struct Reading<'a> {
    intake: &'a mut Intake,
    reader: &'a mut Reader,
    full: Sender<Batch>,
    empty: Receiver<Batch>,
    batch: Batch,
}

/// The other thread has stopped: its sink has failed.
struct Stopped;

impl Reading<'_> {
    /// Reads all of a source, or what is needed until the other thread stops.
    fn all<E>(mut self, source: &mut impl Source, pace: &mut impl Pace) -> Result<(), RunError<E>> {
        let read = match drive(source, pace, &mut self) {
            Err(RunError::Capture(error)) => Err(RunError::Capture(error)),
            // Why the other thread has stopped, it says itself.
            Ok(()) | Err(RunError::Sink(Stopped)) => Ok(()),
        };
        // Also where the source has failed: what was read until then is told.
        let _ = self.pass_on();
        read
    }

    /// Gives a batch to the other thread and goes on with an empty one.
    #[inline(never)]
    fn pass_on(&mut self) -> Result<(), Stopped> {
        let mut batch = std::mem::take(&mut self.batch);
        self.reader.compare(&mut batch);
        self.full.send(batch).map_err(|_| Stopped)?;
        self.batch = self.empty.recv().map_err(|_| Stopped)?;
        Ok(())
    }
}

impl Belt for Reading<'_> {
    type Error = Stopped;

    #[inline(always)]
    fn take(&mut self, packet: Packet<'_>) -> Result<(), Stopped> {
        let Some(frame) = self.intake.take_usual(&packet) else { return self.take_any(packet) };
        self.reader.read(frame, &mut self.batch);
        if self.batch.len() < PACKETS { Ok(()) } else { self.pass_on() }
    }

    #[inline(never)]
    fn take_any(&mut self, packet: Packet<'_>) -> Result<(), Stopped> {
        let Self { intake, reader, batch, .. } = self;
        if let Taken::Frame(frame) = intake.take(packet) {
            reader.read(frame, batch);
        }
        if self.batch.len() < PACKETS { Ok(()) } else { self.pass_on() }
    }
}
