//! The frame that most are, read in one step: Ethernet, IPv4 without options or fragments, TCP
//! with right checksums and flags that TCP could send, all of it captured.
//!
//! Anything else is left to the general reading, which gives the same for what is taken here.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;

use vtap_packet::ip::V4_FRAGMENT;
use vtap_packet::tcp::{Flags, Tcp};
use vtap_packet::{LinkType, Packet, Protocol, Vni, checksum};

use crate::batch::Pending;
use crate::config::Checksum;
use crate::copies::{Header, Likeness};
use crate::key::Key;
use crate::read::{Content, Observed};
use crate::segment::Segment;
use crate::state::Kind;

/// Ethernet, IPv4, TCP.
const HEADERS: usize = 14 + 20 + 20;

/// Reads such a frame into its place; of any other, `None`, and what is there then counts for
/// nothing.
#[inline(always)]
pub(crate) fn read(
    packet: &Packet<'_>,
    vni: Vni,
    policy: Checksum,
    hasher: &impl BuildHasher,
    place: &mut Pending,
) -> Option<()> {
    let head = packet.data.first_chunk::<HEADERS>()?;
    let total_len = u16::from_be_bytes([head[16], head[17]]);
    let usual = packet.link == LinkType::ETHERNET
        && head[12..15] == [0x08, 0x00, 0x45]
        && u16::from_be_bytes([head[20], head[21]]) & V4_FRAGMENT == 0
        && head[23] == Protocol::TCP.0;
    if !usual {
        return None;
    }
    let bytes = packet.data.get(14 + 20..14 + usize::from(total_len))?;
    let kind = Kind::of(Flags(head[47]))?;
    let src = Ipv4Addr::new(head[26], head[27], head[28], head[29]);
    let dst = Ipv4Addr::new(head[30], head[31], head[32], head[33]);
    let right = policy == Checksum::Off
        || checksum::of_ipv4_header(head[14..].first_chunk()?) == 0xffff
            && checksum::transport_ipv4(src, dst, Protocol::TCP, bytes) == 0xffff;
    if !right {
        return None;
    }
    let tcp = Tcp::parse_whole(bytes)?;
    let (key, from) = Key::of_ipv4((src, tcp.src_port), (dst, tcp.dst_port), Protocol::TCP, vni);
    let payload = u32::try_from(bytes.len() - tcp.header_len).ok()?;
    place.observed = Ok(Observed {
        key,
        from,
        content: Content::Segment(Segment::without_options(kind, &tcp, payload)),
        len: total_len.into(),
        payload,
        flags: tcp.flags.0,
        offloaded: false,
        truncated: false,
    });
    // Behind the rest, so that nothing else differs by how options are read.
    if let Ok(Observed { content: Content::Segment(segment), .. }) = &mut place.observed {
        segment.take_options(&tcp);
    }
    let hashes = key.hashes(hasher);
    place.hash = hashes.flow;
    let (ttl, id) = (head[22], u16::from_be_bytes([head[18], head[19]]));
    let header = Header { ttl, id, len: total_len.into() };
    let sum = if policy == Checksum::Off { 0 } else { tcp.checksum };
    let sender = hashes.of_sender(from);
    place.likeness = Likeness::of_segment(sender, header, head.last_chunk()?, sum);
    Some(())
}
