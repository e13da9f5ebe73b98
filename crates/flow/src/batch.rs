//! Packets on their way from the half of a tracker that reads to the half that judges.

use vtap_packet::{LinkType, Mac, Packet, Timestamp, Tunnel};

use crate::answer::Answer;
use crate::copies::{Likeness, Sighting};
use crate::fragments::Accounted;
use crate::read::{Observed, Reading};
use crate::sight::Sight;
use crate::skip::Skip;

/// A packet that was read and is to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) occasion: Occasion,
    pub(crate) sight: Sight,
    /// Of the key.
    pub(crate) hash: u64,
    pub(crate) likeness: Likeness,
    /// Which of its sightings this is, once it was [compared](crate::Reader::compare).
    pub(crate) sighting: Sighting,
    /// Link addresses, destination first; read only where records are kept.
    pub(crate) macs: Option<[Mac; 2]>,
    pub(crate) observed: Result<Observed, Skip>,
}

/// The packet an event is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion {
    pub(crate) time: Timestamp,
    pub(crate) number: u64,
    pub(crate) tunnel: Option<Tunnel>,
}

impl Occasion {
    #[inline(always)]
    pub(crate) const fn of(packet: &Packet<'_>) -> Self {
        Self { time: packet.time, number: packet.number, tunnel: packet.tunnel }
    }
}

impl Pending {
    /// A place for a packet.
    pub(crate) const NONE: Self = Self {
        occasion: Occasion { time: Timestamp::EPOCH, number: 0, tunnel: None },
        sight: Sight::NOWHERE,
        hash: 0,
        likeness: Likeness::NONE,
        sighting: Sighting::First,
        macs: None,
        observed: Err(Skip::NotIp),
    };

    /// In a place of its own: inlined, it takes registers from runs that keep no records.
    #[inline(never)]
    pub(crate) fn keep_macs(&mut self, link: LinkType, frame: &[u8]) {
        self.macs = vtap_packet::link::macs(link, frame);
    }

    /// What was read of its frame, if that could be read.
    pub(crate) fn reading(&self) -> Result<Reading, Skip> {
        let Self { hash, likeness, ref observed, .. } = *self;
        observed.map(|observed| Reading { observed, hash, likeness })
    }
}

/// Packets that were read, in their order: all that a [`Judge`](crate::Judge) needs of them, and
/// nothing borrowed.
#[derive(Debug, Default)]
pub struct Batch {
    /// Those read, and behind them places that are used again: what is read of a packet is
    /// written where it will lie, field by field.
    pub(crate) places: Vec<Pending>,
    pub(crate) len: usize,
    /// How many of them were [compared](crate::Reader::compare) with those before.
    pub(crate) compared: usize,
    /// Fragments to be counted to their flows, each behind the packet that settled it.
    pub(crate) accounted: Vec<Accounted>,
    /// DNS responses, each with the place of its packet.
    pub(crate) answers: Vec<(usize, Answer)>,
    /// What is refused for the checksum of its IP header, and counted to its flow all the same.
    pub(crate) corrupt: Vec<(usize, Reading)>,
}

impl Batch {
    /// Empty, with room for so many packets.
    pub fn with_capacity(packets: usize) -> Self {
        Self { places: vec![Pending::NONE; packets], ..Self::default() }
    }

    /// How many packets there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is to be judged.
    pub(crate) fn packets(&self) -> &[Pending] {
        debug_assert_eq!(self.compared, self.len, "a batch is compared before it is judged");
        self.places.get(..self.len).unwrap_or_default()
    }

    /// Whether there is nothing beside the packets themselves.
    pub(crate) fn is_plain(&self) -> bool {
        self.accounted.is_empty() && self.answers.is_empty() && self.corrupt.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        (self.len, self.compared) = (0, 0);
        self.accounted.clear();
        self.answers.clear();
        self.corrupt.clear();
    }
}
