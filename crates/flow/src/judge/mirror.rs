//! What a mirror does to traffic: packets seen more than once, out of order, or not at all.

use vtap_packet::Timestamp;

use super::Judge;
use super::segments::Attempt;
use crate::batch::{Occasion, Pending};
use crate::copies::Sighting;
use crate::gap::Gap;
use crate::key::Key;
use crate::order::Told;
use crate::read::{Content, Observed};
use crate::sight::TapId;
use crate::sink::Sink;
use crate::verdict::{Outcome, StateAfter, Verdict};

impl Judge {
    /// Takes note of the tap that has shown a packet, and tells the gap that it ends.
    #[inline(always)]
    pub(super) fn tap<S: Sink>(
        &mut self,
        occasion: &Occasion,
        tap: TapId,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        if let Some(tap) = self.taps.get_mut(tap)
            && tap.goes_on(occasion.time)
        {
            return Ok(());
        }
        self.tap_after_pause(occasion, tap, sink)
    }

    /// As [`tap`](Self::tap), of one that was not met before, or has shown nothing for a while.
    #[cold]
    fn tap_after_pause<S: Sink>(
        &mut self,
        occasion: &Occasion,
        id: TapId,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let (now, warm_up) = (occasion.time, self.config.warm_up);
        let gap = match self.taps.get_mut(id) {
            Some(tap) => tap.resumes(now, warm_up),
            None => {
                let address = occasion.tunnel.map(|tunnel| tunnel.src);
                self.taps.meet(id, address, now, warm_up);
                None
            }
        };
        gap.map_or(Ok(()), |gap| self.gap(&gap, occasion.number, sink))
    }

    #[cold]
    pub(super) fn gap<S: Sink>(
        &mut self,
        gap: &Gap,
        packet: u64,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.stats.gaps += 1;
        self.tell(Told::Gap(packet, *gap), sink)
    }

    /// Whether neither a segment nor a row waits, so that rows can be told at once.
    #[inline]
    pub(super) fn none_waits(&self) -> bool {
        self.held.is_empty() && self.order.is_empty()
    }

    /// Tells the sink, or keeps what is to be told until no earlier packet waits.
    pub(super) fn tell<S: Sink>(&mut self, told: Told, sink: &mut S) -> Result<(), S::Error> {
        if self.none_waits() {
            return told.to(sink);
        }
        self.order.put(told);
        self.release(sink)
    }

    /// Tells the sink what no earlier packet can come before any more.
    pub(super) fn release<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let first = self.held.first().unwrap_or(u64::MAX);
        while let Some(told) = self.order.pop_before(first) {
            told.to(sink)?;
        }
        Ok(())
    }

    /// Counts a copy of a packet that was followed before.
    pub(super) fn copy(
        &mut self,
        observed: &Observed,
        hash: u64,
        tap: TapId,
        sighting: Sighting,
    ) -> Outcome {
        let at = self.table.find(&observed.key, hash);
        let state = match at.and_then(|at| self.table.entry(at)) {
            Some((flow, cold)) => {
                cold.shown_by(tap);
                flow.state()
            }
            None => StateAfter::None,
        };
        if sighting == Sighting::Forwarded {
            self.stats.forwarded += 1;
            return Outcome::new(Verdict::Forwarded, state);
        }
        self.stats.duplicates += 1;
        if let Some(tap) = self.taps.get_mut(tap) {
            tap.duplicates += 1;
        }
        Outcome::new(Verdict::Duplicate, state)
    }

    /// Judges, for the last time, segments that have waited long enough.
    #[inline(never)]
    pub(super) fn settle_due<S: Sink>(
        &mut self,
        now: Timestamp,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        while let Some(pending) = self.held.pop_due(now, self.order.len()) {
            self.settle(&pending, sink)?;
        }
        self.release(sink)
    }

    pub(super) fn settle<S: Sink>(
        &mut self,
        pending: &Pending,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        if let Ok(observed) = &pending.observed
            && let Content::Segment(segment) = &observed.content
        {
            let located = self.table.locate(pending.hash);
            let outcome =
                self.segment(pending, observed, located, Ok(segment), Attempt::Last, sink)?;
            self.settled.push((pending.occasion.number, outcome));
        }
        Ok(())
    }

    /// Judges segments of a flow again that wait, as another of it has passed.
    #[inline(never)]
    pub(super) fn judge_held<S: Sink>(
        &mut self,
        key: &Key,
        hash: u64,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let (mut from, mut settled) = (0, false);
        while let Some(at) = self.held.find(hash, from) {
            from = at + 1;
            let Some(pending) = self.held.get(at) else { break };
            let Ok(observed) = &pending.observed else { continue };
            let Content::Segment(segment) = &observed.content else { continue };
            if observed.key != *key {
                continue;
            }
            let located = self.table.locate(hash);
            let outcome =
                self.segment(&pending, observed, located, Ok(segment), Attempt::Again, sink)?;
            if outcome.verdict != Verdict::Held {
                self.held.take(at);
                self.stats.reordered += 1;
                self.settled.push((pending.occasion.number, outcome));
                // It may have been what those before it waited for.
                (from, settled) = (0, true);
            }
        }
        // Not where none was: that this was asked at all may be an accident of hashes, on which
        // nothing told may depend.
        if settled { self.release(sink) } else { Ok(()) }
    }
}

impl Told {
    fn to<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        match self {
            Self::Event(event) => sink.event(event),
            Self::Gap(_, gap) => sink.gap(gap),
        }
    }
}
