//! The walk from a captured packet to the customer's frame.

use std::net::IpAddr;

use vtap_packet::udp::Udp;
use vtap_packet::vxlan::Vxlan;
use vtap_packet::{EtherType, Ip, LinkType, Packet, Protocol, Tunnel, Vni, link};

use crate::fragments::{Fragments, Taken};
use crate::policy;
use crate::usual::Envelope;
use crate::{Config, Skip, Stats};

/// Takes envelopes off.
#[derive(Debug)]
pub struct Decap {
    config: Config,
    fragments: Fragments,
    stats: Stats,
}

/// What a packet is.
#[derive(Clone, Copy, Debug)]
pub enum Stripped<'a> {
    /// Mirrored: the customer's frame, with its tunnel.
    Mirrored(Packet<'a>),
    /// Not mirrored: the packet as it came, its interface told exactly.
    Plain(Packet<'a>),
    /// A fragment of an envelope that did not complete it.
    Absorbed,
    /// Set aside.
    Skipped(Skip),
}

/// A UDP datagram found in a packet.
struct Outer<'a> {
    src: IpAddr,
    dst: IpAddr,
    udp: Udp<'a>,
    /// Bytes of its payload behind the end of what was captured.
    cut: usize,
}

enum Found<'a> {
    Datagram(Outer<'a>),
    /// No UDP, or nothing that could be read as such.
    Nothing,
    Absorbed,
    Skipped(Skip),
}

impl Decap {
    /// With nothing held.
    pub fn new(config: Config) -> Self {
        let fragments = Fragments::new(config.fragments);
        Self { config, fragments, stats: Stats::default() }
    }

    /// The counters so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.fragments = self.fragments.stats();
        stats
    }

    /// Gives up the fragments that still wait: the input has ended.
    pub fn finish(&mut self) {
        self.fragments.finish();
    }

    /// Narrows a packet to the frame that was mirrored. The result borrows from the packet, or,
    /// where the envelope came in fragments, from `self` until the next call.
    #[inline]
    pub fn strip<'a>(&'a mut self, packet: Packet<'a>) -> Stripped<'a> {
        match self.usual(&packet) {
            Some(envelope) => Stripped::Mirrored(envelope.open(&packet)),
            None => {
                self.stats.packets += 1;
                self.walk(packet)
            }
        }
    }

    /// The envelope of a packet of the shape that nearly all mirrored packets have, to be opened.
    /// `None`, with nothing counted, for any other, which [`strip`](Self::strip) narrows; of those
    /// taken here it makes the same.
    #[inline(always)]
    pub fn usual<'a>(&mut self, packet: &Packet<'a>) -> Option<Envelope<'a>> {
        let envelope = Envelope::of(packet, &self.config.ports)?;
        debug_assert!(
            self.walks_to(packet, &envelope.open(packet)),
            "the walk comes to another end: {packet:?}"
        );
        self.stats.packets += 1;
        self.stats.decapsulated += 1;
        self.stats.inner_bytes += envelope.frame_len() as u64;
        Some(envelope)
    }

    /// Whether the general case gives this frame too.
    fn walks_to(&mut self, packet: &Packet<'_>, frame: &Packet<'_>) -> bool {
        let Self { config, fragments, .. } = self;
        let Found::Datagram(outer) = outer(packet, config, fragments) else { return false };
        match unwrap(packet, outer, config, &mut Stats::default()) {
            Stripped::Mirrored(walked) => {
                let all = |of: &Packet<'_>| {
                    (of.link, of.interface, of.wire_len, of.tunnel, of.data.as_ptr_range())
                };
                all(&walked) == all(frame)
            }
            _ => false,
        }
    }

    /// The general case: every link type, header and oddity.
    #[inline(never)]
    fn walk<'a>(&'a mut self, packet: Packet<'a>) -> Stripped<'a> {
        let Self { config, fragments, stats } = self;
        let stripped = match outer(&packet, config, fragments) {
            Found::Datagram(outer) => unwrap(&packet, outer, config, stats),
            Found::Nothing => Stripped::Plain(Packet { interface: packet.place(), ..packet }),
            Found::Absorbed => Stripped::Absorbed,
            Found::Skipped(skip) => Stripped::Skipped(skip),
        };
        match &stripped {
            Stripped::Mirrored(frame) => {
                stats.decapsulated += 1;
                stats.inner_bytes += u64::from(frame.wire_len);
            }
            Stripped::Plain(_) => stats.plain += 1,
            Stripped::Absorbed => {}
            Stripped::Skipped(skip) => stats.count_skip(*skip),
        }
        stripped
    }
}

