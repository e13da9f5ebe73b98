//! Where in the slab the flow of a key lies: an array of hashes and positions.
//!
//! Open addressing with linear probing. A slot holds half of the hash beside the position, so a
//! look-up reads one cache line of the index and, but for one in thousands, one entry: the right
//! one. Growing never looks at the entries, and never stops the belt: the slots of the smaller
//! array move to the larger one a few at a time, with the insertions that come after.

use prefetch_index::prefetch_index;

/// A position and the upper half of the hash of what lies there; all zeros when empty, which is
/// how a large allocation comes from the system, untouched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    const EMPTY: Self = Self(0);

    const fn new(tag: u32, position: u32) -> Self {
        Self((tag as u64) << 32 | (position as u64 + 1))
    }

    const fn is_empty(self) -> bool {
        self.0 == Self::EMPTY.0
    }

    #[inline]
    const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    const fn position(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
}

/// What is kept of a hash: enough to place a slot and to tell it from its neighbours.
#[inline]
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Slots of the first array, as a power of two.
const FIRST_BITS: u32 = 10;

/// Slots of the smaller array that are moved with each insertion. Five would be enough to be done
/// before the larger one is full; with more, look-ups have to search both for a shorter time.
const STEP: usize = 64;

/// Positions by hash.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Slots,
    /// The smaller array while it is being moved, and how many of its slots were.
    leaving: Option<(Slots, usize)>,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { slots: Slots::new(FIRST_BITS), leaving: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len + self.leaving.as_ref().map_or(0, |(slots, _)| slots.len)
    }

    /// The position under this hash for which `is_it` holds.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = self.slots.find(tag(hash), &mut is_it);
        if found.is_none()
            && let Some((slots, _)) = &self.leaving
        {
            return slots.find(tag(hash), &mut is_it).map(|(_, position)| position);
        }
        found.map(|(_, position)| position)
    }

    /// Asks for the slot where a look-up will begin.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_index(&self.slots.slots, self.slots.home(tag(hash)));
        if let Some((slots, _)) = &self.leaving {
            prefetch_index(&slots.slots, slots.home(tag(hash)));
        }
    }

    /// Adds a position that is not there.
    pub(crate) fn insert(&mut self, hash: u64, position: u32) {
        if self.slots.is_full() {
            self.move_slots(usize::MAX);
            let larger = Slots::new(self.slots.bits + 1);
            self.leaving = Some((std::mem::replace(&mut self.slots, larger), 0));
        }
        self.move_slots(STEP);
        self.slots.insert(Slot::new(tag(hash), position));
    }

    /// Takes a position out that is there.
    pub(crate) fn remove(&mut self, hash: u64, position: u32) {
        let mut is_it = |other| other == position;
        if let Some((at, _)) = self.slots.find(tag(hash), &mut is_it) {
            self.slots.remove(at);
        } else if let Some((slots, _)) = &mut self.leaving
            && let Some((at, _)) = slots.find(tag(hash), &mut is_it)
        {
            slots.remove(at);
        }
    }

    fn move_slots(&mut self, count: usize) {
        let Some((slots, moved)) = &mut self.leaving else { return };
        for _ in 0..count {
            if slots.len == 0 {
                self.leaving = None;
                return;
            }
            // Removing pulls later slots of the same run to this place, so it is looked at again.
            let slot = slots.get(*moved);
            if slot.is_empty() {
                *moved += 1;
            } else {
                slots.remove(*moved);
                self.slots.insert(slot);
            }
        }
    }
}

/// An array of 2^`bits` slots of which at most a quarter are taken, so that nearly all look-ups
/// end where they begin: a processor foresees that, and has the next ones under way.
#[derive(Debug)]
struct Slots {
    /// [`Slot`]s, as the numbers that a vector gets zeroed from the system.
    slots: Vec<u64>,
    bits: u32,
    len: usize,
}

impl Slots {
    fn new(bits: u32) -> Self {
        Self { slots: vec![Slot::EMPTY.0; 1 << bits], bits, len: 0 }
    }

    const fn is_full(&self) -> bool {
        self.len >= self.slots.len() / 4
    }

    /// Where a tag belongs if that place is free.
    #[inline]
    const fn home(&self, tag: u32) -> usize {
        // Never shifted by all bits: the first array has more than one slot.
        tag.wrapping_shr(u32::BITS.wrapping_sub(self.bits)) as usize
    }

    #[inline]
    const fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn get(&self, at: usize) -> Slot {
        Slot(self.slots.get(at & self.mask()).copied().unwrap_or_default())
    }

    fn set(&mut self, at: usize, slot: Slot) {
        let at = at & self.mask();
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot.0;
        }
    }

    /// Place and position. A run of taken slots ends, as most are empty.
    #[inline(always)]
    fn find(&self, tag: u32, is_it: &mut impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mut at = self.home(tag);
        loop {
            let slot = self.get(at);
            if slot.is_empty() {
                return None;
            }
            if slot.tag() == tag && is_it(slot.position()) {
                return Some((at, slot.position()));
            }
            at += 1;
        }
    }

    fn insert(&mut self, slot: Slot) {
        let mut at = self.home(slot.tag());
        while !self.get(at).is_empty() {
            at += 1;
        }
        self.set(at, slot);
        self.len += 1;
    }

    /// Empties a place, and moves up those behind it that would no longer be found across it.
    fn remove(&mut self, mut hole: usize) {
        let mut at = hole;
        loop {
            at += 1;
            let slot = self.get(at);
            if slot.is_empty() {
                break;
            }
            let from_home = at.wrapping_sub(self.home(slot.tag())) & self.mask();
            if from_home >= (at - hole) & self.mask() {
                self.set(hole, slot);
                hole = at;
            }
        }
        self.set(hole, Slot::EMPTY);
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_put_in_is_found_while_the_array_grows() {
        let mut index = Index::new();
        let hash = |n: u32| u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..20_000 {
            index.insert(hash(n), n);
            for probe in [0, n / 2, n] {
                assert_eq!(index.find(hash(probe), |at| at == probe), Some(probe));
            }
        }
        assert_eq!(index.len(), 20_000);
        for n in 0..20_000 {
            index.remove(hash(n), n);
            assert_eq!(index.find(hash(n), |at| at == n), None);
        }
        assert_eq!(index.len(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Hashes from few bits at either end, so that runs are long and wrap around.
        #[test]
        fn it_agrees_with_a_map(
            steps in prop::collection::vec((any::<bool>(), 0_u64..2000, any::<bool>()), 0..3000),
        ) {
            let (mut index, mut map) = (Index::new(), BTreeMap::new());
            for (number, (insert, draw, low)) in steps.into_iter().enumerate() {
                let hash = if low { draw << 34 } else { !(draw << 34) };
                let position = number as u32;
                if insert && !map.contains_key(&hash) {
                    index.insert(hash, position);
                    map.insert(hash, position);
                } else if let Some(position) = map.remove(&hash) {
                    index.remove(hash, position);
                }
                prop_assert_eq!(index.len(), map.len());
                let expected = map.get(&hash).copied();
                prop_assert_eq!(index.find(hash, |at| Some(at) == expected), expected);
            }
            for (hash, position) in map {
                prop_assert_eq!(index.find(hash, |at| at == position), Some(position));
            }
        }
    }
}
