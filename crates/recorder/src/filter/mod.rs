//! Filters in the cloud's grammar: which packets a session records.
//!
//! ```text
//! protocol=TCP,localPort=80;443,remoteIPAddress=10.0.0.0-10.0.0.255
//! {"protocol": "TCP", "localPort": "80;443", "remoteIPAddress": "10.0.0.0-10.0.0.255"}
//! [{"protocol": "UDP"}, {"protocol": "ICMP"}]
//! ```
//!
//! The keys are those of the API's `filters[]`: `protocol` (`TCP`, `UDP`, `ICMP`, `Any`),
//! `localIPAddress`, `localPort`, `remoteIPAddress`, `remotePort`; letters of either case. A value
//! is one item or several with `;` or `,` between them; an item is a single value, a range `a-b`
//! with both ends in it, or, of addresses, a subnet in CIDR notation. In the first form a piece
//! between commas that has a `=` begins a key, and one without goes on with the list before it:
//! values have no `=`, so there is one way to read it. All keys of a filter have to match, and any
//! one of several filters.
//!
//! *Local* is the mirrored machine's side, see [`Filters::matches`].

mod parse;

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use vtap_packet::{EtherType, Ip, Packet, Protocol, link};

pub use parse::Error;

/// Any number of filters, one of which has to match; without one, everything does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<Filter>);

/// One filter: every key that it has must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    transport: Transport,
    local: End,
    remote: End,
}

/// A protocol, as the cloud knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Transport {
    Tcp,
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    #[default]
    Any,
}

/// Addresses and ports of one side; none is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct End {
    addresses: Vec<RangeInclusive<IpAddr>>,
    ports: Vec<RangeInclusive<u16>>,
}

impl Filters {
    /// Several filters, of which one has to match.
    pub const fn new(filters: Vec<Filter>) -> Self {
        Self(filters)
    }

    /// The filters.
    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.iter()
    }

    /// Whether a packet is to be recorded.
    ///
    /// Of a frame that was decapsulated, the local end is the one whose address is that of the tap
    /// (the outer source address, in both directions). Where neither end has it, as behind a
    /// translated source or in a packet without tunnel, the filter may match either way round; so,
    /// too, where both have it.
    ///
    /// Ports are those of TCP, UDP, SCTP and UDP-Lite; a packet of another protocol passes no
    /// filter with ports. Later fragments of a datagram show none: they pass with their addresses
    /// and protocol. A packet that was cut before its ports passes no filter with ports, and one
    /// that is not IP only a filter without any key but `protocol=Any`.
    #[inline]
    pub fn matches(&self, packet: &Packet<'_>) -> bool {
        self.0.is_empty() || self.any_matches(packet)
    }

    fn any_matches(&self, packet: &Packet<'_>) -> bool {
        let headers = Headers::read(packet);
        self.0.iter().any(|filter| match &headers {
            Some(headers) => filter.matches(headers),
            None => *filter == Filter::default(),
        })
    }
}

impl Filter {
    fn matches(&self, headers: &Headers) -> bool {
        let Headers { protocol, src, dst, ports, local } = *headers;
        let (src_port, dst_port) = match ports {
            Ports::Are(src, dst) => (Port::Is(src), Port::Is(dst)),
            Ports::Unseen => (Port::Unseen, Port::Unseen),
            Ports::None => (Port::None, Port::None),
        };
        self.transport.has(protocol)
            && ((local != Local::Destination
                && self.local.has(src, src_port)
                && self.remote.has(dst, dst_port))
                || (local != Local::Source
                    && self.local.has(dst, dst_port)
                    && self.remote.has(src, src_port)))
    }
}

impl Transport {
    fn has(self, protocol: Protocol) -> bool {
        match self {
            Self::Tcp => protocol == Protocol::TCP,
            Self::Udp => protocol == Protocol::UDP,
            Self::Icmp => matches!(protocol, Protocol::ICMP | Protocol::ICMPV6),
            Self::Any => true,
        }
    }
}

impl End {
    fn has(&self, address: IpAddr, port: Port) -> bool {
        let addresses = &self.addresses;
        let has_address =
            addresses.is_empty() || addresses.iter().any(|range| range.contains(&address));
        has_address
            && (self.ports.is_empty()
                || match port {
                    Port::Is(port) => self.ports.iter().any(|range| range.contains(&port)),
                    Port::Unseen => true,
                    Port::None => false,
                })
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
struct Headers {
    protocol: Protocol,
    src: IpAddr,
    dst: IpAddr,
    ports: Ports,
    local: Local,
}

#[derive(Clone, Copy, Debug)]
enum Ports {
    Are(u16, u16),
    /// Of a later fragment: in the first one.
    Unseen,
    /// The protocol has none, or the capture cut them off.
    None,
}

#[derive(Clone, Copy, Debug)]
enum Port {
    Is(u16),
    Unseen,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Local {
    Source,
    Destination,
    Either,
}

impl Headers {
    /// `None` for what is not IP.
    fn read(packet: &Packet<'_>) -> Option<Self> {
        let (ether_type, network) = link::network(packet.link, packet.data).ok()?;
        if !matches!(ether_type, EtherType::IPV4 | EtherType::IPV6) {
            return None;
        }
        let stripped = packet.data.len() - network.len();
        let wire_len = (packet.wire_len as usize).saturating_sub(stripped);
        let ip = Ip::parse(ether_type, network, wire_len).ok()?;
        let tap = packet.tunnel.map(|tunnel| tunnel.src);
        let local = match (tap == Some(ip.src), tap == Some(ip.dst)) {
            (true, false) => Local::Source,
            (false, true) => Local::Destination,
            _ => Local::Either,
        };
        Some(Self { protocol: ip.protocol, src: ip.src, dst: ip.dst, ports: Ports::of(&ip), local })
    }
}

impl Ports {
    fn of(ip: &Ip<'_>) -> Self {
        if !matches!(
            ip.protocol,
            Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol::UDP_LITE
        ) {
            return Self::None;
        }
        if ip.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return Self::Unseen;
        }
        match ip.payload.first_chunk() {
            Some([s0, s1, d0, d1]) => {
                Self::Are(u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]))
            }
            None => Self::None,
        }
    }
}

/// In the first form of the grammar; parsing it gives an equal filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protocol={}", self.transport.name())?;
        for (key, ranges) in
            [("localIPAddress", &self.local.addresses), ("remoteIPAddress", &self.remote.addresses)]
        {
            list(f, key, ranges)?;
        }
        for (key, ranges) in [("localPort", &self.local.ports), ("remotePort", &self.remote.ports)]
        {
            list(f, key, ranges)?;
        }
        Ok(())
    }
}

fn list<T: fmt::Display + PartialEq>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    ranges: &[RangeInclusive<T>],
) -> fmt::Result {
    for (index, range) in ranges.iter().enumerate() {
        match index {
            0 => write!(f, ",{key}=")?,
            _ => f.write_str(";")?,
        }
        write!(f, "{}", range.start())?;
        if range.start() != range.end() {
            write!(f, "-{}", range.end())?;
        }
    }
    Ok(())
}

impl Transport {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Icmp => "ICMP",
            Self::Any => "Any",
        }
    }
}

#[cfg(test)]
mod tests;
