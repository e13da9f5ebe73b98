//! Flows whose addresses or ports at the tap are other ones than at the source.
//!
//! A mirror behind a NAT gateway shows packets after their translation. A flow none of whose
//! packets was matched is looked for among such flows of the tap by what translation leaves alone
//! ([`Key::untranslated`]). Each packet that fits votes; a flow becomes the one that most of its
//! packets vote for, both halves of it together, and no two flows become the same.

use std::collections::BTreeMap;

use crate::digest::Names;
use crate::half::Half;
use crate::key::Key;
use crate::pairing::Groups;
use crate::side::{Fate, Side};

/// From halves of the source to those of the tap.
pub(crate) type Translation = BTreeMap<u32, u32>;

/// Finds the flows that were translated.
pub(crate) fn translation(source: &Side, tap: &Side, names: &mut Names) -> Translation {
    let (known_source, known_tap) = (known(source, names), known(tap, names));
    let is_open = |known: &[bool], half: u32| known.get(half as usize) == Some(&false);
    let groups = Groups::new(
        source,
        tap,
        |digest| is_open(&known_source, digest.half).then(|| Key::untranslated(digest)).flatten(),
        |digest| is_open(&known_tap, digest.half).then(|| Key::untranslated(digest)).flatten(),
    );
    let mut votes: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (sources, taps) in groups.iter() {
        for (of_source, of_tap) in sources.iter().zip(taps) {
            let halves = source.get(*of_source).zip(tap.get(*of_tap));
            if let Some((source, tap)) = halves
                && let Some(flows) = oriented(source.half, tap.half, names)
            {
                *votes.entry(flows).or_default() += 1;
            }
        }
    }
    elect(votes, names)
}

/// Halves with a match in either direction, and those without IP.
fn known(side: &Side, names: &mut Names) -> Vec<bool> {
    let mut matched = vec![false; names.halves.len()];
    for (_, digest, _) in side.all().filter(|(_, _, of)| of.fate != Fate::Open) {
        if let Some(known) = matched.get_mut(digest.half as usize) {
            *known = true;
        }
    }
    let mut known = matched.clone();
    for (number, matched) in (0..).zip(matched) {
        match names.halves.get(number) {
            Some(Half::Link(_)) => mark(&mut known, number),
            Some(half) if matched => {
                let reversed = names.halves.number(half.reversed());
                mark(&mut known, reversed);
            }
            _ => {}
        }
    }
    known
}

fn mark(known: &mut [bool], half: u32) {
    // A half that no packet has is behind the end.
    if let Some(known) = known.get_mut(half as usize) {
        *known = true;
    }
}

/// Both halves, or both of the other direction: a vote of either is for the same two flows.
fn oriented(source: u32, tap: u32, names: &mut Names) -> Option<(u32, u32)> {
    let (of_source, of_tap) = (names.halves.get(source)?, names.halves.get(tap)?);
    if of_source.protocol() != of_tap.protocol() {
        return None;
    }
    let reversed = names.halves.number(of_source.reversed());
    if source <= reversed {
        return Some((source, tap));
    }
    Some((reversed, names.halves.number(of_tap.reversed())))
}

fn elect(votes: BTreeMap<(u32, u32), u64>, names: &mut Names) -> Translation {
    let mut votes: Vec<_> = votes.into_iter().collect();
    votes.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
    let mut translation = Translation::new();
    let mut taken = std::collections::BTreeSet::new();
    for ((source, tap), _) in votes {
        let (Some(of_source), Some(of_tap)) = (names.halves.get(source), names.halves.get(tap))
        else {
            continue;
        };
        if translation.contains_key(&source) || taken.contains(&tap) {
            continue;
        }
        let back = [of_source.reversed(), of_tap.reversed()].map(|half| names.halves.number(half));
        let [source_back, tap_back] = back;
        translation.extend([(source, tap), (source_back, tap_back)]);
        taken.extend([tap, tap_back]);
    }
    translation
}
