//! The tracker: packets in, verdicts and events out.

use vtap_packet::reassembly::{Limits, Reassembler};
use vtap_packet::{Packet, Timestamp, Tunnel};

use crate::config::Config;
use crate::read::{self, Observed};
use crate::rows::FlowlessRows;
use crate::sink::Sink;
use crate::skip::Skip;
use crate::stats::Stats;
use crate::table::Table;
use crate::verdict::Outcome;

/// Follows the flows of one stream of packets.
///
/// Inputs are [`push`](Self::push) or [`queue`](Self::queue), in the order of the packets, and
/// once, at the end, [`finish`](Self::finish). Events come out through the sink that is passed to them. Time is
/// that of the packets; where it runs back, deadlines are compared as they stand.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) config: Config,
    pub(crate) table: Table,
    fragments: Reassembler,
    pub(crate) flowless: FlowlessRows,
    pub(crate) stats: Stats,
    /// End of the warm-up; `None` before the first packet.
    pub(crate) warm_until: Option<Timestamp>,
    /// Read and not judged yet.
    batch: Vec<Pending>,
}

/// Packets judged together. While one entry of the table is on its way from memory, those of the
/// others can be as well.
const BATCH: usize = 64;

/// A packet that was read and is to be judged.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) occasion: Occasion,
    /// Of the key.
    pub(crate) hash: u64,
    pub(crate) observed: Result<Observed, Skip>,
}

/// The packet an event is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion {
    pub(crate) time: Timestamp,
    pub(crate) number: u64,
    pub(crate) tunnel: Option<Tunnel>,
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
    pub(crate) fn advance<S: Sink>(
        &mut self,
        now: Timestamp,
        sink: &mut S,
    ) -> Result<(), S::Error> {
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

    pub(crate) fn skip(&mut self, skip: Skip) -> Outcome {
        self.stats.count_skip(skip);
        Outcome::skipped(skip)
    }
}

#[cfg(test)]
mod tests;
