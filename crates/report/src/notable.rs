//! The flows that are worth a row, of any number of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use vtap_flow::Record;
use vtap_networks::Description;

use crate::handshake::Failure;

/// A flow with a row of its own.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) record: Record,
    pub(crate) description: Description,
    pub(crate) failure: Option<Failure>,
}

impl Flow {
    pub(crate) const fn bytes(&self) -> u64 {
        self.record.to_server.total.bytes + self.record.to_client.total.bytes
    }

    pub(crate) fn invalid(&self) -> u64 {
        self.record.tcp.map_or(0, |tcp| tcp.invalid.into())
    }
}

/// A rank, and the number of its first packet, which makes it the only one.
type Rank = (u64, Reverse<u64>);

/// The first flows whose handshake failed, those with the most INVALID segments, and the largest of
/// all others: each a part of [`LISTED`](Self::LISTED) of its own, so that a scan of ports hides
/// neither of the others.
#[derive(Debug, Default)]
pub(crate) struct Notable {
    failed: BTreeMap<Rank, Flow>,
    invalid: BTreeMap<Rank, Flow>,
    large: BTreeMap<Rank, Flow>,
}

impl Notable {
    pub(crate) const LISTED: usize = 1_000;

    pub(crate) fn offer(&mut self, flow: Flow) {
        let quarter = Self::LISTED / 4;
        let mut left = Some(flow);
        if let Some(flow) = left.take_if(|flow| flow.failure.is_some()) {
            left = keep(&mut self.failed, quarter, 0, flow);
        }
        if let Some(flow) = left.take_if(|flow| flow.invalid() > 0) {
            left = keep(&mut self.invalid, quarter, flow.invalid(), flow);
        }
        if let Some(flow) = left {
            keep(&mut self.large, Self::LISTED - 2 * quarter, flow.bytes(), flow);
        }
    }

    /// Those that failed in the order of packets, then those with INVALID segments, most first, and
    /// then the largest.
    pub(crate) fn flows(&self) -> Vec<&Flow> {
        let parts = [&self.failed, &self.invalid, &self.large];
        parts.into_iter().flat_map(|part| part.values().rev()).collect()
    }
}

/// Gives the flow back that there is no room for.
fn keep(part: &mut BTreeMap<Rank, Flow>, room: usize, rank: u64, flow: Flow) -> Option<Flow> {
    let rank = (rank, Reverse(flow.record.packet));
    if part.len() >= room && part.first_key_value().is_some_and(|(least, _)| rank < *least) {
        return Some(flow);
    }
    part.insert(rank, flow);
    if part.len() > room { part.pop_first().map(|(_, flow)| flow) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn flow(packet: u64, bytes: u64, failure: Option<Failure>, invalid: u32) -> Flow {
        let mut record = sample::tcp(packet, "10.0.0.1:4000", "10.0.0.2:443");
        record.to_client.total.bytes = bytes;
        record.tcp.as_mut().unwrap().invalid = invalid;
        Flow { record, description: Description::default(), failure }
    }

    #[test]
    fn a_flood_of_failures_hides_neither_large_flows_nor_invalid_ones() {
        let mut notable = Notable::default();
        notable.offer(flow(1, 1 << 30, None, 0));
        notable.offer(flow(2, 100, None, 7));
        for packet in 3..10_000 {
            notable.offer(flow(packet, 60, Some(Failure::NoAnswer), 0));
        }
        let flows = notable.flows();
        assert_eq!(flows.len(), Notable::LISTED / 4 + 1 + Notable::LISTED / 2);
        let packets: Vec<_> = flows.iter().map(|flow| flow.record.packet).collect();
        assert_eq!(packets[..3], [3, 4, 5]);
        assert_eq!(packets[Notable::LISTED / 4..][..2], [2, 1]);
    }

    #[test]
    fn what_stays_are_the_largest() {
        let mut notable = Notable::default();
        for packet in 1..=2_000 {
            notable.offer(flow(packet, packet, None, 0));
        }
        let packets: Vec<_> = notable.flows().iter().map(|flow| flow.record.packet).collect();
        assert_eq!(packets, (1_501..=2_000).rev().collect::<Vec<_>>());
    }
}
