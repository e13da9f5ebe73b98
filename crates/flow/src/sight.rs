//! Where packets were seen: by which tap, at which place of capture.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use vtap_packet::Packet;

/// Taps that are told apart; what is beyond counts as one.
const TAPS: u16 = 4095;

/// Places that are told apart; what is beyond counts as one.
const PLACES: u16 = 15;

/// Number of a tap, in the order of their first packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TapId(pub(crate) u16);

impl TapId {
    /// Of packets that were not mirrored.
    pub(crate) const NONE: Self = Self(0);
}

/// Where a packet was seen: the number of the tap in the upper 12 bits, that of the
/// [place of capture](Packet::place) in the lower 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight(u16);

impl Sight {
    pub(crate) const NOWHERE: Self = Self(0);

    pub(crate) const fn tap(self) -> TapId {
        TapId(self.0 >> 4)
    }

    pub(crate) const fn place(self) -> u16 {
        self.0 & PLACES
    }
}

/// Gives out the numbers.
#[derive(Debug)]
pub(crate) struct Sights {
    taps: BTreeMap<IpAddr, u16>,
    places: BTreeMap<u32, u16>,
    /// IPv4 taps met of late, by some bits of tap and place.
    recent: Box<[(Ipv4Place, Sight); RECENT]>,
    /// The last that was no IPv4 tap: an IPv6 one, or none.
    other: (Option<IpAddr>, u32, Sight),
}

/// The address of a tap and the place of capture: one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ipv4Place(u64);

const RECENT: usize = 64;

impl Ipv4Place {
    /// Some bits of it, below [`RECENT`].
    #[inline(always)]
    const fn bits(self) -> usize {
        ((self.0 >> 32 ^ self.0) & 0xffff_ffff) as usize % RECENT
    }
}

impl Sights {
    pub(crate) fn new() -> Self {
        let recent = Box::new([(Ipv4Place(u64::MAX), Sight::NOWHERE); RECENT]);
        let other = (None, u32::MAX, Sight::NOWHERE);
        Self { taps: BTreeMap::new(), places: BTreeMap::new(), recent, other }
    }

    #[inline(always)]
    pub(crate) fn of(&mut self, packet: &Packet<'_>) -> Sight {
        let place = packet.interface;
        let tap = packet.tunnel.map(|tunnel| tunnel.src);
        let Some(IpAddr::V4(v4)) = tap else { return self.of_other(tap, place) };
        let met = Ipv4Place(u64::from(v4.to_bits()) << 32 | u64::from(place));
        match self.recent.get(met.bits()) {
            Some((known, sight)) if *known == met => *sight,
            _ => self.meet(met, v4, place),
        }
    }

    #[inline(never)]
    fn of_other(&mut self, tap: Option<IpAddr>, place: u32) -> Sight {
        if (self.other.0, self.other.1) != (tap, place) {
            self.other = (tap, place, self.look_up(tap, place));
        }
        self.other.2
    }

    #[inline(never)]
    fn meet(&mut self, met: Ipv4Place, tap: Ipv4Addr, place: u32) -> Sight {
        let sight = self.look_up(Some(tap.into()), place);
        if let Some(recent) = self.recent.get_mut(met.bits()) {
            *recent = (met, sight);
        }
        sight
    }

    #[inline(never)]
    fn look_up(&mut self, tap: Option<IpAddr>, place: u32) -> Sight {
        let tap = tap.map_or(0, |tap| number(&mut self.taps, tap, TAPS));
        Sight(tap << 4 | number(&mut self.places, place, PLACES))
    }
}

/// Number of one of these, from 1; all share the last.
fn number<T: Ord>(known: &mut BTreeMap<T, u16>, new: T, last: u16) -> u16 {
    let next = u16::try_from(known.len()).unwrap_or(last).saturating_add(1);
    match known.get(&new) {
        Some(number) => *number,
        None if next >= last => last,
        None => *known.entry(new).or_insert(next),
    }
}
