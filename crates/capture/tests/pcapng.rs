//! pcapng: every kind of block and clock that is read, and damage in the middle of a file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use common::{Big, Drained, Got, Little, Pcapng, SECONDS, data, read};
use vtap_capture::{Damage, File, Kind, Source};

const MICROS: u64 = SECONDS as u64 * 1_000_000;
const WHOLE: u64 = SECONDS as u64 * 1_000_000_000;
const NANOSECONDS: (u16, &[u8]) = (9, &[9]);

fn undamaged(file: &Pcapng) -> Drained {
    let read = read(&file.bytes);
    assert_eq!(read.damage, []);
    read
}

#[test]
fn both_byte_orders_are_read() {
    for order in [Little, Big] {
        let mut file = Pcapng::new(order);
        file.interface(276, 0, &[]).enhanced(0, MICROS + 5, 1500, &[1, 2, 3]);
        let packet = Got {
            nanos: WHOLE + 5000,
            link: 276,
            interface: 0,
            wire_len: 1500,
            data: vec![1, 2, 3],
        };
        assert_eq!(undamaged(&file).packets, [packet]);
    }
}

#[test]
fn every_interface_has_its_clock_and_link_type() {
    for order in [Little, Big] {
        let mut file = Pcapng::new(order);
        let offset = order.u64(-100_i64 as u64);
        file.interface(1, 0, &[NANOSECONDS])
            .interface(101, 0, &[(9, &[12])])
            .interface(113, 0, &[(9, &[0x80 | 10])])
            .interface(276, 0, &[(14, &offset), (9, &[6])])
            .interface(0, 0, &[(9, &[0])]);
        file.enhanced(0, WHOLE + 1, 1, &[0])
            .enhanced(1, 5_000_001_999, 1, &[1])
            .enhanced(2, 1024 + 512, 1, &[2])
            .enhanced(3, MICROS, 1, &[3])
            .enhanced(4, SECONDS.into(), 1, &[4]);
        let read = undamaged(&file);
        let expected = [WHOLE + 1, 5_000_001, 1_500_000_000, WHOLE - 100_000_000_000, WHOLE];
        assert_eq!(read.nanos(), expected);
        assert_eq!(
            read.packets.iter().map(|it| (it.link, it.interface)).collect::<Vec<_>>(),
            [(1, 0), (101, 1), (113, 2), (276, 3), (0, 4)]
        );
    }
}

#[test]
fn a_new_section_has_its_own_order_and_interfaces() {
    let mut file = Pcapng::new(Little);
    file.interface(1, 0, &[(2, b"eth0")]).enhanced(0, MICROS, 1, &[1]);
    // Section lengths that are wrong do no harm.
    file.section(Big, 12).interface(113, 0, &[(2, b"any"), NANOSECONDS]);
    file.enhanced(0, WHOLE, 1, &[2]);
    file.section(Little, 1 << 60).interface(101, 0, &[]).enhanced(0, MICROS, 1, &[3]);
    let read = undamaged(&file);
    assert_eq!(read.nanos(), [WHOLE; 3]);
    let links = read.packets.iter().map(|it| (it.link, it.interface)).collect::<Vec<_>>();
    assert_eq!(links, [(1, 0), (113, 1), (101, 2)]);

    let mut source = File::from_bytes(file.bytes).unwrap();
    while source.next().unwrap().is_some() {}
    assert_eq!(source.interface(1).unwrap().name, "any");
    assert!(source.interface(3).is_none());
}

#[test]
fn an_interface_of_an_earlier_section_is_unknown() {
    let mut file = Pcapng::new(Little);
    file.interface(1, 0, &[]).section(Little, -1).enhanced(0, 0, 1, &[1]);
    assert_eq!(read(&file.bytes).damage, [(28 + 20 + 28, 36, Kind::UnknownInterface(0))]);
}

#[test]
fn simple_packets_are_of_interface_0_and_of_the_time_before() {
    let mut file = Pcapng::new(Big);
    file.interface(1, 4, &[]).interface(113, 0, &[]);
    file.simple(3, &[1, 2, 3]).enhanced(1, MICROS, 2, &[9, 9]).simple(60, &[4, 5, 6, 7]);
    let read = undamaged(&file);
    assert_eq!(read.nanos(), [0, WHOLE, WHOLE]);
    assert_eq!(read.datas(), [&[1, 2, 3][..], &[9, 9], &[4, 5, 6, 7]]);
    assert_eq!(read.packets.iter().map(|it| it.wire_len).collect::<Vec<_>>(), [3, 2, 60]);
    assert_eq!((read.packets[2].link, read.packets[2].interface), (1, 0));
}

