//! The packets of a batch one after the other, and what is asked for ahead of them.

use super::Judge;
use crate::batch::Pending;
use crate::read::{Content, Observed};
use crate::segment::Segment;
use crate::sink::Sink;
use crate::state::Kind;

/// How many packets before its own a flow is asked for, and again as many before that, its place
/// in the index.
const AHEAD: usize = 32;

/// How many packets before its own what few need beside that is asked for: by then memory has
/// brought the flow, which tells.
const SOON: usize = AHEAD / 2;

impl Judge {
    /// While one packet is judged, memory brings the index entries and the flows of those behind
    /// it.
    pub(super) fn take_each<S: Sink>(
        &mut self,
        batch: &[Pending],
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let mut located = [u32::MAX; AHEAD];
        for pending in batch.iter().take(2 * AHEAD) {
            self.table.prefetch_index(pending.hash);
        }
        for (at, pending) in located.iter_mut().zip(batch) {
            *at = self.locate(pending);
        }
        for (number, pending) in batch.iter().enumerate() {
            let Some(place) = located.get_mut(number % AHEAD) else { continue };
            let at = *place;
            if let Some(next) = batch.get(number + AHEAD) {
                *place = self.locate(next);
            }
            if let Some(later) = batch.get(number + 2 * AHEAD) {
                self.table.prefetch_index(later.hash);
            }
            if let Some(next) = batch.get(number + SOON)
                && let Some(at) = located.get((number + SOON) % AHEAD)
            {
                self.prefetch_rarer(next, *at);
            }
            self.judge(pending, at, sink)?;
        }
        Ok(())
    }

    /// Where the flow of a packet is likely to be; what most packets need of it is asked for.
    #[inline(always)]
    fn locate(&self, pending: &Pending) -> u32 {
        let at = self.table.locate(pending.hash);
        if let Some(accounts) = &self.accounts {
            accounts.prefetch(at);
        }
        at
    }

    /// Asks for what a packet needs beside that of the flow at a place, if it is one of the few
    /// that do.
    #[inline(always)]
    fn prefetch_rarer(&self, pending: &Pending, at: u32) {
        let goes_on = matches!(
            pending.observed,
            Ok(Observed { content: Content::Segment(Segment { kind: Kind::Ack, .. }), .. })
        );
        if self.table.at(at).is_none_or(|flow| goes_on && flow.is_settled()) {
            return;
        }
        self.table.prefetch_cold(at);
        if let Some(accounts) = &self.accounts {
            accounts.prefetch_details(at);
        }
    }
}
