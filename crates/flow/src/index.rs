//! Where in the slab the flow of a key lies: an array of positions, placed by hash.
//!
//! Open addressing with linear probing. A slot has the position in its lower bits and as much of
//! the hash as there is room for above, so a look-up reads one cache line of the index and, but for
//! few, one entry: the right one. Growing never looks at the entries, and never stops the belt: the
//! slots of the smaller array move to the larger one a few at a time, with the insertions that come
//! after.

use prefetch_index::prefetch_index;

use crate::memory;

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
    /// Of each position that is there, the part of its hash that places it.
    placed_by: Vec<u32>,
    layout: Layout,
}

/// What an empty slot holds: how a large allocation comes from the system, untouched.
const EMPTY: u32 = 0;

/// What a slot holds: in its lower bits one more than the position, so that none is empty, and above
/// as much of the lower half of the hash as there is room for, in these bits.
#[derive(Clone, Copy, Debug)]
struct Layout {
    tag: u32,
}

impl Layout {
    fn for_positions(positions: usize) -> Self {
        let taken = usize::BITS - positions.leading_zeros();
        Self { tag: u32::MAX.checked_shl(taken).unwrap_or(0) }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    const fn slot(self, hash: u64, position: u32) -> u32 {
        hash as u32 & self.tag | (position + 1)
    }

    #[inline]
    const fn position(self, slot: u32) -> u32 {
        (slot & !self.tag).wrapping_sub(1)
    }

    /// Whether what is kept of two hashes is the same.
    #[inline]
    const fn agree(self, one: u32, other: u32) -> bool {
        (one ^ other) & self.tag == 0
    }
}

/// The half of a hash that says where a slot belongs.
#[inline]
const fn place(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Index {
    /// For positions below `positions`.
    pub(crate) fn new(positions: usize) -> Self {
        Self {
            slots: Slots::new(FIRST_BITS),
            leaving: None,
            placed_by: memory::reserve(positions),
            layout: Layout::for_positions(positions),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len + self.leaving.as_ref().map_or(0, |(slots, _)| slots.len)
    }

    /// The position under this hash for which `is_it` holds.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let layout = self.layout;
        let wanted = layout.slot(hash, 0);
        let mut is_it = |slot| layout.agree(slot, wanted) && is_it(layout.position(slot));
        let mut found = self.slots.find(place(hash), &mut is_it);
        if found.is_none()
            && let Some((slots, _)) = &self.leaving
        {
            found = slots.find(place(hash), &mut is_it);
        }
        found.map(|(_, slot)| layout.position(slot))
    }

    /// Asks for the slot where a look-up will begin.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_index(&self.slots.slots, self.slots.home(place(hash)));
        if let Some((slots, _)) = &self.leaving {
            prefetch_index(&slots.slots, slots.home(place(hash)));
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
        let at = position as usize;
        if self.placed_by.len() <= at {
            self.placed_by.resize(at + 1, 0);
        }
        if let Some(placed_by) = self.placed_by.get_mut(at) {
            *placed_by = place(hash);
        }
        self.slots.insert(place(hash), self.layout.slot(hash, position));
    }

    /// Takes a position out that is there.
    pub(crate) fn remove(&mut self, hash: u64, position: u32) {
        let Self { slots, leaving, placed_by, layout } = self;
        let wanted = layout.slot(hash, position);
        let mut is_it = |slot| slot == wanted;
        let place_of = place_of(placed_by, *layout);
        if let Some((at, _)) = slots.find(place(hash), &mut is_it) {
            slots.remove(at, place_of);
        } else if let Some((slots, _)) = leaving
            && let Some((at, _)) = slots.find(place(hash), &mut is_it)
        {
            slots.remove(at, place_of);
        }
    }

    fn move_slots(&mut self, count: usize) {
        let Self { slots: larger, leaving, placed_by, layout } = self;
        let Some((slots, moved)) = leaving else { return };
        let place_of = place_of(placed_by, *layout);
        for _ in 0..count {
            if slots.len == 0 {
                self.leaving = None;
                return;
            }
            // Removing pulls later slots of the same run to this place, so it is looked at again.
            let slot = slots.get(*moved);
            if slot == EMPTY {
                *moved += 1;
            } else {
                slots.remove(*moved, &place_of);
                larger.insert(place_of(slot), slot);
            }
        }
    }
}

/// What places a slot that is taken.
fn place_of(placed_by: &[u32], layout: Layout) -> impl Fn(u32) -> u32 {
    move |slot| placed_by.get(layout.position(slot) as usize).copied().unwrap_or_default()
}

/// An array of 2^`bits` slots of which at most a quarter are taken, so that nearly all look-ups
/// end where they begin: a processor foresees that, and has the next ones under way.
#[derive(Debug)]
struct Slots {
    slots: Vec<u32>,
    bits: u32,
    len: usize,
}

impl Slots {
    fn new(bits: u32) -> Self {
        let slots = vec![EMPTY; 1 << bits];
        memory::in_large_pages(&slots);
        Self { slots, bits, len: 0 }
    }

    const fn is_full(&self) -> bool {
        self.len >= self.slots.len() / 4
    }

    /// Where a slot belongs if that place is free.
    #[inline]
    const fn home(&self, place: u32) -> usize {
        // Never shifted by all bits: the first array has more than one slot.
        place.wrapping_shr(u32::BITS.wrapping_sub(self.bits)) as usize
    }

    #[inline]
    const fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn get(&self, at: usize) -> u32 {
        self.slots.get(at & self.mask()).copied().unwrap_or_default()
    }

    fn set(&mut self, at: usize, slot: u32) {
        let at = at & self.mask();
        if let Some(old) = self.slots.get_mut(at) {
            *old = slot;
        }
    }

    /// Where the slot is for which `is_it` holds, and the slot. A run of taken slots ends, as most
    /// are empty.
    #[inline(always)]
    fn find(&self, place: u32, is_it: &mut impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mut at = self.home(place);
        loop {
            let slot = self.get(at);
            if slot == EMPTY {
                return None;
            }
            if is_it(slot) {
                return Some((at, slot));
            }
            at += 1;
        }
    }

    fn insert(&mut self, place: u32, slot: u32) {
        let mut at = self.home(place);
        while self.get(at) != EMPTY {
            at += 1;
        }
        self.set(at, slot);
        self.len += 1;
    }

    /// Empties a place, and moves up those behind it that would no longer be found across it.
    fn remove(&mut self, mut hole: usize, place_of: impl Fn(u32) -> u32) {
        let mut at = hole;
        loop {
            at += 1;
            let slot = self.get(at);
            if slot == EMPTY {
                break;
            }
            let from_home = at.wrapping_sub(self.home(place_of(slot))) & self.mask();
            if from_home >= (at - hole) & self.mask() {
                self.set(hole, slot);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
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
        let mut index = Index::new(20_000);
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
            positions in prop::sample::select(vec![3000, u32::MAX as usize]),
        ) {
            let (mut index, mut map) = (Index::new(positions), BTreeMap::new());
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
