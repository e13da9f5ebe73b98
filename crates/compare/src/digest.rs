//! What is kept of a packet: 64 bytes.

use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use foldhash::quality::RandomState;
use vtap_packet::tcp::{Flags, Tcp};
use vtap_packet::udp::Udp;
use vtap_packet::{EtherType, Ip, LinkType, Packet, Protocol, Seq, Timestamp, checksum, link};

use crate::half::Half;
use crate::interned::Interned;
use crate::skip::Skip;

/// Bytes at the start of a payload that tell two packets with equal headers apart: a DNS
/// identifier, the number of an RTP or QUIC packet, all of an ARP packet.
const CONTENT: usize = 28;

/// A packet without its bytes. Numbers of halves and of link headers are those of [`Names`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest {
    /// 1-based, in its capture.
    pub(crate) number: u64,
    pub(crate) time: Timestamp,
    pub(crate) half: u32,
    /// Which [`Macs`]; `None` where the link layer is not Ethernet.
    pub(crate) macs: Option<NonZeroU32>,
    /// Of the frame, in bytes.
    pub(crate) wire_len: u32,
    /// Of the IP payload, in bytes; of the frame where there is no IP.
    pub(crate) len: u32,
    /// IP identification.
    pub(crate) id: u32,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// Hash of TCP options, or of the first bytes of any other payload; `None` where the snaplen
    /// cut into them.
    pub(crate) content: Option<NonZeroU32>,
    /// Place of a fragment: offset in 8 bytes, times two, and one more if others follow.
    pub(crate) place: u16,
    pub(crate) window: u16,
    /// Of the transport.
    pub(crate) checksum: u16,
    /// Bytes of the frame behind the IP packet.
    pub(crate) padding: u16,
    pub(crate) interface: u16,
    pub(crate) flags: Flags,
    /// Time to live or hop limit.
    pub(crate) ttl: u8,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// Of TCP with its options, in bytes; 0 for all else.
    pub(crate) header_len: u8,
    marks: u8,
}

/// Ethernet addresses: destination, then source.
pub(crate) type Macs = [u8; 12];

/// What digests share.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) halves: Interned<Half>,
    macs: Interned<Macs>,
    hasher: RandomState,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { halves: Interned::new(), macs: Interned::new(), hasher: RandomState::default() }
    }

    pub(crate) fn macs(&self, digest: &Digest) -> Option<Macs> {
        self.macs.get(digest.macs?.get() - 1)
    }

    /// Of bytes that were to be `len` long.
    fn content(&self, bytes: &[u8], len: usize) -> Option<NonZeroU32> {
        let bytes = bytes.get(..len)?;
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let hash = self.hasher.hash_one(bytes) as u32;
        Some(NonZeroU32::new(hash).unwrap_or(NonZeroU32::MAX))
    }
}

impl Digest {
    const TCP: u8 = 1;
    const OFFLOADED: u8 = 2;

    /// Reads a packet.
    pub(crate) fn of(packet: &Packet<'_>, names: &mut Names) -> Result<Self, Skip> {
        let (ether_type, network) =
            link::network(packet.link, packet.data).map_err(|_| Skip::LinkType)?;
        let stripped = packet.data.len() - network.len();
        let wire_len = (packet.wire_len as usize).saturating_sub(stripped);
        let macs = match (packet.link, packet.data.first_chunk()) {
            (LinkType::ETHERNET, Some(macs)) => {
                NonZeroU32::new(names.macs.number(*macs).saturating_add(1))
            }
            _ => None,
        };
        let digest = Self {
            number: packet.number,
            time: packet.time,
            half: 0,
            macs,
            wire_len: packet.wire_len,
            len: 0,
            id: 0,
            seq: Seq(0),
            ack: Seq(0),
            content: None,
            place: 0,
            window: 0,
            checksum: 0,
            padding: 0,
            interface: interface(packet),
            flags: Flags::default(),
            ttl: 0,
            tos: 0,
            header_len: 0,
            marks: 0,
        };
        if !matches!(ether_type, EtherType::IPV4 | EtherType::IPV6) {
            return Ok(Self {
                half: names.halves.number(Half::Link(ether_type)),
                content: names.content(network, CONTENT.min(wire_len)),
                ..digest
            });
        }
        let bad = if network.len() < wire_len { Skip::CutShort } else { Skip::MalformedIp };
        let ip = Ip::parse(ether_type, network, wire_len).map_err(|_| bad)?;
        digest.network(&ip, wire_len).transport(&ip, names)
    }

