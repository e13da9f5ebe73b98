//! Addresses that the cloud's platform uses, and what for.
//!
//! | label | address | ports |
//! |---|---|---|
//! | `health-probe` | 168.63.129.16 and fe80::1234:5678:9abc as the client | |
//! | `wireserver` | 168.63.129.16 | TCP 80, 443, 32526 |
//! | `dns` | 168.63.129.16 | UDP and TCP 53 |
//! | `dhcp` | 168.63.129.16 | UDP 67, 68 |
//! | `network-watcher-agent` | 168.63.129.16 | TCP 8037 |
//! | `platform` | 168.63.129.16 | any other |
//! | `imds` | 169.254.169.254 | any |
//! | `key-management` | 20.118.99.224, 40.83.235.53, 23.102.135.246 | TCP 1688 |
//!
//! The first is the virtual public address of every region; only the platform can send from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vtap_flow::event::Side;
use vtap_packet::Protocol;

const VIRTUAL_PUBLIC: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
const INSTANCE_METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const PROBE_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x1234, 0x5678, 0x9abc);
/// azkms.core.windows.net, twice, and kms.core.windows.net.
const KEY_MANAGEMENT: [Ipv4Addr; 3] = [
    Ipv4Addr::new(20, 118, 99, 224),
    Ipv4Addr::new(40, 83, 235, 53),
    Ipv4Addr::new(23, 102, 135, 246),
];
const KEY_MANAGEMENT_PORT: u16 = 1688;

/// Whether an address is the platform's, whoever the customer is.
pub(crate) fn owns(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            [VIRTUAL_PUBLIC, INSTANCE_METADATA].contains(&v4) || KEY_MANAGEMENT.contains(&v4)
        }
        IpAddr::V6(v6) => v6 == PROBE_IPV6,
    }
}

/// What the platform uses one end of a flow for. `began` says that the flow was seen from its start,
/// so that the client is who began it.
pub(crate) fn label(
    end: SocketAddr,
    side: Side,
    protocol: Protocol,
    began: bool,
) -> Option<&'static str> {
    let v4 = match end.ip() {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => return (v6 == PROBE_IPV6).then_some("health-probe"),
    };
    if v4 == INSTANCE_METADATA {
        Some("imds")
    } else if KEY_MANAGEMENT.contains(&v4) {
        let is_it = protocol == Protocol::TCP && end.port() == KEY_MANAGEMENT_PORT;
        is_it.then_some("key-management")
    } else if v4 == VIRTUAL_PUBLIC {
        let probes = side == Side::Client && protocol == Protocol::TCP && began;
        Some(if probes { "health-probe" } else { service(protocol, end.port()) })
    } else {
        None
    }
}

/// What the virtual public address serves on a port.
fn service(protocol: Protocol, port: u16) -> &'static str {
    match (protocol, port) {
        (Protocol::TCP, 80 | 443 | 32_526) => "wireserver",
        (Protocol::TCP | Protocol::UDP, 53) => "dns",
        (Protocol::UDP, 67 | 68) => "dhcp",
        (Protocol::TCP, 8037) => "network-watcher-agent",
        _ => "platform",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_table() {
        let of = |end: &str, side, protocol| label(end.parse().unwrap(), side, protocol, true);
        use Side::{Client, Server};
        let (tcp, udp) = (Protocol::TCP, Protocol::UDP);
        let table = [
            ("168.63.129.16:51000", Client, tcp, Some("health-probe")),
            ("168.63.129.16:80", Server, tcp, Some("wireserver")),
            ("168.63.129.16:32526", Server, tcp, Some("wireserver")),
            ("168.63.129.16:53", Server, udp, Some("dns")),
            ("168.63.129.16:53", Server, tcp, Some("dns")),
            ("168.63.129.16:67", Client, udp, Some("dhcp")),
            ("168.63.129.16:8037", Server, tcp, Some("network-watcher-agent")),
            ("168.63.129.16:0", Server, Protocol::ICMP, Some("platform")),
            ("169.254.169.254:80", Server, tcp, Some("imds")),
            ("20.118.99.224:1688", Server, tcp, Some("key-management")),
            ("20.118.99.224:443", Server, tcp, None),
            ("[fe80::1234:5678:9abc]:50000", Client, tcp, Some("health-probe")),
            ("10.0.0.4:80", Server, tcp, None),
        ];
        for (end, side, protocol, expected) in table {
            assert_eq!(of(end, side, protocol), expected, "{end} {side:?}");
        }
        let wire_server = "168.63.129.16:80".parse().unwrap();
        assert_eq!(label(wire_server, Client, tcp, false), Some("wireserver"), "midstream");
    }
}
