//! Classic pcap: every layout that is read, and damage in the middle of a file.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use common::{Big, Drained, KUZNETZOV, Little, MICROS, NANOS, Pcap, SECONDS, data, read};
use vtap_capture::{Error, File, Kind};

const WHOLE: u64 = SECONDS as u64 * 1_000_000_000;

fn undamaged(file: &Pcap) -> Drained {
    let read = read(&file.bytes);
    assert_eq!(read.damage, []);
    read
}

#[test]
fn both_byte_orders_and_resolutions_give_nanoseconds() {
    for order in [Little, Big] {
        for (magic, unit) in [(MICROS, 1000), (NANOS, 1), (KUZNETZOV, 1000)] {
            let mut file = Pcap::new(order, magic, (2, 4), 65_535, 113);
            file.packet(123_456, &[1, 2, 3]).raw([SECONDS, 0, 2, 1500], &[4, 5]);
            let read = undamaged(&file);
            assert_eq!(read.nanos(), [WHOLE + 123_456 * unit, WHOLE]);
            assert_eq!(read.datas(), [&[1, 2, 3][..], &[4, 5]]);
            assert_eq!(read.packets.iter().map(|it| it.wire_len).collect::<Vec<_>>(), [3, 1500]);
            assert!(read.packets.iter().all(|it| it.link == 113 && it.interface == 0));
        }
    }
}

#[test]
fn lengths_stand_the_other_way_round_in_old_versions() {
    for (version, fields) in [((2, 2), [SECONDS, 0, 60, 2]), ((2, 3), [SECONDS, 0, 60, 2])] {
        let mut file = Pcap::new(Little, MICROS, version, 65_535, 1);
        file.raw(fields, &[7, 8]).raw([SECONDS, 1, 2, 2], &[9, 9]);
        let read = undamaged(&file);
        assert_eq!(read.datas(), [[7, 8], [9, 9]]);
        assert_eq!(read.packets[0].wire_len, 60);
    }
    // In 2.3 some files have them in order.
    let mut file = Pcap::new(Little, MICROS, (2, 3), 65_535, 1);
    file.raw([SECONDS, 0, 2, 60], &[7, 8]);
    assert_eq!(undamaged(&file).packets[0].wire_len, 60);
}

#[test]
fn versions_that_libpcap_refuses_are_read() {
    for version in [(1, 0), (1, 4), (3, 0), (2, 9)] {
        let mut file = Pcap::new(Big, MICROS, version, 65_535, 1);
        file.packet(0, &[1; 60]);
        assert_eq!(undamaged(&file).packets.len(), 1);
    }
}

#[test]
fn the_check_sequence_is_stripped_where_it_was_captured() {
    // Two 16-bit words of check sequence, with the flag that says so.
    let mut file = Pcap::new(Little, MICROS, (2, 4), 65_535, 0x2400_0001);
    file.packet(0, &[5; 64]).raw([SECONDS, 0, 64, 100], &[6; 64]).packet(0, &[7; 4]);
    let read = undamaged(&file);
    assert_eq!(read.datas(), [&[5; 60][..], &[6; 64], &[7; 4]]);
    assert_eq!(read.packets.iter().map(|it| it.wire_len).collect::<Vec<_>>(), [60, 100, 4]);
    assert!(read.packets.iter().all(|it| it.link == 1));

    // Without the flag the length says nothing, and other bits are no part of the link type.
    let mut file = Pcap::new(Little, MICROS, (2, 4), 65_535, 0x2801_0001);
    file.packet(0, &[5; 64]);
    let read = undamaged(&file);
    assert_eq!((read.packets[0].data.len(), read.packets[0].link), (64, 1));
}

#[test]
fn odd_fields_of_sloppy_writers_are_taken() {
    for snaplen in [0, 10, 0xffff_ffff] {
        let mut file = Pcap::new(Little, MICROS, (2, 4), snaplen, 1);
        file.packet(0, &[1; 60]).packet(1, &[2; 1514]);
        assert_eq!(undamaged(&file).packets.len(), 2, "snaplen {snaplen}");
    }
    let mut file = Pcap::plain();
    // Three seconds of microseconds, a wire length below the captured one, an empty packet.
    file.raw([SECONDS, 3_000_001, 4, 4], &[1; 4]).raw([SECONDS, 0, 4, 0], &[2; 4]);
    file.raw([SECONDS, 0, 0, 0], &[]).raw([SECONDS, 0, 0, 60], &[]);
    let read = undamaged(&file);
    assert_eq!(read.nanos()[0], WHOLE + 3_000_001_000);
    assert_eq!(read.packets.iter().map(|it| it.wire_len).collect::<Vec<_>>(), [4, 4, 0, 60]);
}

