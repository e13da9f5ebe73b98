//! Packets that a mirror delivers in another order (RFC 4737).

use crate::side::{Fate, Side};

/// Reordering, as RFC 4737 defines it (Type-P-Reordered): a packet is reordered if one that
/// followed it in the source has come to the tap before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reordered {
    /// Packets that came behind a later one.
    pub packets: u64,
    /// Of these, packets that came behind a later one of their own half: this is what TCP notices.
    pub within_half: u64,
    /// The largest reordering extent (section 4.2): packets from the earliest arrival that should
    /// have come after it, to the packet itself. 0 where none is reordered.
    pub largest_extent: u64,
    /// Number in the source of the packet with that extent.
    pub furthest: Option<u64>,
}

impl Reordered {
    pub(crate) fn of(source: &Side, halves: usize) -> Self {
        let there = |fate| matches!(fate, Fate::Paired | Fate::Resegmented);
        // Position at the tap, then in the source. Nearly sorted, so sorting takes linear time.
        let mut arrivals: Vec<_> = source
            .all()
            .filter(|(_, _, of)| there(of.fate))
            .map(|(at, _, of)| (of.partner, at))
            .collect();
        arrivals.sort();

        let mut all = Self::default();
        let mut latest_of_half = vec![None; halves];
        // Arrivals that were later in the source than all before them: by arrival and in the source.
        let mut latest: Vec<(u64, u32)> = Vec::new();
        for (arrival, (_, at)) in (0..).zip(arrivals) {
            if let Some(digest) = source.get(at)
                && let Some(latest) = latest_of_half.get_mut(digest.half as usize)
            {
                all.within_half += u64::from(latest.is_some_and(|latest| at < latest));
                *latest = Some(latest.map_or(at, |latest: u32| latest.max(at)));
            }
            if latest.last().is_none_or(|(_, latest)| at > *latest) {
                latest.push((arrival, at));
                continue;
            }
            all.packets += 1;
            let overtook = latest.partition_point(|(_, latest)| *latest < at);
            let extent = latest.get(overtook).map_or(0, |(first, _)| arrival - first);
            if extent > all.largest_extent {
                all.largest_extent = extent;
                all.furthest = source.get(at).map(|digest| digest.number);
            }
        }
        all
    }
}
