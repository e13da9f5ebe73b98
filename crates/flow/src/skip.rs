//! Packets set aside by the tracker.

use std::fmt;

/// Why a frame gave the tracker nothing to follow. Each has a counter of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// The frame carries something else: ARP, LLDP, IEEE 802.3 with LLC.
    NotIp,
    /// The link type is none that is read, or its header is cut off.
    LinkType,
    /// An IP header that is cut off or contradicts itself.
    MalformedIp,
    /// The IP header claims more bytes than the frame had; every IP stack drops it.
    IpLength,
    /// The IPv4 header checksum is wrong; every IP stack drops it.
    IpChecksum,
    /// A fragment held for the rest of its datagram, or one that no datagram came of.
    Fragment,
    /// The capture kept too little of the packet to see its ports and flags.
    CutShort,
    /// The flow table is full. `linux` profile only, where conntrack drops such packets; in the
    /// `azure` profile they are INVALID.
    TableFull,
}

impl Skip {
    /// Every skip, in the order in which they are documented.
    pub const ALL: [Self; 8] = [
        Self::NotIp,
        Self::LinkType,
        Self::MalformedIp,
        Self::IpLength,
        Self::IpChecksum,
        Self::Fragment,
        Self::CutShort,
        Self::TableFull,
    ];

    /// The name in every output format: kebab-case, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not-ip",
            Self::LinkType => "link-type",
            Self::MalformedIp => "malformed-ip",
            Self::IpLength => "ip-length",
            Self::IpChecksum => "ip-checksum",
            Self::Fragment => "fragment",
            Self::CutShort => "cut-short",
            Self::TableFull => "table-full",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
