//! Packets of the source and of the tap with equal keys, one to one.
//!
//! Byte-identical packets exist (a retransmission with IP ID 0), so a key can have several packets
//! on each side. As many as there are on both are paired in their order; where one side has more,
//! its surplus are those that fit the usual delay of the mirror least.

use std::time::Duration;

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use crate::digest::Digest;
use crate::key::{Key, agree};
use crate::side::{Fate, Side};

/// A copy by another interface of the same machine follows within this time: measured were 0 to
/// 5 µs, and 0.2 s is the least time after which TCP sends again by timer.
const COPIES_WITHIN: Duration = Duration::from_nanos(COPIES_WITHIN_NANOS.cast_unsigned());
const COPIES_WITHIN_NANOS: i64 = 1_000_000;

/// Sets aside packets of the source that another of its interfaces has shown just before.
pub(crate) fn set_copies_aside(source: &mut Side) {
    let mut interfaces = source.digests.iter().map(|digest| digest.interface);
    let first = interfaces.next();
    if interfaces.all(|interface| Some(interface) == first) {
        return;
    }
    let mut seen: HashMap<Key, u32, RandomState> = HashMap::with_hasher(RandomState::default());
    let mut copies = Vec::new();
    for (at, digest) in source.open() {
        let before = seen.insert(Key::full(digest), at).and_then(|before| source.get(before));
        if let Some(before) = before
            && before.interface != digest.interface
            && digest.time.since(before.time) <= COPIES_WITHIN
        {
            copies.push(at);
        }
    }
    for at in copies {
        source.settle(at, Fate::Copied, 0);
    }
}

/// Pairs open packets. `delay` is the usual time from source to tap, in nanoseconds, which the
/// first call that finds pairs measures.
pub(crate) fn pair(
    source: &mut Side,
    tap: &mut Side,
    delay: &mut Option<i64>,
    source_key: impl Fn(&Digest) -> Option<Key>,
    tap_key: impl Fn(&Digest) -> Option<Key>,
) {
    let groups = Groups::new(source, tap, source_key, tap_key);
    if delay.is_none() {
        *delay = groups.usual_delay(source, tap);
    }
    let mut times = (Vec::new(), Vec::new());
    for (sources, taps) in groups.iter() {
        let nanos = |side: &Side, at: &u32| side.get(*at).map_or(0, Digest::nanos);
        times.0.clear();
        times.0.extend(sources.iter().map(|at| nanos(source, at)));
        times.1.clear();
        times.1.extend(taps.iter().map(|at| nanos(tap, at)));
        align(&times.0, &times.1, *delay, |i, j| {
            let (Some(of_source), Some(of_tap)) = (sources.get(i), taps.get(j)) else { return };
            let agrees = source.get(*of_source).zip(tap.get(*of_tap));
            if agrees.is_some_and(|(source, tap)| agree(source, tap)) {
                source.settle(*of_source, Fate::Paired, *of_tap);
                tap.settle(*of_tap, Fate::Paired, *of_source);
            }
        });
    }
}

/// Pairs the places of two lists of times, both in their order; all of the shorter one.
fn align(sources: &[i64], taps: &[i64], delay: Option<i64>, mut pair: impl FnMut(usize, usize)) {
    let miss = |i: usize, j: usize| match (sources.get(i), taps.get(j), delay) {
        (Some(source), Some(tap), Some(delay)) => {
            tap.saturating_sub(*source).saturating_sub(delay).unsigned_abs()
        }
        // Without a delay to go by none fits better than another.
        (Some(_), Some(_), None) => 0,
        _ => u64::MAX,
    };
    // Of copies the first is the packet, however much it is late. A frame is no packet's first that
    // fits the one before better, or where another fits better that is no copy of it.
    let is_surplus = |i: usize, j: usize| {
        let copy = |(this, next): (&i64, &i64)| next.saturating_sub(*this) <= COPIES_WITHIN_NANOS;
        let fits_before = i.checked_sub(1).is_some_and(|before| miss(before, j) < miss(i, j));
        let next_is_copy = taps.get(j).zip(taps.get(j + 1)).is_some_and(copy);
        fits_before || (!next_is_copy && miss(i, j + 1) < miss(i, j))
    };
    let (mut i, mut j) = (0, 0);
    while i < sources.len() && j < taps.len() {
        while sources.len() - i > taps.len() - j && miss(i + 1, j) < miss(i, j) {
            i += 1;
        }
        while taps.len() - j > sources.len() - i && is_surplus(i, j) {
            j += 1;
        }
        pair(i, j);
        i += 1;
        j += 1;
    }
}

