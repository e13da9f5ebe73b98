//! Packets that the mirror did not deliver.

use std::collections::BTreeMap;

use vtap_packet::Timestamp;
use vtap_packet::tcp::Flags;

use crate::delay::Delay;
use crate::digest::{Digest, Names, nanos};
use crate::half::Half;
use crate::resegment::Missing;
use crate::side::{Fate, Side};

/// A packet of the source that is not at the tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPacket {
    /// Its number in the source.
    pub number: u64,
    /// When the source captured it.
    pub time: Timestamp,
    /// Who sent it to whom.
    pub half: Half,
    /// Length of its frame, in bytes.
    pub wire_len: u32,
    /// Of a TCP segment.
    pub flags: Option<Flags>,
    /// Bytes of its payload that are not at the tap, where others are.
    pub missing: Option<u32>,
}

/// What one direction of a flow has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostHalf {
    /// Who sent it to whom.
    pub half: Half,
    /// Packets lost.
    pub packets: u64,
    /// Length of their frames, in bytes.
    pub bytes: u64,
    /// When the first was captured.
    pub first: Timestamp,
    /// When the last was captured.
    pub last: Timestamp,
}

/// Packets that were lost one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How many.
    pub packets: u64,
    /// Number of the first in the source.
    pub number: u64,
    /// When the first was captured.
    pub first: Timestamp,
    /// When the last was captured.
    pub last: Timestamp,
}

/// All that was lost, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Packets lost.
    pub packets: u64,
    /// Length of their frames, in bytes.
    pub bytes: u64,
    /// Packets lost of which some bytes are at the tap.
    pub partly: u64,
    /// Packets that may have come before the tap's capture began.
    pub before: u64,
    /// Packets that may have come after it had ended.
    pub after: u64,
    /// Runs of lost packets, with no mirrored one between them.
    pub bursts: u64,
    /// The longest run; the first of those.
    pub longest: Option<Burst>,
    /// The first lost packets, as many as were asked for.
    pub listed: Vec<LostPacket>,
    /// Every half that lost packets, most first.
    pub halves: Vec<LostHalf>,
}

/// Where an unmatched packet belongs.
enum Place {
    Before,
    Within,
    After,
}

/// Decides by when a packet has to be at the tap, if at all.
struct Span {
    delay: (i64, i64),
    tap: Option<(Timestamp, Timestamp)>,
}

impl Span {
    /// Delays but for the least and the most hundredth, which are odd in too many captures.
    fn new(delay: Option<&Delay>, tap: &Side) -> Self {
        Self { delay: delay.map_or((0, 0), |delay| (delay.p1, delay.p99)), tap: tap.span }
    }

    fn place(&self, digest: &Digest) -> Place {
        let Some((first, last)) = self.tap else { return Place::Before };
        let (early, late) = self.delay;
        if digest.nanos().saturating_add(early) < nanos(first) {
            Place::Before
        } else if digest.nanos().saturating_add(late) > nanos(last) {
            Place::After
        } else {
            Place::Within
        }
    }
}

impl Loss {
    pub(crate) fn of(
        (source, tap): (&Side, &Side),
        delay: Option<&Delay>,
        missing: &Missing,
        names: &Names,
        listed: usize,
    ) -> Self {
        let span = Span::new(delay, tap);
        let mut loss = Self::default();
        let mut halves: BTreeMap<u32, LostHalf> = BTreeMap::new();
        let mut run: Option<Burst> = None;
        for (at, digest, of) in source.all() {
            match of.fate {
                Fate::Paired | Fate::Resegmented => {
                    loss.end_run(run.take());
                    continue;
                }
                Fate::Copied => continue,
                Fate::Open | Fate::Partly => {}
            }
            match span.place(digest) {
                Place::Before => {
                    loss.before += 1;
                    continue;
                }
                Place::After => {
                    loss.after += 1;
                    continue;
                }
                Place::Within => loss.partly += u64::from(of.fate == Fate::Partly),
            }
            let Some(half) = names.halves.get(digest.half) else { continue };
            loss.add(digest, half, missing.get(&at).copied(), listed);
            let time = digest.time;
            let burst = run.get_or_insert(Burst {
                packets: 0,
                number: digest.number,
                first: time,
                last: time,
            });
            burst.packets += 1;
            burst.last = time;
            let of_half = halves.entry(digest.half).or_insert(LostHalf {
                half,
                packets: 0,
                bytes: 0,
                first: time,
                last: time,
            });
            of_half.packets += 1;
            of_half.bytes += u64::from(digest.wire_len);
            of_half.last = time;
        }
        loss.end_run(run);
        loss.halves = halves.into_values().collect();
        loss.halves.sort_by_key(|half| std::cmp::Reverse(half.packets));
        loss
    }

    fn add(&mut self, digest: &Digest, half: Half, missing: Option<u32>, listed: usize) {
        self.packets += 1;
        self.bytes += u64::from(digest.wire_len);
        if self.listed.len() < listed {
            self.listed.push(LostPacket {
                number: digest.number,
                time: digest.time,
                half,
                wire_len: digest.wire_len,
                flags: digest.is_tcp().then_some(digest.flags),
                missing,
            });
        }
    }

    fn end_run(&mut self, run: Option<Burst>) {
        let Some(run) = run else { return };
        self.bursts += 1;
        if self.longest.is_none_or(|longest| run.packets > longest.packets) {
            self.longest = Some(run);
        }
    }
}
