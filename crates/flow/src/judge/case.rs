//! One segment, with what is known of it beside its flow.

use vtap_packet::Timestamp;

use crate::batch::Occasion;
use crate::cold::Cold;
use crate::connection::Connection;
use crate::event::{Event, EventFlag};
use crate::flow::{Flow, Found, Rules, Taken};
use crate::gap::Gap;
use crate::key::End;
use crate::read::Observed;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::sight::TapId;
use crate::state::Kind;
use crate::taps::{Tap, Taps};
use crate::trace::{Marks, Once, Row};
use crate::translated;
use crate::verdict::{Note, Outcome, Verdict};

#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) occasion: &'a Occasion,
    pub(super) observed: &'a Observed,
    pub(super) segment: Result<&'a Segment, Reason>,
    pub(super) rules: &'a Rules,
    /// Its source was translated on the way out, and no answer is seen.
    pub(super) translated: bool,
}

/// What a flow was before a segment that may wait, or be taken again.
pub(super) struct Before {
    connection: Option<Connection>,
    deadline: Timestamp,
    since: Timestamp,
    client: End,
    marks: Marks,
}

impl Before {
    pub(super) const fn of(flow: &Flow, cold: &Cold) -> Self {
        let Flow { connection, deadline, client, marks, .. } = *flow;
        Self { connection, deadline, since: cold.since, client, marks }
    }

    /// Whether there was a connection.
    pub(super) const fn has_connection(&self) -> bool {
        self.connection.is_some()
    }

    /// Gives the flow back what is told of it, for what it was.
    pub(super) const fn tell_by(&self, flow: &mut Flow) {
        (flow.connection, flow.client, flow.marks) = (self.connection, self.client, self.marks);
    }

    pub(super) const fn restore(&self, flow: &mut Flow, cold: &mut Cold) {
        flow.connection = self.connection;
        flow.deadline = self.deadline;
        cold.since = self.since;
    }
}

impl Case<'_> {
    /// What the segment is to its flow.
    pub(super) fn take(&self, flow: &mut Flow, cold: &mut Cold) -> Taken {
        match self.segment {
            Ok(segment) => {
                flow.take(cold, self.occasion.time, self.observed.from, segment, self.rules)
            }
            Err(defect) => Taken::refused(defect, flow.state()),
        }
    }

    /// Takes a refused segment after all where the mirror explains it: the answers to it are not
    /// mirrored, or its connection went on in a gap. Gives the gap that it has shown, with others.
    pub(super) fn take_up(
        &self,
        taken: &mut Taken,
        flow: &mut Flow,
        cold: &mut Cold,
        before: &Before,
        tap: Option<&mut Tap>,
    ) -> Option<Gap> {
        let (Verdict::Invalid(reason), Ok(segment)) = (taken.outcome.verdict, self.segment) else {
            return None;
        };
        let (now, from) = (self.occasion.time, self.observed.from);
        if self.translated {
            flow.connection = before.connection;
            *taken = flow.take_translated(cold, now, from, segment, self.rules);
            taken.found = flow.marks.first(Once::EgressOnly).then_some(Found::EgressOnly);
            return None;
        }
        let warm_up = self.rules.warm_up;
        let tap = tap.filter(|_| !warm_up.is_zero())?;
        let connection = before.connection?;
        let jumped = connection.assured && reason.is_beyond() && flow.marks.first(Once::Jumped);
        let gap = if jumped { tap.jump(now, warm_up) } else { None };
        if tap.has_missed_some_of(cold.since, connection.heard(before.deadline), now) {
            flow.connection = before.connection;
            flow.resume(cold, now);
            *taken = self.take(flow, cold);
            taken.found = Some(Found::Resumed);
        }
        gap
    }

    /// Whether this may have come of a segment that was seen too soon: what it refers to was not
    /// seen, or it answers a SYN before its SYN-ACK does.
    pub(super) fn may_have_overtaken(&self, outcome: Outcome) -> bool {
        match (outcome.verdict, self.segment) {
            (_, Err(_)) => false,
            (Verdict::Invalid(reason), _) => reason.may_have_overtaken(),
            (_, Ok(segment)) => outcome.note == Some(Note::Ignored) && segment.kind == Kind::Ack,
        }
    }

    /// The row that it makes. One that says that a side is missing is made once for each flow.
    pub(super) fn row(
        &self,
        taken: &mut Taken,
        flow: &mut Flow,
        cold: &mut Cold,
        tap: TapId,
        taps: &Taps,
    ) -> Option<Event> {
        let from = self.observed.from;
        let refused = match taken.outcome.verdict {
            Verdict::Invalid(reason) => Some(reason),
            _ => None,
        };
        let known = flow.marks.missing();
        let missing = match (refused, self.segment) {
            (Some(_), Ok(segment)) if self.rules.strict => flow.missing_side(cold, from, segment),
            _ => None,
        };
        let (flag, retransmission, side) = match (refused, taken.row) {
            (Some(_), _) => (EventFlag::Invalid, false, flow.known_side(from)),
            (None, Some(Row { flag, retransmission })) => {
                (flag, retransmission, Some(flow.side(from)))
            }
            // Nor is the tap noted: a batch that finds the flow in time does not come here.
            (None, None) => return None,
        };
        cold.shown_by(tap);
        let reason = refused.map(|reason| missing.map_or(reason, |_| Reason::Asymmetric));
        if let Some(reason) = reason {
            taken.outcome.verdict = Verdict::Invalid(reason);
        }
        if missing.is_some() && known == missing {
            return None;
        }
        let proven = flow.marks.has_said(Once::EgressOnly);
        let likely = !taps.get(tap).is_some_and(|tap| tap.shows_answers);
        Some(Event {
            reason,
            missing,
            retransmission,
            taps: taps.named(cold.taps),
            egress_only: self.translated && (proven || likely),
            ..self.occasion.event(self.observed, flag, taken.outcome.state, side)
        })
    }
}

impl Occasion {
    /// Whether the source of a packet was translated on its way out, by its addresses.
    pub(super) fn is_translated(&self, observed: &Observed) -> bool {
        let ends = [observed.from, observed.from.other()].into_iter();
        let addresses = ends.map(|end| observed.key.address(end));
        self.tunnel.is_some_and(|tunnel| translated::is_translated(tunnel.src, addresses))
    }
}
