//! IPv4 (RFC 791) and IPv6 (RFC 8200) as one thing: two addresses, a protocol, a payload.
//!
//! The length fields rule: Ethernet padding behind the packet is never payload. A total length
//! of zero is what segmentation offload leaves in a super-packet, and stands for all that is
//! there.

use std::fmt;
use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use crate::error::{Layer, Malformed};
use crate::{EtherType, checksum};

/// What of the IPv4 word of flags and offset is not zero in a fragment: "more fragments", and the
/// offset (RFC 791 section 3.1).
pub const V4_FRAGMENT: u16 = 0x3fff;

/// IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Internet Control Message Protocol.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// Internet Control Message Protocol for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// Stream Control Transmission Protocol.
    pub const SCTP: Self = Self(132);
    /// UDP whose checksum may leave out the payload (RFC 3828).
    pub const UDP_LITE: Self = Self(136);

    /// The keyword of IANA's registry of protocol numbers, or the name that people use where that
    /// is another; `None` for those that are seldom seen.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ICMP => "ICMP",
            Self(2) => "IGMP",
            Self::TCP => "TCP",
            Self::UDP => "UDP",
            Self(47) => "GRE",
            Self(50) => "ESP",
            Self(51) => "AH",
            Self::ICMPV6 => "IPv6-ICMP",
            Self(89) => "OSPF",
            Self(112) => "VRRP",
            Self::SCTP => "SCTP",
            Self::UDP_LITE => "UDP-Lite",
            _ => return None,
        })
    }
}

/// By name, or by number where it has none.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Place of a fragment in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// Offset of the payload in the datagram's payload, in bytes; a multiple of 8.
    pub offset: u32,
    /// Whether more fragments follow.
    pub more: bool,
}

/// An IP packet of either version.
#[derive(Clone, Copy, Debug)]
pub struct Ip<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// What the payload is, after all extension headers.
    pub protocol: Protocol,
    /// The IPv4 header with its options, or the 40 fixed bytes of IPv6.
    pub header: &'a [u8],
    /// What follows the headers, cut to the length field; shorter than `payload_len` where the
    /// capture was cut.
    pub payload: &'a [u8],
    /// Length of the payload that the header claims, in bytes.
    pub payload_len: u32,
    /// Set for a fragment. An IPv6 fragment header on a whole packet (an atomic fragment, RFC
    /// 6946) is not one.
    pub fragment: Option<Fragment>,
    /// Whether the header claims more bytes than the frame had on the wire.
    pub overruns_frame: bool,
}

impl<'a> Ip<'a> {
    /// Reads an IP packet whose network layer was `wire_len` bytes long on the wire, of which
    /// `bytes` were captured.
    ///
    /// # Errors
    ///
    /// A header that is cut off or contradicts itself, or an ether type that is not IP.
    pub fn parse(
        ether_type: EtherType,
        bytes: &'a [u8],
        wire_len: usize,
    ) -> Result<Self, Malformed> {
        match ether_type {
            EtherType::IPV4 => Self::v4(bytes, wire_len),
            EtherType::IPV6 => Self::v6(bytes, wire_len),
            _ => Err(Malformed::field(Layer::Link, bytes.len())),
        }
    }

    /// Whether the IPv4 header checksum is right; IPv6 has none and is always right.
    pub fn header_checksum_is_right(&self) -> bool {
        self.src.is_ipv6() || checksum::of(self.header) == 0xffff
    }

    fn v4(bytes: &'a [u8], wire_len: usize) -> Result<Self, Malformed> {
        let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|_| {
            let need = bytes.first().map_or(20, |first| usize::from(first & 0x0f).max(5) * 4);
            Malformed::short(Layer::Ipv4, need.max(bytes.len().min(20)), bytes.len())
        })?;
        let header_len = header.slice().len();
        let total_len = match usize::from(header.total_len()) {
            0 => wire_len,
            len if len < header_len => return Err(Malformed::field(Layer::Ipv4, len)),
            len => len,
        };
        let fragment = header.is_fragmenting_payload().then(|| Fragment {
            id: header.identification().into(),
            offset: u32::from(header.fragments_offset().value()) * 8,
            more: header.more_fragments(),
        });
        Ok(Self {
            src: IpAddr::V4(header.source_addr()),
            dst: IpAddr::V4(header.destination_addr()),
            protocol: Protocol(header.protocol().0),
            header: header.slice(),
            payload: cut(bytes, header_len, total_len),
            payload_len: u32::try_from(total_len - header_len).unwrap_or(u32::MAX),
            fragment,
            overruns_frame: total_len > wire_len,
        })
    }

    fn v6(bytes: &'a [u8], wire_len: usize) -> Result<Self, Malformed> {
        let header = Ipv6HeaderSlice::from_slice(bytes)
            .map_err(|_| Malformed::short(Layer::Ipv6, 40, bytes.len()))?;
        // Zero is a jumbogram (RFC 2675) or what GRO leaves on a super-packet.
        let total_len = match usize::from(header.payload_length()) {
            0 => wire_len.max(40),
            len => len + 40,
        };
        let mut rest = Extensions {
            protocol: header.next_header().0,
            payload: cut(bytes, 40, total_len),
            walked: 0,
            fragment: None,
        };
        rest.walk()?;
        Ok(Self {
            src: IpAddr::V6(header.source_addr()),
            dst: IpAddr::V6(header.destination_addr()),
            protocol: Protocol(rest.protocol),
            header: header.slice(),
            payload: rest.payload,
            payload_len: u32::try_from(total_len.saturating_sub(40 + rest.walked))
                .unwrap_or(u32::MAX),
            fragment: rest.fragment,
            overruns_frame: total_len > wire_len,
        })
    }
}

