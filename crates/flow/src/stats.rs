//! Counters of the tracker, and the law that binds them.

use std::ops::AddAssign;

use vtap_packet::reassembly;

use crate::{EventFlag, Reason, Skip};

/// What became of the packets pushed.
///
/// Law: `packets = tcp_segments + other + duplicates + forwarded + sum(skipped)`, and the INVALID segments are among the
/// segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets pushed.
    pub packets: u64,
    /// Packets that another tap, or another interface, had shown before.
    pub duplicates: u64,
    /// Packets that the same tap had shown before a router sent them on.
    pub forwarded: u64,
    /// TCP segments judged, a reassembled one once.
    pub tcp_segments: u64,
    /// Packets of any other IP protocol.
    pub other: u64,
    skipped: [u64; Skip::ALL.len()],
    /// Flows seen: 5-tuples within a VNI, each opening of a connection counted.
    pub flows: u64,
    /// Of the flows, those picked up in mid-stream.
    pub midstream: u64,
    events: [u64; EventFlag::ALL.len()],
    invalid: [u64; Reason::ALL.len()],
    /// Repeated SYN, SYN-ACK, FIN and RST segments, which are no events of their own.
    pub retransmissions: u64,
    /// Segments that did not fit when they came, and did after one that they had overtaken.
    pub reordered: u64,
    /// Flows of which one side was found missing.
    pub one_way: u64,
    /// Flows seen only on their way out, after their source was translated.
    pub egress_only: u64,
    /// Gaps of mirrors.
    pub gaps: u64,
    /// Flows known from before a gap whose numbers were taken anew behind it.
    pub resumed: u64,
    /// Packets longer than a network carries: put together, or not yet taken apart, by a network
    /// card or a kernel.
    pub super_packets: u64,
    /// Fragments of the customer's packets. Those absorbed are among the skipped.
    pub fragments: reassembly::Stats,
    /// Segments with the checksum that offload leaves behind.
    pub offloaded: u64,
    /// Segments of which the capture kept only the beginning.
    pub truncated: u64,
    /// Flows given up before their time to make room for others.
    pub evicted: u64,
    /// What the records of flows are made of; `None` where none are kept.
    pub recorded: Option<Recorded>,
}

/// Counters of [records](crate::Record).
///
/// Law: once the input has ended, `told = packets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Records begun.
    pub flows: u64,
    /// Packets that were counted to one.
    pub packets: u64,
    /// Of these, packets of records that have ended.
    pub told: u64,
}

impl Stats {
    /// Packets set aside for this reason.
    pub fn skipped(&self, skip: Skip) -> u64 {
        self.skipped.get(skip as usize).copied().unwrap_or_default()
    }

    /// Events with this flag.
    pub fn events(&self, flag: EventFlag) -> u64 {
        self.events.get(flag as usize).copied().unwrap_or_default()
    }

    /// INVALID segments with this reason, whether a row was written for them or not.
    pub fn invalid(&self, reason: Reason) -> u64 {
        self.invalid.get(reason as usize).copied().unwrap_or_default()
    }

    /// Whether the law holds.
    pub fn balances(&self) -> bool {
        let skipped: u64 = self.skipped.iter().sum();
        let invalid: u64 = self.invalid.iter().sum();
        let copies = self.duplicates + self.forwarded;
        self.packets == self.tcp_segments + self.other + copies + skipped
            && invalid <= self.tcp_segments
    }

    /// Packets that are in no record although they could be read: ICMP errors and messages of the
    /// link, what found no room in the table, fragments of datagrams whose first one was not seen
    /// or whose flow was not known, and copies of packets with a wrong checksum. 0 where no records
    /// are kept.
    pub fn unrecorded(&self) -> u64 {
        let Some(recorded) = self.recorded else { return 0 };
        let refused = self.skipped(Skip::Fragment) + self.skipped(Skip::IpChecksum);
        (self.tcp_segments + self.other + refused).saturating_sub(recorded.packets)
    }

    pub(crate) fn count_skip(&mut self, skip: Skip) {
        if let Some(count) = self.skipped.get_mut(skip as usize) {
            *count += 1;
        }
    }

    pub(crate) fn count_event(&mut self, flag: EventFlag) {
        if let Some(count) = self.events.get_mut(flag as usize) {
            *count += 1;
        }
    }

    pub(crate) fn count_invalid(&mut self, reason: Reason) {
        if let Some(count) = self.invalid.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// For runs on several threads.
impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let Self {
            packets,
            duplicates,
            forwarded,
            tcp_segments,
            other,
            skipped,
            flows,
            midstream,
            events,
            invalid,
            retransmissions,
            reordered,
            one_way,
            egress_only,
            gaps,
            resumed,
            super_packets,
            fragments,
            offloaded,
            truncated,
            evicted,
            recorded,
        } = other;
        self.packets += packets;
        self.duplicates += duplicates;
        self.forwarded += forwarded;
        self.tcp_segments += tcp_segments;
        self.other += other;
        self.flows += flows;
        self.midstream += midstream;
        self.retransmissions += retransmissions;
        self.reordered += reordered;
        self.one_way += one_way;
        self.egress_only += egress_only;
        self.gaps += gaps;
        self.resumed += resumed;
        self.super_packets += super_packets;
        self.fragments += fragments;
        self.offloaded += offloaded;
        self.truncated += truncated;
        self.evicted += evicted;
        if let Some(recorded) = recorded {
            let sum = self.recorded.get_or_insert_default();
            sum.flows += recorded.flows;
            sum.packets += recorded.packets;
            sum.told += recorded.told;
        }
        let sums = self.skipped.iter_mut().chain(&mut self.events).chain(&mut self.invalid);
        for (sum, count) in sums.zip(skipped.into_iter().chain(events).chain(invalid)) {
            *sum += count;
        }
    }
}
