//! Where in the slab the flow of a key lies: an array of positions, placed by hash.
//!
//! Open addressing by buckets of eight slots, which are looked at together. A slot has the position
//! in its lower bits and as much of the hash as there is room for above, so a look-up reads one cache
//! line of the index and, but for few, one entry: the right one. What finds its bucket full lies in
//! the next one. Growing never looks at the entries, and never stops the belt: the buckets of the
//! smaller array move to the larger one a few at a time, with the insertions that come after.

use prefetch_index::prefetch_index;

use crate::memory;

/// Buckets of the first array, as a power of two.
const FIRST_BITS: u32 = 7;

/// Buckets of the smaller array that are moved with each insertion, in about two microseconds. One
/// would be enough to be done before the larger one is full; but as long as both have to be searched,
/// a packet takes up to twice as long.
const STEP: usize = 32;

/// Positions by hash.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Buckets,
    /// The smaller array while it is being moved, and how many of its buckets were.
    leaving: Option<(Buckets, usize)>,
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
            buckets: Buckets::new(FIRST_BITS),
            leaving: None,
            placed_by: memory::reserve(positions),
            layout: Layout::for_positions(positions),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.buckets.len + self.leaving.as_ref().map_or(0, |(buckets, _)| buckets.len)
    }

    /// The position under this hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let layout = self.layout;
        let mut is_it = |slot| is_it(layout.position(slot));
        let wanted = layout.slot(hash, 0);
        let arrays = [Some(&self.buckets), self.leaving.as_ref().map(|(buckets, _)| buckets)];
        arrays.into_iter().flatten().find_map(|buckets| {
            let (_, slot) = buckets.find(place(hash), wanted, layout, &mut is_it)?;
            Some(layout.position(slot))
        })
    }

    /// The position that is likely to be the one under this hash. `u32::MAX` if there is none.
    #[inline(always)]
    pub(crate) fn locate(&self, hash: u64) -> u32 {
        let layout = self.layout;
        let bucket = self.buckets.bucket(self.buckets.home(place(hash)));
        let slot = select(bucket, layout.slot(hash, 0), layout);
        if slot == EMPTY && (self.leaving.is_some() || is_full(bucket)) {
            return self.locate_elsewhere(hash);
        }
        layout.position(slot)
    }

    #[inline(never)]
    fn locate_elsewhere(&self, hash: u64) -> u32 {
        self.find(hash, |_| true).unwrap_or(u32::MAX)
    }

    /// Asks for the bucket where a look-up will begin.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.buckets.prefetch(place(hash));
        if let Some((buckets, _)) = &self.leaving {
            buckets.prefetch(place(hash));
        }
    }

    /// Adds a position that is not there.
    pub(crate) fn insert(&mut self, hash: u64, position: u32) {
        if self.buckets.is_full() {
            self.move_buckets(usize::MAX);
            let larger = self.buckets.larger();
            self.leaving = Some((std::mem::replace(&mut self.buckets, larger), 0));
        }
        self.move_buckets(STEP);
        let at = position as usize;
        if self.placed_by.len() <= at {
            self.placed_by.resize(at + 1, 0);
        }
        if let Some(placed_by) = self.placed_by.get_mut(at) {
            *placed_by = place(hash);
        }
        self.buckets.insert(place(hash), self.layout.slot(hash, position));
    }

    /// Takes a position out that is there.
    pub(crate) fn remove(&mut self, hash: u64, position: u32) {
        let Self { buckets, leaving, placed_by, layout } = self;
        let wanted = layout.slot(hash, position);
        let place_of = place_of(placed_by, *layout);
        let mut is_it = |slot| slot == wanted;
        let leaving = leaving.as_mut().map(|(buckets, _)| buckets);
        for buckets in [Some(buckets), leaving].into_iter().flatten() {
            if let Some((at, _)) = buckets.find(place(hash), wanted, *layout, &mut is_it) {
                return buckets.remove(at, wanted, place_of);
            }
        }
    }

    fn move_buckets(&mut self, count: usize) {
        let Self { buckets: larger, leaving, placed_by, layout } = self;
        let Some((buckets, moved)) = leaving else { return };
        let place_of = place_of(placed_by, *layout);
        let until = moved.saturating_add(count);
        while *moved <= buckets.mask {
            let bucket = *buckets.bucket(*moved);
            buckets.bucket_mut(*moved).fill(EMPTY);
            *moved += 1;
            for slot in bucket.as_flattened().iter().copied().filter(|slot| *slot != EMPTY) {
                buckets.len -= 1;
                larger.insert(place_of(slot), slot);
            }
            // What lies behind a full bucket may have come from there, and is found across it.
            if *moved >= until && !is_full(&bucket) {
                return;
            }
        }
        self.leaving = None;
    }
}

/// What places a slot that is taken.
fn place_of(placed_by: &[u32], layout: Layout) -> impl Fn(u32) -> u32 {
    move |slot| placed_by.get(layout.position(slot) as usize).copied().unwrap_or_default()
}

/// Slots that are looked at together: half of a cache line.
type Bucket = [Quarter; 2];

/// As many slots as large allocations are aligned to.
type Quarter = [u32; 4];

