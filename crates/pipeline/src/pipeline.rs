//! One packet along the belt.

use vtap_decap::{Decap, Stripped};
use vtap_flow::{Outcome, Sink, Tracker};
use vtap_packet::Packet;

use crate::Report;

/// Whether a packet goes on. Filters are not `Fn`: a BPF program is compiled for each link type
/// that it meets.
pub type Filter = Box<dyn FnMut(&Packet<'_>) -> bool + Send>;

/// Steps 2 to 5, with their state.
pub struct Pipeline {
    /// Takes the envelopes off.
    pub decap: Decap,
    /// Follows the flows; without one, a pipeline only decapsulates.
    pub tracker: Option<Tracker>,
    /// Whether packets that are not mirrored are tracked as they are.
    pub plain: bool,
    /// On packets as captured.
    pub outer_filter: Option<Filter>,
    /// On what is tracked.
    pub inner_filter: Option<Filter>,
    packets: u64,
    bytes: u64,
    filtered: u64,
    inner_filtered: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The outer filter set it aside.
    OuterFilter,
    /// It is not mirrored, and such packets are not tracked.
    NotMirrored,
    /// A fragment of an envelope that did not complete it.
    Absorbed,
    /// Decapsulation set it aside.
    Skipped(vtap_decap::Skip),
    /// It was decapsulated, or is plain, in a pipeline without tracker; or it is queued.
    Passed,
    /// As that, and the inner filter set it aside.
    InnerFilter,
    /// It was given to the tracker.
    Tracked(Outcome),
}

/// A packet at the end of the belt.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The customer's frame; the packet as captured where there is none.
    pub packet: Packet<'a>,
    /// What became of it.
    pub fate: Fate,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("packets", &self.packets).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Without filters; plain packets are not tracked.
    pub fn new(decap: Decap, tracker: Option<Tracker>) -> Self {
        Self {
            decap,
            tracker,
            plain: false,
            outer_filter: None,
            inner_filter: None,
            packets: 0,
            bytes: 0,
            filtered: 0,
            inner_filtered: 0,
        }
    }

    /// Takes a packet along the belt, for runs that do not ask what became of each: the tracker
    /// judges it with the batch that it is part of. Events are those of [`push`](Self::push), in
    /// the same order; [`finish`](Self::finish) waits for the last of them.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn queue<S: Sink>(&mut self, packet: Packet<'_>, sink: &mut S) -> Result<(), S::Error> {
        let track = |tracker: &mut Tracker, frame: &Packet<'_>, sink: &mut S| {
            tracker.queue(frame, sink).map(|()| Fate::Passed)
        };
        self.take(packet, sink, track, |_| Ok(()))
    }

    /// Takes a packet along the belt and shows it, at its end, to `seen`.
    ///
    /// # Errors
    ///
    /// Those of the sink and of `seen`.
    pub fn push<S: Sink>(
        &mut self,
        packet: Packet<'_>,
        sink: &mut S,
        seen: impl FnOnce(Seen<'_>) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        let track = |tracker: &mut Tracker, frame: &Packet<'_>, sink: &mut S| {
            tracker.push(frame, sink).map(Fate::Tracked)
        };
        self.take(packet, sink, track, seen)
    }

    #[inline]
    fn take<S: Sink>(
        &mut self,
        packet: Packet<'_>,
        sink: &mut S,
        track: impl FnOnce(&mut Tracker, &Packet<'_>, &mut S) -> Result<Fate, S::Error>,
        seen: impl FnOnce(Seen<'_>) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        self.packets += 1;
        self.bytes += packet.data.len() as u64;
        if let Some(filter) = &mut self.outer_filter
            && !filter(&packet)
        {
            self.filtered += 1;
            return seen(Seen { packet, fate: Fate::OuterFilter });
        }
        let frame = match self.decap.strip(packet) {
            Stripped::Mirrored(frame) => frame,
            Stripped::Plain(packet) if self.plain => packet,
            Stripped::Plain(packet) => {
                return seen(Seen { packet, fate: Fate::NotMirrored });
            }
            Stripped::Absorbed => {
                return seen(Seen { packet, fate: Fate::Absorbed });
            }
            Stripped::Skipped(skip) => {
                return seen(Seen { packet, fate: Fate::Skipped(skip) });
            }
        };
        let passes = self.inner_filter.as_mut().is_none_or(|filter| filter(&frame));
        let fate = match &mut self.tracker {
            Some(tracker) if passes => track(tracker, &frame, sink)?,
            Some(tracker) => Fate::Tracked(tracker.filtered()),
            None if passes => Fate::Passed,
            None => {
                self.inner_filtered += 1;
                Fate::InnerFilter
            }
        };
        seen(Seen { packet: frame, fate })
    }

    /// Ends the run: what waits in tables is told or counted, and the laws are checked.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    ///
    /// # Panics
    ///
    /// If a law does not hold, which is a bug.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<Report, S::Error> {
        self.decap.finish();
        if let Some(tracker) = &mut self.tracker {
            tracker.finish(sink)?;
        }
        let report = self.report();
        report.assert_laws();
        Ok(report)
    }

    /// The counters so far.
    pub fn report(&self) -> Report {
        let decap = self.decap.stats();
        Report {
            packets: self.packets,
            bytes: self.bytes,
            outer_filter: self.filtered,
            not_mirrored: if self.plain { 0 } else { decap.plain },
            plain: if self.plain { decap.plain } else { 0 },
            decap,
            inner_filter: self.inner_filtered,
            flow: self.tracker.as_ref().map(|tracker| *tracker.stats()),
        }
    }
}
