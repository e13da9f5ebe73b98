//! What a TCP segment is to its flow, and the row that it makes.

use vtap_packet::Timestamp;

use super::Judge;
use crate::config::Profile;
use crate::event::{Event, EventFlag};
use crate::flow::{Rules, Taken};
use crate::opening::Opened;
use crate::read::{Observed, Occasion, Pending};
use crate::reason::Reason;
use crate::segment::Segment;
use crate::sight::TapId;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::state::{Kind, State};
use crate::trace::{Once, Row};
use crate::translated::is_translated;
use crate::verdict::{Note, Outcome, StateAfter, Verdict};

/// Which time a segment is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// When it comes. It may be held.
    First,
    /// It is held, and another of its flow has passed.
    Again,
    /// It has waited long enough.
    Last,
}

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

    /// Any other. The outcome is [`Verdict::Held`] where it waits for what it may have overtaken.
    pub(super) fn segment<S: Sink>(
        &mut self,
        pending: &Pending,
        observed: &Observed,
        segment: Result<&Segment, Reason>,
        attempt: Attempt,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let Pending { occasion, sight, hash, .. } = *pending;
        let (now, from) = (occasion.time, observed.from);
        let rules = self.rules(now, sight.tap());
        let at = self.entry(now, observed, hash, sink)?;
        let Some((at, (flow, cold))) = at.and_then(|at| Some((at, self.table.entry(at)?))) else {
            return self.without_room(occasion, observed, segment, rules, sink);
        };
        if attempt == Attempt::First {
            flow.count(from);
        }
        let mut translated = occasion.is_translated(observed);
        if translated && !flow.is_one_way(from) {
            // Public addresses on both ends, and both are mirrored: nothing was translated here.
            translated = false;
            if let Some(tap) = self.taps.get_mut(sight.tap()) {
                tap.shows_answers = true;
            }
        }
        let before = (flow.connection, flow.deadline);
        let mut taken = match segment {
            Ok(segment) => flow.take(cold, now, from, segment, rules),
            Err(defect) => Taken::refused(defect, flow.state()),
        };
        let mut gap = None;
        if let (Verdict::Invalid(reason), Ok(segment)) = (taken.outcome.verdict, segment) {
            let tap = self.taps.get_mut(sight.tap()).filter(|_| rules.adopts);
            if translated {
                flow.connection = before.0;
                taken = flow.take_translated(cold, now, from, segment, rules);
                self.stats.egress_only += u64::from(flow.is_first(Once::EgressOnly));
            } else if let (Some(tap), Some(connection)) = (tap, before.0) {
                let jumped =
                    connection.assured && reason.is_beyond() && flow.is_first(Once::Jumped);
                if jumped {
                    gap = tap.jump(now, self.config.warm_up);
                }
                let heard = connection.heard(before.1);
                if tap.has_missed_some_of(cold.since, heard, now) {
                    flow.connection = Some(connection);
                    flow.resume(cold, now);
                    taken = flow.take(cold, now, from, segment, rules);
                    self.stats.resumed += 1;
                }
            }
        }
        if let Ok(segment) = segment
            && attempt != Attempt::Last
            && taken.outcome.may_have_overtaken(segment)
            && !self.config.reordering.is_zero()
            && flow.marks.missing().is_none()
            && (attempt == Attempt::Again || !self.held.is_full_of(hash))
        {
            (flow.connection, flow.deadline) = before;
            let state = flow.state();
            if flow.connection.is_none() {
                flow.touch(now);
            }
            self.table.rescheduled(at, now);
            if attempt == Attempt::First {
                self.held.hold(pending.clone(), now + self.config.reordering);
            }
            if let Some(gap) = gap {
                self.gap(&gap, sink)?;
            }
            return Ok(Outcome::new(Verdict::Held, state));
        }
        if flow.connection.is_none() {
            flow.touch(now);
        }
        // Not for those that `follow` would have taken, which it does where it finds the flow in time.
        if taken.row.is_some() || matches!(taken.outcome.verdict, Verdict::Invalid(_)) {
            cold.shown_by(sight.tap());
        }
        let seen = cold.taps;
        let proven = !flow.marks.is_first(Once::EgressOnly);
        let likely = !self.taps.get(sight.tap()).is_some_and(|tap| tap.shows_answers);
        let egress_only = translated && (proven || likely);
        let event = |flag, state, side| Event {
            taps: self.taps.named(seen),
            egress_only,
            ..occasion.event(observed, flag, state, side)
        };
        let row = match (taken.outcome.verdict, segment) {
            (Verdict::Invalid(reason), segment) => {
                let known = flow.marks.missing();
                let missing = match segment {
                    Ok(segment) if rules.strict => flow.missing_side(cold, from, segment),
                    _ => None,
                };
                let reason = missing.map_or(reason, |_| Reason::Asymmetric);
                taken.outcome.verdict = Verdict::Invalid(reason);
                let row = Event {
                    reason: Some(reason),
                    missing,
                    ..event(EventFlag::Invalid, taken.outcome.state, flow.known_side(from))
                };
                match missing {
                    // Said once for each flow, not for each packet.
                    Some(_) if known == missing => None,
                    Some(_) => {
                        self.stats.one_way += 1;
                        Some(row)
                    }
                    None => cold.limit(row, self.config.invalid_limit),
                }
            }
            _ => taken.row.map(|Row { flag, retransmission }| Event {
                retransmission,
                ..event(flag, taken.outcome.state, Some(flow.side(from)))
            }),
        };
        self.count(&taken);
        self.table.rescheduled(at, now);
        if let Some(gap) = gap {
            self.gap(&gap, sink)?;
        }
        if let Some(row) = row {
            self.write(&row, sink)?;
        }
        let passed = !matches!(taken.outcome.verdict, Verdict::Invalid(_));
        if passed && attempt != Attempt::Again && self.held.concerns(hash) {
            self.judge_held(&observed.key, hash, sink)?;
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

    fn rules(&self, now: Timestamp, tap: TapId) -> Rules {
        Rules {
            pickup: self.config.pickup,
            warming_up: self.taps.get(tap).is_some_and(|tap| tap.is_warming_up(now)),
            adopts: !self.config.warm_up.is_zero(),
            strict: self.config.profile == Profile::Azure,
            drop_martians: self.config.profile == Profile::Linux,
        }
    }
}

impl Outcome {
    /// Whether this may have come of a segment that was seen too soon: what it refers to was not
    /// seen, or it answers a SYN before its SYN-ACK does.
    fn may_have_overtaken(self, segment: &Segment) -> bool {
        match self.verdict {
            Verdict::Invalid(reason) => reason.may_have_overtaken(),
            _ => self.note == Some(Note::Ignored) && segment.kind == Kind::Ack,
        }
    }
}

impl Occasion {
    /// Whether the source of a packet was translated on its way out.
    fn is_translated(&self, observed: &Observed) -> bool {
        let socket = |end| observed.key.socket(end).ip();
        self.tunnel.is_some_and(|tunnel| {
            is_translated(tunnel.src, socket(observed.from), socket(observed.from.other()))
        })
    }
}