#[test]
fn obsolete_packet_blocks_are_read() {
    for order in [Little, Big] {
        let mut file = Pcapng::new(order);
        file.interface(1, 0, &[]).interface(113, 0, &[]).obsolete(1, MICROS, 70, &[1, 2, 3, 4, 5]);
        let read = undamaged(&file);
        assert_eq!((read.nanos()[0], read.packets[0].link), (WHOLE, 113));
        assert_eq!((read.packets[0].wire_len, read.datas()[0]), (70, &[1, 2, 3, 4, 5][..]));
    }
}

#[test]
fn other_blocks_and_options_are_stepped_over() {
    let mut file = Pcapng::new(Little);
    file.block(0x1234_5678, &[1; 7]).block(4, &[0; 4]).block(10, &[1; 100]).block(0xbad, &[2; 9]);
    file.interface(1, 0, &[(1, b"comment"), (0x4bad, &[1, 2, 3]), (0, &[]), (9, &[9])]);
    file.block(5, &[0; 12]).block(12, &[]).enhanced(0, MICROS, 1, &[1]).block(0x8000_0001, &[]);
    // What stands behind the end of the options is none.
    assert_eq!(undamaged(&file).nanos(), [WHOLE]);
}

#[test]
fn options_that_run_past_their_block_are_told() {
    let mut file = Pcapng::new(Little);
    file.block(1, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 2, 0, 99, 0, b'e', b't', 0, 0]);
    file.enhanced(0, WHOLE, 1, &[1]);
    let read = read(&file.bytes);
    assert_eq!((read.nanos(), read.damage), (vec![WHOLE], vec![(28, 0, Kind::Options)]));
}

