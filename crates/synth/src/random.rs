//! Numbers from a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014): any seed will do, neighbours give unlike sequences.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

/// A share of draws, in 2^-32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (scramble(self.0) >> 32) as u32
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.draw()) * u64::from(bound)) >> 32) as u32
    }

    pub(crate) fn hits(&mut self, share: Share) -> bool {
        u64::from(self.draw()) < share.0
    }
}

impl Share {
    /// None of them for 0 and below, all for 1 and above.
    pub(crate) fn of(share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^32; below 0 becomes 0")]
        let limit = (share.min(1.0) * 4_294_967_296.0) as u64;
        Self(limit)
    }
}

/// Spreads any number over all 64 bits; different numbers stay different.
pub(crate) const fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_seed_0_is_the_published_one() {
        let mut random = Random::new(0);
        assert_eq!([random.draw(), random.draw()], [0xe220_a839, 0x6e78_9e6a]);
    }

    #[test]
    fn shares_are_met() {
        let mut random = Random::new(7);
        for (share, low, high) in [(0.0, 0, 0), (0.05, 4_700, 5_300), (1.0, 100_000, 100_000)] {
            let hits = (0..100_000).filter(|_| random.hits(Share::of(share))).count();
            assert!((low..=high).contains(&hits), "{share}: {hits}");
        }
        assert!((0..1000).all(|_| random.below(3) < 3));
    }
}
