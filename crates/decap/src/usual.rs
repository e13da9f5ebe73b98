//! The shape that nearly all mirrored packets have, in one step.
//!
//! Ethernet or Linux cooked, IPv4 without options or fragments, UDP, plain VXLAN, Ethernet, and
//! inside IPv4 or IPv6 that is no envelope itself. Anything else, and anything odd about this, is
//! left to the general walk, which gives the same for what is taken here.

use std::net::{IpAddr, Ipv4Addr};

use vtap_packet::ip::V4_FRAGMENT;
use vtap_packet::{EtherType, LinkType, Packet, Protocol, Tunnel, Vni};

use crate::PortSet;

/// IPv4, UDP and VXLAN of the envelope.
const ENVELOPE: usize = 20 + 8 + 8;

/// Up to the protocol of the inner IP header: envelope, Ethernet, 10 bytes.
const HEAD: usize = ENVELOPE + 14 + 10;

/// An envelope of the usual shape.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// From the outer IPv4 header on.
    head: &'a [u8; HEAD],
    /// The mirrored frame.
    data: &'a [u8],
    /// That of the packet.
    place: u32,
}

impl<'a> Envelope<'a> {
    /// That of a packet, if it has one.
    #[inline(always)]
    pub(crate) fn of(packet: &Packet<'a>, ports: &PortSet) -> Option<Self> {
        if packet.is_truncated() {
            return None;
        }
        if packet.link == LinkType::ETHERNET {
            return Self::read(after(packet.data, 14, 12)?, packet.place(), ports);
        }
        Self::of_cooked(packet.link, packet.data, packet.place(), ports)
    }

    #[inline(never)]
    fn of_cooked(link: LinkType, frame: &'a [u8], place: u32, ports: &PortSet) -> Option<Self> {
        let network = match link {
            LinkType::LINUX_SLL2 => after(frame, 20, 0)?,
            LinkType::LINUX_SLL => after(frame, 16, 14)?,
            _ => return None,
        };
        Self::read(network, place, ports)
    }

    #[inline(always)]
    fn read(network: &'a [u8], place: u32, ports: &PortSet) -> Option<Self> {
        let head = network.first_chunk::<HEAD>()?;
        let total_len = u16::from_be_bytes([head[2], head[3]]);
        let udp_len = u16::from_be_bytes([head[24], head[25]]);
        let usual = head[0] == 0x45
            && u16::from_be_bytes([head[6], head[7]]) & V4_FRAGMENT == 0
            && head[9] == Protocol::UDP.0
            && usize::from(udp_len) + 20 == usize::from(total_len)
            // The I flag and no other, nothing reserved.
            && head[28..32] == [8, 0, 0, 0]
            && head[35] == 0
            && ports.contains(u16::from_be_bytes([head[22], head[23]]));
        if !usual {
            return None;
        }
        let data = network.get(ENVELOPE..usize::from(total_len))?;
        // UDP may be another envelope, and IPv6 extension headers have to be walked.
        let (version_and_length, v4_protocol, v6_protocol) = (head[50], head[59], head[56]);
        let inner = match EtherType(u16::from_be_bytes([head[48], head[49]])) {
            EtherType::IPV4 => {
                (0x45..=0x4f).contains(&version_and_length)
                    && v4_protocol != Protocol::UDP.0
                    && data.len() >= 34
            }
            EtherType::IPV6 => {
                version_and_length >> 4 == 6 && v6_protocol == Protocol::TCP.0 && data.len() >= 54
            }
            _ => false,
        };
        inner.then_some(Self { head, data, place })
    }

    /// Length of the mirrored frame, in bytes.
    #[inline(always)]
    pub(crate) const fn frame_len(&self) -> usize {
        self.data.len()
    }

    /// The mirrored frame, of the packet that the envelope is of.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an IPv4 packet has fewer than 2^16 bytes")]
    pub fn open(&self, packet: &Packet<'a>) -> Packet<'a> {
        let Self { head, data, place } = *self;
        Packet {
            link: LinkType::ETHERNET,
            interface: place,
            wire_len: data.len() as u32,
            data,
            tunnel: Some(Tunnel {
                src: IpAddr::V4(Ipv4Addr::new(head[12], head[13], head[14], head[15])),
                dst: IpAddr::V4(Ipv4Addr::new(head[16], head[17], head[18], head[19])),
                src_port: u16::from_be_bytes([head[20], head[21]]),
                dst_port: u16::from_be_bytes([head[22], head[23]]),
                vni: Vni::new(u32::from_be_bytes([head[32], head[33], head[34], head[35]]) >> 8),
                depth: 1,
            }),
            ..*packet
        }
    }
}

/// What follows a link-layer header of this length, if its protocol field says IPv4.
#[inline(always)]
fn after(frame: &[u8], header_len: usize, protocol_at: usize) -> Option<&[u8]> {
    let (header, network) = frame.split_at_checked(header_len)?;
    (header.get(protocol_at..protocol_at + 2)? == [0x08, 0x00]).then_some(network)
}
