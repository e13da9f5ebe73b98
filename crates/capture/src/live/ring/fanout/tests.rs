use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::live::ring::program::machine::{Facts, run};

const PORTS: [u16; 2] = [4789, 4790];

/// One direction of a flow.
#[derive(Clone, Copy, Debug)]
struct Flow {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    src_port: u16,
    dst_port: u16,
}

impl Flow {
    fn back(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            ..self
        }
    }

    fn tcp(src: [u8; 4], src_port: u16, dst: [u8; 4], dst_port: u16) -> Self {
        Self { src: src.into(), dst: dst.into(), protocol: 6, src_port, dst_port }
    }

    /// From the network header on, behind so many words of IPv4 options.
    fn packet(self, option_words: u8) -> Vec<u8> {
        let mut transport = vec![0; 20];
        transport[..2].copy_from_slice(&self.src_port.to_be_bytes());
        transport[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        ip(self.src, self.dst, self.protocol, option_words, &transport)
    }
}

fn ip(src: IpAddr, dst: IpAddr, protocol: u8, option_words: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = vec![0; 12];
            header[0] = 0x45 + option_words;
            header[9] = protocol;
            header.extend(src.octets());
            header.extend(dst.octets());
            header.extend(vec![0xff; 4 * usize::from(option_words)]);
            header
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            header.extend(src.octets());
            header.extend(dst.octets());
            header
        }
        _ => panic!("one version"),
    };
    packet.extend(payload);
    packet
}

fn ether_type(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }
}

/// What stands around a packet.
#[derive(Clone, Debug)]
struct Envelope {
    tap: IpAddr,
    collector: IpAddr,
    option_words: u8,
    src_port: u16,
    generic: bool,
    tags: usize,
}

impl Envelope {
    fn around(&self, inner: &[u8]) -> Vec<u8> {
        let (port, flags) = if self.generic { (4790_u16, 0x0c) } else { (4789, 0x08) };
        let mut udp = self.src_port.to_be_bytes().to_vec();
        udp.extend(port.to_be_bytes());
        udp.extend([0; 4]);
        let is_ip = self.generic && self.tags == 0;
        let next = match ether_type(inner) {
            _ if !self.generic => 0,
            0x0800 if is_ip => 1,
            _ if is_ip => 2,
            _ => 3,
        };
        udp.extend([flags, 0, 0, next, 0, 0, 27, 0]);
        if !is_ip {
            udp.extend([2; 12]);
            for _ in 0..self.tags {
                udp.extend([0x81, 0x00, 0x00, 0x07]);
            }
            udp.extend(ether_type(inner).to_be_bytes());
        }
        udp.extend(inner);
        ip(self.tap, self.collector, 17, self.option_words, &udp)
    }
}

/// What the kernel asks for a packet that comes in.
fn member(packet: &[u8]) -> u32 {
    let facts = Facts { ether_type: ether_type(packet).into(), hardware: 1, ..Facts::default() };
    run(&program(&PORTS), facts, packet)
}

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(src, dst)| (src.into(), dst.into())),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(src, dst)| (src.into(), dst.into())),
    ]
}

prop_compose! {
    fn flow()(
        (src, dst) in addresses(),
        protocol in prop_oneof![Just(6), Just(17), Just(132), Just(1), Just(50)],
        src_port in any::<u16>(),
        dst_port in any::<u16>(),
    ) -> Flow {
        let is_envelope = |port| protocol == 17 && PORTS.contains(&port);
        let other = |port| if is_envelope(port) { 53 } else { port };
        Flow { src, dst, protocol, src_port: other(src_port), dst_port: other(dst_port) }
    }
}

prop_compose! {
    fn envelope()(
        (tap, collector) in addresses(),
        option_words in 0_u8..=10,
        src_port in any::<u16>(),
        generic in any::<bool>(),
        tags in 0_usize..=MAX_VLAN_TAGS,
    ) -> Envelope {
        Envelope { tap, collector, option_words, src_port, generic, tags }
    }
}

proptest! {
    #[test]
    fn both_directions_meet_whatever_envelopes_they_came_in(
        flow in flow(),
        options in any::<(bool, bool)>(),
        there in prop::collection::vec(envelope(), 0..=MAX_DEPTH),
        back in prop::collection::vec(envelope(), 0..=MAX_DEPTH),
    ) {
        // Of protocols without ports, what would be the ports is part of the payload.
        let wrap = |envelopes: &[Envelope], packet| {
            envelopes.iter().fold(packet, |packet: Vec<u8>, envelope| envelope.around(&packet))
        };
        let there = wrap(&there, flow.packet(options.0.into()));
        let back = wrap(&back, flow.back().packet(options.1.into()));
        prop_assert_eq!(member(&there), member(&back));
    }

    #[test]
    fn bytes_of_any_kind_get_an_answer(
        packet in prop::collection::vec(any::<u8>(), 0..120),
        ether_type in prop_oneof![Just(0x0800), Just(0x86dd), Just(0x8100), any::<u16>().prop_map(u32::from)],
    ) {
        run(&program(&PORTS), Facts { ether_type, ..Facts::default() }, &packet);
    }
}

