//! Link layers: from a captured frame to the network layer.
//!
//! Numbers are those of the tcpdump registry, <https://www.tcpdump.org/linktypes.html>. The
//! Linux cooked headers, v1 and v2, are what `tcpdump -i any` records:
//!
//! ```text
//! SLL  (113)   packet type 2 | ARPHRD 2 | address length 2 | address 8 | protocol 2
//! SLL2 (276)   protocol 2 | reserved 2 | interface 4 | ARPHRD 2 | packet type 1 | length 1 | address 8
//! ```

use std::fmt;

use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use crate::Mac;
use crate::error::{Layer, Malformed};

/// Link-layer header type of a capture, as the file format numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet II and IEEE 802.3.
    pub const ETHERNET: Self = Self(1);
    /// Raw IP, either version.
    pub const RAW: Self = Self(101);
    /// OpenBSD loopback: address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);

    /// `DLT_RAW` where files carry it in place of 101: 12 on most systems, 14 on OpenBSD.
    const DLT_RAW: [Self; 2] = [Self(12), Self(14)];
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NULL => "NULL",
            Self::ETHERNET => "EN10MB",
            Self::RAW => "RAW",
            Self::LOOP => "LOOP",
            Self::LINUX_SLL => "LINUX_SLL",
            Self::IPV4 => "IPV4",
            Self::IPV6 => "IPV6",
            Self::LINUX_SLL2 => "LINUX_SLL2",
            Self(number) => return write!(f, "link type {number}"),
        })
    }
}

/// What an Ethernet payload is. Values below 0x0600 are IEEE 802.3 lengths, not types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);

    /// Whether a VLAN tag follows: 802.1Q, 802.1ad, or the pre-standard 0x9100 double tag.
    pub const fn is_vlan(self) -> bool {
        matches!(self.0, 0x8100 | 0x88a8 | 0x9100)
    }
}

/// VLAN tags that are walked; a deeper stack is not IP to us.
pub const MAX_VLAN_TAGS: usize = 4;

/// Walks the link layer, VLAN tags included, to what it carries.
///
/// # Errors
///
/// A header that is cut off, a raw IP packet of neither version, or a link type that vtap does
/// not read (`need == have`).
pub fn network(link: LinkType, frame: &[u8]) -> Result<(EtherType, &[u8]), Malformed> {
    match link {
        LinkType::ETHERNET => ethernet(frame),
        LinkType::LINUX_SLL => cooked(frame, 16, 14),
        LinkType::LINUX_SLL2 => cooked(frame, 20, 0),
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        LinkType::RAW => Ok((raw_ip(frame)?, frame)),
        LinkType::IPV4 => Ok((EtherType::IPV4, frame)),
        LinkType::IPV6 => Ok((EtherType::IPV6, frame)),
        _ if LinkType::DLT_RAW.contains(&link) => Ok((raw_ip(frame)?, frame)),
        _ => Err(Malformed::field(Layer::Link, frame.len())),
    }
}

/// The kernel's index of the interface that a frame passed, where its header tells: a cooked capture
/// of all interfaces (SLL2) has frames of several.
#[inline]
pub fn interface_index(link: LinkType, frame: &[u8]) -> Option<u32> {
    if link != LinkType::LINUX_SLL2 {
        return None;
    }
    frame.get(4..)?.first_chunk().map(|index| u32::from_be_bytes(*index))
}

/// Link addresses of an Ethernet frame: destination, then source. Of a cooked capture there are
/// none: it keeps the sender's at most.
#[inline(always)]
pub fn macs(link: LinkType, frame: &[u8]) -> Option<[Mac; 2]> {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *frame.first_chunk()?;
    (link == LinkType::ETHERNET).then_some([Mac([a, b, c, d, e, f]), Mac([g, h, i, j, k, l])])
}

fn ethernet(frame: &[u8]) -> Result<(EtherType, &[u8]), Malformed> {
    let short = Malformed::short(Layer::Link, 14, frame.len());
    let header = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| short)?;
    let payload = frame.get(14..).ok_or(short)?;
    untag(EtherType(header.ether_type().0), payload)
}

