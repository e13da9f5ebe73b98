//! The tracker: packets in, verdicts and events out.

use vtap_packet::reassembly::{Limits, Reassembler};
use vtap_packet::{Packet, Protocol, Timestamp, Tunnel};

use crate::config::{Config, Profile};
use crate::event::{Event, EventFlag, Side};
use crate::flow::{Opened, Rules, Taken};
use crate::read::{self, Content, Observed};
use crate::reason::Reason;
use crate::rows::FlowlessRows;
use crate::segment::Segment;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::state::Kind;
use crate::stats::Stats;
use crate::table::{Full, Table};
use crate::trace::Row;
use crate::verdict::{Outcome, StateAfter, Verdict};

/// Follows the flows of one stream of packets.
///
/// Inputs are [`push`](Self::push) or [`queue`](Self::queue), in the order of the packets, and
/// once, at the end, [`finish`](Self::finish). Events come out through the sink that is passed to them. Time is
/// that of the packets; where it runs back, deadlines are compared as they stand.
#[derive(Debug)]
pub struct Tracker {
    config: Config,
    table: Table,
    fragments: Reassembler,
    flowless: FlowlessRows,
    stats: Stats,
    /// End of the warm-up; `None` before the first packet.
    warm_until: Option<Timestamp>,
    /// Read and not judged yet.
    batch: Vec<Pending>,
}

/// Packets judged together. While one entry of the table is on its way from memory, those of the
/// others can be as well.
const BATCH: usize = 64;

/// A packet that was read and is to be judged.
#[derive(Debug)]
struct Pending {
    occasion: Occasion,
    /// Of the key.
    hash: u64,
    observed: Result<Observed, Skip>,
}

/// The packet an event is about.
#[derive(Clone, Copy, Debug)]
struct Occasion {
    time: Timestamp,
    number: u64,
    tunnel: Option<Tunnel>,
}

