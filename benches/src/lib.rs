//! What the benchmarks share: frames laid out as a mapped file has them, taken round and round.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark fails loudly")]

use std::time::Duration;

use criterion::{Criterion, Throughput};
use vtap_packet::{LinkType, Packet, Timestamp};

/// Packets of one measured step; criterion's time for a step divided by this is that of a packet.
pub const BATCH: usize = 1024;

/// Packets that a benchmark goes round: 14 to 100 MB, more than an L2 cache holds.
pub const PACKETS: usize = 1 << 18;

/// Bytes of TCP payload of which one is taken for each packet: with the other headers, in and
/// out, a mirrored packet has 384 bytes in the mean, as in the mix of small, middling and full
/// packets on a busy link.
pub const MIX: [usize; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 515, 515, 515, 515, 515, 515, 1400];

/// Frames one behind the other in one piece of memory.
#[derive(Clone, Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Offset and length.
    index: Vec<(u32, u32)>,
}

impl Frames {
    /// Lays them out.
    ///
    /// # Panics
    ///
    /// On more than 4 GiB.
    pub fn new(frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let (mut bytes, mut index) = (Vec::new(), Vec::new());
        let small = |size| u32::try_from(size).expect("less than 4 GiB");
        for frame in frames {
            index.push((small(bytes.len()), small(frame.len())));
            bytes.extend(frame);
        }
        Self { bytes, index }
    }

    /// Goes round them from the first one on.
    pub fn round(&self) -> Round<'_> {
        Round { frames: self, at: 0, number: 0 }
    }

    /// Mean length, in bytes.
    pub fn mean_len(&self) -> usize {
        self.bytes.len() / self.index.len()
    }
}

/// An endless supply of packets, 100 ns apart.
#[derive(Clone, Debug)]
pub struct Round<'a> {
    frames: &'a Frames,
    at: usize,
    number: u64,
}

impl<'a> Round<'a> {
    /// The next packet, and after the last the first again, later.
    #[inline]
    pub fn packet(&mut self) -> Packet<'a> {
        let (offset, len) = self.frames.index[self.at];
        let data = &self.frames.bytes[offset as usize..][..len as usize];
        self.at += 1;
        if self.at == self.frames.index.len() {
            self.at = 0;
        }
        self.number += 1;
        Packet {
            number: self.number,
            time: Timestamp::new(1_700_000_000, self.number * 100),
            link: LinkType::ETHERNET,
            interface: 0,
            wire_len: len,
            data,
            tunnel: None,
        }
    }

    /// Goes on where `other` stopped, in numbers and time.
    #[must_use]
    pub fn after(self, other: &Self) -> Self {
        Self { number: other.number, ..self }
    }
}

/// Measures `step`, which takes [`BATCH`] packets or events.
pub fn measure(criterion: &mut Criterion, group: &str, name: &str, step: impl FnMut()) {
    measure_many(criterion, group, name, BATCH, step);
}

/// Measures `step`, which takes `count` packets.
pub fn measure_many(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    count: usize,
    mut step: impl FnMut(),
) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut step));
    group.finish();
}

/// From the command line that cargo passes; 3 s a benchmark unless it says otherwise.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}
