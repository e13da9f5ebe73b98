//! Packets are counted to the records of their flows, and those are told.

use vtap_packet::Timestamp;

use super::Judge;
use super::case::Before;
use super::segments::Attempt;
use crate::accounts::{Accounts, Seen};
use crate::batch::{Occasion, Pending};
use crate::copies::Sighting;
use crate::details::Moment;
use crate::event::EventFlag;
use crate::flow::{Life, Taken};
use crate::letters::Letters;
use crate::opening::Opened;
use crate::read::{Observed, Reading};
use crate::reason::Reason;
use crate::record::Ending;
use crate::segment::Segment;
use crate::sink::Sink;
use crate::state::State;
use crate::table::{Full, Table};
use crate::trace::Row;
use crate::verdict::{Note, Outcome, StateAfter, Verdict};

/// How many flows ahead of the one that is told memory is asked for.
const TOLD_AHEAD: usize = 4;

/// What was made of a segment.
pub(super) struct Judged<'a> {
    pub(super) before: &'a Before,
    pub(super) taken: &'a Taken,
    /// Before it was limited, or put aside.
    pub(super) row: Option<Row>,
    /// It waits for what it may have overtaken.
    pub(super) waits: bool,
    /// There is a connection behind it, and both sides of that are seen.
    pub(super) has_state: bool,
}

impl Judged<'_> {
    fn refused(&self) -> Option<Reason> {
        match self.taken.outcome.verdict {
            Verdict::Invalid(reason) if !self.waits => Some(reason),
            _ => None,
        }
    }

    /// Whether the connection is what the segment says.
    fn is_believed(&self) -> bool {
        let Outcome { state, note, .. } = self.taken.outcome;
        let resets = matches!(self.row, Some(Row { flag: EventFlag::Rst, .. }));
        let goes_on = matches!(state, StateAfter::In(state) if state != State::Close);
        !self.waits && self.refused().is_none() && note.is_none() && !(resets && goes_on)
    }

    /// The letters of a segment, and itself where its numbers are those of its flow. What waits
    /// says nothing yet; what a connection refuses says nothing of how that went.
    fn says<'b>(&self, observed: &'b Observed) -> (Letters, Option<&'b Segment>) {
        if self.waits {
            return (Letters::default(), None);
        }
        let segment = observed.segment();
        let (letters, note) = (Letters::of(observed), self.taken.outcome.note);
        match self.refused() {
            Some(Reason::BadChecksum) => (Letters::BAD_CHECKSUM, None),
            Some(reason) if self.has_state => {
                let repeats = reason == Reason::SeqBelowWindow;
                (Letters::INVALID, segment.filter(|_| repeats))
            }
            Some(_) => (letters.with(Letters::INVALID), segment),
            None if note == Some(Note::Ignored) => {
                let repeats = matches!(self.row, Some(Row { retransmission: true, .. }));
                (letters.without(Letters::ENDS), segment.filter(|_| repeats))
            }
            None if note.is_some() => (letters.without(Letters::ENDS), segment),
            None => (letters, segment),
        }
    }
}

/// Asks for all that is told of a flow, so that memory brings it while others are told.
fn prefetch(table: &Table, accounts: &Accounts, at: u32) {
    table.prefetch_whole(at);
    accounts.prefetch_whole(at);
}

impl<'a> Seen<'a> {
    #[inline(always)]
    pub(super) fn of(pending: &'a Pending, observed: &'a Observed) -> Self {
        Self {
            occasion: &pending.occasion,
            macs: pending.macs,
            tap: pending.sight.tap(),
            observed,
            segment: observed.segment(),
        }
    }
}

impl Judge {
    /// Counts a segment when it comes, and takes note of what it has told of its connection when
    /// that is known.
    pub(super) fn keep_account<S: Sink>(
        &mut self,
        at: u32,
        pending: &Pending,
        attempt: Attempt,
        judged: &Judged<'_>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Ok(observed) = &pending.observed else { return Ok(()) };
        let (now, taken) = (pending.occasion.time, judged.taken);
        if attempt == Attempt::First
            && let Some(opened) = taken.opened
            && self.is_anew(at, opened)
        {
            self.end_before(at, now, judged.before, sink)?;
        }
        let Some(accounts) = &mut self.accounts else { return Ok(()) };
        let goes_on =
            taken.opened.is_none() && judged.before.has_connection() && accounts.open(at).is_none();
        let (letters, segment) = judged.says(observed);
        if let Some(Row { flag: EventFlag::Syn | EventFlag::SynAck, retransmission: false }) =
            judged.row
            && segment.is_some()
            && let Some(account) = accounts.open(at)
        {
            account.forget_numbers(observed.from);
        }
        match attempt {
            Attempt::First => {
                let seen = Seen { segment, ..Seen::of(pending, observed) };
                accounts.count(at, seen, letters);
            }
            Attempt::Again | Attempt::Last => accounts.say(at, observed.from, letters, segment),
        }
        if judged.is_believed() {
            accounts.close(at, letters, now);
        }
        let is_refused = judged.refused().is_some();
        let midstream = goes_on || taken.opened.is_some_and(|opened| opened.midstream);
        if judged.row.is_none() && !midstream && !is_refused {
            return Ok(());
        }
        let Some(details) = accounts.details(at) else { return Ok(()) };
        // The line may be far away: it is written to, but nothing waits for what it holds.
        if is_refused {
            details.invalid = details.invalid.saturating_add(1);
        }
        if midstream {
            details.midstream = true;
        }
        match judged.row {
            Some(Row { retransmission: true, .. }) | None => {}
            Some(Row { flag: EventFlag::Syn, .. }) => details.handshake.syn = Moment::at(now),
            Some(Row { flag: EventFlag::SynAck, .. }) => {
                details.handshake.syn_ack = Moment::at(now)
            }
            Some(Row { flag: EventFlag::Ack, .. }) => details.handshake.ack = Moment::at(now),
            Some(_) => {}
        }
        Ok(())
    }

