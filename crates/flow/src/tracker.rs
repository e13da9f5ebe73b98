//! The tracker: packets in, verdicts and events out.

use vtap_packet::Packet;

use crate::batch::Batch;
use crate::config::Config;
use crate::judge::Judge;
use crate::read::Reader;
use crate::sink::Sink;
use crate::stats::Stats;
use crate::taps::Tap;
use crate::verdict::Outcome;
#[cfg(doc)]
use crate::verdict::Verdict;

/// Follows the flows of one stream of packets.
///
/// Inputs are [`push`](Self::push) or [`queue`](Self::queue), in the order of the packets, and
/// once, at the end, [`finish`](Self::finish). Events come out through the sink that is passed to them. Time is
/// that of the packets; where it runs back, deadlines are compared as they stand.
///
/// It is two parts with a [`Batch`] between them, for callers that have a thread for each:
/// [`split`](Self::split) lends them.
#[derive(Debug)]
pub struct Tracker {
    reader: Reader,
    judge: Judge,
    batch: Batch,
}

/// Packets of a batch in [`Tracker::queue`]: few enough to stay in an L2 cache, so many that the first
/// of them, whose flows were not asked for in time, are few.
const BATCH: usize = 512;

impl Tracker {
    /// With an empty table.
    pub fn new(config: Config) -> Self {
        let judge = Judge::new(config);
        let reader = Reader::new(config, judge.hasher());
        Self { reader, judge, batch: Batch::with_capacity(BATCH) }
    }

    /// The counters so far.
    pub fn stats(&self) -> Stats {
        let mut stats = *self.judge.stats();
        stats.fragments = self.reader.fragments();
        stats.recorded = self.judge.recorded();
        stats
    }

    /// Flows in the table now.
    pub fn flows(&self) -> usize {
        self.judge.flows()
    }

    /// The taps that packets came from.
    pub fn taps(&self) -> &[Tap] {
        self.judge.taps()
    }

    /// What became of packets for which [`push`](Self::push) has said [`Verdict::Held`], by their
    /// numbers: those settled since this was last asked.
    pub fn settled(&mut self) -> impl Iterator<Item = (u64, Outcome)> + '_ {
        self.judge.settled()
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
        self.reader.read(*packet, &mut self.batch);
        self.reader.compare(&mut self.batch);
        self.judge.take_one(&mut self.batch, sink)
    }

    /// Takes a packet as [`push`](Self::push) does, for callers that do not ask what became of
    /// it: it is read now and judged with the batch that it is part of. Events are the same, in
    /// the same order; the last ones wait for [`flush`](Self::flush) or [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// Those of the sink.
    #[inline(always)]
    pub fn queue<S: Sink>(&mut self, packet: Packet<'_>, sink: &mut S) -> Result<(), S::Error> {
        self.reader.read(packet, &mut self.batch);
        if self.batch.len() < BATCH { Ok(()) } else { self.flush(sink) }
    }

    /// Judges what is queued.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    #[inline(never)]
    pub fn flush<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        self.reader.compare(&mut self.batch);
        self.judge.take(&mut self.batch, sink)
    }

    /// Ends every flow: the input has ended.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    ///
    /// # Panics
    ///
    /// If a record has lost a packet, which is a bug.
    pub fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        self.flush(sink)?;
        self.reader.finish(&mut self.judge);
        self.judge.finish(sink)?;
        if let Some(recorded) = self.judge.recorded() {
            assert!(recorded.told == recorded.packets, "broken law: {recorded:?}");
        }
        Ok(())
    }

    /// The part that reads packets, and the part that judges what was read. What is queued has to
    /// be [flushed](Self::flush) before.
    pub const fn split(&mut self) -> (&mut Reader, &mut Judge) {
        (&mut self.reader, &mut self.judge)
    }
}

#[cfg(test)]
mod tests;