    /// With the fields of the IP header.
    fn network(self, ip: &Ip<'_>, wire_len: usize) -> Self {
        let byte = |at| ip.header.get(at).copied().unwrap_or_default();
        let word = |at| u16::from_be_bytes([byte(at), byte(at + 1)]);
        let (total_len, id, tos, ttl) = if ip.src.is_ipv4() {
            (usize::from(word(2)), word(4).into(), byte(1), byte(8))
        } else {
            let total_len = match usize::from(word(4)) {
                0 => 0,
                len => len + 40,
            };
            let id = ip.fragment.map_or(0, |fragment| fragment.id);
            (total_len, id, byte(0) << 4 | byte(1) >> 4, byte(7))
        };
        // A length of zero stands for all that is there.
        let padding = if total_len == 0 { 0 } else { wire_len.saturating_sub(total_len) };
        let place = ip.fragment.map_or(0, |fragment| {
            u16::try_from(fragment.offset / 8 * 2 + u32::from(fragment.more)).unwrap_or(u16::MAX)
        });
        let padding = u16::try_from(padding).unwrap_or(u16::MAX);
        Self { len: ip.payload_len, id, place, padding, ttl, tos, ..self }
    }

    /// With the fields of the transport header.
    fn transport(self, ip: &Ip<'_>, names: &mut Names) -> Result<Self, Skip> {
        let Ip { src, dst, protocol, payload, payload_len, .. } = *ip;
        let truncated = payload.len() < payload_len as usize;
        let bad = || if truncated { Skip::CutShort } else { Skip::MalformedIp };
        let mut half = |src_port, dst_port| {
            let (src, dst) = (SocketAddr::new(src, src_port), SocketAddr::new(dst, dst_port));
            names.halves.number(Half::Ip { src, dst, protocol })
        };
        let offloaded = |sum| {
            // Windows leaves the length out of the sum of a packet that the NIC is to segment.
            let left = [payload_len, 0].map(|len| checksum::pseudo_header(src, dst, protocol, len));
            if left.contains(&sum) { Self::OFFLOADED } else { 0 }
        };
        if self.place == 0 && protocol == Protocol::TCP {
            let tcp = Tcp::parse(payload).map_err(|_| bad())?;
            let options_len = tcp.header_len.saturating_sub(Tcp::HEADER_LEN);
            return Ok(Self {
                half: half(tcp.src_port, tcp.dst_port),
                seq: tcp.seq,
                ack: tcp.ack,
                window: tcp.window,
                flags: tcp.flags,
                checksum: tcp.checksum,
                header_len: u8::try_from(tcp.header_len).unwrap_or(u8::MAX),
                content: names.content(tcp.options, options_len),
                marks: Self::TCP | offloaded(tcp.checksum),
                ..self
            });
        }
        if self.place == 0 && protocol == Protocol::UDP {
            let udp = Udp::parse(payload).map_err(|_| bad())?;
            let [.., hi, lo] = payload.first_chunk::<8>().ok_or_else(bad)?;
            let sum = u16::from_be_bytes([*hi, *lo]);
            let all = (payload_len as usize).saturating_sub(Udp::HEADER_LEN);
            let body_len = udp.payload_len.unwrap_or(all);
            return Ok(Self {
                half: half(udp.src_port, udp.dst_port),
                checksum: sum,
                content: names.content(udp.payload, CONTENT.min(body_len)),
                marks: offloaded(sum),
                ..self
            });
        }
        Ok(Self {
            half: half(0, 0),
            content: names.content(payload, CONTENT.min(payload_len as usize)),
            ..self
        })
    }

    /// A TCP segment, not a fragment of one.
    pub(crate) const fn is_tcp(&self) -> bool {
        self.marks & Self::TCP != 0
    }

    /// Whether the transport checksum is the sum of the pseudo header: the NIC was to fill it in.
    pub(crate) const fn is_offloaded(&self) -> bool {
        self.marks & Self::OFFLOADED != 0
    }

    /// Bytes of payload behind the TCP header; the IP payload of all else.
    pub(crate) fn data_len(&self) -> u32 {
        self.len.saturating_sub(self.header_len.into())
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn nanos(&self) -> i64 {
        nanos(self.time)
    }
}

/// Nanoseconds since the epoch, to be subtracted from each other.
pub(crate) fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.nanos()).unwrap_or(i64::MAX)
}

/// What tells the interfaces of a capture apart: `-i any` writes it into the link-layer header.
#[expect(clippy::cast_possible_truncation, reason = "only equality counts")]
fn interface(packet: &Packet<'_>) -> u16 {
    // The upper half may hold the file, the lower one the interface of a cooked capture.
    let number = packet.interface ^ packet.interface >> 16;
    link::interface_index(packet.link, packet.data).unwrap_or(number) as u16
}

const _: () = assert!(size_of::<Digest>() == 64);
