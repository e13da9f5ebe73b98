//! Packets are counted to the records of their flows, and those are told.

use vtap_packet::Timestamp;

use super::Judge;
use super::segments::Attempt;
use crate::account::Letters;
use crate::accounts::Seen;
use crate::event::EventFlag;
use crate::flow::Taken;
use crate::read::{Content, Observed, Pending};
use crate::reason::Reason;
use crate::record::{Ending, Record};
use crate::sink::Sink;
use crate::table::Full;
use crate::trace::Row;
use crate::verdict::Verdict;

/// What was made of a segment.
pub(super) struct Judged<'a> {
    pub(super) taken: &'a Taken,
    /// Before it was limited, or put aside.
    pub(super) row: Option<Row>,
    /// It waits for what it may have overtaken.
    pub(super) waits: bool,
    /// There is a connection behind it.
    pub(super) has_state: bool,
}

impl<'a> Seen<'a> {
    #[inline(always)]
    pub(super) fn of(pending: &'a Pending, observed: &'a Observed) -> Self {
        let segment = match &observed.content {
            Content::Segment(segment) => Some(segment),
            _ => None,
        };
        Self {
            occasion: &pending.occasion,
            macs: pending.macs,
            tap: pending.sight.tap(),
            observed,
            segment,
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
        let again = taken.opened.is_some_and(|opened| opened.again);
        if attempt == Attempt::First && again {
            self.end(at, now, Some(Ending::Reuse), sink)?;
        }
        let Some(accounts) = &mut self.accounts else { return Ok(()) };
        let refused = match taken.outcome.verdict {
            Verdict::Invalid(reason) if !judged.waits => Some(reason),
            _ => None,
        };
        let told = Letters::of(observed);
        // What a connection refuses says nothing of how it went.
        let told = if refused.is_some() && judged.has_state { Letters::default() } else { told };
        let letters = match refused {
            Some(Reason::BadChecksum) => Letters::BAD_CHECKSUM,
            Some(_) => told.with(Letters::INVALID),
            None => told,
        };
        if attempt == Attempt::First {
            accounts.count(at, Seen::of(pending, observed), letters);
        } else if refused.is_some() {
            accounts.add(at, observed.from, letters);
        }
        if refused.is_some()
            && let Some(details) = accounts.details(at)
        {
            details.invalid = details.invalid.saturating_add(1);
        }
        if refused.is_none() && !judged.waits {
            accounts.close(at, told, now);
        }
        let midstream = taken.opened.is_some_and(|opened| opened.midstream);
        if judged.row.is_none() && !midstream {
            return Ok(());
        }
        let Some(details) = accounts.details(at) else { return Ok(()) };
        details.midstream |= midstream;
        match judged.row {
            Some(Row { retransmission: true, .. }) | None => {}
            Some(Row { flag: EventFlag::Syn, .. }) => details.syn = Some(now),
            Some(Row { flag: EventFlag::SynAck, .. }) => {
                details.syn_ack = details.syn.map(|syn| now.since(syn));
            }
            Some(Row { flag: EventFlag::Ack, .. }) => {
                details.handshake = details.syn.map(|syn| now.since(syn));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Counts a packet that is refused before anything of its flow is looked at. For such packets a
    /// flow is remembered where there is room, but nothing is forgotten.
    pub(super) fn count_corrupt(&mut self, pending: &Pending, observed: &Observed) {
        let Some(accounts) = &mut self.accounts else { return };
        let now = pending.occasion.time;
        let hash = observed.key.hash(&self.table.hasher());
        let at = match self.table.find(&observed.key, hash) {
            Some(at) => at,
            None => match self.table.insert(observed.key, hash, observed.from, now) {
                Ok(at) => at,
                Err(Full) => return,
            },
        };
        if let Some(flow) = self.table.flow(at).filter(|flow| flow.is_unseen()) {
            flow.touch(now);
            self.table.rescheduled(at, now);
        }
        accounts.count(at, Seen::of(pending, observed), Letters::BAD_CHECKSUM);
    }

    /// Tells what is to be told by `now` of flows that go on, or of which nothing was heard.
    pub(super) fn look<S: Sink>(&mut self, now: Timestamp, sink: &mut S) -> Result<(), S::Error> {
        let Self { accounts: Some(accounts), table, taps, .. } = self else { return Ok(()) };
        while let Some(at) = accounts.next_due(now) {
            if let Some((flow, cold)) = table.entry(at)
                && let Some(record) = accounts.look(at, now, (flow, cold, taps))
            {
                sink.record(&record)?;
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
        match self.ended(at, now, ending) {
            Some(record) => sink.record(&record),
            None => Ok(()),
        }
    }

    fn ended(&mut self, at: u32, now: Timestamp, ending: Option<Ending>) -> Option<Record> {
        let Self { accounts: Some(accounts), table, taps, .. } = self else { return None };
        let (flow, cold) = table.entry(at)?;
        accounts.end(at, now, ending, (flow, cold, taps))
    }

    /// Ends all of them with the input, in the order of the packets that began them.
    pub(super) fn end_all<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let Some(accounts) = &mut self.accounts else { return Ok(()) };
        let mut left = accounts.left();
        left.sort_unstable();
        let now = left.iter().map(|(_, last, _)| *last).max().unwrap_or_default();
        for (_, _, at) in left {
            self.end(at, now, Some(Ending::CaptureEnd), sink)?;
        }
        Ok(())
    }
}
