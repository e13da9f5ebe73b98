//! What servers serve: a protocol and a port, and how people call the two.

use std::fmt;

use vtap_packet::Protocol;

/// A protocol and the server's port; port 0 where the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

impl Service {
    /// The usual name of what is served there; `None` where the port has no usual one.
    pub(crate) fn name(self) -> Option<&'static str> {
        let known = match self.protocol {
            Protocol::TCP | Protocol::UDP | Protocol::SCTP => NAMES,
            _ => return None,
        };
        let at = known.binary_search_by_key(&self.port, |(port, _)| *port).ok()?;
        known.get(at).map(|(_, name)| *name)
    }
}

/// `443/TCP`, or `ICMP`.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port > 0 {
            write!(f, "{}/", self.port)?;
        }
        protocol(self.protocol).fmt(f)
    }
}

/// The name of a protocol, or its number.
pub(crate) fn protocol(protocol: Protocol) -> String {
    let name = match protocol {
        Protocol::ICMP => "ICMP",
        Protocol::TCP => "TCP",
        Protocol::UDP => "UDP",
        Protocol::ICMPV6 => "IPv6-ICMP",
        Protocol::SCTP => "SCTP",
        Protocol::UDP_LITE => "UDP-Lite",
        Protocol(2) => "IGMP",
        Protocol(4) => "IPv4 in IP",
        Protocol(41) => "IPv6 in IP",
        Protocol(47) => "GRE",
        Protocol(50) => "ESP",
        Protocol(51) => "AH",
        Protocol(89) => "OSPF",
        Protocol(112) => "VRRP",
        Protocol(number) => return format!("IP protocol {number}"),
    };
    name.to_owned()
}

/// By port; names of the IANA registry where it has one that people use.
const NAMES: &[(u16, &str)] = &[
    (20, "FTP data"),
    (21, "FTP"),
    (22, "SSH"),
    (23, "Telnet"),
    (25, "SMTP"),
    (53, "DNS"),
    (67, "DHCP"),
    (68, "DHCP"),
    (69, "TFTP"),
    (80, "HTTP"),
    (88, "Kerberos"),
    (110, "POP3"),
    (111, "RPC"),
    (123, "NTP"),
    (135, "MS RPC"),
    (137, "NetBIOS"),
    (138, "NetBIOS"),
    (139, "NetBIOS"),
    (143, "IMAP"),
    (161, "SNMP"),
    (162, "SNMP trap"),
    (179, "BGP"),
    (389, "LDAP"),
    (443, "HTTPS"),
    (445, "SMB"),
    (464, "Kerberos"),
    (500, "IKE"),
    (514, "syslog"),
    (587, "SMTP"),
    (636, "LDAPS"),
    (853, "DNS over TLS"),
    (873, "rsync"),
    (993, "IMAPS"),
    (995, "POP3S"),
    (1194, "OpenVPN"),
    (1433, "SQL Server"),
    (1521, "Oracle"),
    (1812, "RADIUS"),
    (1813, "RADIUS"),
    (1883, "MQTT"),
    (2049, "NFS"),
    (2181, "ZooKeeper"),
    (2379, "etcd"),
    (2380, "etcd"),
    (3268, "LDAP"),
    (3306, "MySQL"),
    (3389, "RDP"),
    (4500, "IPsec NAT-T"),
    (4789, "VXLAN"),
    (5060, "SIP"),
    (5061, "SIP"),
    (5353, "mDNS"),
    (5432, "PostgreSQL"),
    (5671, "AMQP"),
    (5672, "AMQP"),
    (5985, "WinRM"),
    (5986, "WinRM"),
    (6379, "Redis"),
    (6443, "Kubernetes"),
    (8080, "HTTP"),
    (8443, "HTTPS"),
    (8883, "MQTT"),
    (9092, "Kafka"),
    (9093, "Kafka"),
    (9200, "Elasticsearch"),
    (10250, "kubelet"),
    (11211, "memcached"),
    (27017, "MongoDB"),
    (32526, "Azure agent"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_called_by_port_protocol_and_name() {
        let https = Service { protocol: Protocol::TCP, port: 443 };
        assert_eq!((https.to_string().as_str(), https.name()), ("443/TCP", Some("HTTPS")));
        let ping = Service { protocol: Protocol::ICMP, port: 0 };
        assert_eq!((ping.to_string().as_str(), ping.name()), ("ICMP", None));
        let odd = Service { protocol: Protocol::UDP, port: 40_000 };
        assert_eq!((odd.to_string().as_str(), odd.name()), ("40000/UDP", None));
    }

    #[test]
    fn names_are_in_order_of_their_ports() {
        assert!(NAMES.is_sorted_by_key(|(port, _)| *port));
    }
}
