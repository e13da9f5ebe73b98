//! The verdict on one packet, and the row it makes.

use vtap_packet::{Protocol, Timestamp};

use crate::config::Profile;
use crate::event::{Event, EventFlag, Side};
use crate::flow::{Opened, Rules, Taken};
use crate::read::{Content, Observed};
use crate::reason::Reason;
use crate::segment::Segment;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::state::Kind;
use crate::table::Full;
use crate::trace::Row;
use crate::tracker::{Occasion, Pending, Tracker};
use crate::verdict::{Outcome, StateAfter, Verdict};

impl Tracker {
    pub(crate) fn judge<S: Sink>(
        &mut self,
        pending: &Pending,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
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

    fn segment<S: Sink>(
        &mut self,
        occasion: Occasion,
        observed: &Observed,
        hash: u64,
        segment: Result<&Segment, Reason>,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let rules = self.rules(occasion.time);
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

    fn rules(&self, now: Timestamp) -> Rules {
        let warming_up = self.warm_until.is_some_and(|until| now < until);
        Rules {
            pickup: self.config.pickup,
            warming_up,
            strict: self.config.profile == Profile::Azure,
            drop_martians: self.config.profile == Profile::Linux,
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

    pub(crate) fn write<S: Sink>(&mut self, row: &Event, sink: &mut S) -> Result<(), S::Error> {
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
