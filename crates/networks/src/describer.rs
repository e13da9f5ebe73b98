//! From a record to what is known of it.

use std::net::IpAddr;
use std::sync::Arc;

use vtap_flow::event::Side;
use vtap_flow::{Answer, Record};

use crate::cards::{self, Cards, Neighbour};
use crate::description::{Description, End, Way};
use crate::names::Names;
use crate::neighbours::{Neighbours, Station};
use crate::networks::{Networks, Place};
use crate::{kind, path, platform};

/// Says what the addresses and cards of records are, by a file and by what the traffic has shown.
///
/// Call [`answer`](Self::answer) and [`describe`](Self::describe) in the order of packets: a record
/// is described by what was learnt before it, so a gateway that the file does not have is told only
/// once it has carried enough. It keeps names of 65,536 addresses, 16,384 cards and 4,096 taps.
#[derive(Debug)]
pub struct Describer {
    networks: Networks,
    names: Names,
    cards: Cards,
    neighbours: Neighbours,
}

impl Describer {
    /// With what a file says, or [`Networks::default`].
    pub fn new(networks: Networks) -> Self {
        let (names, cards) = (Names::new(), Cards::new());
        Self { networks, names, cards, neighbours: Neighbours::new() }
    }

    /// What the file says.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Learns names from a DNS answer.
    pub fn answer(&mut self, answer: &Answer) {
        self.names.answer(answer);
    }

    /// Learns from a record, and tells what is known of it.
    pub fn describe(&mut self, record: &Record) -> Description {
        let view = self.cards.view(record);
        let (there, back) = (view.to_server, view.to_client);
        // Most often it is one machine both ways.
        let is_one = there
            .zip(back)
            .is_some_and(|(there, back)| (there.mac, there.far) == (back.mac, back.far));
        for neighbour in [there, back.filter(|_| !is_one)].into_iter().flatten() {
            let far = address(record, neighbour.far);
            if !platform::owns(far) && !far.is_multicast() {
                self.neighbours.carries(neighbour.mac, far, &self.networks);
            }
        }
        let to_server = self.station(there);
        let to_client = match &to_server {
            Some((_, station)) if is_one => back.map(|back| (back, station.clone())),
            _ => self.station(back),
        };
        let asymmetric_path = match (&to_server, &to_client) {
            (Some((there, to)), Some((back, from))) => {
                path::is_asymmetric((there, to), (back, from), &self.networks)
            }
            _ => false,
        };
        let [client, server] = [Side::Client, Side::Server].map(|side| located(record, side));
        Description {
            client: self.end(record, Side::Client),
            server: self.end(record, Side::Server),
            flow_type: kind::flow_type(client, server, &self.networks),
            nic: view.nic,
            direction: view.direction,
            to_server: self.way(record, to_server),
            to_client: self.way(record, to_client),
            asymmetric_path,
        }
    }

    fn station(&mut self, neighbour: Option<Neighbour>) -> Option<(Neighbour, Station)> {
        let neighbour = neighbour?;
        Some((neighbour, self.neighbours.station(neighbour.mac, &self.networks)))
    }

    fn way(&self, record: &Record, hop: Option<(Neighbour, Station)>) -> Way {
        let via = hop.and_then(|(neighbour, station)| match station {
            Station::Gateway(gateway) => {
                let end = self.networks.gateway_at(address(record, neighbour.far));
                let gateway =
                    self.networks.gateways().get(gateway).filter(|_| end != Some(gateway));
                gateway.map(|gateway| gateway.name.clone())
            }
            Station::Inferred(_, name) => Some(name),
            Station::Machine(_) => None,
        });
        Way { via }
    }

    fn end(&mut self, record: &Record, side: Side) -> End {
        let at = match side {
            Side::Client => record.client,
            Side::Server => record.server,
        };
        let mut end = End {
            name: self.name(record, at.ip()),
            label: platform::label(at, side, record.protocol, !record.midstream),
            ..End::default()
        };
        match self.networks.place(located(record, side)) {
            Some(Place::VNet { name, subnet }) => {
                end.vnet = Some(name.clone());
                end.subnet.clone_from(subnet);
            }
            Some(Place::OnPremises) => end.on_premises = true,
            Some(Place::VpnClient | Place::AzurePublic) | None => {}
        }
        end
    }

    fn name(&mut self, record: &Record, address: IpAddr) -> Option<Arc<str>> {
        let said = self.networks.name(address).cloned();
        said.or_else(|| self.names.name(address, record.start).cloned())
    }
}

fn address(record: &Record, side: Side) -> IpAddr {
    match side {
        Side::Client => record.client.ip(),
        Side::Server => record.server.ip(),
    }
}

/// The address by which an end is looked up in the networks. Behind a translation that is the tap's.
fn located(record: &Record, side: Side) -> IpAddr {
    let behind = cards::tap(record).filter(|_| record.egress_only && side == Side::Client);
    behind.unwrap_or_else(|| address(record, side))
}

#[cfg(test)]
mod tests;