/// Slots of a bucket.
const SLOTS: usize = size_of::<Bucket>() / size_of::<u32>();

fn is_full(bucket: &Bucket) -> bool {
    bucket.as_flattened().iter().fold(true, |full, slot| full & (*slot != EMPTY))
}

/// The slot of which what is kept of the hash agrees with `wanted`; [`EMPTY`] if none does. Where
/// several do, one that may not exist. No branch: which of them it is, is random.
#[inline(always)]
fn select(bucket: &Bucket, wanted: u32, layout: Layout) -> u32 {
    bucket
        .as_flattened()
        .iter()
        .fold(EMPTY, |found, slot| found | if layout.agree(*slot, wanted) { *slot } else { EMPTY })
}

/// An array of a power of two buckets, of whose slots at most half are taken, so that few are full.
#[derive(Debug)]
struct Buckets {
    /// Plain numbers, which a large allocation has from the system as they are: a table that grows
    /// does not wait until all of it is written.
    quarters: Vec<Quarter>,
    /// Of these, how many come before the first bucket, so that none lies in two cache lines.
    before: usize,
    /// Bits of a place that do not say in which bucket it is.
    shift: u32,
    /// As many buckets as there are, less one.
    mask: usize,
    /// Slots that are taken.
    len: usize,
}

impl Buckets {
    fn new(bits: u32) -> Self {
        let quarters = vec![[EMPTY; 4]; (2 << bits) + 1];
        memory::in_large_pages(&quarters);
        // An allocator that aligned to less would leave some in two cache lines, and no harm.
        let before = quarters.as_ptr().align_offset(size_of::<Bucket>()).min(1);
        Self { quarters, before, shift: u32::BITS - bits, mask: (1 << bits) - 1, len: 0 }
    }

    /// With twice as many.
    fn larger(&self) -> Self {
        Self::new(u32::BITS - self.shift + 1)
    }

    const fn is_full(&self) -> bool {
        self.len > self.mask * (SLOTS / 2)
    }

    /// The bucket where a slot belongs.
    #[inline]
    const fn home(&self, place: u32) -> usize {
        // Never shifted by all bits: the first array has more than one bucket.
        place.wrapping_shr(self.shift) as usize
    }

    /// Where a bucket begins.
    #[inline]
    const fn begin(&self, at: usize) -> usize {
        self.before.wrapping_add((at & self.mask) << 1)
    }

    /// Asks for the bucket of a place.
    #[inline(always)]
    fn prefetch(&self, place: u32) {
        prefetch_index(&self.quarters, self.begin(self.home(place)));
    }

    #[inline]
    fn bucket(&self, at: usize) -> &Bucket {
        let behind = self.quarters.get(self.begin(at)..).unwrap_or_default();
        behind.first_chunk().unwrap_or(&[[EMPTY; 4]; 2])
    }

    fn bucket_mut(&mut self, at: usize) -> &mut [u32] {
        let begin = self.begin(at);
        self.quarters.get_mut(begin..begin + 2).unwrap_or_default().as_flattened_mut()
    }

    /// The bucket in which the slot lies for which `is_it` holds, of those that agree with `wanted`,
    /// and the slot. A row of full buckets ends, as half of all slots are empty.
    fn find(
        &self,
        place: u32,
        wanted: u32,
        layout: Layout,
        is_it: &mut impl FnMut(u32) -> bool,
    ) -> Option<(usize, u32)> {
        let mut at = self.home(place);
        loop {
            let bucket = self.bucket(at);
            // Most often one agrees or none does, which is one question and not eight.
            if select(bucket, wanted, layout) != EMPTY {
                let mut agree =
                    bucket.as_flattened().iter().filter(|slot| layout.agree(**slot, wanted));
                if let Some(slot) = agree.find(|slot| **slot != EMPTY && is_it(**slot)) {
                    return Some((at, *slot));
                }
            }
            if !is_full(bucket) {
                return None;
            }
            at += 1;
        }
    }

    fn insert(&mut self, place: u32, slot: u32) {
        let mut at = self.home(place);
        while !self.replace(at, EMPTY, slot) {
            at += 1;
        }
        self.len += 1;
    }

    /// Puts a slot in the place of another of a bucket, if that is there.
    fn replace(&mut self, at: usize, old: u32, new: u32) -> bool {
        let place = self.bucket_mut(at).iter_mut().find(|slot| **slot == old);
        place.map(|slot| *slot = new).is_some()
    }

    /// Takes a slot out of a bucket, and fills its place from the buckets behind it with what would
    /// no longer be found across it.
    fn remove(&mut self, mut hole: usize, slot: u32, place_of: impl Fn(u32) -> u32) {
        let (mut at, mut gone) = (hole, slot);
        while is_full(self.bucket(at)) {
            at += 1;
            let would_be_lost = |slot: &u32| {
                let from_home = at.wrapping_sub(self.home(place_of(*slot))) & self.mask;
                *slot != EMPTY && from_home >= (at - hole) & self.mask
            };
            let lost = self.bucket(at).as_flattened().iter().copied().find(would_be_lost);
            if let Some(slot) = lost {
                self.replace(hole, gone, slot);
                (hole, gone) = (at, slot);
            }
        }
        self.replace(hole, gone, EMPTY);
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
