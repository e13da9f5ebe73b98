//! How long the way to the tap takes.

use crate::digest::Digest;
use crate::side::{Fate, Side};

/// Time at the tap less time in the source, over all mirrored packets, in nanoseconds. Two
/// machines have two clocks, and their difference is part of it; it can be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// The least.
    pub min: i64,
    /// As much as half of the packets have at most (nearest rank, like those below).
    pub median: i64,
    /// 90 of 100.
    pub p90: i64,
    /// 99 of 100.
    pub p99: i64,
    /// The most.
    pub max: i64,
    /// The arithmetic mean.
    pub mean: i64,
    /// What 1 of 100 has at most.
    pub(crate) p1: i64,
}

impl Delay {
    /// `None` where nothing was matched.
    pub(crate) fn of(source: &Side, tap: &Side) -> Option<Self> {
        let there = |fate| matches!(fate, Fate::Paired | Fate::Resegmented);
        let mut delays: Vec<_> = source
            .all()
            .filter(|(_, _, of)| there(of.fate))
            .filter_map(|(_, digest, of)| {
                Some(tap.get(of.partner).map(Digest::nanos)?.saturating_sub(digest.nanos()))
            })
            .collect();
        delays.sort_unstable();
        let rank = |percent: usize| {
            let at = (delays.len() * percent).div_ceil(100).max(1) - 1;
            delays.get(at).copied()
        };
        let sum: i128 = delays.iter().map(|delay| i128::from(*delay)).sum();
        let count = i128::try_from(delays.len()).unwrap_or(i128::MAX);
        Some(Self {
            min: *delays.first()?,
            median: rank(50)?,
            p90: rank(90)?,
            p99: rank(99)?,
            max: *delays.last()?,
            // Within the least and the most, so it fits.
            mean: i64::try_from(sum / count).unwrap_or_default(),
            p1: rank(1)?,
        })
    }
}
