//! Between what kinds of networks a flow is, by the rules of traffic analytics.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use crate::networks::{Networks, Place};
use crate::{FlowType, platform};

/// 100.64.0.0/10, shared by carriers and their customers (RFC 6598).
const SHARED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

/// What is between two addresses.
///
/// A range of the file goes before what an address is by itself, so that a network of public
/// addresses is the network that it is. A VPN client decides before a site, and a site before the
/// rest: traffic between two sites, or between a site and the Internet, is the site's.
pub(crate) fn flow_type(client: IpAddr, server: IpAddr, networks: &Networks) -> FlowType {
    let ranges = [client, server].map(|address| (address, networks.place(address)));
    if ranges.iter().all(|(_, range)| range.is_none()) {
        return FlowType::Unknown;
    }
    let places = ranges.map(|(address, range)| place(address, range));
    let known = places.iter().any(|place| {
        matches!(place, Of::Range(Place::VNet { .. } | Place::OnPremises | Place::VpnClient))
    });
    let has = |wanted: &Place| {
        places.iter().any(|place| matches!(place, Of::Range(place) if *place == wanted))
    };
    match &places {
        [Of::Range(Place::VNet { name: a, .. }), Of::Range(Place::VNet { name: b, .. })] => {
            if a == b { FlowType::IntraVNet } else { FlowType::InterVNet }
        }
        _ if !known => FlowType::Unknown,
        _ if has(&Place::VpnClient) => FlowType::P2S,
        _ if has(&Place::OnPremises) => FlowType::S2S,
        _ if has(&Place::AzurePublic) || places.contains(&Of::Platform) => FlowType::AzurePublic,
        _ if places.contains(&Of::Private) => FlowType::UnknownPrivate,
        _ => FlowType::ExternalPublic,
    }
}

/// Where an address lies, or what it is by itself.
#[derive(Debug, PartialEq)]
enum Of<'a> {
    Range(&'a Place),
    Platform,
    Private,
    Public,
}

fn place(address: IpAddr, range: Option<&Place>) -> Of<'_> {
    match range {
        _ if platform::owns(address) => Of::Platform,
        Some(place) => Of::Range(place),
        None if is_private(address) => Of::Private,
        None => Of::Public,
    }
}

/// Whether the Internet does not know an address: private (RFC 1918), unique local (RFC 4193),
/// link-local, shared (RFC 6598), of the machine itself, of a group.
fn is_private(address: IpAddr) -> bool {
    let of_its_family = match address {
        IpAddr::V4(v4) => {
            v4.is_private() || v4.is_link_local() || v4.is_broadcast() || SHARED.contains(&v4)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    of_its_family || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn flow_types_follow_the_networks() {
        let networks = Networks::parse(Path::new("example.toml"), Networks::EXAMPLE).unwrap();
        let table = [
            ("10.10.1.4", "10.10.4.5", FlowType::IntraVNet),
            ("10.10.1.4", "10.12.0.4", FlowType::InterVNet),
            ("fd00:db8:12::4", "10.12.0.4", FlowType::IntraVNet),
            ("10.12.0.4", "192.168.3.3", FlowType::S2S),
            ("192.168.3.3", "172.16.0.1", FlowType::S2S),
            ("192.168.3.3", "1.1.1.1", FlowType::S2S),
            ("172.16.201.9", "10.12.0.4", FlowType::P2S),
            ("172.16.201.9", "192.168.3.3", FlowType::P2S),
            ("10.12.0.4", "20.150.4.4", FlowType::AzurePublic),
            ("168.63.129.16", "10.12.0.4", FlowType::AzurePublic),
            ("10.12.0.4", "169.254.169.254", FlowType::AzurePublic),
            ("10.12.0.4", "20.118.99.224", FlowType::AzurePublic),
            ("10.12.0.4", "1.1.1.1", FlowType::ExternalPublic),
            ("2606:4700::1111", "fd00:db8:12::4", FlowType::ExternalPublic),
            ("10.12.0.4", "10.99.0.1", FlowType::UnknownPrivate),
            ("10.12.0.4", "100.64.0.1", FlowType::UnknownPrivate),
            ("10.12.0.4", "169.254.21.5", FlowType::UnknownPrivate),
            ("10.12.0.4", "255.255.255.255", FlowType::UnknownPrivate),
            ("fd00:db8:12::4", "fd99::1", FlowType::UnknownPrivate),
            ("fe80::1", "fe80::2", FlowType::Unknown),
            ("10.99.0.1", "10.99.0.2", FlowType::Unknown),
            ("10.99.0.1", "1.1.1.1", FlowType::Unknown),
            ("20.150.4.4", "1.1.1.1", FlowType::Unknown),
        ];
        for (a, b, expected) in table {
            let [first, second] = [a, b].map(|text| text.parse().unwrap());
            assert_eq!(flow_type(first, second, &networks), expected, "{a} {b}");
            assert_eq!(flow_type(second, first, &networks), expected, "{b} {a}");
        }
    }
}
