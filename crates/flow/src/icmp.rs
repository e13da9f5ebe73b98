//! ICMP and ICMPv6 (RFC 792, RFC 4443): errors belong to the flow of the packet they quote,
//! queries are flows of their own.

use std::net::SocketAddr;

use vtap_packet::{EtherType, Ip, Protocol, Vni, checksum};

use crate::config::{Checksum, Config};
use crate::key::{End, Key};
use crate::read::{Content, Observed, ports};
use crate::reason::Reason;
use crate::skip::Skip;

/// Length of the header before a quoted packet, in both versions.
const HEADER_LEN: usize = 8;

pub(crate) fn read(ip: &Ip<'_>, vni: Vni, config: &Config) -> Result<Observed, Skip> {
    let Some(([kind, ..], quoted)) = ip.payload.split_first_chunk::<HEADER_LEN>() else {
        return Err(Skip::CutShort);
    };
    let observed = |port, content| Observed::new(ip, (port, port), vni, content);
    if config.checksum != Checksum::Off && !checksum_is_right(ip) {
        return Ok(observed(0, Content::BadIcmp(Reason::BadChecksum)));
    }
    let v6 = ip.protocol == Protocol::ICMPV6;
    match *kind {
        // Destination unreachable, packet too big, time exceeded, parameter problem.
        1..=127 if v6 => Ok(error(ip, quoted, vni, EtherType::IPV6)),
        // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
        3 | 4 | 5 | 11 | 12 if !v6 => Ok(error(ip, quoted, vni, EtherType::IPV4)),
        // Multicast listeners (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861), which
        // conntrack leaves alone too.
        130..=137 | 143 if v6 => Ok(observed(0, Content::Untracked)),
        _ => Ok(observed(identifier(ip).unwrap_or_default(), Content::Other)),
    }
}

/// What request and reply of a query share: echo, timestamp, information, address mask.
pub(crate) fn identifier(ip: &Ip<'_>) -> Option<u16> {
    let [kind, _, _, _, hi, lo, _, _] = *ip.payload.first_chunk::<HEADER_LEN>()?;
    let query = match ip.protocol {
        Protocol::ICMPV6 => matches!(kind, 128 | 129),
        _ => matches!(kind, 0 | 8 | 13..=18),
    };
    query.then_some(u16::from_be_bytes([hi, lo]))
}

fn checksum_is_right(ip: &Ip<'_>) -> bool {
    let truncated = ip.payload.len() < ip.payload_len as usize;
    truncated
        || 0xffff
            == match ip.protocol {
                Protocol::ICMPV6 => checksum::transport(ip.src, ip.dst, ip.protocol, ip.payload),
                _ => checksum::of(ip.payload),
            }
}

fn error(ip: &Ip<'_>, quoted: &[u8], vni: Vni, ether_type: EtherType) -> Observed {
    let stray = || Observed::new(ip, (0, 0), vni, Content::BadIcmp(Reason::NoState));
    // Routers quote as little as 8 bytes behind the header, so the quote's own length is no guide.
    let Ok(inner) = Ip::parse(ether_type, quoted, usize::MAX) else { return stray() };
    let ports = match inner.protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => ports(inner.payload),
        Protocol::ICMP | Protocol::ICMPV6 => {
            let id = inner.payload.get(4..6).and_then(|id| id.first_chunk());
            id.map(|id| (u16::from_be_bytes(*id), u16::from_be_bytes(*id)))
        }
        _ => Some((0, 0)),
    };
    let Some((src_port, dst_port)) = ports else { return stray() };
    let (src, dst) = (SocketAddr::new(inner.src, src_port), SocketAddr::new(inner.dst, dst_port));
    let (key, from): (Key, End) = Key::new(src, dst, inner.protocol, vni);
    let content = Content::Error { misdirected: ip.dst != inner.src };
    Observed { key, from, ..Observed::new(ip, (0, 0), vni, content) }
}
