//! Sums by key, for the largest of any number of keys.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What is summed up for a key.
pub(crate) trait Amount: Default {
    /// By which keys are ranked.
    fn weight(&self) -> u64;
    /// Adds what another one has.
    fn absorb(&mut self, other: &Self);
}

/// Sums by key, of which `cap` are sure to be kept.
///
/// Up to twice as many distinct keys are all kept, and every sum is exact. Whenever there are more,
/// the lighter half is let go into `others`: a key that comes back then begins anew, so that its
/// sum is a lower bound. What is listed and `others` together are exact always.
#[derive(Debug)]
pub(crate) struct Tally<K, A> {
    cap: usize,
    kept: BTreeMap<K, A>,
    others: A,
    /// Keys let go, those that came back counted again.
    let_go: u64,
}

impl<K: Ord + Clone, A: Amount> Tally<K, A> {
    pub(crate) fn new(cap: usize) -> Self {
        Self { cap, kept: BTreeMap::new(), others: A::default(), let_go: 0 }
    }

    /// Adds to the sum of a key.
    pub(crate) fn add(&mut self, key: K, amount: &A) {
        self.at(key, |sum| sum.absorb(amount));
    }

    /// Changes the sum of a key.
    pub(crate) fn at(&mut self, key: K, change: impl FnOnce(&mut A)) {
        change(self.kept.entry(key).or_default());
        if self.kept.len() > 2 * self.cap {
            self.prune();
        }
    }

    /// The keys that are kept, and their sums, the heaviest first.
    pub(crate) fn ranked(&self) -> Vec<(&K, &A)> {
        let mut ranked: Vec<_> = self.kept.iter().collect();
        ranked.sort_by_key(|(_, amount)| Reverse(amount.weight()));
        ranked
    }

    /// The sum of the keys that were let go.
    pub(crate) const fn others(&self) -> &A {
        &self.others
    }

    /// How many times a key was let go; 0 where every sum is exact.
    pub(crate) const fn let_go(&self) -> u64 {
        self.let_go
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    #[cold]
    fn prune(&mut self) {
        let light: Vec<K> =
            self.ranked().into_iter().skip(self.cap).map(|(key, _)| key.clone()).collect();
        for key in light {
            if let Some(amount) = self.kept.remove(&key) {
                self.others.absorb(&amount);
                self.let_go += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Amount for u64 {
        fn weight(&self) -> u64 {
            *self
        }

        fn absorb(&mut self, other: &Self) {
            *self += other;
        }
    }

    #[test]
    fn few_keys_are_exact_and_ranked() {
        let mut tally = Tally::new(4);
        for (key, amount) in [("a", 1), ("b", 5), ("c", 2), ("a", 3)] {
            tally.add(key, &amount);
        }
        assert_eq!(tally.ranked(), [(&"b", &5), (&"a", &4), (&"c", &2)]);
        assert_eq!((*tally.others(), tally.let_go()), (0, 0));
    }

    #[test]
    fn a_flood_of_keys_neither_grows_it_nor_hides_the_heavy_ones() {
        let mut tally = Tally::new(100);
        for key in 0..100_000_u64 {
            tally.add(key, &1);
            tally.add(u64::MAX - key % 10, &50);
            assert!(tally.len() <= 200);
        }
        let heavy: Vec<_> = tally.ranked().into_iter().take(10).map(|(_, sum)| *sum).collect();
        assert_eq!(heavy, [500_000; 10]);
        let kept: u64 = tally.ranked().iter().map(|(_, sum)| **sum).sum();
        assert_eq!(kept + tally.others(), 100_000 * 51);
        assert!(tally.let_go() > 99_000);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_counted_twice(added in prop::collection::vec((0..60_u8, 0..9_u64), 0..500)) {
            let mut tally = Tally::new(8);
            for (key, amount) in &added {
                tally.add(*key, amount);
            }
            let kept: u64 = tally.ranked().iter().map(|(_, sum)| **sum).sum();
            let all: u64 = added.iter().map(|(_, amount)| amount).sum();
            prop_assert_eq!(kept + tally.others(), all);
        }
    }
}
