//! What is served at a port, by the names that people use.

use vtap_packet::Protocol;

/// The name of what a server at this port is likely to serve, by IANA's registry of service names;
/// where people know it by another name, that. `None` where nothing common is there.
pub const fn name(protocol: Protocol, port: u16) -> Option<&'static str> {
    use Protocol as P;
    Some(match (protocol, port) {
        (P::TCP, 20) => "FTP data",
        (P::TCP, 21) => "FTP",
        (P::TCP, 22) => "SSH",
        (P::TCP, 23) => "Telnet",
        (P::TCP, 25 | 587) => "SMTP",
        (P::TCP | P::UDP, 53) => "DNS",
        (P::UDP, 67 | 68) => "DHCP",
        (P::UDP, 69) => "TFTP",
        (P::TCP, 80 | 8080) => "HTTP",
        (P::TCP | P::UDP, 88 | 464) => "Kerberos",
        (P::TCP, 110) => "POP3",
        (P::TCP | P::UDP, 111) => "ONC RPC",
        (P::UDP, 123) => "NTP",
        (P::TCP, 135) => "MS RPC",
        (P::UDP, 137 | 138) | (P::TCP, 139) => "NetBIOS",
        (P::TCP, 143) => "IMAP",
        (P::UDP, 161) => "SNMP",
        (P::UDP, 162) => "SNMP trap",
        (P::TCP, 179) => "BGP",
        (P::TCP | P::UDP, 389) | (P::TCP, 3268) => "LDAP",
        (P::TCP, 443 | 8443) => "HTTPS",
        (P::UDP, 443) => "QUIC",
        (P::TCP, 445) => "SMB",
        (P::UDP, 500) => "IKE",
        (P::TCP | P::UDP, 514) => "syslog",
        (P::TCP, 636) => "LDAPS",
        (P::TCP, 853) => "DNS over TLS",
        (P::TCP, 873) => "rsync",
        (P::TCP, 993) => "IMAPS",
        (P::TCP, 995) => "POP3S",
        (P::TCP | P::UDP, 1194) => "OpenVPN",
        (P::TCP, 1433) => "SQL Server",
        (P::UDP, 1434) => "SQL Browser",
        (P::TCP, 1521) => "Oracle",
        (P::TCP, 1688) => "KMS",
        (P::UDP, 1812 | 1813) => "RADIUS",
        (P::TCP, 1883) => "MQTT",
        (P::TCP | P::UDP, 2049) => "NFS",
        (P::TCP, 2181) => "ZooKeeper",
        (P::TCP, 2379 | 2380) => "etcd",
        (P::TCP, 3306) => "MySQL",
        (P::TCP | P::UDP, 3389) => "RDP",
        (P::UDP, 3478) => "STUN",
        (P::UDP, 4500) => "IPsec NAT-T",
        (P::UDP, 4789) => "VXLAN",
        (P::TCP | P::UDP, 5060) => "SIP",
        (P::TCP, 5061) => "SIPS",
        (P::UDP, 5353) => "mDNS",
        (P::TCP, 5432) => "PostgreSQL",
        (P::TCP, 5671) => "AMQPS",
        (P::TCP, 5672) => "AMQP",
        (P::TCP, 5985 | 5986) => "WinRM",
        (P::TCP, 6379) => "Redis",
        (P::TCP, 6443) => "Kubernetes",
        (P::TCP, 8883) => "MQTTS",
        (P::TCP, 9092 | 9093) => "Kafka",
        (P::TCP, 9200) => "Elasticsearch",
        (P::TCP, 10250) => "kubelet",
        (P::TCP | P::UDP, 11211) => "memcached",
        (P::TCP, 27017) => "MongoDB",
        (P::TCP, 32526) => "Azure agent",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_means_another_service_with_another_protocol() {
        assert_eq!(name(Protocol::TCP, 443), Some("HTTPS"));
        assert_eq!(name(Protocol::UDP, 443), Some("QUIC"));
        assert_eq!(name(Protocol::SCTP, 443), None);
        assert_eq!(name(Protocol::UDP, 40_000), None);
    }
}
