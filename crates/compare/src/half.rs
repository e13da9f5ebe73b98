//! Who sends to whom.

use std::fmt;
use std::net::SocketAddr;

use vtap_packet::{EtherType, Protocol};

/// One direction of a flow. Comparing halves, not flows, shows which direction a mirror loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// IP packets. Ports are 0 for a protocol without them, and for fragments, which are halves
    /// of their own.
    Ip {
        /// Sender.
        src: SocketAddr,
        /// Receiver.
        dst: SocketAddr,
        /// What the payload is.
        protocol: Protocol,
    },
    /// Frames that carry no IP.
    Link(EtherType),
}

impl Half {
    /// The other direction of the same flow.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Ip { src, dst, protocol } => Self::Ip { src: dst, dst: src, protocol },
            Self::Link(_) => self,
        }
    }

    /// The protocol as people write it: `TCP`, `ARP`, or a number.
    pub fn protocol(&self) -> String {
        match *self {
            Self::Ip { protocol: Protocol::TCP, .. } => "TCP".to_owned(),
            Self::Ip { protocol: Protocol::UDP, .. } => "UDP".to_owned(),
            Self::Ip { protocol: Protocol::ICMP, .. } => "ICMP".to_owned(),
            Self::Ip { protocol: Protocol::ICMPV6, .. } => "ICMPv6".to_owned(),
            Self::Ip { protocol: Protocol::SCTP, .. } => "SCTP".to_owned(),
            Self::Ip { protocol: Protocol(number), .. } => format!("IP protocol {number}"),
            Self::Link(EtherType::ARP) => "ARP".to_owned(),
            Self::Link(EtherType(number)) => format!("ether type {number:#06x}"),
        }
    }
}

/// `TCP 10.0.2.4:40080 > 10.0.2.6:80`; ports of 0 are left out.
impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol();
        match self {
            Self::Ip { src, dst, .. } if src.port() == 0 && dst.port() == 0 => {
                write!(f, "{protocol} {} > {}", src.ip(), dst.ip())
            }
            Self::Ip { src, dst, .. } => write!(f, "{protocol} {src} > {dst}"),
            Self::Link(_) => f.write_str(&protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_print_what_there_is_of_them() {
        let half = |src: &str, dst: &str, protocol| Half::Ip {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            protocol,
        };
        let tcp = half("10.0.0.1:5", "10.0.0.2:80", Protocol::TCP);
        assert_eq!(tcp.to_string(), "TCP 10.0.0.1:5 > 10.0.0.2:80");
        assert_eq!(tcp.reversed().to_string(), "TCP 10.0.0.2:80 > 10.0.0.1:5");
        let ping = half("[fd00::1]:0", "[fd00::2]:0", Protocol::ICMPV6);
        assert_eq!(ping.to_string(), "ICMPv6 fd00::1 > fd00::2");
        assert_eq!(Half::Link(EtherType::ARP).to_string(), "ARP");
    }
}