    /// Whether what was counted until now is of another connection than the one that opens.
    fn is_anew(&mut self, at: u32, opened: Opened) -> bool {
        let Some(accounts) = &mut self.accounts else { return false };
        let has_ended = accounts.open(at).is_some_and(|account| account.has_ended());
        let told = accounts.details(at).and_then(|details| details.client);
        let client = self.table.flow(at).map(|flow| flow.client);
        // Strays of one that was over before, where there was none in the table.
        opened.again || !opened.midstream && (has_ended || told.is_some() && told != client)
    }

    /// Ends the account of a connection that was another one `before`.
    fn end_before<S: Sink>(
        &mut self,
        at: u32,
        now: Timestamp,
        before: &Before,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Some((flow, cold)) = self.table.entry(at) else { return Ok(()) };
        let after = Before::of(flow, cold);
        before.tell_by(flow);
        let ended = self.end(at, now, Some(Ending::Reuse), sink);
        if let Some(flow) = self.table.flow(at) {
            after.tell_by(flow);
        }
        ended
    }

    /// Counts a packet that is refused before anything of its flow is looked at. For such packets a
    /// flow is remembered where there is room, but nothing is forgotten.
    pub(super) fn count_corrupt(&mut self, pending: &Pending, reading: &Reading) {
        let Some(accounts) = &mut self.accounts else { return };
        let Reading { observed, hash, likeness } = reading;
        let Occasion { time: now, tunnel, .. } = pending.occasion;
        let vni = self.config.vni(tunnel);
        if !self.config.copies.window.is_zero()
            && accounts.corrupt.take(now, *likeness, vni, pending.sight) != Sighting::First
        {
            return;
        }
        let at = match self.table.find(&observed.key, *hash) {
            Some(at) => at,
            None => match self.table.insert(observed.key, *hash, observed.from, now) {
                Ok(at) => {
                    if let Some(flow) = self.table.flow(at) {
                        flow.life = Life::Unseen;
                    }
                    at
                }
                Err(Full) => return,
            },
        };
        if let Some(flow) = self.table.flow(at).filter(|flow| flow.life == Life::Unseen) {
            flow.touch(now);
            self.table.rescheduled(at, now);
        }
        accounts.count(at, Seen::of(pending, observed), Letters::BAD_CHECKSUM);
    }

    /// Tells what is to be told by `now` of flows that go on, or of which nothing was heard.
    pub(super) fn look<S: Sink>(&mut self, now: Timestamp, sink: &mut S) -> Result<(), S::Error> {
        let Self { accounts: Some(accounts), table, taps, .. } = self else { return Ok(()) };
        while let Some((at, follows)) = accounts.next_due(now) {
            if let Some(next) = follows {
                prefetch(table, accounts, next);
            }
            if let Some((flow, cold)) = table.entry(at) {
                accounts.look(at, now, (flow, cold, taps), sink)?;
            }
        }
        Ok(())
    }

    /// Ends the account of a flow, if it has one.
    pub(super) fn end<S: Sink>(
        &mut self,
        at: u32,
        now: Timestamp,
        ending: Option<Ending>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Self { accounts: Some(accounts), table, taps, .. } = self else { return Ok(()) };
        let Some((flow, cold)) = table.entry(at) else { return Ok(()) };
        accounts.end(at, now, ending, (flow, cold, taps), sink)
    }

    /// Ends all of them with the input, in the order of the packets that began them.
    pub(super) fn end_all<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let Some(accounts) = &mut self.accounts else { return Ok(()) };
        let (mut left, now) = accounts.end_all();
        left.sort_unstable();
        for (number, &(_, at)) in left.iter().enumerate() {
            if let (Some(accounts), Some(&(_, next))) =
                (&self.accounts, left.get(number + TOLD_AHEAD))
            {
                prefetch(&self.table, accounts, next);
            }
            self.end(at, now, Some(Ending::CaptureEnd), sink)?;
        }
        if let Some(accounts) = &mut self.accounts {
            accounts.all_ended();
        }
        Ok(())
    }
}
