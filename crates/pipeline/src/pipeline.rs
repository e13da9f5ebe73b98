//! One packet along the belt.

use vtap_decap::Decap;
use vtap_flow::{Outcome, Sink, Tracker};
use vtap_packet::Packet;

use crate::intake::Taken;
use crate::{Intake, Report};

/// Steps 2 to 5, with their state.
#[derive(Debug)]
pub struct Pipeline {
    /// Filters and decapsulation.
    pub intake: Intake,
    /// Follows the flows; without one, a pipeline only decapsulates.
    pub tracker: Option<Tracker>,
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
    /// It was decapsulated, or is plain, in a pipeline without tracker.
    Passed,
    /// As that, and the inner filter set it aside.
    InnerFilter,
    /// It was given to the tracker.
    Tracked(Outcome),
}

/// What is shown of a run that is watched.
#[derive(Clone, Copy, Debug)]
pub enum Watched<'a> {
    /// A packet has come to the end of the belt.
    Packet(Seen<'a>),
    /// What became of the packet of this number, of which its [`Fate`] had said that it is
    /// [held](vtap_flow::Verdict::Held).
    Settled(u64, Outcome),
}

/// A packet at the end of the belt.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The customer's frame; the packet as captured where there is none.
    pub packet: Packet<'a>,
    /// What became of it.
    pub fate: Fate,
}

impl Pipeline {
    /// Without filters; plain packets are not tracked.
    pub fn new(decap: Decap, tracker: Option<Tracker>) -> Self {
        Self { intake: Intake::new(decap), tracker }
    }

    /// Takes a packet along the belt, for runs that do not ask what became of each: the tracker
    /// judges it with the batch that it is part of. Events are those of [`push`](Self::push), in
    /// the same order; [`finish`](Self::finish) waits for the last of them.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    #[inline(always)]
    pub fn queue<S: Sink>(&mut self, packet: Packet<'_>, sink: &mut S) -> Result<(), S::Error> {
        if let Some(tracker) = &mut self.tracker
            && let Some(frame) = self.intake.take_usual(&packet)
        {
            return tracker.queue(frame, sink);
        }
        self.queue_any(packet, sink)
    }

    /// [`queue`](Self::queue), in a place of its own for packets of a rarer shape.
    #[inline(never)]
    pub(crate) fn queue_any<S: Sink>(
        &mut self,
        packet: Packet<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.queue_shown(packet, sink, |_| ())
    }

    /// [`queue`](Self::queue), which shows to `show` what the intake made of the packet.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    #[inline]
    pub fn queue_shown<S: Sink>(
        &mut self,
        packet: Packet<'_>,
        sink: &mut S,
        show: impl FnOnce(&Taken<'_>),
    ) -> Result<(), S::Error> {
        let taken = self.intake.take(packet);
        show(&taken);
        match (taken, &mut self.tracker) {
            (Taken::Frame(frame), Some(tracker)) => tracker.queue(frame, sink),
            _ => Ok(()),
        }
    }

    /// Judges what [`queue`](Self::queue) has gathered: nothing more comes for a while.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn flush<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        self.tracker.as_mut().map_or(Ok(()), |tracker| tracker.flush(sink))
    }

    /// Takes a packet along the belt and shows it, at its end, to `watch`, and then the packets
    /// that it has settled.
    ///
    /// # Errors
    ///
    /// Those of the sink and of `watch`.
    #[inline]
    pub fn push<S: Sink>(
        &mut self,
        packet: Packet<'_>,
        sink: &mut S,
        mut watch: impl FnMut(Watched<'_>) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        if self.tracker.is_none()
            && let Some(packet) = self.intake.take_usual(&packet)
        {
            return watch(Watched::Packet(Seen { packet, fate: Fate::Passed }));
        }
        let packet = match self.intake.take(packet) {
            Taken::Frame(packet) => packet,
            Taken::Aside(aside) => return watch(Watched::Packet(aside)),
        };
        let Some(tracker) = &mut self.tracker else {
            return watch(Watched::Packet(Seen { packet, fate: Fate::Passed }));
        };
        let fate = Fate::Tracked(tracker.push(&packet, sink)?);
        watch(Watched::Packet(Seen { packet, fate }))?;
        tracker.settled().try_for_each(|(number, outcome)| watch(Watched::Settled(number, outcome)))
    }

    /// [`finish`](Self::finish), and shows to `watch` the packets that still waited.
    ///
    /// # Errors
    ///
    /// Those of the sink and of `watch`.
    ///
    /// # Panics
    ///
    /// If a law does not hold, which is a bug.
    pub fn finish_watched<S: Sink>(
        &mut self,
        sink: &mut S,
        mut watch: impl FnMut(Watched<'_>) -> Result<(), S::Error>,
    ) -> Result<Report, S::Error> {
        let report = self.finish(sink)?;
        let settled = self.tracker.iter_mut().flat_map(Tracker::settled);
        for (number, outcome) in settled {
            watch(Watched::Settled(number, outcome))?;
        }
        Ok(report)
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
        self.intake.decap.finish();
        if let Some(tracker) = &mut self.tracker {
            tracker.finish(sink)?;
        }
        let report = self.report();
        report.assert_laws();
        Ok(report)
    }

    /// The counters so far.
    pub fn report(&self) -> Report {
        let Intake { plain, packets, bytes, outer_filtered, inner_filtered, ref decap, .. } =
            self.intake;
        let decap = decap.stats();
        Report {
            packets,
            bytes,
            outer_filter: outer_filtered,
            not_mirrored: if plain { 0 } else { decap.plain },
            plain: if plain { decap.plain } else { 0 },
            decap,
            inner_filter: inner_filtered,
            flow: self.tracker.as_ref().map(Tracker::stats),
            taps: self.tracker.as_ref().map_or_else(Vec::new, |tracker| tracker.taps().to_vec()),
        }
    }
}