/// The datagram of a packet that may be an envelope, put together from fragments if need be.
fn outer<'a>(packet: &Packet<'a>, config: &Config, fragments: &'a mut Fragments) -> Found<'a> {
    let Some(ip) = network(packet.link, packet.data, packet.wire_len as usize) else {
        return Found::Nothing;
    };
    if ip.protocol != Protocol::UDP {
        return Found::Nothing;
    }
    if ip.fragment.is_none() {
        return datagram(&ip, config);
    }
    match fragments.take(packet, &ip, &config.ports) {
        Taken::Plain => Found::Nothing,
        Taken::Absorbed => Found::Absorbed,
        Taken::Unfit => Found::Skipped(Skip::OuterFragment),
        Taken::Complete(payload) => {
            let payload_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            datagram(&Ip { payload, payload_len, fragment: None, ..ip }, config)
        }
    }
}

fn network(link: LinkType, frame: &[u8], wire_len: usize) -> Option<Ip<'_>> {
    let (ether_type, network) = link::network(link, frame).ok()?;
    let stripped = frame.len() - network.len();
    matches!(ether_type, EtherType::IPV4 | EtherType::IPV6)
        .then(|| Ip::parse(ether_type, network, wire_len.saturating_sub(stripped)).ok())?
}

fn datagram<'a>(ip: &Ip<'a>, config: &Config) -> Found<'a> {
    let Some([_, _, port_hi, port_lo]) = ip.payload.first_chunk() else { return Found::Nothing };
    if !config.ports.contains(u16::from_be_bytes([*port_hi, *port_lo])) {
        return Found::Nothing;
    }
    match Udp::parse(ip.payload) {
        Ok(udp) => {
            let cut_of_ip = (ip.payload_len as usize).saturating_sub(ip.payload.len());
            let cut_of_udp = udp.payload_len.map(|len| len.saturating_sub(udp.payload.len()));
            let cut = cut_of_udp.map_or(cut_of_ip, |cut| cut.min(cut_of_ip));
            Found::Datagram(Outer { src: ip.src, dst: ip.dst, udp, cut })
        }
        Err(_) => Found::Skipped(Skip::VxlanTruncated),
    }
}

/// Takes envelope after envelope off, up to the customer's frame.
fn unwrap<'a>(
    packet: &Packet<'a>,
    outermost: Outer<'a>,
    config: &Config,
    stats: &mut Stats,
) -> Stripped<'a> {
    let Outer { src, dst, udp, mut cut } = outermost;
    let mut tunnel = Tunnel {
        src,
        dst,
        src_port: udp.src_port,
        dst_port: udp.dst_port,
        vni: Vni::default(),
        depth: 0,
    };
    let mut udp = udp;
    loop {
        let Ok(vxlan) = Vxlan::parse(udp.payload) else {
            let skip = if cut > 0 { Skip::CutShort } else { Skip::VxlanTruncated };
            return Stripped::Skipped(skip);
        };
        let admitted = match policy::admit(vxlan, udp.dst_port, config.strict_vxlan) {
            Ok(admitted) => admitted,
            Err(skip) => return Stripped::Skipped(skip),
        };
        let wire_len = admitted.frame.len() + cut;
        if let Err(skip) = policy::plausible(admitted.link, admitted.frame, wire_len) {
            return Stripped::Skipped(skip);
        }
        stats.reserved_bits += u64::from(admitted.reserved_bits);
        tunnel.vni = vxlan.vni;
        tunnel.depth += 1;

        let limited = tunnel.depth >= config.max_depth;
        match nested(&admitted, wire_len, config).filter(|_| !limited) {
            Some(inner) => {
                udp = inner.udp;
                cut = inner.cut;
            }
            None => {
                return Stripped::Mirrored(Packet {
                    link: admitted.link,
                    interface: packet.place(),
                    wire_len: u32::try_from(wire_len).unwrap_or(u32::MAX),
                    data: admitted.frame,
                    tunnel: Some(tunnel),
                    ..*packet
                });
            }
        }
    }
}

/// The envelope inside an envelope, if there is one. Fragments of an inner envelope are the
/// customer's packets.
fn nested<'a>(
    admitted: &policy::Admitted<'a>,
    wire_len: usize,
    config: &Config,
) -> Option<Outer<'a>> {
    let ip = network(admitted.link, admitted.frame, wire_len)?;
    if ip.protocol != Protocol::UDP || ip.fragment.is_some() {
        return None;
    }
    match datagram(&ip, config) {
        // What only looks like an envelope is the customer's packet.
        Found::Datagram(outer) => {
            let vxlan = Vxlan::parse(outer.udp.payload).ok()?;
            let inside = policy::admit(vxlan, outer.udp.dst_port, false).ok()?;
            policy::plausible(inside.link, inside.frame, inside.frame.len() + outer.cut).ok()?;
            Some(outer)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
