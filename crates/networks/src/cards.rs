//! Which network card a tap is, and who stands next to it.
//!
//! A tap is known by the outer source address of what it mirrors, which is the tapped machine's for
//! both directions. So a packet whose sender has that address left by the tapped card, and one whose
//! receiver has it reached that card. A router, or a machine with more addresses, shows packets of
//! others as well: its card is the one that it was seen to be, or else the one that stands at an end
//! of everything that it shows.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use lru::LruCache;
use vtap_flow::event::Side;
use vtap_flow::record::{Link, Record};
use vtap_packet::Mac;

use crate::Direction;

/// Taps whose cards are kept.
const MAX_TAPS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// What is known of the cards of taps.
#[derive(Debug)]
pub(crate) struct Cards(LruCache<IpAddr, Card>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Card {
    Known(Mac),
    /// One of the two: both were at the ends of every packet so far.
    Either(Mac, Mac),
}

/// A flow as its tap sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// The tapped card.
    pub(crate) nic: Option<Mac>,
    /// The way of the client's packets, as seen from that card.
    pub(crate) direction: Direction,
    /// Who stands next to the card on the way of the client's packets.
    pub(crate) to_server: Option<Neighbour>,
    /// And on the way of the server's.
    pub(crate) to_client: Option<Neighbour>,
}

/// The card at the other end of a packet's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// Its address.
    pub(crate) mac: Mac,
    /// Who shows it; `None` if the packet was not mirrored.
    pub(crate) tap: Option<IpAddr>,
    /// The end of the flow that it stands for.
    pub(crate) far: Side,
    /// Whether packets go to it, or come from it.
    pub(crate) is_next: bool,
}

impl Cards {
    pub(crate) fn new() -> Self {
        Self(LruCache::new(MAX_TAPS))
    }

    /// Learns from a record, and tells what its tap sees.
    pub(crate) fn view(&mut self, record: &Record) -> View {
        let links = [(Side::Client, record.to_server.link), (Side::Server, record.to_client.link)];
        let links = links.map(|(sender, link)| {
            let link = link?;
            Some((sender, link, by_address(record, sender, &link)))
        });
        let mut known = None;
        for (_, link, proven) in links.iter().flatten() {
            let Some(tap) = link.tap.filter(|_| !link.dst.is_group()) else { continue };
            match *proven {
                // Most often both directions prove one card.
                Some(mac) if known == Some((tap, mac)) => {}
                Some(mac) => {
                    self.0.put(tap, Card::Known(mac));
                    known = Some((tap, mac));
                }
                None => self.narrow(tap, link),
            }
        }
        let mut leaves = [None; 2];
        let mut view = View::default();
        for (link, leaves) in links.into_iter().zip(&mut leaves) {
            let Some((sender, link, proven)) = link else { continue };
            let Some(card) = proven.or_else(|| self.card(&link)) else { continue };
            let is_next = card == link.src;
            let (mac, far) = if is_next { (link.dst, sender.peer()) } else { (link.src, sender) };
            *leaves = Some(is_next);
            view.nic = view.nic.or(Some(card));
            let neighbour = Neighbour { mac, tap: link.tap, far, is_next };
            let neighbour = (!mac.is_group()).then_some(neighbour);
            match sender {
                Side::Client => view.to_server = neighbour,
                Side::Server => view.to_client = neighbour,
            }
        }
        let inbound = match (tap(record), leaves) {
            (Some(tap), _) if tap == record.client.ip() => false,
            (Some(tap), _) if tap == record.server.ip() => true,
            // The client's packets arrive, or the server's leave.
            (_, [Some(leaves), _]) => !leaves,
            (_, [None, Some(leaves)]) => leaves,
            (_, [None, None]) => false,
        };
        if inbound {
            view.direction = Direction::Inbound;
        }
        view
    }

    /// The card of the tap that has shown a packet, of which the packet's addresses say nothing.
    fn card(&mut self, link: &Link) -> Option<Mac> {
        match self.0.get(&link.tap?)? {
            Card::Known(mac) => [link.src, link.dst].contains(mac).then_some(*mac),
            Card::Either(..) => None,
        }
    }

    /// Learns from a packet that does not tell by itself which of its two cards the tap's is.
    fn narrow(&mut self, tap: IpAddr, link: &Link) {
        let ends = [link.src, link.dst];
        let known = self.0.get(&tap).copied();
        let now = match known {
            Some(Card::Known(mac)) if ends.contains(&mac) => return,
            Some(Card::Either(a, b)) => match [a, b].map(|mac| ends.contains(&mac)) {
                [true, true] => return,
                [true, false] => Card::Known(a),
                [false, true] => Card::Known(b),
                [false, false] => Card::Either(link.src, link.dst),
            },
            // Another machine has taken over the address, or none was seen yet.
            Some(Card::Known(_)) | None => Card::Either(link.src, link.dst),
        };
        self.0.put(tap, now);
    }
}

/// The tap that has shown the client's packets, or whatever there is of the flow.
pub(crate) fn tap(record: &Record) -> Option<IpAddr> {
    let link = record.to_server.link.or(record.to_client.link);
    link.map_or_else(|| record.tunnel.map(|tunnel| tunnel.src), |link| link.tap)
}

/// The card that one packet proves by itself.
///
/// Without an envelope nothing tells where it was captured: the client's card stands for it.
fn by_address(record: &Record, sender: Side, link: &Link) -> Option<Mac> {
    let [from, to] = match sender {
        Side::Client => [record.client.ip(), record.server.ip()],
        Side::Server => [record.server.ip(), record.client.ip()],
    };
    let leaves = match link.tap {
        None => sender == Side::Client,
        Some(tap) if tap == from => true,
        Some(tap) if tap == to => false,
        Some(_) if record.egress_only => true,
        Some(_) => return None,
    };
    Some(if leaves { link.src } else { link.dst })
}
