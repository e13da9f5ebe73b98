//! Every counter of a run.

use std::ops::AddAssign;

use vtap_decap as decap;
use vtap_flow as flow;

/// What became of the packets of a run; of several that ran side by side, added up.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Packets read.
    pub packets: u64,
    /// Captured bytes of those packets.
    pub bytes: u64,
    /// Packets that the outer filter set aside.
    pub outer_filter: u64,
    /// Packets that are not mirrored, where those are not tracked.
    pub not_mirrored: u64,
    /// Packets that are not mirrored and were tracked as they are.
    pub plain: u64,
    /// Counters of decapsulation.
    pub decap: decap::Stats,
    /// Frames, or plain packets, that the inner filter kept from the tracker.
    pub inner_filter: u64,
    /// Counters of tracking; `None` for a run that only decapsulates.
    pub flow: Option<flow::Stats>,
    /// The taps that what was tracked came from, and plain packets as one of them.
    pub taps: Vec<flow::Tap>,
}

impl Report {
    /// Packets that yielded a mirrored frame.
    pub const fn decapsulated(&self) -> u64 {
        self.decap.decapsulated
    }

    /// What was set aside before tracking, by name; zeros are left out.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.every_skip().filter(|(_, count)| *count > 0)
    }

    /// As [`skipped`](Self::skipped), zeros included.
    pub fn every_skip(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ours = [("outer-filter", self.outer_filter), ("not-mirrored", self.not_mirrored)];
        let decap = decap::Skip::ALL.map(|skip| (skip.name(), self.decap.skipped(skip)));
        ours.into_iter().chain(decap)
    }

    /// What was to be tracked and was set aside, by name; zeros are left out.
    pub fn flow_skipped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.every_flow_skip().filter(|(_, count)| *count > 0)
    }

    /// As [`flow_skipped`](Self::flow_skipped), zeros included.
    pub fn every_flow_skip(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let stats = self.flow.unwrap_or_default();
        let skipped = flow::Skip::ALL.map(move |skip| (skip.name(), stats.skipped(skip)));
        let ours = [("inner-filter", self.inner_filter)];
        ours.into_iter().chain(skipped)
    }

    /// The laws, each with the two sides that have to be equal.
    pub fn laws(&self) -> [(&'static str, u64, u64); 4] {
        let skipped: u64 = self.skipped().map(|(_, count)| count).sum();
        let fragments = self.decap.fragments;
        let inner = self.flow.unwrap_or_default().fragments;
        let followable = self.decapsulated() + self.plain;
        let flow_skipped: u64 = self.flow_skipped().map(|(_, count)| count).sum();
        let tracked = match &self.flow {
            Some(flow) => {
                flow.tcp_segments + flow.other + flow.duplicates + flow.forwarded + flow_skipped
            }
            None => followable,
        };
        [
            (
                "packets = decapsulated + plain + skipped + fragments.absorbed",
                self.packets,
                self.decapsulated() + self.plain + skipped + fragments.absorbed,
            ),
            (
                "decapsulated + plain = tcp_segments + other + duplicates + forwarded + flow_skipped",
                followable,
                tracked,
            ),
            (
                "fragments.seen = fragments.completed + fragments.absorbed",
                fragments.seen,
                fragments.completed + fragments.absorbed,
            ),
            (
                "inner_fragments.seen = inner_fragments.completed + inner_fragments.absorbed",
                inner.seen,
                inner.completed + inner.absorbed,
            ),
        ]
    }

    /// Checks the laws.
    ///
    /// # Panics
    ///
    /// If one does not hold: a packet was lost or counted twice, so no number can be trusted.
    pub fn assert_laws(&self) {
        for (law, left, right) in self.laws() {
            assert!(left == right, "broken law: {law}: {left} != {right} in {self:?}");
        }
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        let Self {
            packets,
            bytes,
            outer_filter,
            not_mirrored,
            plain,
            decap,
            inner_filter,
            flow,
            taps,
        } = other;
        self.packets += packets;
        self.bytes += bytes;
        self.outer_filter += outer_filter;
        self.not_mirrored += not_mirrored;
        self.plain += plain;
        self.decap += decap;
        self.inner_filter += inner_filter;
        if let Some(flow) = flow {
            *self.flow.get_or_insert_default() += flow;
        }
        for tap in taps {
            match self.taps.iter_mut().find(|known| known.address == tap.address) {
                Some(known) => {
                    known.packets += tap.packets;
                    known.duplicates += tap.duplicates;
                    known.gaps += tap.gaps;
                }
                None => self.taps.push(tap),
            }
        }
    }
}