impl Tracker {
    /// With an empty table.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            table: Table::new(config.max_flows),
            fragments: Reassembler::new(Limits::default()),
            flowless: FlowlessRows::default(),
            stats: Stats::default(),
            warm_until: None,
            batch: Vec::with_capacity(BATCH),
        }
    }

    /// The counters so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Flows in the table now.
    pub fn flows(&self) -> usize {
        self.table.len()
    }

    /// Takes a decapsulated packet, or a plain one.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn push<S: Sink>(
        &mut self,
        packet: &Packet<'_>,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        self.flush(sink)?;
        let pending = self.read(packet);
        self.judge(&pending, sink)
    }

    /// Takes a packet as [`push`](Self::push) does, for callers that do not ask what became of
    /// it: it is read now and judged with the batch that it is part of. Events are the same, in
    /// the same order; the last ones wait for [`flush`](Self::flush) or [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn queue<S: Sink>(&mut self, packet: &Packet<'_>, sink: &mut S) -> Result<(), S::Error> {
        let pending = self.read(packet);
        self.batch.push(pending);
        if self.batch.len() < BATCH { Ok(()) } else { self.flush(sink) }
    }

    /// Judges what is queued.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn flush<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.table.warm(batch.iter().filter_map(|pending| {
            pending.observed.as_ref().ok().map(|observed| (&observed.key, pending.hash))
        }));
        let judged = batch.iter().try_for_each(|pending| self.judge(pending, sink).map(|_| ()));
        batch.clear();
        self.batch = batch;
        judged
    }

    fn read(&mut self, packet: &Packet<'_>) -> Pending {
        let observed = read::read(packet, &self.config, &mut self.fragments);
        let hash = observed.as_ref().map_or(0, |observed| self.table.hash(&observed.key));
        let Packet { time, number, tunnel, .. } = *packet;
        Pending { occasion: Occasion { time, number, tunnel }, hash, observed }
    }

    fn judge<S: Sink>(&mut self, pending: &Pending, sink: &mut S) -> Result<Outcome, S::Error> {
        let Pending { occasion, hash, ref observed } = *pending;
        self.advance(occasion.time, sink)?;
        self.stats.packets += 1;
        let observed = match observed {
            Ok(observed) => observed,
            Err(skip) => return Ok(self.skip(*skip)),
        };
        self.stats.truncated += u64::from(observed.truncated);
        self.stats.offloaded += u64::from(observed.offloaded);
        match &observed.content {
            Content::Segment(segment) => {
                self.stats.tcp_segments += 1;
                self.segment(occasion, observed, hash, Ok(segment), sink)
            }
            Content::Defective(defect) => {
                self.stats.tcp_segments += 1;
                self.segment(occasion, observed, hash, Err(*defect), sink)
            }
            Content::Error { misdirected } => {
                self.stats.other += 1;
                Ok(self.icmp_error(occasion.time, observed, hash, *misdirected))
            }
            Content::BadIcmp(reason) => {
                self.stats.other += 1;
                Ok(Outcome::new(Verdict::Invalid(*reason), StateAfter::None))
            }
            Content::Untracked => {
                self.stats.other += 1;
                Ok(Outcome::new(Verdict::New, StateAfter::None))
            }
            Content::Other => {
                self.stats.other += 1;
                self.other(occasion, observed, hash, sink)
            }
        }
    }

    /// Counts a packet that the caller's inner filter keeps from the tracker.
    pub fn filtered(&mut self) -> Outcome {
        self.stats.packets += 1;
        self.skip(Skip::InnerFilter)
    }

    /// Ends every flow: the input has ended.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        self.flush(sink)?;
        self.fragments.finish();
        // By packet, as they would have come; the order of places in the table means nothing.
        let mut rows: Vec<_> = self.table.drain().filter_map(|flow| flow.suppressed).collect();
        rows.extend(self.flowless.finish().map(Box::new));
        rows.sort_by_key(|row| (row.packet, row.reason));
        for row in rows {
            self.write(&row, sink)?;
        }
        Ok(())
    }

    /// Forgets what is over by `now`.
    fn advance<S: Sink>(&mut self, now: Timestamp, sink: &mut S) -> Result<(), S::Error> {
        if self.table.rests(now) {
            return Ok(());
        }
        if self.warm_until.is_none() {
            self.warm_until = Some(now + self.config.warm_up);
        }
        while let Some(at) = self.table.next_due(now) {
            let row = self.table.flow(at).and_then(|flow| flow.suppressed.take());
            self.table.release(at);
            if let Some(row) = row {
                self.write(&row, sink)?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, skip: Skip) -> Outcome {
        self.stats.count_skip(skip);
        Outcome::skipped(skip)
    }

    fn segment<S: Sink>(
        &mut self,
        occasion: Occasion,
        observed: &Observed,
        hash: u64,
        segment: Result<&Segment, Reason>,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let rules = self.rules(occasion.time, observed);
        let limit = self.config.invalid_limit;
        let at = self.entry(occasion.time, observed, hash, sink)?;
        let Some((at, flow)) = at.and_then(|at| Some((at, self.table.flow(at)?))) else {
            return self.without_room(occasion, observed, segment, rules, sink);
        };
        flow.count(observed.from);
        let mut taken = match segment {
            Ok(segment) => flow.take(occasion.time, observed.from, segment, rules),
            Err(defect) => Taken::refused(defect, flow.state()),
        };
        if flow.connection.is_none() {
            flow.touch(occasion.time);
        }
        let row = match (taken.outcome.verdict, segment) {
            (Verdict::Invalid(reason), segment) => {
                let known = flow.trace.missing;
                let missing = match segment {
                    Ok(segment) if rules.strict => flow.missing_side(observed.from, segment),
                    _ => None,
                };
                let reason = missing.map_or(reason, |_| Reason::Asymmetric);
                taken.outcome.verdict = Verdict::Invalid(reason);
                let side = flow.known_side(observed.from);
                let row = Event {
                    reason: Some(reason),
                    missing,
                    ..occasion.event(observed, EventFlag::Invalid, taken.outcome.state, side)
                };
                match missing {
                    // Said once for each flow, not for each packet.
                    Some(_) if known == missing => None,
                    Some(_) => Some(row),
                    None => flow.limit(row, limit),
                }
            }
            _ => taken.row.map(|Row { flag, retransmission }| Event {
                retransmission,
                ..occasion.event(
                    observed,
                    flag,
                    taken.outcome.state,
                    Some(flow.side(observed.from)),
                )
            }),
        };
        self.count(&taken);
        self.table.rescheduled(at, occasion.time);
        if let Some(row) = row {
            self.write(&row, sink)?;
        }
        Ok(taken.outcome)
    }

    fn count(&mut self, taken: &Taken) {
        if let Verdict::Invalid(reason) = taken.outcome.verdict {
            self.stats.count_invalid(reason);
        }
        if let Some(Opened { again, midstream }) = taken.opened {
            self.stats.flows += u64::from(again);
            self.stats.midstream += u64::from(midstream);
        }
    }

    /// A segment whose flow is not in the table, and cannot be.
    fn without_room<S: Sink>(
        &mut self,
        occasion: Occasion,
        observed: &Observed,
        segment: Result<&Segment, Reason>,
        rules: Rules,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let reason = match segment {
            Err(defect) => defect,
            Ok(Segment { kind: Kind::Syn, .. }) => Reason::TableFull,
            Ok(Segment { kind: Kind::Ack, .. }) if rules.pickup || rules.warming_up => {
                Reason::TableFull
            }
            Ok(_) => Reason::NoState,
        };
        if reason == Reason::TableFull && self.config.profile == Profile::Linux {
            // conntrack drops such a packet; it is not INVALID.
            self.stats.tcp_segments -= 1;
            return Ok(self.skip(Skip::TableFull));
        }
        self.stats.count_invalid(reason);
        let row = Event {
            reason: Some(reason),
            ..occasion.event(observed, EventFlag::Invalid, StateAfter::None, None)
        };
        for row in self.flowless.limit(row, self.config.invalid_limit).into_iter().flatten() {
            self.write(&row, sink)?;
        }
        Ok(Outcome::new(Verdict::Invalid(reason), StateAfter::None))
    }

    fn rules(&self, now: Timestamp, observed: &Observed) -> Rules {
        let warming_up = self.warm_until.is_some_and(|until| now < until);
        Rules {
            pickup: self.config.pickup,
            warming_up,
            strict: self.config.profile == Profile::Azure,
            keep: self.config.profile == Profile::Azure || !observed.is_martian(),
        }
    }

    fn icmp_error(
        &mut self,
        now: Timestamp,
        observed: &Observed,
        hash: u64,
        misdirected: bool,
    ) -> Outcome {
        let known = self.table.find(&observed.key, hash).and_then(|at| self.table.flow(at));
        let known = known.filter(|flow| {
            let tracked = flow.connection.is_some() || flow.key.protocol() != Protocol::TCP;
            tracked && flow.deadline() > now
        });
        let state = known.as_ref().map_or(StateAfter::None, |flow| flow.state());
        if known.is_some() && !misdirected {
            Outcome::new(Verdict::Related, state)
        } else {
            Outcome::new(Verdict::Invalid(Reason::NoState), state)
        }
    }

    /// A packet of a protocol without states: a flow that is counted.
    fn other<S: Sink>(
        &mut self,
        occasion: Occasion,
        observed: &Observed,
        hash: u64,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let at = self.entry(occasion.time, observed, hash, sink)?;
        let Some((at, flow)) = at.and_then(|at| Some((at, self.table.flow(at)?))) else {
            return Ok(Outcome::new(Verdict::New, StateAfter::None));
        };
        flow.count(observed.from);
        flow.touch(occasion.time);
        let new = !flow.is_two_way();
        self.table.rescheduled(at, occasion.time);
        let verdict = if new { Verdict::New } else { Verdict::Established };
        Ok(Outcome::new(verdict, StateAfter::None))
    }

    /// The flow of a packet, made if it is new; `None` if there is no room for it.
    fn entry<S: Sink>(
        &mut self,
        now: Timestamp,
        observed: &Observed,
        hash: u64,
        sink: &mut S,
    ) -> Result<Option<u32>, S::Error> {
        if let Some(at) = self.table.find(&observed.key, hash) {
            if self.table.flow(at).is_some_and(|flow| flow.deadline() > now) {
                return Ok(Some(at));
            }
            // Over, and the wheel has not come round to it yet.
            self.forget(at, sink)?;
        }
        let at = match self.table.insert(observed.key, hash, observed.from, now) {
            Ok(at) => at,
            Err(Full) => {
                let profile = self.config.profile;
                let Some(victim) = self.table.candidate(|flow| flow.may_go(profile)) else {
                    return Ok(None);
                };
                self.stats.evicted += 1;
                self.forget(victim, sink)?;
                match self.table.insert(observed.key, hash, observed.from, now) {
                    Ok(at) => at,
                    Err(Full) => return Ok(None),
                }
            }
        };
        self.stats.flows += 1;
        Ok(Some(at))
    }

    fn forget<S: Sink>(&mut self, at: u32, sink: &mut S) -> Result<(), S::Error> {
        let row = self.table.flow(at).and_then(|flow| flow.suppressed.take());
        self.table.remove(at);
        row.map_or(Ok(()), |row| self.write(&row, sink))
    }

    fn write<S: Sink>(&mut self, row: &Event, sink: &mut S) -> Result<(), S::Error> {
        if row.retransmission {
            self.stats.retransmissions += 1;
        } else {
            self.stats.count_event(row.flag);
        }
        sink.event(row)
    }
}

impl Occasion {
    fn event(
        self,
        observed: &Observed,
        flag: EventFlag,
        state: StateAfter,
        side: Option<Side>,
    ) -> Event {
        Event {
            time: self.time,
            packet: self.number,
            flag,
            src: observed.key.socket(observed.from),
            dst: observed.key.socket(observed.from.other()),
            tunnel: self.tunnel,
            state: state.state(),
            side,
            reason: None,
            missing: None,
            retransmission: false,
            suppressed: 0,
        }
    }
}

#[cfg(test)]
mod tests;
