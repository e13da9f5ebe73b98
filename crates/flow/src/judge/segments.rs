//! What a TCP segment is to its flow, and the row that it makes.

use vtap_packet::Timestamp;

use super::Judge;
use crate::config::Profile;
use crate::event::{Event, EventFlag};
use crate::flow::{Opened, Rules, Taken};
use crate::read::{Observed, Occasion};
use crate::reason::Reason;
use crate::segment::Segment;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::state::{Kind, State};
use crate::trace::Row;
use crate::verdict::{Outcome, StateAfter, Verdict};

impl Judge {
    /// Most segments by far: one that an established connection expects, and that makes no row.
    /// `None`, with nothing changed, for all others; of what is taken here,
    /// [`segment`](Self::segment) would make the same.
    #[inline(always)]
    pub(super) fn follow(
        &mut self,
        now: Timestamp,
        observed: &Observed,
        located: u32,
        segment: &Segment,
    ) -> Option<Outcome> {
        let flow = self.table.flow_near(located, &observed.key)?;
        if flow.deadline <= now || !flow.follow(now, observed.from, segment) {
            return None;
        }
        if flow.is_hung_late() {
            self.table.rescheduled(located, now);
        }
        Some(Outcome::new(Verdict::Established, StateAfter::In(State::Established)))
    }

    pub(super) fn segment<S: Sink>(
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
        let Some((at, (flow, cold))) = at.and_then(|at| Some((at, self.table.entry(at)?))) else {
            return self.without_room(occasion, observed, segment, rules, sink);
        };
        flow.count(observed.from);
        let mut taken = match segment {
            Ok(segment) => flow.take(cold, occasion.time, observed.from, segment, rules),
            Err(defect) => Taken::refused(defect, flow.state()),
        };
        if flow.connection.is_none() {
            flow.touch(occasion.time);
        }
        let row = match (taken.outcome.verdict, segment) {
            (Verdict::Invalid(reason), segment) => {
                let known = flow.marks.missing();
                let missing = match segment {
                    Ok(segment) if rules.strict => flow.missing_side(cold, observed.from, segment),
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
                    None => cold.limit(row, limit),
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
}