/// Positions of both captures by key; only keys that both have.
pub(crate) struct Groups {
    sources: Lists,
    taps: Lists,
}

impl Groups {
    /// Of the open packets.
    pub(crate) fn new(
        source: &Side,
        tap: &Side,
        source_key: impl Fn(&Digest) -> Option<Key>,
        tap_key: impl Fn(&Digest) -> Option<Key>,
    ) -> Self {
        let mut groups: HashMap<Key, u32, RandomState> =
            HashMap::with_hasher(RandomState::default());
        let mut sources = Vec::new();
        for (at, digest) in source.open() {
            if let Some(key) = source_key(digest) {
                // No more groups than packets.
                let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
                sources.push((*groups.entry(key).or_insert(next), at));
            }
        }
        let taps: Vec<_> = tap
            .open()
            .filter_map(|(at, digest)| Some((*groups.get(&tap_key(digest)?)?, at)))
            .collect();
        let count = groups.len();
        drop(groups);
        Self { sources: Lists::new(count, &sources), taps: Lists::new(count, &taps) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u32], &[u32])> {
        self.sources.iter().zip(self.taps.iter()).filter(|(_, taps)| !taps.is_empty())
    }

    /// The median over keys that one packet on each side has; where there are none, over the
    /// first of every key.
    fn usual_delay(&self, source: &Side, tap: &Side) -> Option<i64> {
        let of = |(sources, taps): (&[u32], &[u32])| {
            let (source, tap) = (source.get(*sources.first()?)?, tap.get(*taps.first()?)?);
            agree(source, tap).then(|| tap.nanos().saturating_sub(source.nanos()))
        };
        let lone = |(sources, taps): &(&[u32], &[u32])| sources.len() == 1 && taps.len() == 1;
        let mut delays: Vec<_> = self.iter().filter(lone).filter_map(of).collect();
        if delays.is_empty() {
            delays = self.iter().filter_map(of).collect();
        }
        let middle = delays.len().checked_sub(1)? / 2;
        Some(*delays.select_nth_unstable(middle).1)
    }
}

/// Many lists in two arrays.
struct Lists {
    /// Where each list ends.
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Lists {
    /// From pairs of list and item; items keep their order.
    fn new(lists: usize, pairs: &[(u32, u32)]) -> Self {
        let mut ends = vec![0_u32; lists + 1];
        for (list, _) in pairs {
            if let Some(len) = ends.get_mut(*list as usize + 1) {
                *len += 1;
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut items = vec![0; pairs.len()];
        for (list, item) in pairs {
            // The start of each list moves to its end.
            if let Some(at) = ends.get_mut(*list as usize) {
                if let Some(place) = items.get_mut(*at as usize) {
                    *place = *item;
                }
                *at += 1;
            }
        }
        ends.truncate(lists);
        Self { ends, items }
    }

    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.items.get(start as usize..*end as usize).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(sources: &[i64], taps: &[i64], delay: Option<i64>) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        align(sources, taps, delay, |i, j| pairs.push((i, j)));
        pairs
    }

    #[test]
    fn lists_keep_the_order_of_their_items() {
        let lists = Lists::new(3, &[(2, 10), (0, 11), (2, 12), (0, 13)]);
        let lists: Vec<_> = lists.iter().collect();
        assert_eq!(lists, [&[11, 13][..], &[], &[10, 12]]);
    }

    #[test]
    fn as_many_on_both_sides_are_paired_in_order() {
        assert_eq!(aligned(&[0, 10], &[500, 505], Some(5)), [(0, 0), (1, 1)]);
    }

    #[test]
    fn what_fits_the_usual_delay_least_is_left_over() {
        assert_eq!(aligned(&[0, 100, 200], &[5, 205], Some(5)), [(0, 0), (2, 1)]);
        assert_eq!(aligned(&[0, 100], &[5, 7, 105, 107], Some(5)), [(0, 0), (1, 2)]);
        assert_eq!(aligned(&[0, 100, 200], &[5, 205], None), [(0, 0), (1, 1)]);
        let far = 1_000_000_000;
        assert_eq!(aligned(&[far], &[5, far + 5], Some(5)), [(0, 1)]);
    }

    #[test]
    fn of_copies_the_first_is_the_packet_even_if_the_second_fits_better() {
        assert_eq!(aligned(&[100], &[101, 105], Some(5)), [(0, 0)]);
        assert_eq!(aligned(&[0, 100], &[1, 5, 101, 105], Some(5)), [(0, 0), (1, 2)]);
    }
}
