//! The digests of one capture, and what each was matched with.

use vtap_packet::{Packet, Timestamp};

use crate::digest::{Digest, Names};
use crate::skip::Skip;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not matched, or not yet.
    Open,
    /// The same packet is in the other capture.
    Paired,
    /// Its bytes are, cut in another way.
    Resegmented,
    /// As that, but not all of them; of the source only.
    Partly,
    /// A copy by another interface; of the source only.
    Copied,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    pub(crate) fate: Fate,
    /// Position in the other capture of the packet, or of the first with its bytes; counts unless
    /// the fate is open or a copy.
    pub(crate) partner: u32,
}

/// One capture, 72 bytes a packet.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) digests: Vec<Digest>,
    /// As many as digests, once all of those have come.
    pub(crate) matches: Vec<Match>,
    /// Packets that came, those that are skipped included.
    pub(crate) packets: u64,
    pub(crate) skipped: [u64; Skip::ALL.len()],
    /// Times of the earliest and the latest packet.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

impl Side {
    pub(crate) fn push(&mut self, packet: &Packet<'_>, names: &mut Names) {
        self.packets += 1;
        self.covers(packet.time);
        if self.digests.len() >= u32::MAX as usize {
            return self.skip(Skip::OverLimit);
        }
        match Digest::of(packet, names) {
            Ok(digest) => self.digests.push(digest),
            Err(skip) => self.skip(skip),
        }
    }

    /// The capture ran at this time.
    pub(crate) fn covers(&mut self, time: Timestamp) {
        let (first, last) = self.span.unwrap_or((time, time));
        self.span = Some((first.min(time), last.max(time)));
    }

    pub(crate) fn skip(&mut self, skip: Skip) {
        if let Some(count) = self.skipped.get_mut(skip as usize) {
            *count += 1;
        }
    }

    pub(crate) fn ready(&mut self) {
        self.matches = vec![Match { fate: Fate::Open, partner: 0 }; self.digests.len()];
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Digest> {
        self.digests.get(at as usize)
    }

    pub(crate) fn settle(&mut self, at: u32, fate: Fate, partner: u32) {
        if let Some(place) = self.matches.get_mut(at as usize) {
            *place = Match { fate, partner };
        }
    }

    /// All packets with what became of them, by position.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &Digest, Match)> {
        let all = self.digests.iter().zip(&self.matches);
        (0..).zip(all).map(|(at, (digest, matched))| (at, digest, *matched))
    }

    /// Packets that nothing was matched with.
    pub(crate) fn open(&self) -> impl Iterator<Item = (u32, &Digest)> {
        self.all()
            .filter(|(_, _, matched)| matched.fate == Fate::Open)
            .map(|(at, digest, _)| (at, digest))
    }

    pub(crate) fn count(&self, fate: Fate) -> u64 {
        self.matches.iter().filter(|matched| matched.fate == fate).count() as u64
    }
}