#[test]
fn packets_longer_than_ethernet_has_are_read() {
    let mut file = Pcap::plain();
    file.packet(0, &data(1, 200_000)).packet(1, &data(2, 60));
    assert_eq!(undamaged(&file).datas(), [data(1, 200_000), data(2, 60)]);

    let mut file = Pcap::new(Little, MICROS, (2, 4), 3 << 20, 1);
    file.packet(0, &data(1, 3 << 20)).packet(1, &data(2, 60));
    assert_eq!(undamaged(&file).datas(), [data(1, 3 << 20), data(2, 60)]);
}

#[test]
fn an_empty_file_and_a_bare_header_have_no_packets() {
    assert_eq!(read(&[]), Drained { packets: vec![], damage: vec![], unlisted: 0 });
    assert_eq!(undamaged(&Pcap::plain()).packets, []);
}

#[test]
fn what_is_no_capture_is_refused_with_its_first_bytes() {
    let error = File::from_bytes(&b"GIF89a: no capture at all"[..]).unwrap_err();
    assert!(matches!(&error, Error::NotACapture { begins, .. } if begins == b"GIF89a: "));
    assert!(error.to_string().contains("47, 49, 46"), "{error}");
    assert!(File::from_bytes(&b"\n\n\n\n"[..]).is_err());
    assert!(File::from_bytes(&b"x"[..]).is_err());
}

#[test]
fn a_file_cut_inside_a_packet_keeps_all_before() {
    let mut file = Pcap::plain();
    file.packet(0, &[1; 60]).packet(1, &[2; 60]);
    let whole = file.bytes.len();
    for (cut, packets) in [(1, 1), (60, 1), (61, 1), (75, 1), (77, 0), (136, 0), (160, 0), (175, 0)]
    {
        let len = whole - cut;
        let read = read(&file.bytes[..len]);
        assert_eq!(read.packets.len(), packets, "cut by {cut}");
        let begins = if len < 24 { 0 } else { 24 + 76 * packets as u64 };
        assert_eq!(read.damage, [(begins, len as u64 - begins, Kind::Cut)], "cut by {cut}");
    }
}

/// Ten packets of `60 + n` bytes and where their records begin.
fn ten(mut file: Pcap) -> (Pcap, Vec<usize>) {
    let mut at = Vec::new();
    for seed in 0..10 {
        at.push(file.bytes.len());
        file.packet(seed, &data(seed, 60 + seed as usize));
    }
    (file, at)
}

fn all_but(lost: &[u32]) -> Vec<Vec<u8>> {
    (0..10).filter(|seed| !lost.contains(seed)).map(|seed| data(seed, 60 + seed as usize)).collect()
}

#[test]
fn an_impossible_length_costs_one_packet() {
    for magic in [MICROS, NANOS, KUZNETZOV] {
        for order in [Little, Big] {
            let (mut file, at) = ten(Pcap::new(order, magic, (2, 4), 262_144, 1));
            file.bytes[at[4] + 8..][..4].copy_from_slice(&order.u32(0x7fff_ff00));
            let read = read(&file.bytes);
            assert_eq!(read.datas(), all_but(&[4]));
            let damage = (at[4] as u64, (at[5] - at[4]) as u64, Kind::RecordLength(0x7fff_ff00));
            assert_eq!(read.damage, [damage]);
        }
    }
}

#[test]
fn a_length_slightly_too_long_costs_one_packet() {
    let (mut file, at) = ten(Pcap::plain());
    file.bytes[at[4] + 8] += 30;
    let read = read(&file.bytes);
    assert_eq!(read.datas(), all_but(&[4]));
    assert_eq!(read.damage, [(at[4] as u64, (at[5] - at[4]) as u64, Kind::RecordHeader)]);
}

