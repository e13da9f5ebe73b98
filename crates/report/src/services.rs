//! What servers serve: a protocol and a port, and how people call the two.

use std::fmt;

use vtap_networks::service;
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
        service::name(self.protocol, self.port)
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
    match protocol {
        Protocol(4) => "IPv4 in IP".to_owned(),
        Protocol(41) => "IPv6 in IP".to_owned(),
        _ => {
            protocol.name().map_or_else(|| format!("IP protocol {}", protocol.0), ToOwned::to_owned)
        }
    }
}

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
}
