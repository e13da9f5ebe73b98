//! Where packets were seen: by which tap, at which place of capture.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vtap_packet::Packet;

/// Taps, or places, that are told apart; what is beyond counts as one.
const MOST: u16 = u16::MAX;

/// Number of a tap, in the order of their first packets; 0 stands for packets that were not
/// mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TapId(pub(crate) u16);

impl TapId {
    /// Of packets that were not mirrored.
    pub(crate) const NONE: Self = Self(0);
}

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) tap: TapId,
    /// Number of the [place of capture](Packet::place).
    pub(crate) place: u16,
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
        let nowhere = Sight { tap: TapId::NONE, place: 0 };
        let recent = Box::new([(None, u32::MAX, nowhere); RECENT]);
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
    fn look_up(&mut self, at: usize, tap: Option<IpAddr>, interface: u32) -> Sight {
        let next = |len: usize| u16::try_from(len).unwrap_or(MOST).saturating_add(1);
        let tap_id = tap.map_or(0, |tap| {
            let number = next(self.taps.len());
            match self.taps.get(&tap) {
                Some(known) => *known,
                None if number == MOST => MOST,
                None => *self.taps.entry(tap).or_insert(number),
            }
        });
        let number = next(self.places.len());
        let place = match self.places.get(&interface) {
            Some(known) => *known,
            None if number == MOST => MOST,
            None => *self.places.entry(interface).or_insert(number),
        };
        let sight = Sight { tap: TapId(tap_id), place };
        if let Some(recent) = self.recent.get_mut(at) {
            *recent = (tap, interface, sight);
        }
        sight
    }
}
