//! VXLAN (RFC 7348 section 5) and two relatives with the same shape.
//!
//! ```text
//!  0                   1                   2                   3
//! |G|R|R|R|I|P|R|R|R|D|R|R|A|R|R|R|        Group policy ID        |
//! |            VXLAN network identifier (VNI)     |    Reserved   |
//! ```
//!
//! RFC 7348 defines I alone; everything else is reserved, sent as zero and ignored on receipt.
//! The group-policy extension (draft-smith-vxlan-group-policy) adds G, D, A and the policy id;
//! VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe) adds a version (bits 2 and 3), P, B and O (bits 5 to 7),
//! and the next protocol in the fourth byte.

use std::fmt;

use crate::error::{Layer, Malformed};

/// VXLAN network identifier, 24 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// From the low 24 bits of `value`.
    pub const fn new(value: u32) -> Self {
        Self(value & 0x00ff_ffff)
    }

    /// The number, below 2^24.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a VXLAN-GPE packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextProtocol {
    /// 1: an IPv4 packet.
    Ipv4,
    /// 2: an IPv6 packet.
    Ipv6,
    /// 3: an Ethernet frame.
    Ethernet,
    /// Anything else; 4 is a network service header.
    Unknown(u8),
}

/// A VXLAN header.
#[derive(Clone, Copy, Debug)]
pub struct Vxlan<'a> {
    flags: u8,
    second: u8,
    policy: u16,
    last: u8,
    /// VXLAN network identifier; meaningless unless [`has_vni`](Self::has_vni).
    pub vni: Vni,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Vxlan<'a> {
    /// Length of the header in bytes.
    pub const HEADER_LEN: usize = 8;

    /// Reads the header at the start of `bytes`. No flag is judged.
    ///
    /// # Errors
    ///
    /// Fewer than 8 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let ([flags, second, policy_hi, policy_lo, v0, v1, v2, last], payload) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| Malformed::short(Layer::Vxlan, Self::HEADER_LEN, bytes.len()))?;
        Ok(Self {
            flags: *flags,
            second: *second,
            policy: u16::from_be_bytes([*policy_hi, *policy_lo]),
            last: *last,
            vni: Vni::new(u32::from_be_bytes([0, *v0, *v1, *v2])),
            payload,
        })
    }

    /// The I flag: the VNI is valid.
    pub const fn has_vni(self) -> bool {
        self.flags & 0x08 != 0
    }

    /// The G flag: the group-policy id is present.
    pub const fn has_group_policy(self) -> bool {
        self.flags & 0x80 != 0
    }

    /// The P flag of VXLAN-GPE: the fourth byte is the next protocol.
    pub const fn has_next_protocol(self) -> bool {
        self.flags & 0x04 != 0
    }

    /// Version of VXLAN-GPE, 0 to 3; only 0 is defined.
    pub const fn gpe_version(self) -> u8 {
        self.flags >> 4 & 0x03
    }

    /// The O flag of VXLAN-GPE: an operations packet, not a customer's.
    pub const fn is_gpe_oam(self) -> bool {
        self.flags & 0x01 != 0
    }

    /// The next protocol of VXLAN-GPE.
    pub const fn next_protocol(self) -> NextProtocol {
        match self.policy.to_be_bytes()[1] {
            1 => NextProtocol::Ipv4,
            2 => NextProtocol::Ipv6,
            3 => NextProtocol::Ethernet,
            other => NextProtocol::Unknown(other),
        }
    }

    /// Whether a bit is set that neither RFC 7348 nor group policy defines.
    pub const fn has_reserved_bits(self) -> bool {
        let (flags, second, policy) =
            if self.has_group_policy() { (0x88, 0x48, self.policy) } else { (0x08, 0x00, 0) };
        self.flags & !flags != 0
            || self.second & !second != 0
            || self.policy != policy
            || self.last != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_real_tap_packet_is_read() {
        let vxlan = Vxlan::parse(&[0x08, 0, 0, 0, 0, 0, 0x1b, 0, 0xaa]).unwrap();
        assert!(vxlan.has_vni() && !vxlan.has_reserved_bits() && !vxlan.has_next_protocol());
        assert_eq!((vxlan.vni, vxlan.payload), (Vni::new(27), &[0xaa][..]));
    }

    #[test]
    fn group_policy_bits_are_not_reserved() {
        assert!(!Vxlan::parse(&[0x88, 0x48, 0x12, 0x34, 0, 0, 1, 0]).unwrap().has_reserved_bits());
        assert!(Vxlan::parse(&[0x08, 0x00, 0x12, 0x34, 0, 0, 1, 0]).unwrap().has_reserved_bits());
        assert!(Vxlan::parse(&[0x08, 0, 0, 0, 0, 0, 1, 3]).unwrap().has_reserved_bits());
    }

    #[test]
    fn gpe_names_what_it_carries() {
        let gpe = Vxlan::parse(&[0x0c, 0, 0, 2, 0, 0, 1, 0]).unwrap();
        assert!(gpe.has_next_protocol() && gpe.gpe_version() == 0 && !gpe.is_gpe_oam());
        assert_eq!(gpe.next_protocol(), NextProtocol::Ipv6);
    }
}
