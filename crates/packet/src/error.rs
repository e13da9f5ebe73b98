//! Why bytes could not be read as a header.

use std::fmt;

/// The layer that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Ethernet, Linux cooked, BSD loopback, or raw IP framing.
    Link,
    /// IEEE 802.1Q or 802.1ad tag.
    Vlan,
    /// IPv4 header (RFC 791).
    Ipv4,
    /// IPv6 header or one of its extension headers (RFC 8200).
    Ipv6,
    /// UDP header (RFC 768).
    Udp,
    /// TCP header (RFC 9293).
    Tcp,
    /// VXLAN header (RFC 7348).
    Vxlan,
}

/// A header that is not all there or contradicts itself.
///
/// `need` and `have` are bytes of that header; equal values mean that the length was right and a
/// field was not (an IP version of 7, a header length below the minimum).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which header.
    pub layer: Layer,
    /// How many bytes the header takes, as far as was known when reading stopped.
    pub need: usize,
    /// How many bytes there were.
    pub have: usize,
}

impl Malformed {
    pub(crate) const fn short(layer: Layer, need: usize, have: usize) -> Self {
        Self { layer, need, have }
    }

    pub(crate) const fn field(layer: Layer, len: usize) -> Self {
        Self { layer, need: len, have: len }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, need, have } = self;
        if need == have {
            write!(f, "{layer:?} header contradicts itself")
        } else {
            write!(f, "{layer:?} header needs {need} bytes, {have} are there")
        }
    }
}

impl std::error::Error for Malformed {}
