//! TCP bytes that both captures have, cut in another way.
//!
//! A machine that leaves segmentation to its NIC captures one segment of 30 kB where its tap has
//! twenty; one that joins received segments (GRO) captures them joined, and so may a collector. So
//! what is still open is matched by the ranges of sequence numbers that it covers: a packet of
//! the source is mirrored if each of its bytes is in a frame of the tap, a byte of which serves
//! once only.

use std::collections::BTreeMap;

use vtap_packet::tcp::Flags;

use crate::digest::Digest;
use crate::side::{Fate, Side};

/// Frames at most that begin before a byte and may hold it: of the 64 KiB that a segment can have,
/// those are 45 of 1,460 bytes.
const LOOK_BACK: usize = 64;

/// Frames at most that a packet of the source is put together from: a segment of 512 KiB (BIG TCP)
/// has 978 of 536 bytes.
const PIECES: usize = 1024;

/// Bytes that are missing at the tap, of packets of the source that are there in part; by position.
pub(crate) type Missing = BTreeMap<u32, u32>;

/// Matches open segments with data. `halves` says which half of the tap a half of the source is.
pub(crate) fn resegment(
    source: &mut Side,
    tap: &mut Side,
    delay: i64,
    halves: impl Fn(u32) -> Option<u32>,
) -> Missing {
    let mut by_half: BTreeMap<u32, (Vec<Stretch>, Vec<Stretch>)> = BTreeMap::new();
    for (at, digest) in source.open().filter(|(_, digest)| has_data(digest)) {
        if let Some(half) = halves(digest.half) {
            let stretch = Stretch::new(at, digest, delay);
            by_half.entry(half).or_default().0.push(stretch);
        }
    }
    for (at, digest) in tap.open().filter(|(_, digest)| has_data(digest)) {
        if let Some((_, frames)) = by_half.get_mut(&digest.half) {
            frames.push(Stretch::new(at, digest, 0));
        }
    }
    let mut missing = Missing::new();
    for (packets, frames) in by_half.values_mut().filter(|(_, frames)| !frames.is_empty()) {
        unwrap(packets, frames);
        let mut cover = Cover::new(frames);
        for packet in &*packets {
            let covered = cover.take(packet, |frame| {
                tap.settle(frame, Fate::Resegmented, packet.at);
            });
            let Some((first, bytes)) = covered else { continue };
            match u32::try_from(packet.len() - bytes) {
                Ok(0) => source.settle(packet.at, Fate::Resegmented, first),
                left => {
                    source.settle(packet.at, Fate::Partly, first);
                    missing.insert(packet.at, left.unwrap_or(u32::MAX));
                }
            }
        }
    }
    missing
}

fn has_data(digest: &Digest) -> bool {
    digest.is_tcp() && digest.data_len() > 0 && !digest.flags.any(Flags::SYN)
}

/// Bytes of a stream in one packet.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    at: u32,
    seq: u32,
    /// Sequence numbers without their wrap, relative to the first packet of the half.
    start: i64,
    end: i64,
    /// Of a frame: bytes before this have served.
    used_to: i64,
    /// When it comes to the tap, or is to come.
    nanos: i64,
}

impl Stretch {
    fn new(at: u32, digest: &Digest, delay: i64) -> Self {
        let nanos = digest.nanos().saturating_add(delay);
        Self { at, seq: digest.seq.0, start: 0, end: digest.data_len().into(), used_to: 0, nanos }
    }

    const fn len(&self) -> i64 {
        self.end - self.start
    }
}

/// Numbers both sides without the wrap: each packet lies less than 2^31 from the one before it in
/// time.
fn unwrap(packets: &mut [Stretch], frames: &mut [Stretch]) {
    let mut all: Vec<_> = packets.iter_mut().chain(frames).collect();
    all.sort_by_key(|stretch| stretch.nanos);
    let mut before = None;
    for stretch in all {
        let (seq, start) = *before.get_or_insert((stretch.seq, 0));
        let step = stretch.seq.wrapping_sub(seq).cast_signed();
        stretch.start = start + i64::from(step);
        stretch.end += stretch.start;
        stretch.used_to = stretch.start;
        before = Some((stretch.seq, stretch.start));
    }
}

/// The frames of a half at the tap, by where they begin.
struct Cover<'a>(&'a mut [Stretch]);

impl<'a> Cover<'a> {
    fn new(frames: &'a mut [Stretch]) -> Self {
        frames.sort_by_key(|frame| frame.start);
        Self(frames)
    }

    /// Uses the frames that hold bytes of a packet; the first of them, and how many bytes.
    fn take(&mut self, packet: &Stretch, mut used: impl FnMut(u32)) -> Option<(u32, i64)> {
        let (mut at, mut first, mut bytes) = (packet.start, None, 0);
        for _ in 0..PIECES {
            if at >= packet.end {
                break;
            }
            let behind = self.0.partition_point(|frame| frame.start <= at);
            if let Some(frame) = self.best(packet, at, behind) {
                let end = frame.end.min(packet.end);
                frame.used_to = end;
                used(frame.at);
                first.get_or_insert(frame.at);
                bytes += end - at;
                at = end;
            } else {
                // A hole: on with the next frame that begins behind it.
                let Some(next) = self.0.get(behind) else { break };
                at = next.start;
            }
        }
        Some((first?, bytes))
    }

    /// The frame with byte `at` whose time fits best.
    fn best(&mut self, packet: &Stretch, at: i64, behind: usize) -> Option<&mut Stretch> {
        let candidates = self.0.get_mut(behind.saturating_sub(LOOK_BACK)..behind)?;
        candidates
            .iter_mut()
            .filter(|frame| frame.used_to <= at && at < frame.end)
            // Equal bytes in one packet that is not the same: another transmission.
            .filter(|frame| (frame.start, frame.end) != (packet.start, packet.end))
            .min_by_key(|frame| frame.nanos.abs_diff(packet.nanos))
    }
}
