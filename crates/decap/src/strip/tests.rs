use proptest::prelude::*;
use vtap_packet::Timestamp;
use vtap_packet::tcp::Flags;
use vtap_testkit::TcpFrame;
use vtap_testkit::frame::{fragments, mirrored, packet, udp};

use super::*;
use crate::PortSet;

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn inner() -> Vec<u8> {
    TcpFrame::new("10.0.2.4:40000", "10.0.2.6:80", Flags::SYN, 1000, 0).build()
}

/// An envelope whose VXLAN header begins with these bytes, to this UDP port.
fn envelope(header: [u8; 8], port: u16, frame: &[u8]) -> Vec<u8> {
    udp("10.1.1.1:50000", &format!("10.1.1.4:{port}"), &[&header[..], frame].concat())
}

fn strip(decap: &mut Decap, frame: &[u8]) -> Result<(Vec<u8>, Tunnel), Option<Skip>> {
    match decap.strip(packet(1, NOW, frame)) {
        Stripped::Mirrored(inner) => Ok((inner.data.to_vec(), inner.tunnel.unwrap())),
        Stripped::Skipped(skip) => Err(Some(skip)),
        Stripped::Plain(_) | Stripped::Absorbed => Err(None),
    }
}

fn strip_once(frame: &[u8]) -> Result<(Vec<u8>, Tunnel), Option<Skip>> {
    strip(&mut Decap::new(Config::default()), frame)
}

#[test]
fn a_mirrored_frame_comes_out_with_its_tunnel() {
    let (data, tunnel) = strip_once(&mirrored(27, &inner())).unwrap();
    assert_eq!(data, inner());
    assert_eq!(
        tunnel,
        Tunnel {
            src: [10, 1, 1, 1].into(),
            dst: [10, 1, 1, 4].into(),
            src_port: 50_000,
            dst_port: 4789,
            vni: Vni::new(27),
            depth: 1,
        }
    );
}

#[test]
fn the_usual_shape_is_taken_in_one_step() {
    for frame in [
        mirrored(27, &inner()),
        mirrored(27, &TcpFrame::new("[fd00::4]:1", "[fd00::6]:2", Flags::ACK, 1, 1).build()),
    ] {
        assert!(Envelope::of(&packet(1, NOW, &frame), &PortSet::default()).is_some());
    }
}

#[test]
fn the_destination_port_alone_decides() {
    let to = |port| envelope([8, 0, 0, 0, 0, 0, 27, 0], port, &inner());
    assert!(strip_once(&to(4789)).is_ok());
    assert_eq!(strip_once(&to(8472)), Err(None));
    let from = udp("10.1.1.1:4789", "10.1.1.4:50000", &[8, 0, 0, 0, 0, 0, 27, 0]);
    assert_eq!(strip_once(&from), Err(None));
    let config = Config { ports: PortSet::new([8472]), ..Config::default() };
    let mut decap = Decap::new(config);
    assert!(strip(&mut decap, &to(8472)).is_ok());
    assert_eq!(strip(&mut decap, &to(4789)), Err(None), "the set replaces the default");
}

#[test]
fn the_i_flag_is_required_and_reserved_bits_are_not_refused() {
    let frame = |header| envelope(header, 4789, &inner());
    assert_eq!(strip_once(&frame([0, 0, 0, 0, 0, 0, 27, 0])), Err(Some(Skip::VxlanNoVni)));
    let reserved = frame([0x48, 0x40, 0, 7, 0, 0, 27, 9]);
    let mut decap = Decap::new(Config::default());
    assert!(strip(&mut decap, &reserved).is_ok());
    assert_eq!(decap.stats().reserved_bits, 1);
    let mut strict = Decap::new(Config { strict_vxlan: true, ..Config::default() });
    assert_eq!(strip(&mut strict, &reserved), Err(Some(Skip::VxlanReserved)));
    let group_policy = frame([0x88, 0x48, 0x12, 0x34, 0, 0, 27, 0]);
    assert!(strip(&mut strict, &group_policy).is_ok());
}

#[test]
fn gpe_carries_ip_without_ethernet() {
    let ip = &inner()[14..];
    for port in [4789, 4790] {
        let frame = envelope([0x0c, 0, 0, 1, 0, 0, 27, 0], port, ip);
        let mut decap = Decap::new(Config::default());
        let Stripped::Mirrored(inner) = decap.strip(packet(1, NOW, &frame)) else { panic!() };
        assert_eq!((inner.link, inner.data), (LinkType::IPV4, ip));
    }
    let ethernet = envelope([0x0c, 0, 0, 3, 0, 0, 27, 0], 4790, &inner());
    assert!(strip_once(&ethernet).is_ok());
    let nsh = envelope([0x0c, 0, 0, 4, 0, 0, 27, 0], 4790, &inner());
    assert_eq!(strip_once(&nsh), Err(Some(Skip::GpeProtocol)));
    let oam = envelope([0x0d, 0, 0, 3, 0, 0, 27, 0], 4790, &inner());
    assert_eq!(strip_once(&oam), Err(Some(Skip::GpeProtocol)));
    let version = envelope([0x1c, 0, 0, 3, 0, 0, 27, 0], 4790, &inner());
    assert_eq!(strip_once(&version), Err(Some(Skip::GpeVersion)));
}

