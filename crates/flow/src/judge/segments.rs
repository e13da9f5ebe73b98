//! What a TCP segment is to its flow, and the row that it makes.

use vtap_packet::Timestamp;

use super::Judge;
use super::accounting::Judged;
use super::case::{Before, Case};
use crate::batch::{Occasion, Pending};
use crate::config::Profile;
use crate::event::{Event, EventFlag};
use crate::flow::{Found, Rules, Taken};
use crate::opening::Opened;
use crate::read::Observed;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::sight::TapId;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::state::{Kind, State};
use crate::verdict::{Outcome, StateAfter, Verdict};

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

    /// Any other. `located` is where its flow is likely to be. The outcome is [`Verdict::Held`] where
    /// it waits for what it may have overtaken.
    pub(super) fn segment<S: Sink>(
        &mut self,
        pending: &Pending,
        observed: &Observed,
        located: u32,
        segment: Result<&Segment, Reason>,
        attempt: Attempt,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let Pending { ref occasion, sight, hash, .. } = *pending;
        let (now, from, tap) = (occasion.time, observed.from, sight.tap());
        let rules = &self.rules(now, tap);
        let at = self.entry(now, observed, hash, located, sink)?;
        let Some((at, (flow, cold))) = at.and_then(|at| Some((at, self.table.entry(at)?))) else {
            return self.without_room(occasion, observed, segment, rules, sink);
        };
        if attempt == Attempt::First {
            flow.count(from);
        }
        let translated =
            occasion.is_translated(observed) && self.taps.translates(tap, !flow.is_one_way(from));
        let case = Case { occasion, observed, segment, rules, translated };
        let before = Before::of(flow, cold);
        let mut taken = case.take(flow, cold);
        let gap = case.take_up(&mut taken, flow, cold, &before, self.taps.get_mut(tap));
        let waits = attempt != Attempt::Last
            && case.may_have_overtaken(taken.outcome)
            && !self.config.reordering.is_zero()
            && flow.marks.missing().is_none()
            && (attempt == Attempt::Again || !self.held.is_full_of(hash));
        if waits {
            before.restore(flow, cold);
        }
        if flow.connection.is_none() {
            flow.touch(now);
        }
        let state = flow.state();
        // One that nobody is seen to answer refuses what goes on all the same.
        let has_state = flow
            .connection
            .as_ref()
            .is_some_and(|connection| connection.state != State::SynSent || !flow.is_one_way(from));
        let row = taken.row;
        let mut event =
            if waits { None } else { case.row(&mut taken, flow, cold, tap, &self.taps) };
        // That a side is missing is said once for each flow, not for each packet.
        if let Some(Event { flag: EventFlag::Invalid, missing: None, .. }) = event {
            event = event.and_then(|row| cold.limit(row, self.config.invalid_limit));
        }
        self.table.rescheduled(at, now);
        if self.accounts.is_some() {
            let judged = Judged { before: &before, taken: &taken, row, waits, has_state };
            self.keep_account(at, pending, attempt, &judged, sink)?;
        }
        if let Some(gap) = gap {
            self.gap(&gap, occasion.number, sink)?;
        }
        if waits {
            if attempt == Attempt::First {
                self.held.hold(pending.clone(), now + self.config.reordering);
            }
            return Ok(Outcome::new(Verdict::Held, state));
        }
        self.count(&taken);
        // By reference: a copy would wait until memory has brought all that was written to before.
        if let Some(row) = &event {
            self.stats.one_way += u64::from(row.missing.is_some());
            self.write(row, sink)?;
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
        self.stats.egress_only += u64::from(taken.found == Some(Found::EgressOnly));
        self.stats.resumed += u64::from(taken.found == Some(Found::Resumed));
    }

    /// A segment whose flow is not in the table, and cannot be.
    fn without_room<S: Sink>(
        &mut self,
        occasion: &Occasion,
        observed: &Observed,
        segment: Result<&Segment, Reason>,
        rules: &Rules,
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
            warm_up: self.config.warm_up,
            strict: self.config.profile == Profile::Azure,
            drop_martians: self.config.profile == Profile::Linux,
        }
    }
}
