//! Values that many packets share, each kept once under a number.

use std::hash::Hash;

use foldhash::quality::RandomState;
use hashbrown::HashMap;

/// Numbers are given in the order in which values come, from 0.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32, RandomState>,
}

impl<T: Copy + Eq + Hash> Interned<T> {
    pub(crate) fn new() -> Self {
        Self { values: Vec::new(), numbers: HashMap::with_hasher(RandomState::default()) }
    }

    pub(crate) fn number(&mut self, value: T) -> u32 {
        *self.numbers.entry(value).or_insert_with(|| {
            self.values.push(value);
            // There are at most twice as many values as packets, which are counted in 32 bits.
            u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
        })
    }

    pub(crate) fn get(&self, number: u32) -> Option<T> {
        self.values.get(number as usize).copied()
    }

    pub(crate) const fn len(&self) -> usize {
        self.values.len()
    }
}