#[test]
fn what_is_no_frame_is_implausible() {
    assert_eq!(strip_once(&mirrored(27, &[0xff; 60])), Err(Some(Skip::InnerImplausible)));
    assert_eq!(strip_once(&mirrored(27, &[])), Err(Some(Skip::InnerImplausible)));
    let short = udp("10.1.1.1:50000", "10.1.1.4:4789", &[8, 0, 0]);
    assert_eq!(strip_once(&short), Err(Some(Skip::VxlanTruncated)));
}

#[test]
fn the_udp_checksum_is_never_looked_at() {
    let mut frame = mirrored(27, &inner());
    for checksum in [[0, 0], [0xde, 0xad]] {
        frame[40..42].copy_from_slice(&checksum);
        assert!(strip_once(&frame).is_ok());
    }
}

#[test]
fn an_icmp_error_that_quotes_an_envelope_is_plain() {
    let quoted = &mirrored(27, &inner())[14..];
    let mut icmp = vec![3, 3, 0, 0, 0, 0, 0, 0];
    icmp.extend(quoted);
    let mut frame = udp("10.1.1.4:1", "10.1.1.1:1", &[]);
    frame.truncate(34);
    frame[23] = 1;
    frame[16..18].copy_from_slice(&(20 + icmp.len() as u16).to_be_bytes());
    frame.extend(icmp);
    assert_eq!(strip_once(&frame), Err(None));
}

#[test]
fn vlan_tags_and_cooked_headers_are_walked() {
    let plain = mirrored(27, &inner());
    let mut tagged = plain[..12].to_vec();
    tagged.extend([0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]);
    tagged.extend(&plain[12..]);
    assert_eq!(strip_once(&tagged).unwrap().0, inner());

    let mut sll2 = vec![0x08, 0];
    sll2.extend([0; 18]);
    sll2.extend(&plain[14..]);
    let mut decap = Decap::new(Config::default());
    let cooked = Packet { link: LinkType::LINUX_SLL2, ..packet(1, NOW, &sll2) };
    let Stripped::Mirrored(frame) = decap.strip(cooked) else { panic!() };
    assert_eq!((frame.link, frame.data), (LinkType::ETHERNET, &inner()[..]));
}

#[test]
fn ipv6_envelopes_are_read() {
    let payload = [&[8, 0, 0, 0, 0, 0, 27, 0][..], &inner()].concat();
    let frame = udp("[fd00::1]:50000", "[fd00::4]:4789", &payload);
    let (data, tunnel) = strip_once(&frame).unwrap();
    assert_eq!((data, tunnel.src.is_ipv6()), (inner(), true));
}

#[test]
fn padding_behind_the_envelope_is_not_part_of_the_frame() {
    let mut frame = mirrored(27, &inner());
    frame.extend([0; 20]);
    assert_eq!(strip_once(&frame).unwrap().0, inner());
}

#[test]
fn nested_envelopes_are_taken_off_to_the_innermost_frame() {
    let nested = mirrored(1, &mirrored(2, &mirrored(3, &inner())));
    let (data, tunnel) = strip_once(&nested).unwrap();
    assert_eq!((data, tunnel.depth, tunnel.vni), (inner(), 3, Vni::new(3)));
    let mut outermost = Decap::new(Config { max_depth: 1, ..Config::default() });
    let (data, tunnel) = strip(&mut outermost, &nested).unwrap();
    assert_eq!(
        (data, tunnel.depth, tunnel.vni),
        (mirrored(2, &mirrored(3, &inner())), 1, Vni::new(1))
    );
}

#[test]
fn what_only_looks_like_a_nested_envelope_is_the_customers() {
    let odd = udp("10.0.2.4:5000", "10.0.2.6:4789", b"not VXLAN at all");
    assert_eq!(strip_once(&mirrored(27, &odd)).unwrap().0, odd);
}

#[test]
fn a_frame_cut_by_the_snaplen_keeps_its_length_on_the_wire() {
    let whole = mirrored(
        27,
        &TcpFrame::new("10.0.2.4:1", "10.0.2.6:2", Flags::ACK, 1, 1).data(900).build(),
    );
    let mut decap = Decap::new(Config::default());
    let cut = Packet { data: &whole[..128], ..packet(1, NOW, &whole) };
    let Stripped::Mirrored(frame) = decap.strip(cut) else { panic!() };
    assert_eq!((frame.data.len(), frame.wire_len as usize), (128 - 50, whole.len() - 50));
    assert!(frame.is_truncated());
    let headers = Packet { data: &whole[..45], ..packet(1, NOW, &whole) };
    assert!(matches!(decap.strip(headers), Stripped::Skipped(Skip::CutShort)));
}

