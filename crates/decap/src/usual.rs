//! The shape that nearly all mirrored packets have, in one step.
//!
//! Ethernet or Linux cooked, IPv4 without options or fragments, UDP, plain VXLAN, Ethernet, and
//! inside IPv4 or IPv6 that is no envelope itself. Anything else, and anything odd about this, is
//! left to the general walk, which gives the same for what is taken here.

use std::net::{IpAddr, Ipv4Addr};

use vtap_packet::{LinkType, Packet, Tunnel, Vni};

use crate::PortSet;

/// IPv4, UDP and VXLAN of the envelope.
const ENVELOPE: usize = 20 + 8 + 8;

/// The mirrored frame of a packet of the usual shape.
#[inline(always)]
pub(crate) fn strip<'a>(packet: &Packet<'a>, ports: &PortSet) -> Option<Packet<'a>> {
    if packet.is_truncated() {
        return None;
    }
    let network = match packet.link {
        LinkType::ETHERNET => after(packet.data, 14, 12)?,
        LinkType::LINUX_SLL2 => after(packet.data, 20, 0)?,
        LinkType::LINUX_SLL => after(packet.data, 16, 14)?,
        _ => return None,
    };
    // Up to the protocol of the inner IP header: envelope, Ethernet, 10 bytes.
    let head = network.first_chunk::<{ ENVELOPE + 14 + 10 }>()?;
    let total_len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let udp_len = usize::from(u16::from_be_bytes([head[24], head[25]]));
    let dst_port = u16::from_be_bytes([head[22], head[23]]);
    let usual = head[0] == 0x45
        && head[6] & 0x3f == 0
        && head[7] == 0
        && head[9] == 17
        && udp_len + 20 == total_len
        // The I flag and no other, nothing reserved.
        && head[28..32] == [8, 0, 0, 0]
        && head[35] == 0
        && ports.contains(dst_port);
    if !usual {
        return None;
    }
    let data = network.get(ENVELOPE..total_len)?;
    // UDP may be another envelope, and IPv6 extension headers have to be walked.
    let (version_and_length, v4_protocol, v6_protocol) = (head[50], head[59], head[56]);
    let inner = match [head[48], head[49]] {
        [0x08, 0x00] => {
            (0x45..=0x4f).contains(&version_and_length) && v4_protocol != 17 && data.len() >= 34
        }
        [0x86, 0xdd] => version_and_length >> 4 == 6 && v6_protocol == 6 && data.len() >= 54,
        _ => false,
    };
    if !inner {
        return None;
    }
    Some(Packet {
        link: LinkType::ETHERNET,
        interface: packet.place(),
        wire_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
        data,
        tunnel: Some(Tunnel {
            src: IpAddr::V4(Ipv4Addr::new(head[12], head[13], head[14], head[15])),
            dst: IpAddr::V4(Ipv4Addr::new(head[16], head[17], head[18], head[19])),
            src_port: u16::from_be_bytes([head[20], head[21]]),
            dst_port,
            vni: Vni::new(u32::from_be_bytes([0, head[32], head[33], head[34]])),
            depth: 1,
        }),
        ..*packet
    })
}

/// What follows a link-layer header of this length, if its protocol field says IPv4.
#[inline]
fn after(frame: &[u8], header_len: usize, protocol_at: usize) -> Option<&[u8]> {
    let (header, network) = frame.split_at_checked(header_len)?;
    (header.get(protocol_at..protocol_at + 2)? == [0x08, 0x00]).then_some(network)
}