#[test]
fn a_packet_longer_than_its_block_is_set_aside() {
    let mut file = Pcapng::new(Little);
    file.interface(1, 0, &[]).enhanced_of(0, 0, [9, 9], &[1; 8]).enhanced(0, 0, 8, &[2; 8]);
    file.simple(5, &[3; 4]).enhanced(7, 0, 1, &[4]).enhanced(0, 0, 4, &[5; 4]);
    let read = read(&file.bytes);
    assert_eq!(read.datas(), [&[2; 8][..], &[5; 4]]);
    let kinds: Vec<_> = read.damage.iter().map(|(.., kind)| kind.clone()).collect();
    let expected = [
        Kind::PacketLength { captured: 9, room: 8 },
        Kind::PacketLength { captured: 5, room: 4 },
        Kind::UnknownInterface(7),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(read.damage[0], (48, 40, expected[0].clone()));
}

/// Ten packets and where their blocks begin.
fn ten(order: common::Order) -> (Pcapng, Vec<usize>) {
    let mut file = Pcapng::new(order);
    file.interface(1, 0, &[]);
    let mut at = Vec::new();
    for seed in 0..10 {
        at.push(file.bytes.len());
        file.enhanced(0, MICROS, 1500, &data(seed, 60 + seed as usize));
    }
    (file, at)
}

fn all_but(lost: &[u32]) -> Vec<Vec<u8>> {
    (0..10).filter(|seed| !lost.contains(seed)).map(|seed| data(seed, 60 + seed as usize)).collect()
}

#[test]
fn a_broken_length_costs_one_packet() {
    for order in [Little, Big] {
        for length in [0, 11, 13, 28, 0x7fff_fffc, 0xffff_ffff, 60, 400, 100_000] {
            let (mut file, at) = ten(order);
            file.bytes[at[4] + 4..][..4].copy_from_slice(&order.u32(length));
            let read = read(&file.bytes);
            assert_eq!(read.datas(), all_but(&[4]), "{length}");
            assert_eq!(read.damage.len(), 1, "{length}");
            let (offset, skipped, _) = read.damage[0];
            assert_eq!((offset, skipped), (at[4] as u64, (at[5] - at[4]) as u64), "{length}");
        }
    }
}

#[test]
fn a_broken_trailer_costs_nothing() {
    let (mut file, at) = ten(Little);
    file.bytes[at[5] - 4] ^= 0xff;
    let whole = file.bytes.len();
    file.bytes[whole - 1] = 1;
    let read = read(&file.bytes);
    assert_eq!(read.datas(), all_but(&[]));
    let last = 104_u32;
    let expected = [
        (at[4] as u64, 0, Kind::BlockTrailer { leading: 96, trailing: 96 ^ 0xff }),
        (at[9] as u64, 0, Kind::BlockTrailer { leading: last, trailing: last + (1 << 24) }),
    ];
    assert_eq!(read.damage, expected);
}

#[test]
fn overwritten_blocks_are_passed_over() {
    for filler in [0, 0xff] {
        let (mut file, at) = ten(Big);
        file.bytes[at[2] + 8..at[6] + 12].fill(filler);
        file.bytes[at[2] + 4] = 0x7f;
        let read = read(&file.bytes);
        assert_eq!(read.datas(), all_but(&[2, 3, 4, 5, 6]));
        assert_eq!((read.damage[0].0, read.damage[0].1), (at[2] as u64, (at[7] - at[2]) as u64));
    }
}

#[test]
fn a_section_with_a_broken_head_is_read_in_the_order_of_its_blocks() {
    for order in [Little, Big] {
        let (mut file, at) = ten(order);
        file.bytes[9] ^= 1;
        let read = read(&file.bytes);
        assert_eq!(read.datas(), all_but(&[]));
        assert_eq!(read.damage, [(0, 28, Kind::ByteOrder)]);
        assert_eq!(at[0], 48);
    }
}

#[test]
fn a_new_section_is_found_behind_damage() {
    let (mut file, at) = ten(Little);
    file.section(Big, -1).interface(101, 0, &[]).enhanced(0, MICROS, 1, &[1]);
    file.bytes[at[9] + 4] = 3;
    let read = read(&file.bytes);
    assert_eq!((read.packets.len(), read.packets[9].link), (10, 101));
}

#[test]
fn a_file_cut_anywhere_keeps_all_before() {
    let (file, at) = ten(Little);
    for len in 1..file.bytes.len() {
        let read = read(&file.bytes[..len]);
        let whole = at.iter().skip(1).filter(|at| **at <= len).count();
        assert_eq!(read.packets.len(), whole, "{len}");
        let bounds = [0, 28].into_iter().chain(at.iter().copied());
        let begins = bounds.filter(|at| *at <= len).max().unwrap();
        let cut = (begins as u64, (len - begins) as u64, Kind::Cut);
        let expected = if len == begins { vec![] } else { vec![cut] };
        assert_eq!(read.damage, expected, "{len}");
    }
}

#[test]
fn a_flood_of_interfaces_is_bounded() {
    let mut file = Pcapng::new(Little);
    for _ in 0..65_736 {
        file.interface(1, 0, &[]);
    }
    file.enhanced(65_535, 0, 1, &[1]).enhanced(65_536, 0, 1, &[1]);
    let read = read(&file.bytes);
    assert_eq!(read.packets.len(), 1);
    assert_eq!((read.damage.len(), read.unlisted), (Damage::LISTED, 101));
}

#[test]
fn damage_everywhere_takes_linear_time() {
    let mut file = Pcapng::new(Little);
    file.interface(1, 0, &[]);
    // Blocks that claim to run past the end, each a place to ask what follows.
    while file.bytes.len() < 2 << 20 {
        file.bytes.extend([6_u32.to_le_bytes(), (50_u32 << 20).to_le_bytes(), [9; 4]].concat());
    }
    read(&file.bytes);

    // Whole blocks between, so that every claim is judged by itself.
    let mut file = Pcapng::new(Little);
    while file.bytes.len() < 3 << 20 {
        file.bytes.extend([6_u32.to_le_bytes(), (1_u32 << 20).to_le_bytes(), [9; 4]].concat());
        file.block(5, &[0; 12]);
    }
    let read = read(&file.bytes);
    assert_eq!(read.damage.len() as u64 + read.unlisted, (file.bytes.len() as u64 - 28) / 36);
}
