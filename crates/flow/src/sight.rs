//! Where packets were seen: by which tap, at which place of capture.

use std::collections::BTreeMap;
use std::net::IpAddr;

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
    /// Those met of late, by some bits of both.
    recent: Box<[Met; RECENT]>,
}

/// A tap at a place.
type Met = (Option<IpAddr>, u32, Sight);

const RECENT: usize = 64;

impl Sights {
    pub(crate) fn new() -> Self {
        let recent = Box::new([(None, u32::MAX, Sight::NOWHERE); RECENT]);
        Self { taps: BTreeMap::new(), places: BTreeMap::new(), recent }
    }

    #[inline(always)]
    pub(crate) fn of(&mut self, packet: &Packet<'_>) -> Sight {
        let tap = packet.tunnel.map(|tunnel| tunnel.src);
        let place = packet.interface;
        let bits = match tap {
            Some(IpAddr::V4(v4)) => v4.to_bits(),
            Some(IpAddr::V6(v6)) => (v6.to_bits() & 0xffff_ffff) as u32,
            None => 0,
        };
        let at = (bits ^ place) as usize % RECENT;
        match self.recent.get(at) {
            Some((known_tap, known_place, sight)) if (*known_tap, *known_place) == (tap, place) => {
                *sight
            }
            _ => self.look_up(at, tap, place),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, at: usize, tap: Option<IpAddr>, place: u32) -> Sight {
        let tap_id = tap.map_or(0, |tap| number(&mut self.taps, tap, TAPS));
        let sight = Sight(tap_id << 4 | number(&mut self.places, place, PLACES));
        if let Some(recent) = self.recent.get_mut(at) {
            *recent = (tap, place, sight);
        }
        sight
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
