//! Counters of decapsulation, and the law that binds them.

use std::ops::AddAssign;

use vtap_packet::reassembly;

use crate::Skip;

/// What became of the packets.
///
/// Law: `packets = decapsulated + plain + sum(skipped) + fragments.absorbed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets given to [`Decap::strip`](crate::Decap::strip).
    pub packets: u64,
    /// Packets that yielded a mirrored frame; a reassembled envelope once.
    pub decapsulated: u64,
    /// Packets that are not addressed to a VXLAN port.
    pub plain: u64,
    /// Bytes of the mirrored frames on the wire.
    pub inner_bytes: u64,
    /// Fragments of envelopes.
    pub fragments: reassembly::Stats,
    /// Headers with reserved bits that were ignored.
    pub reserved_bits: u64,
    skipped: [u64; Skip::ALL.len()],
}

impl Stats {
    /// Packets set aside for this reason.
    pub fn skipped(&self, skip: Skip) -> u64 {
        self.skipped.get(skip as usize).copied().unwrap_or_default()
    }

    /// Whether the law holds.
    pub fn balances(&self) -> bool {
        let skipped: u64 = self.skipped.iter().sum();
        self.packets == self.decapsulated + self.plain + skipped + self.fragments.absorbed
    }

    pub(crate) fn count_skip(&mut self, skip: Skip) {
        if let Some(count) = self.skipped.get_mut(skip as usize) {
            *count += 1;
        }
    }
}

/// For runs on several threads.
impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let Self { packets, decapsulated, plain, inner_bytes, fragments, reserved_bits, skipped } =
            other;
        self.packets += packets;
        self.decapsulated += decapsulated;
        self.plain += plain;
        self.inner_bytes += inner_bytes;
        self.fragments += fragments;
        self.reserved_bits += reserved_bits;
        for (sum, count) in self.skipped.iter_mut().zip(skipped) {
            *sum += count;
        }
    }
}