fn cooked(
    frame: &[u8],
    header_len: usize,
    type_at: usize,
) -> Result<(EtherType, &[u8]), Malformed> {
    let short = Malformed::short(Layer::Link, header_len, frame.len());
    let (header, payload) = frame.split_at_checked(header_len).ok_or(short)?;
    let protocol = header.get(type_at..).and_then(|at| at.first_chunk()).ok_or(short)?;
    untag(EtherType(u16::from_be_bytes(*protocol)), payload)
}

fn loopback(frame: &[u8]) -> Result<(EtherType, &[u8]), Malformed> {
    let (family, payload) =
        frame.split_first_chunk().ok_or_else(|| Malformed::short(Layer::Link, 4, frame.len()))?;
    // The family is small, so whichever byte order makes it small is the right one.
    let family = u32::from_be_bytes(*family).min(u32::from_le_bytes(*family));
    match family {
        2 => Ok((EtherType::IPV4, payload)),
        // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS.
        10 | 24 | 28 | 30 => Ok((EtherType::IPV6, payload)),
        _ => Err(Malformed::field(Layer::Link, 4)),
    }
}

fn raw_ip(packet: &[u8]) -> Result<EtherType, Malformed> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => Ok(EtherType::IPV4),
        Some(6) => Ok(EtherType::IPV6),
        _ => Err(Malformed::field(Layer::Link, packet.len())),
    }
}

fn untag(mut ether_type: EtherType, mut payload: &[u8]) -> Result<(EtherType, &[u8]), Malformed> {
    for _ in 0..MAX_VLAN_TAGS {
        if !ether_type.is_vlan() {
            break;
        }
        let short = Malformed::short(Layer::Vlan, 4, payload.len());
        let tag = SingleVlanHeaderSlice::from_slice(payload).map_err(|_| short)?;
        ether_type = EtherType(tag.ether_type().0);
        payload = payload.get(4..).ok_or(short)?;
    }
    Ok((ether_type, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet_frame(types: &[u16]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        for (at, ether_type) in types.iter().enumerate() {
            if at > 0 {
                frame.extend([0, at as u8]);
            }
            frame.extend(ether_type.to_be_bytes());
        }
        frame.extend([0x45, 0, 0, 20]);
        frame
    }

    #[test]
    fn four_vlan_tags_are_walked_and_a_fifth_is_not() {
        let four = ethernet_frame(&[0x88a8, 0x8100, 0x9100, 0x8100, 0x0800]);
        let (ether_type, payload) = network(LinkType::ETHERNET, &four).unwrap();
        assert_eq!((ether_type, payload[0]), (EtherType::IPV4, 0x45));

        let five = ethernet_frame(&[0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x0800]);
        assert!(network(LinkType::ETHERNET, &five).unwrap().0.is_vlan());
    }

    #[test]
    fn cooked_headers_name_their_protocol() {
        let mut sll = vec![0; 14];
        sll.extend([0x86, 0xdd, 0x60]);
        assert_eq!(network(LinkType::LINUX_SLL, &sll).unwrap(), (EtherType::IPV6, &[0x60][..]));

        let mut sll2 = vec![0x08, 0x00];
        sll2.extend([0; 18]);
        sll2.push(0x45);
        assert_eq!(network(LinkType::LINUX_SLL2, &sll2).unwrap(), (EtherType::IPV4, &[0x45][..]));
    }

    #[test]
    fn only_sll2_tells_the_interface() {
        let sll2 = [0x08, 0, 0, 0, 0, 0, 1, 2, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(interface_index(LinkType::LINUX_SLL2, &sll2), Some(0x102));
        assert_eq!(interface_index(LinkType::LINUX_SLL2, &sll2[..7]), None);
        assert_eq!(interface_index(LinkType::LINUX_SLL, &sll2), None);
    }

    #[test]
    fn loopback_family_is_read_in_either_byte_order() {
        for head in [[2, 0, 0, 0], [0, 0, 0, 2]] {
            assert_eq!(network(LinkType::NULL, &head).unwrap().0, EtherType::IPV4);
        }
        assert_eq!(network(LinkType::LOOP, &[0, 0, 0, 28]).unwrap().0, EtherType::IPV6);
    }

    #[test]
    fn a_cut_header_says_what_it_needs() {
        let error = network(LinkType::LINUX_SLL2, &[0; 19]).unwrap_err();
        assert_eq!(error, Malformed { layer: Layer::Link, need: 20, have: 19 });
    }
}
