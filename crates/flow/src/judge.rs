//! The verdict on each packet of a batch, and the row it makes.

use foldhash::quality::RandomState;
use vtap_packet::{Protocol, Timestamp};

use crate::accounts::{Accounts, Seen};
use crate::batch::{Batch, Pending};
use crate::config::Config;
use crate::copies::Sighting;
use crate::flow::Life;
use crate::held::Held;
use crate::letters::Letters;
use crate::limits;
use crate::order::Order;
use crate::read::{Content, Observed};
use crate::reason::Reason;
use crate::rows::FlowlessRows;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::stats::{Recorded, Stats};
use crate::table::Table;
use crate::taps::{Tap, Taps};
use crate::verdict::{Outcome, StateAfter, Verdict};

mod accounting;
mod ahead;
mod case;
mod entries;
mod fragments;
mod mirror;
mod segments;

use segments::Attempt;

/// The second half of a [`Tracker`](crate::Tracker): the flow table, and the verdicts. It knows
/// nothing of bytes.
#[derive(Debug)]
pub struct Judge {
    config: Config,
    table: Table,
    taps: Taps,
    held: Held,
    order: Order,
    flowless: FlowlessRows,
    stats: Stats,
    /// Where records are kept.
    accounts: Option<Box<Accounts>>,
    /// What became of segments that were held, by packet number.
    settled: Vec<(u64, Outcome)>,
}

