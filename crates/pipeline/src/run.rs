//! The loop over a source.

use vtap_capture::{self as capture, Progress, Source};
use vtap_flow::Sink;
use vtap_packet::{Packet, Timestamp};

use crate::drive::{Belt, drive};
use crate::{Pipeline, Report, Watched};

/// What ends a run before the end of its input.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E> {
    /// The source failed.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// The sink failed.
    #[error(transparent)]
    Sink(E),
}

/// What the caller does between packets: it alone knows the clock.
pub trait Pace {
    /// Called with the time of each packet before it is taken; may wait.
    fn packet(&mut self, _time: Timestamp) {}

    /// Called now and then with what was read so far.
    fn progress(&mut self, _packets: u64, _progress: Progress) {}
}

/// As fast as it goes, and silent.
impl Pace for () {}

/// Takes every packet of a source along the belt, in batches.
///
/// # Errors
///
/// When the source or the sink fails. The pipeline can still be finished, so that what was read
/// until then is told.
///
/// # Panics
///
/// If a law does not hold, which is a bug.
pub fn run<S: Sink>(
    source: &mut impl Source,
    pipeline: &mut Pipeline,
    sink: &mut S,
    pace: &mut impl Pace,
) -> Result<Report, RunError<S::Error>> {
    drive(source, pace, &mut Queue { pipeline, sink })?;
    pipeline.finish(sink).map_err(RunError::Sink)
}

/// Packets are judged in batches.
struct Queue<'a, S> {
    pipeline: &'a mut Pipeline,
    sink: &'a mut S,
}

impl<S: Sink> Belt for Queue<'_, S> {
    type Error = S::Error;

    #[inline(always)]
    fn take(&mut self, packet: Packet<'_>) -> Result<(), S::Error> {
        self.pipeline.queue(packet, self.sink)
    }

    fn take_any(&mut self, packet: Packet<'_>) -> Result<(), S::Error> {
        self.pipeline.queue_any(packet, self.sink)
    }
}

/// Takes every packet of a source along the belt and shows each, at its end, to `watch`.
///
/// # Errors
///
/// As [`run`], and when `watch` fails.
///
/// # Panics
///
/// If a law does not hold, which is a bug.
pub fn watch<S: Sink>(
    source: &mut impl Source,
    pipeline: &mut Pipeline,
    sink: &mut S,
    pace: &mut impl Pace,
    mut watch: impl FnMut(Watched<'_>) -> Result<(), S::Error>,
) -> Result<Report, RunError<S::Error>> {
    drive(source, pace, &mut Push { pipeline, sink, watch: &mut watch })?;
    pipeline.finish_watched(sink, &mut watch).map_err(RunError::Sink)
}

/// Each packet is judged and shown as it comes.
struct Push<'a, S, W> {
    pipeline: &'a mut Pipeline,
    sink: &'a mut S,
    watch: &'a mut W,
}

impl<S, W> Belt for Push<'_, S, W>
where
    S: Sink,
    W: FnMut(Watched<'_>) -> Result<(), S::Error>,
{
    type Error = S::Error;

    #[inline(always)]
    fn take(&mut self, packet: Packet<'_>) -> Result<(), S::Error> {
        self.pipeline.push(packet, self.sink, &mut *self.watch)
    }
}

#[cfg(test)]
mod tests;
