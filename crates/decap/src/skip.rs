//! Packets set aside by decapsulation.

use std::fmt;

/// Why a packet addressed to a VXLAN port yielded no frame. Each has a counter of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// The UDP datagram is too short for the 8 bytes of the header, or contradicts itself.
    VxlanTruncated,
    /// The I flag is not set, so there is no VNI (RFC 7348 section 5).
    VxlanNoVni,
    /// A reserved bit is set, and `--strict-vxlan` asks to refuse those.
    VxlanReserved,
    /// VXLAN-GPE of a version that is not defined.
    GpeVersion,
    /// VXLAN-GPE that carries neither IP nor Ethernet: a network service header, or an
    /// operations packet.
    GpeProtocol,
    /// What is inside is no frame that a network could have carried: an unknown ether type, an
    /// IP version that does not fit it, an impossible length.
    InnerImplausible,
    /// A fragment of an envelope that cannot be put together: cut by the snaplen, empty, off an
    /// 8-byte boundary, or beyond 64 KiB.
    OuterFragment,
    /// The capture kept too little to see the inner frame's headers.
    CutShort,
}

impl Skip {
    /// Every skip, in the order in which they are documented.
    pub const ALL: [Self; 8] = [
        Self::VxlanTruncated,
        Self::VxlanNoVni,
        Self::VxlanReserved,
        Self::GpeVersion,
        Self::GpeProtocol,
        Self::InnerImplausible,
        Self::OuterFragment,
        Self::CutShort,
    ];

    /// The name in every output format: kebab-case, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VxlanTruncated => "vxlan-truncated",
            Self::VxlanNoVni => "vxlan-no-vni",
            Self::VxlanReserved => "vxlan-reserved",
            Self::GpeVersion => "gpe-version",
            Self::GpeProtocol => "gpe-protocol",
            Self::InnerImplausible => "inner-implausible",
            Self::OuterFragment => "outer-fragment",
            Self::CutShort => "outer-cut-short",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