impl Judge {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            table: Table::new(config.max_flows),
            taps: Taps::default(),
            held: Held::new(),
            order: Order::default(),
            flowless: FlowlessRows::default(),
            stats: Stats::default(),
            accounts: config.records.then(|| Box::new(Accounts::new(&config))),
            settled: Vec::with_capacity(limits::HELD),
        }
    }

    pub(crate) fn hasher(&self) -> RandomState {
        self.table.hasher()
    }

    /// The counters so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn recorded(&self) -> Option<Recorded> {
        self.accounts.as_ref().map(|accounts| accounts.recorded)
    }

    pub(crate) fn taps(&self) -> &[Tap] {
        self.taps.all()
    }

    pub(crate) fn settled(&mut self) -> impl Iterator<Item = (u64, Outcome)> + '_ {
        self.settled.drain(..)
    }

    pub(crate) fn flows(&self) -> usize {
        self.table.len()
    }

    /// Judges the packets of a batch, and empties it.
    ///
    /// # Errors
    ///
    /// Those of the sink; the rest of the batch is lost then.
    pub fn take<S: Sink>(&mut self, batch: &mut Batch, sink: &mut S) -> Result<(), S::Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let judged = if batch.is_plain() {
            self.take_each(batch.packets(), sink)
        } else {
            self.take_broken(batch, sink)
        };
        batch.clear();
        // Nobody asks for what became of a packet in a batch.
        self.settled.clear();
        judged
    }

    /// Judges the one packet of a batch, accounts the fragments that it settled, and empties it.
    pub(crate) fn take_one<S: Sink>(
        &mut self,
        batch: &mut Batch,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let Some(pending) = batch.packets().last() else {
            return Ok(Outcome::new(Verdict::New, StateAfter::None));
        };
        for (_, answer) in &batch.answers {
            sink.answer(answer)?;
        }
        let outcome = self.judge_one(pending, sink);
        for (_, reading) in &batch.corrupt {
            self.count_corrupt(pending, reading);
        }
        for fragments in &batch.accounted {
            self.account(pending.occasion.time, fragments, outcome.as_ref().ok());
        }
        batch.clear();
        outcome
    }

    /// Ends every flow: the input has ended.
    pub(crate) fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        while let Some(pending) = self.held.pop() {
            self.settle(&pending, sink)?;
        }
        self.release(sink)?;
        self.end_all(sink)?;
        // By packet, as they would have come; the order of places in the table means nothing.
        let mut rows: Vec<_> = self.table.drain().filter_map(|cold| cold.suppressed).collect();
        rows.extend(self.flowless.finish().map(Box::new));
        rows.sort_by_key(|row| (row.packet, row.reason));
        for row in rows {
            self.write(&row, sink)?;
        }
        Ok(())
    }

    /// Forgets what is over by `now`.
    #[inline]
    fn advance<S: Sink>(&mut self, now: Timestamp, sink: &mut S) -> Result<(), S::Error> {
        if !self.held.is_empty() {
            self.settle_due(now, sink)?;
        }
        if self.table.rests(now) { Ok(()) } else { self.turn(now, sink) }
    }

    fn skip(&mut self, skip: Skip) -> Outcome {
        self.stats.count_skip(skip);
        Outcome::skipped(skip)
    }

    /// [`judge`](Self::judge) for callers that are not in a hurry.
    #[inline(never)]
    fn judge_one<S: Sink>(&mut self, pending: &Pending, sink: &mut S) -> Result<Outcome, S::Error> {
        let located = self.table.locate(pending.hash);
        self.judge(pending, located, sink)
    }

    #[inline(always)]
    fn judge<S: Sink>(
        &mut self,
        pending: &Pending,
        located: u32,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let Pending { occasion, sight, sighting, hash, observed, .. } = pending;
        let (hash, sight, sighting) = (*hash, *sight, *sighting);
        self.advance(occasion.time, sink)?;
        self.stats.packets += 1;
        self.tap(occasion, sight.tap(), sink)?;
        let observed = match observed {
            Ok(observed) => observed,
            Err(skip) => return Ok(self.skip(*skip)),
        };
        if sighting != Sighting::First {
            return Ok(self.copy(observed, hash, sight.tap(), sighting));
        }
        if observed.is_odd() {
            self.stats.super_packets += u64::from(observed.len > limits::LARGEST_PACKET);
            self.stats.truncated += u64::from(observed.truncated);
            self.stats.offloaded += u64::from(observed.offloaded);
        }
        if let Content::Segment(segment) = &observed.content
            && let Some(outcome) = self.follow(occasion.time, observed, located, segment)
        {
            self.stats.tcp_segments += 1;
            if let Some(accounts) = &mut self.accounts
                && !accounts.follow(located, occasion.time, observed, segment)
            {
                accounts.follow_rarer(located, Seen::of(pending, observed));
            }
            if self.held.concerns(hash) {
                self.judge_held(&observed.key, hash, sink)?;
            }
            return Ok(outcome);
        }
        self.judge_rarer(pending, observed, located, sink)
    }

    /// Judges what [`follow`](Self::follow) leaves.
    #[inline(never)]
    fn judge_rarer<S: Sink>(
        &mut self,
        pending: &Pending,
        observed: &Observed,
        located: u32,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let Pending { occasion, hash, .. } = *pending;
        match &observed.content {
            Content::Segment(segment) => {
                self.stats.tcp_segments += 1;
                self.segment(pending, observed, located, Ok(segment), Attempt::First, sink)
            }
            Content::Defective(defect) => {
                self.stats.tcp_segments += 1;
                self.segment(pending, observed, located, Err(*defect), Attempt::First, sink)
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
                self.other(pending, observed, located, sink)
            }
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
            tracked && flow.deadline > now && flow.life != Life::Unseen
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
        pending: &Pending,
        observed: &Observed,
        located: u32,
        sink: &mut S,
    ) -> Result<Outcome, S::Error> {
        let Pending { occasion, hash, .. } = *pending;
        let at = self.entry(occasion.time, observed, hash, located, sink)?;
        let Some((at, flow)) = at.and_then(|at| Some((at, self.table.flow(at)?))) else {
            return Ok(Outcome::new(Verdict::New, StateAfter::None));
        };
        flow.count(observed.from);
        flow.touch(occasion.time);
        let new = !flow.is_two_way();
        self.table.rescheduled(at, occasion.time);
        if let Some(accounts) = &mut self.accounts {
            accounts.count(at, Seen::of(pending, observed), Letters::of(observed));
        }
        let verdict = if new { Verdict::New } else { Verdict::Established };
        Ok(Outcome::new(verdict, StateAfter::None))
    }
}