/// The bytes from `start` to `end`, as far as they were captured.
fn cut(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    bytes.get(start..end.min(bytes.len())).unwrap_or_default()
}

/// Extension headers that are walked; real packets have at most a handful.
const MAX_EXTENSIONS: usize = 16;

/// The walk along IPv6 extension headers (RFC 8200 section 4).
struct Extensions<'a> {
    protocol: u8,
    payload: &'a [u8],
    walked: usize,
    fragment: Option<Fragment>,
}

impl Extensions<'_> {
    fn walk(&mut self) -> Result<(), Malformed> {
        for _ in 0..MAX_EXTENSIONS {
            let len = match self.protocol {
                // Hop-by-hop, routing, destination options; mobility and HIP have the same shape.
                0 | 43 | 60 | 135 | 139 => self.byte(1)? * 8 + 8,
                44 => 8,
                // Authentication header (RFC 4302): its length counts 4-byte words, less two.
                51 => self.byte(1)? * 4 + 8,
                _ => return Ok(()),
            };
            if self.protocol == 44 {
                self.read_fragment()?;
            }
            let next = self.byte(0)?;
            self.payload = self.payload.get(len..).ok_or_else(|| self.short(len))?;
            self.walked += len;
            self.protocol = u8::try_from(next).unwrap_or_default();
            // What follows a later fragment's header is a piece of the datagram.
            if self.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return Ok(());
            }
        }
        Err(Malformed::field(Layer::Ipv6, self.walked))
    }

    fn read_fragment(&mut self) -> Result<(), Malformed> {
        let [_, _, hi, lo, id @ ..] =
            self.payload.first_chunk::<8>().ok_or_else(|| self.short(8))?;
        let offset_and_flags = u16::from_be_bytes([*hi, *lo]);
        let fragment = Fragment {
            id: u32::from_be_bytes(*id),
            offset: u32::from(offset_and_flags & 0xfff8),
            more: offset_and_flags & 1 != 0,
        };
        if fragment.offset > 0 || fragment.more {
            self.fragment = Some(fragment);
        }
        Ok(())
    }

    fn byte(&self, at: usize) -> Result<usize, Malformed> {
        self.payload.get(at).map(|byte| usize::from(*byte)).ok_or_else(|| self.short(8))
    }

    fn short(&self, need: usize) -> Malformed {
        Malformed::short(Layer::Ipv6, need, self.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(total_len: u16, fragment: u16) -> Vec<u8> {
        let mut bytes =
            vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Ip<'_>, Malformed> {
        let ether_type = if bytes[0] >> 4 == 4 { EtherType::IPV4 } else { EtherType::IPV6 };
        Ip::parse(ether_type, bytes, bytes.len())
    }

    #[test]
    fn ethernet_padding_is_not_payload() {
        let mut bytes = v4(24, 0);
        bytes.extend([1, 2, 3, 4, 0, 0, 0, 0]);
        let ip = parse(&bytes).unwrap();
        assert_eq!((ip.payload, ip.payload_len), (&[1, 2, 3, 4][..], 4));
    }

    #[test]
    fn a_total_length_of_zero_means_all_that_is_there() {
        let mut bytes = v4(0, 0);
        bytes.extend([7; 100]);
        assert_eq!(parse(&bytes).unwrap().payload_len, 100);
    }

    #[test]
    fn a_length_beyond_the_frame_is_told_from_a_cut_capture() {
        let mut bytes = v4(60, 0);
        bytes.extend([7; 10]);
        let ip = parse(&bytes).unwrap();
        assert!(ip.overruns_frame && ip.payload.len() == 10 && ip.payload_len == 40);
        let cut = Ip::parse(EtherType::IPV4, &bytes, 60).unwrap();
        assert!(!cut.overruns_frame);
    }

    #[test]
    fn header_lengths_that_contradict_are_malformed() {
        assert!(parse(&v4(19, 0)).is_err());
        let mut options_cut = v4(40, 0);
        options_cut[0] = 0x4f;
        assert_eq!(parse(&options_cut).unwrap_err().need, 60);
    }

    #[test]
    fn the_fragment_offset_is_in_bytes() {
        let bytes = v4(20, 0x2000 | 185);
        let fragment = parse(&bytes).unwrap().fragment.unwrap();
        assert_eq!(fragment, Fragment { id: 0x1234, offset: 1480, more: true });
        assert!(
            parse(&v4(20, 0x4000)).unwrap().fragment.is_none(),
            "don't fragment is not a fragment"
        );
    }

    fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next_header, 64];
        bytes.extend([0xfd; 32]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn extension_headers_are_walked_to_the_transport() {
        let mut payload = vec![60, 0, 0, 0, 0, 0, 0, 0];
        payload.extend([6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([0xaa; 20]);
        let bytes = v6(0, &payload);
        let ip = parse(&bytes).unwrap();
        assert_eq!((ip.protocol, ip.payload_len), (Protocol::TCP, 20));
        assert_eq!(ip.payload, &[0xaa; 20]);
    }

    #[test]
    fn an_atomic_fragment_is_a_whole_packet() {
        let mut payload = vec![6, 0, 0, 0, 0, 0, 0, 9];
        payload.extend([0xaa; 20]);
        let bytes = v6(44, &payload);
        assert!(parse(&bytes).unwrap().fragment.is_none());
        let mut first = bytes.clone();
        first[43] = 1;
        assert_eq!(
            parse(&first).unwrap().fragment.unwrap(),
            Fragment { id: 9, offset: 0, more: true }
        );
    }

    #[test]
    fn an_endless_chain_of_extensions_is_refused() {
        let payload = [0, 0, 0, 0, 0, 0, 0, 0].repeat(20);
        assert!(parse(&v6(0, &payload)).is_err());
    }
}