#[test]
fn a_length_too_short_shortens_one_packet() {
    let (mut file, at) = ten(Pcap::plain());
    file.bytes[at[4] + 8] = 10;
    let read = read(&file.bytes);
    let mut expected = all_but(&[]);
    expected[4].truncate(10);
    assert_eq!(read.datas(), expected);
    assert_eq!(read.damage.len(), 1);
    assert_eq!(
        (read.damage[0].0, read.damage[0].1),
        (at[4] as u64 + 26, at[5] as u64 - at[4] as u64 - 26)
    );
}

#[test]
fn a_length_past_the_end_is_damage_if_packets_follow() {
    let (mut file, at) = ten(Pcap::plain());
    file.bytes[at[4] + 8..][..4].copy_from_slice(&100_000_u32.to_le_bytes());
    let read = read(&file.bytes);
    assert_eq!(read.datas(), all_but(&[4]));
    assert_eq!(read.damage[0].2, Kind::RecordLength(100_000));
}

#[test]
fn lost_and_foreign_bytes_are_passed_over() {
    let (mut file, at) = ten(Pcap::plain());
    file.bytes.drain(at[3] + 5..at[6] + 40);
    file.bytes.extend(data(99, 5000));
    let read = read(&file.bytes);
    assert_eq!(read.datas(), all_but(&[3, 4, 5, 6]));
    assert_eq!(read.damage.len(), 2);
    assert_eq!((read.damage[1].1, read.damage[1].2.clone() == Kind::Cut), (5000, false));
}

#[test]
fn zeros_are_damage_and_no_packets() {
    let (mut file, at) = ten(Pcap::plain());
    let end = at[7];
    file.bytes[at[4]..end].fill(0);
    let whole = file.bytes.len() as u64;
    file.bytes.resize(file.bytes.len() + (3 << 20), 0);
    let read = read(&file.bytes);
    assert_eq!(read.datas(), all_but(&[4, 5, 6]));
    let gap = (at[4] as u64, (end - at[4]) as u64, Kind::Zeros);
    assert_eq!(read.damage, [gap, (whole, 3 << 20, Kind::Zeros)]);
}

#[test]
fn damage_in_the_first_record_is_passed_over() {
    let (mut file, at) = ten(Pcap::plain());
    file.bytes[at[0]..at[1]].fill(0xff);
    let read = read(&file.bytes);
    assert_eq!(read.datas(), all_but(&[0]));
    assert_eq!(read.damage.len(), 1);
}

#[test]
fn damage_before_the_last_packet_does_not_lose_it() {
    let (mut file, at) = ten(Pcap::plain());
    file.bytes[at[8]..][..16].fill(0xff);
    assert_eq!(read(&file.bytes).datas(), all_but(&[8]));
}

#[test]
fn a_file_of_garbage_is_listed_up_to_a_limit() {
    let mut file = Pcap::plain();
    for seed in 0..300 {
        file.packet(seed, &[1; 20]).packet(seed, &[2; 20]).packet(seed, &[3; 20]);
        file.bytes.extend([0xff; 50]);
    }
    let read = read(&file.bytes);
    assert_eq!(read.packets.len(), 900);
    assert_eq!((read.damage.len(), read.unlisted), (100, 200));
}

/// Every record runs past the end, so each one asks whether anything follows.
#[test]
fn damage_everywhere_takes_linear_time() {
    let mut file = Pcap::plain();
    let len = 2 << 20;
    while file.bytes.len() < len {
        file.raw([SECONDS, 0, 200_000, 200_000], &[]);
    }
    read(&file.bytes);
    let mut file = Pcap::plain();
    file.bytes.extend(data(5, len));
    read(&file.bytes);
}

/// A stream used to lose packets beyond 256 KiB of a file without a snaplen that a mapping had.
#[test]
fn packets_of_any_length_are_read_alike_where_the_snaplen_is_zero() {
    let mut file = Pcap::new(Little, MICROS, (2, 4), 0, 1);
    for index in 0..12_usize {
        file.packet(0, &vec![7; if index.is_multiple_of(2) { 60 } else { 300_000 }]);
    }
    assert_eq!(undamaged(&file).packets.len(), 12);
}