#[test]
fn an_envelope_in_fragments_is_put_together() {
    let frame = TcpFrame::new("10.0.2.4:1", "10.0.2.6:2", Flags::ACK, 1, 1).data(1400).build();
    for reversed in [false, true] {
        let mut pieces = fragments(&mirrored(27, &frame), 9, 600);
        if reversed {
            pieces.reverse();
        }
        let mut decap = Decap::new(Config::default());
        let (last, rest) = pieces.split_last().unwrap();
        for piece in rest {
            assert_eq!(strip(&mut decap, piece), Err(None));
        }
        assert_eq!(strip(&mut decap, last).unwrap().0, frame);
        let stats = decap.stats();
        assert_eq!((stats.decapsulated, stats.plain), (1, 0));
        assert_eq!(
            (stats.fragments.seen, stats.fragments.completed, stats.fragments.absorbed),
            (3, 1, 2)
        );
        assert!(stats.balances());
    }
}

#[test]
fn a_first_fragment_to_another_port_is_plain() {
    let pieces = fragments(&udp("10.1.1.1:1", "10.1.1.4:53", &[0; 900]), 9, 400);
    let mut decap = Decap::new(Config::default());
    assert!(matches!(decap.strip(packet(1, NOW, &pieces[0])), Stripped::Plain(_)));
}

#[test]
fn a_fragment_cut_by_the_snaplen_cannot_be_put_together() {
    let pieces = fragments(&mirrored(27, &udp("10.0.2.4:1", "10.0.2.6:2", &[0; 900])), 9, 400);
    let mut decap = Decap::new(Config::default());
    let cut = Packet { data: &pieces[0][..100], ..packet(1, NOW, &pieces[0]) };
    assert!(matches!(decap.strip(cut), Stripped::Skipped(Skip::OuterFragment)));
}

proptest! {
    /// The shape that is taken in one step gives what the general walk gives, with any byte of it
    /// changed and any part of it cut.
    #[test]
    fn the_usual_shape_is_stripped_as_the_general_walk_has_it(
        frame in prop_oneof![
            Just(mirrored(27, &inner())),
            Just(mirrored(27, &TcpFrame::new("[fd00::4]:1", "[fd00::6]:2", Flags::ACK, 1, 1).build())),
            Just(mirrored(27, &udp("10.0.2.4:1", "10.0.2.6:4789", &[8, 0, 0, 0, 0, 0, 1, 0]))),
            Just(mirrored(1, &mirrored(2, &inner()))),
        ],
        link in prop_oneof![Just(LinkType::ETHERNET), Just(LinkType::LINUX_SLL2), Just(LinkType::LINUX_SLL)],
        changes in prop::collection::vec((0_usize..110, any::<u8>()), 0..3),
        cut in prop::option::weighted(0.3, 0_usize..150),
    ) {
        let mut data = match link {
            LinkType::LINUX_SLL2 => [&[8, 0][..], &[0; 18], &frame[14..]].concat(),
            LinkType::LINUX_SLL => [&[0; 14][..], &[8, 0], &frame[14..]].concat(),
            _ => frame,
        };
        for (at, value) in changes {
            if let Some(byte) = data.get_mut(at) {
                *byte = value;
            }
        }
        data.truncate(cut.unwrap_or(usize::MAX));
        let packet = Packet { link, ..packet(1, NOW, &data) };
        let mut decap = Decap::new(Config::default());
        if let Some(envelope) = Envelope::of(&packet, &PortSet::default()) {
            let quick = envelope.open(&packet);
            let Stripped::Mirrored(walked) = decap.walk(packet) else {
                panic!("the walk refuses {data:02x?}");
            };
            prop_assert_eq!((quick.link, quick.wire_len, quick.data), (walked.link, walked.wire_len, walked.data));
            prop_assert_eq!(quick.tunnel, walked.tunnel);
        }
    }

    /// Whatever the bytes, every packet ends in one counter, and what comes out lies inside what
    /// went in.
    #[test]
    fn any_bytes_end_in_one_counter(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..20),
        // Half of them in an envelope, so that the inner walk is reached.
        wrapped in any::<u32>(),
    ) {
        let mut decap = Decap::new(Config::default());
        for (index, bytes) in frames.iter().enumerate() {
            let data = if wrapped >> index & 1 == 1 { mirrored(27, bytes) } else { bytes.clone() };
            if let Stripped::Mirrored(frame) = decap.strip(packet(1, NOW, &data)) {
                prop_assert!(frame.data.len() < data.len());
                prop_assert!(frame.wire_len as usize >= frame.data.len());
            }
        }
        decap.finish();
        prop_assert!(decap.stats().balances());
    }
}