#[test]
fn a_packet_that_goes_out_is_read_behind_its_ethernet_header() {
    let packet = Flow::tcp([10, 0, 0, 1], 40_000, [10, 0, 0, 2], 443).packet(0);
    let frame = [&[2; 12][..], &[8, 0], &packet].concat();
    for hardware in [1, 772] {
        let packet_type = libc::PACKET_OUTGOING.into();
        let facts = Facts { ether_type: 0x0800, packet_type, hardware, ..Facts::default() };
        assert_eq!(run(&program(&PORTS), facts, &frame), member(&packet));
    }
    let facts = Facts { ether_type: 0x0800, packet_type: 4, hardware: 0xfffe, ..Facts::default() };
    assert_eq!(run(&program(&PORTS), facts, &packet), member(&packet));
}

#[test]
fn outer_vlan_tags_that_the_kernel_left_are_walked() {
    let packet = Flow::tcp([10, 0, 0, 1], 40_000, [10, 0, 0, 2], 443).packet(0);
    let tagged = [&[0, 7, 0x81, 0, 0, 9, 8, 0][..], &packet].concat();
    let facts = Facts { ether_type: 0x88a8, ..Facts::default() };
    assert_eq!(run(&program(&PORTS), facts, &tagged), member(&packet));
}

#[test]
fn fragments_go_by_addresses() {
    let mut first = Flow::tcp([10, 0, 0, 1], 40_000, [10, 0, 0, 2], 443).packet(0);
    first[6] = 0x20;
    let mut second = Flow::tcp([10, 0, 0, 1], 1, [10, 0, 0, 2], 2).packet(0);
    second[7] = 0x08;
    let mut reply = Flow::tcp([10, 0, 0, 2], 443, [10, 0, 0, 1], 40_000).packet(0);
    reply[6] = 0x20;
    assert_eq!(member(&first), member(&second));
    assert_eq!(member(&first), member(&reply));
    // "Do not fragment" does not make a fragment.
    let whole = Flow::tcp([10, 0, 0, 1], 40_000, [10, 0, 0, 2], 443);
    let mut permits_none = whole.packet(0);
    permits_none[6] = 0x40;
    assert_eq!(member(&permits_none), member(&whole.packet(0)));
    assert_ne!(member(&permits_none), member(&first));
}

#[test]
fn only_these_ports_are_envelopes() {
    let flow = |port| Flow::tcp([10, 0, 0, 1], port, [10, 0, 0, 2], 443).packet(0);
    let envelope = |src_port| Envelope {
        tap: [10, 0, 0, 4].into(),
        collector: [10, 0, 0, 5].into(),
        option_words: 0,
        src_port,
        generic: false,
        tags: 0,
    };
    let facts = Facts { ether_type: 0x0800, ..Facts::default() };
    let on = |ports: &[u16], packet: &[u8]| run(&program(ports), facts, packet);
    let (one, other) = (envelope(1).around(&flow(1)), envelope(1).around(&flow(2)));
    assert_eq!(on(&[8472], &one), on(&[8472], &other), "told apart by the envelope alone");
    assert_ne!(on(&[8472, 4789], &one), on(&[8472, 4789], &other));
    assert_eq!(on(&[], &one), on(&[8472], &one));
}

#[test]
fn neighbouring_ports_and_addresses_spread_evenly() {
    const FLOWS: u16 = 4096;
    let clients = |n: u16| Flow::tcp([10, 0, 0, 1], 32_768 + n, [10, 0, 0, 2], 443);
    let hosts = |n: u16| {
        let [high, low] = n.to_be_bytes();
        Flow::tcp([10, 1, high, low], 40_000, [10, 0, 0, 2], 443)
    };
    let pairs = |n: u16| {
        let [high, low] = n.to_be_bytes();
        Flow::tcp([10, 1, high, low], 40_000 + n, [10, 2, high, low], 443)
    };
    let flows: [&dyn Fn(u16) -> Flow; 3] = [&clients, &hosts, &pairs];
    for flow in flows {
        let hashes: Vec<_> = (0..FLOWS).map(|n| member(&flow(n).packet(0))).collect();
        for members in 2..=16_u32 {
            let mut load = BTreeMap::<_, u32>::new();
            for hash in &hashes {
                *load.entry(hash % members).or_default() += 1;
            }
            let even = u32::from(FLOWS) / members;
            assert_eq!(load.len(), members as usize);
            // Four standard deviations of chance for 16 members.
            assert!(load.values().all(|load| load.abs_diff(even) <= even / 4), "{load:?}");
        }
    }
}
