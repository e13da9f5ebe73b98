//! What all loops over a source have in common.

use std::ops::ControlFlow;

use vtap_capture::{Source, Taker};
use vtap_packet::Packet;

use crate::run::{Pace, RunError};

/// Packets between two calls of [`Pace::progress`].
const PROGRESS_EVERY: u64 = 8192;

/// Where a loop puts packets.
pub(crate) trait Belt {
    type Error;

    /// Takes a packet that looks as most do to its source.
    fn take(&mut self, packet: Packet<'_>) -> Result<(), Self::Error>;

    /// Takes any packet; in a place of its own, as `take` is inlined once for each format.
    #[inline(never)]
    fn take_any(&mut self, packet: Packet<'_>) -> Result<(), Self::Error> {
        self.take(packet)
    }
}

/// Puts every packet of a source on a belt.
///
/// # Errors
///
/// When the source or the belt fails.
#[inline(always)]
pub(crate) fn drive<B: Belt>(
    source: &mut impl Source,
    pace: &mut impl Pace,
    belt: &mut B,
) -> Result<(), RunError<B::Error>> {
    let mut packets = 0;
    loop {
        let mut stretch = Stretch { belt, pace, left: PROGRESS_EVERY };
        let ended = stretch.take_all(source)?;
        packets += PROGRESS_EVERY - stretch.left;
        pace.progress(packets, source.progress());
        if ended {
            return Ok(());
        }
    }
}

/// The packets until the next call of [`Pace::progress`].
struct Stretch<'a, B, P> {
    belt: &'a mut B,
    pace: &'a mut P,
    left: u64,
}

impl<B: Belt, P: Pace> Stretch<'_, B, P> {
    /// Whether the input has ended before the stretch has.
    #[inline(always)]
    fn take_all(&mut self, source: &mut impl Source) -> Result<bool, RunError<B::Error>> {
        while self.left > 0 {
            match source.each_at_hand(self) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(None) => break,
                ControlFlow::Break(Some(error)) => return Err(RunError::Sink(error)),
            }
            let Some(packet) = source.next()? else { return Ok(true) };
            self.pace.packet(packet.time);
            self.belt.take_any(packet).map_err(RunError::Sink)?;
            self.left -= 1;
        }
        Ok(false)
    }
}

impl<B: Belt, P: Pace> Taker for Stretch<'_, B, P> {
    /// Where the stretch has not come to its end, why.
    type Stop = Option<B::Error>;

    #[inline(always)]
    fn take(&mut self, packet: Packet<'_>) -> ControlFlow<Self::Stop> {
        self.pace.packet(packet.time);
        if let Err(error) = self.belt.take(packet) {
            return ControlFlow::Break(Some(error));
        }
        self.left -= 1;
        if self.left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(None) }
    }
}
