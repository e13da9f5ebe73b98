//! The loop over a source.

use vtap_capture::{self as capture, Progress, Source};
use vtap_flow::Sink;
use vtap_packet::Timestamp;

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

/// Packets between two calls of [`Pace::progress`].
pub(crate) const PROGRESS_EVERY: u64 = 8192;

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
    let mut packets = 0;
    loop {
        for _ in 0..PROGRESS_EVERY {
            if let Some(packet) = source.at_hand() {
                pace.packet(packet.time);
                pipeline.queue(packet, sink).map_err(RunError::Sink)?;
            } else if let Some(packet) = source.next()? {
                pace.packet(packet.time);
                pipeline.queue_any(packet, sink).map_err(RunError::Sink)?;
            } else {
                pace.progress(packets, source.progress());
                return pipeline.finish(sink).map_err(RunError::Sink);
            }
            packets += 1;
        }
        pace.progress(packets, source.progress());
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
    let mut packets = 0;
    loop {
        for _ in 0..PROGRESS_EVERY {
            if let Some(packet) = source.at_hand() {
                pace.packet(packet.time);
                pipeline.push(packet, sink, &mut watch).map_err(RunError::Sink)?;
            } else if let Some(packet) = source.next()? {
                pace.packet(packet.time);
                pipeline.push(packet, sink, &mut watch).map_err(RunError::Sink)?;
            } else {
                pace.progress(packets, source.progress());
                return pipeline.finish_watched(sink, &mut watch).map_err(RunError::Sink);
            }
            packets += 1;
        }
        pace.progress(packets, source.progress());
    }
}

#[cfg(test)]
mod tests;
