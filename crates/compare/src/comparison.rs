//! Packets in, a report out.

use foldhash::quality::RandomState;
use hashbrown::HashSet;
use vtap_packet::{Packet, Timestamp};

use crate::alteration::Altered;
use crate::delay::Delay;
use crate::digest::{Digest, Names};
use crate::key::Key;
use crate::loss::Loss;
use crate::order::Reordered;
use crate::pairing::{pair, set_copies_aside};
use crate::report::{Report, Resegmented, SideReport};
use crate::resegment::{Missing, resegment};
use crate::side::{Fate, Side};
use crate::skip::Skip;
use crate::translate::translation;

/// Two captures, while they are read; in any order, and each in its own.
#[derive(Debug)]
pub struct Comparison {
    names: Names,
    source: Side,
    tap: Side,
    listed: usize,
}

impl Comparison {
    /// With no packet yet; `listed` lost packets at most are told one by one.
    pub fn new(listed: usize) -> Self {
        Self { names: Names::new(), source: Side::default(), tap: Side::default(), listed }
    }

    /// Takes a packet that the source has captured.
    pub fn source(&mut self, packet: &Packet<'_>) {
        self.source.push(packet, &mut self.names);
    }

    /// Takes a frame that the tap has delivered.
    pub fn tap(&mut self, packet: &Packet<'_>) {
        self.tap.push(packet, &mut self.names);
    }

    /// A packet of the source's capture that is not compared: the capture ran at this time.
    pub fn source_ran(&mut self, time: Timestamp) {
        self.source.covers(time);
    }

    /// A packet of the tap's capture that is not compared: the capture ran at this time.
    pub fn tap_ran(&mut self, time: Timestamp) {
        self.tap.covers(time);
    }

    /// Matches the captures.
    ///
    /// # Panics
    ///
    /// If a law does not hold, which is a bug.
    pub fn finish(mut self) -> Report {
        self.source.ready();
        self.tap.ready();
        set_copies_aside(&mut self.source);
        let missing = self.pair();
        let report = self.report(&missing);
        report.assert_laws();
        report
    }

    /// The passes, from the surest to the least sure.
    fn pair(&mut self) -> Missing {
        let Self { names, source, tap, .. } = self;
        let mut delay = None;
        let same = |digest: &Digest| Some(Key::of_half(digest, digest.half));
        let full = |digest: &Digest| Some(Key::full(digest));
        pair(source, tap, &mut delay, full, full);
        pair(source, tap, &mut delay, same, same);
        let mut missing = resegment(source, tap, delay.unwrap_or_default(), Some);

        let halves = translation(source, tap, names);
        if halves.is_empty() {
            return missing;
        }
        let taps: HashSet<u32, RandomState> = halves.values().copied().collect();
        pair(
            source,
            tap,
            &mut delay,
            |digest| Some(Key::of_half(digest, *halves.get(&digest.half)?)),
            |digest| taps.contains(&digest.half).then(|| Key::of_half(digest, digest.half)),
        );
        let delay = delay.unwrap_or_default();
        missing.extend(resegment(source, tap, delay, |half| halves.get(&half).copied()));
        missing
    }

    fn report(&mut self, missing: &Missing) -> Report {
        let Self { names, source, tap, listed } = self;
        let copies = source.count(Fate::Copied);
        if let Some(count) = source.skipped.get_mut(Skip::InterfaceCopy as usize) {
            *count += copies;
        }
        let delay = Delay::of(source, tap);
        let mut altered = Altered::default();
        for (_, digest, of) in source.all() {
            if matches!(of.fate, Fate::Paired | Fate::Resegmented)
                && let Some(frame) = tap.get(of.partner)
            {
                altered.compare(digest, frame, of.fate == Fate::Paired, names);
            }
        }
        let resegmented = Resegmented {
            packets: source.count(Fate::Resegmented),
            frames: tap.count(Fate::Resegmented),
        };
        let paired = source.count(Fate::Paired);
        let surplus = Surplus::of(source, tap, delay.as_ref());
        let side = |side: &Side| SideReport {
            packets: side.packets,
            span: side.span,
            skipped: side.skipped,
        };
        Report {
            source: side(source),
            tap: side(tap),
            mirrored: paired + resegmented.packets,
            mirrored_frames: paired + resegmented.frames,
            resegmented,
            loss: Loss::of((source, tap), delay.as_ref(), missing, names, *listed),
            duplicated: surplus.duplicated,
            extra: surplus.extra,
            extra_outside: surplus.outside,
            reordered: Reordered::of(source, names.halves.len()),
            altered,
            delay,
        }
    }
}

/// Frames of the tap that are left over.
#[derive(Default)]
struct Surplus {
    duplicated: u64,
    extra: u64,
    outside: u64,
}

impl Surplus {
    fn of(source: &Side, tap: &Side, delay: Option<&Delay>) -> Self {
        let mut surplus = Self::default();
        if tap.open().next().is_none() {
            return surplus;
        }
        let mirrored: HashSet<Key, RandomState> = tap
            .all()
            .filter(|(_, _, of)| of.fate != Fate::Open)
            .map(|(_, digest, _)| Key::copy(digest))
            .collect();
        let delay = delay.map_or(0, |delay| delay.median);
        for (_, digest) in tap.open() {
            if mirrored.contains(&Key::copy(digest)) {
                surplus.duplicated += 1;
                continue;
            }
            surplus.extra += 1;
            let sent = digest.nanos().saturating_sub(delay);
            let ran = source.span.is_some_and(|(first, last)| {
                (crate::digest::nanos(first)..=crate::digest::nanos(last)).contains(&sent)
            });
            surplus.outside += u64::from(!ran);
        }
        surplus
    }
}
