//! Which of the cards next to a tap are gateways.
//!
//! A card that the file names belongs to its gateway. So does one that carries packets from or to a
//! gateway's own addresses, unless it does so for two gateways. Any other that carries packets for
//! many addresses is a gateway without a name: a machine has one address or a few.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use vtap_packet::Mac;

use crate::networks::Networks;

/// A card that carries packets of this many addresses is a gateway. A machine with several
/// addresses has fewer, most of them.
pub(crate) const GATEWAY_ADDRESSES: usize = 8;
/// Cards that are watched.
const MAX_CARDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);
/// What every guest of the cloud sees as its router, whatever comes after it. It stands for no
/// gateway in particular.
const PLATFORM_ROUTER: Mac = Mac([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);

/// The cards that were seen next to taps.
#[derive(Debug)]
pub(crate) struct Neighbours(LruCache<Mac, Carried>);

/// What a card carries packets for.
#[derive(Debug, Default)]
struct Carried {
    /// Far addresses, up to [`GATEWAY_ADDRESSES`].
    addresses: Vec<IpAddr>,
    /// Set once they are that many: how the gateway is called.
    inferred: Option<Arc<str>>,
    gateway: Own,
}

/// The gateway whose own addresses a card carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Own {
    #[default]
    Unseen,
    Of(usize),
    /// Those of several: it is in front of them, and none of them.
    OfSeveral,
}

/// What a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Station {
    /// A gateway of the file, by its index.
    Gateway(usize),
    /// A gateway that the file does not have.
    Inferred(Mac, Arc<str>),
    /// A machine, as far as is known.
    Machine(Mac),
}

impl Neighbours {
    pub(crate) fn new() -> Self {
        Self(LruCache::new(MAX_CARDS))
    }

    /// A card has carried a packet to or from an address that is not the tap's.
    pub(crate) fn carries(&mut self, mac: Mac, far: IpAddr, networks: &Networks) {
        let carried = self.0.get_or_insert_mut(mac, Carried::default);
        if let Some(gateway) = networks.gateway_at(far).filter(|_| mac != PLATFORM_ROUTER) {
            carried.gateway = match carried.gateway {
                Own::Of(other) if other != gateway => Own::OfSeveral,
                Own::OfSeveral => Own::OfSeveral,
                Own::Unseen | Own::Of(_) => Own::Of(gateway),
            };
        }
        if carried.inferred.is_none() && !carried.addresses.contains(&far) {
            carried.addresses.push(far);
            if carried.addresses.len() == GATEWAY_ADDRESSES {
                carried.inferred = Some(format!("mac {mac}").into());
                carried.addresses = Vec::new();
            }
        }
    }

    /// What a card is, by all that was seen so far.
    pub(crate) fn station(&mut self, mac: Mac, networks: &Networks) -> Station {
        if let Some(gateway) = networks.gateway_with(mac) {
            return Station::Gateway(gateway);
        }
        match self.0.get(&mac) {
            Some(Carried { gateway: Own::Of(gateway), .. }) => Station::Gateway(*gateway),
            Some(Carried { inferred: Some(name), .. }) => Station::Inferred(mac, name.clone()),
            _ => Station::Machine(mac),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn mac(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    fn address(n: u32) -> IpAddr {
        (0x0a00_0000 + n).to_be_bytes().into()
    }

    #[test]
    fn a_card_that_carries_many_addresses_is_a_gateway() {
        let (mut seen, networks) = (Neighbours::new(), Networks::default());
        for n in 1..=8 {
            assert_eq!(seen.station(mac(1), &networks), Station::Machine(mac(1)), "{n}");
            for _ in 0..3 {
                seen.carries(mac(1), address(n), &networks);
            }
        }
        let name = "mac 02:00:00:00:00:01".into();
        assert_eq!(seen.station(mac(1), &networks), Station::Inferred(mac(1), name));
    }

    #[test]
    fn a_gateways_own_addresses_show_its_cards_unless_they_are_those_of_two() {
        let text = "
            [[gateway]]
            name = 'a'
            kind = 'firewall'
            addresses = ['10.0.0.0/28']
            [[gateway]]
            name = 'b'
            kind = 'vpn'
            addresses = ['10.0.0.16']
        ";
        let networks = Networks::parse(Path::new("networks.toml"), text).unwrap();
        let mut seen = Neighbours::new();
        seen.carries(mac(1), address(4), &networks);
        assert_eq!(seen.station(mac(1), &networks), Station::Gateway(0));
        seen.carries(mac(1), address(200), &networks);
        assert_eq!(seen.station(mac(1), &networks), Station::Gateway(0));
        seen.carries(mac(1), address(16), &networks);
        assert_eq!(seen.station(mac(1), &networks), Station::Machine(mac(1)));
        seen.carries(PLATFORM_ROUTER, address(4), &networks);
        assert_eq!(seen.station(PLATFORM_ROUTER, &networks), Station::Machine(PLATFORM_ROUTER));
    }

    #[test]
    fn a_flood_of_cards_and_addresses_stays_bounded() {
        let (mut seen, networks) = (Neighbours::new(), Networks::default());
        for n in 0..100_000 {
            seen.carries(mac(n), address(n), &networks);
            seen.carries(mac(7), address(n), &networks);
        }
        assert_eq!(seen.0.len(), MAX_CARDS.get());
        assert!(seen.0.iter().all(|(_, carried)| carried.addresses.len() < GATEWAY_ADDRESSES));
        assert!(matches!(seen.station(mac(7), &networks), Station::Inferred(..)));
    }
}
