//! Fragments that were not judged are packets of their flow.

use vtap_packet::Timestamp;

use super::Judge;
use crate::batch::Batch;
use crate::fragments::Accounted;
#[cfg(test)]
use crate::key::{End, Key};
use crate::sink::Sink;
use crate::verdict::{Outcome, Verdict};

impl Judge {
    /// Judges the packets of a batch, tells the answers in it before their packets, counts what is
    /// corrupt, and accounts fragments behind those that settled them.
    #[cold]
    pub(super) fn take_broken<S: Sink>(
        &mut self,
        batch: &Batch,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let packets = batch.packets();
        let mut answers = batch.answers.iter().peekable();
        let mut accounted = batch.accounted.iter().peekable();
        let mut corrupt = batch.corrupt.iter().peekable();
        let mut judged = 0;
        loop {
            let breaks = [
                answers.peek().map(|(at, _)| *at),
                corrupt.peek().map(|(at, _)| *at),
                accounted.peek().map(|fragments| fragments.behind),
            ];
            let Some(at) = breaks.into_iter().flatten().min() else { break };
            self.take_each(packets.get(judged..at).unwrap_or_default(), sink)?;
            while let Some((_, answer)) = answers.next_if(|(behind, _)| *behind == at) {
                sink.answer(answer)?;
            }
            let Some(pending) = packets.get(at) else { break };
            let outcome = self.judge_one(pending, sink)?;
            if let Some((_, reading)) = corrupt.next_if(|(behind, _)| *behind == at) {
                self.count_corrupt(pending, reading);
            }
            while let Some(fragments) = accounted.next_if(|fragments| fragments.behind == at) {
                self.account(pending.occasion.time, fragments, Some(&outcome));
            }
            judged = at + 1;
        }
        self.take_each(packets.get(judged..).unwrap_or_default(), sink)
    }

    /// Counts fragments to their flow, if it is known. Nothing else of it moves: neither state, nor
    /// deadline, nor which ends were seen. `settled_by` is what became of the packet that settled
    /// them: the fragments of a copy are copies.
    pub(crate) fn account(
        &mut self,
        now: Timestamp,
        fragments: &Accounted,
        settled_by: Option<&Outcome>,
    ) {
        let Accounted { key, from, packets, bytes, of_datagram, .. } = fragments;
        let copies = settled_by.is_some_and(|outcome| {
            *of_datagram && matches!(outcome.verdict, Verdict::Duplicate | Verdict::Forwarded)
        });
        let at = self.table.find(key, key.hash(&self.hasher()));
        if let Some((at, flow)) = at.and_then(|at| Some((at, self.table.flow(at)?)))
            && flow.deadline > now
            && !copies
        {
            flow.count_fragments(*from, *packets);
            if let Some(accounts) = &mut self.accounts {
                accounts.count_fragments(at, *from, *packets, *bytes);
            }
        }
    }
}

#[cfg(test)]
impl Judge {
    /// Packets that a flow has counted from these two ends.
    pub(crate) fn packets(&mut self, (key, from): (Key, End)) -> Option<[u32; 2]> {
        let at = self.table.find(&key, key.hash(&self.hasher()))?;
        let [lower, higher] = self.table.flow(at)?.packets;
        Some(if from == End::Lower { [lower, higher] } else { [higher, lower] })
    }
}
