//! The packets of a batch one after the other, and what is asked for ahead of them.
//!
//! Each step is a loop of its own over a stretch of packets: where one loop did everything for one
//! packet, what it needs would not fit into the registers, and the steps would wait for each other.

use super::Judge;
use crate::batch::Pending;
use crate::read::{Content, Observed};
use crate::segment::Segment;
use crate::sink::Sink;
use crate::state::Kind;

/// Packets of a stretch. Memory has the time that one takes to bring what the next needs, and what it
/// has brought is still in the nearest cache then.
const STRETCH: usize = 32;

/// Where the flows of a stretch are likely to be.
type Located = [u32; STRETCH];

impl Judge {
    /// While the packets of one stretch are judged, memory brings the flows of the next one and the
    /// index entries of the one behind that.
    pub(super) fn take_each<S: Sink>(
        &mut self,
        batch: &[Pending],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let stretch = |number: usize| {
            let behind = batch.get(number * STRETCH..).unwrap_or_default();
            behind.get(..STRETCH).unwrap_or(behind)
        };
        self.prefetch_index(stretch(0));
        self.prefetch_index(stretch(1));
        let mut next = self.locate_all(stretch(0));
        for number in 0..batch.len().div_ceil(STRETCH) {
            let (packets, located) = (stretch(number), next);
            self.prefetch_index(stretch(number + 2));
            next = self.locate_all(stretch(number + 1));
            self.prefetch_rarer(packets, &located);
            for (pending, at) in packets.iter().zip(located) {
                self.judge(pending, at, sink)?;
            }
        }
        Ok(())
    }

    /// Asks for where [`locate_all`](Self::locate_all) will look.
    #[inline(never)]
    fn prefetch_index(&self, packets: &[Pending]) {
        for pending in packets {
            self.table.prefetch_index(pending.hash);
        }
    }

    /// Where the flows of packets are likely to be; what most packets need of these is asked for.
    #[inline(never)]
    fn locate_all(&self, packets: &[Pending]) -> Located {
        let mut located = [u32::MAX; STRETCH];
        for (at, pending) in located.iter_mut().zip(packets) {
            *at = self.table.locate(pending.hash);
            if let Some(accounts) = &self.accounts {
                accounts.prefetch(*at);
            }
        }
        located
    }

    /// Asks for what packets need beside that which are among the few that do. By now memory has
    /// brought their flows, which tell.
    #[inline(never)]
    fn prefetch_rarer(&self, packets: &[Pending], located: &Located) {
        for (pending, at) in packets.iter().zip(located) {
            let goes_on = matches!(
                pending.observed,
                Ok(Observed { content: Content::Segment(Segment { kind: Kind::Ack, .. }), .. })
            );
            if self.table.at(*at).is_none_or(|flow| goes_on && flow.is_settled()) {
                continue;
            }
            self.table.prefetch_cold(*at);
            if let Some(accounts) = &self.accounts {
                accounts.prefetch_details(*at);
            }
        }
    }
}
