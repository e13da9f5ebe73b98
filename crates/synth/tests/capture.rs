//! Captures read again by etherparse: the bytes are right on every layer, and each connection is
//! one that two hosts could have had.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail loudly"
)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use etherparse::{Ipv4HeaderSlice, NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use proptest::prelude::*;
use vtap_synth::{Config, ConfigError, Generator, Size, Written};

const ENVELOPE: usize = 50;

fn capture(config: Config) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let written = Generator::new(config).unwrap().write_capture(&mut bytes).unwrap();
    (bytes, written)
}

/// Time in nanoseconds and frame of each record, by the file format alone.
fn records(capture: &[u8]) -> Vec<(u64, &[u8])> {
    assert_eq!(capture[..4], [0x4d, 0x3c, 0xb2, 0xa1], "nanoseconds, little-endian");
    let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
    assert_eq!(word(20), 1, "Ethernet");
    let (mut at, mut records) = (24, Vec::new());
    while at < capture.len() {
        let len = word(at + 8);
        assert_eq!(len, word(at + 12));
        let time = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4));
        records.push((time, &capture[at + 16..at + 16 + len as usize]));
        at += 16 + len as usize;
    }
    assert_eq!(at, capture.len());
    records
}

#[track_caller]
fn assert_ip(packet: &SlicedPacket<'_>, len: usize) -> (Ipv4Addr, Ipv4Addr) {
    let Some(NetSlice::Ipv4(ip)) = &packet.net else { panic!("{packet:?}") };
    let header: Ipv4HeaderSlice<'_> = ip.header();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    assert_eq!(usize::from(header.total_len()), len);
    (header.source_addr(), header.destination_addr())
}

/// Checks both envelopes; the inner addresses and the segment.
fn open(frame: &[u8]) -> ([Ipv4Addr; 2], TcpSlice<'_>) {
    let outer = SlicedPacket::from_ethernet(frame).unwrap();
    let (tap, collector) = assert_ip(&outer, frame.len() - 14);
    assert_eq!(collector, Ipv4Addr::new(10, 3, 0, 4));
    let Some(TransportSlice::Udp(udp)) = &outer.transport else { panic!("{outer:?}") };
    assert_eq!((udp.destination_port(), udp.checksum()), (4789, 0));
    assert!(udp.source_port() >= 49_152);
    assert_eq!(udp.payload()[..8], [8, 0, 0, 0, 0, 0, 27, 0]);

    let inner = SlicedPacket::from_ethernet(&frame[ENVELOPE..]).unwrap();
    let (src, dst) = assert_ip(&inner, frame.len() - ENVELOPE - 14);
    assert!([src, dst].contains(&tap), "the tapped machine is one of the two");
    let Some(TransportSlice::Tcp(tcp)) = inner.transport else { panic!("{inner:?}") };
    let sum = tcp.calc_checksum_ipv4(src.octets(), dst.octets()).unwrap();
    assert_eq!(tcp.checksum(), sum);
    ([src, dst], tcp)
}

/// A connection as its segments must follow each other.
#[derive(Default)]
struct Seen {
    segments: usize,
    /// Of client and server: next number, highest number acknowledged, FIN sent.
    next: [u32; 2],
    acked: [u32; 2],
    fin: [bool; 2],
    over: bool,
}

impl Seen {
    fn take(&mut self, sender: usize, tcp: &TcpSlice<'_>) {
        assert!(!self.over, "a segment behind the last one");
        let peer = 1 - sender;
        let flags = (tcp.syn(), tcp.ack(), tcp.fin());
        match self.segments {
            0 => assert_eq!((sender, flags), (0, (true, false, false))),
            1 => assert_eq!((sender, flags), (1, (true, true, false))),
            2 => assert_eq!((sender, flags), (0, (false, true, false))),
            _ => assert!(!tcp.syn() && tcp.ack()),
        }
        assert!(!tcp.rst() && !tcp.urg());
        if tcp.syn() {
            self.next[sender] = tcp.sequence_number();
            assert_eq!(tcp.options(), [2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1]);
        } else {
            assert!(tcp.options().is_empty());
        }
        assert_eq!(tcp.sequence_number(), self.next[sender], "no gap, no overlap");
        if tcp.ack() {
            assert_eq!(tcp.acknowledgment_number(), self.next[peer]);
            self.acked[sender] = self.next[peer];
        }
        let len = tcp.payload().len() as u32;
        assert!(len == 0 || !self.fin[sender], "data behind a FIN");
        let takes = len + u32::from(tcp.syn()) + u32::from(tcp.fin());
        self.next[sender] = self.next[sender].wrapping_add(takes);
        if self.segments > 2 {
            let in_flight = self.next[sender].wrapping_sub(self.acked[peer]);
            assert!(in_flight <= u32::from(tcp.window_size()) << 7, "{in_flight}");
        }
        self.over = self.fin == [true; 2];
        self.fin[sender] |= tcp.fin();
        self.segments += 1;
    }
}

/// Checks every packet; segments of each connection, those that are over first.
fn follow(capture: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let mut connections = BTreeMap::<_, Seen>::new();
    for (_, frame) in records(capture) {
        let ([src, dst], tcp) = open(frame);
        let (src, dst) = ((src, tcp.source_port()), (dst, tcp.destination_port()));
        let (key, sender) = if dst.1 == 443 { ((src, dst), 0) } else { ((dst, src), 1) };
        connections.entry(key).or_default().take(sender, &tcp);
    }
    let (over, open): (Vec<_>, _) = connections.values().partition(|seen| seen.over);
    let lens = |seen: Vec<&Seen>| seen.iter().map(|seen| seen.segments).collect();
    (lens(over), lens(open))
}

fn sizes() -> impl Strategy<Value = Size> {
    prop::sample::select(&Size::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_connection_is_complete_and_keeps_to_numbers_and_windows(
        size in sizes(),
        flows in 1_u32..50,
        per_connection in 7_u32..60,
        seed: u64,
    ) {
        let config = Config {
            size,
            packets: 4000,
            flows,
            connections_per_second: Some(1_000_000 / per_connection),
            seed,
            ..Config::default()
        };
        let (bytes, written) = capture(config);
        let (over, open) = follow(&bytes);
        prop_assert_eq!(written.packets, 4000);
        prop_assert_eq!(written.bytes as usize, bytes.len() - 24 - 16 * 4000);
        prop_assert_eq!(written.lost, 0);
        prop_assert_eq!(written.connections as usize, over.len() + open.len());
        prop_assert_eq!(written.completed as usize, over.len());
        prop_assert!(open.len() <= flows as usize);
        prop_assert!(over.iter().all(|segments| *segments >= 6));
    }

    #[test]
    fn equal_seeds_give_equal_bytes(size in sizes(), seed: u64, loss in 0.0..0.5) {
        let config = Config { size, packets: 500, flows: 20, seed, loss, ..Config::default() };
        let (bytes, written) = capture(config);
        prop_assert_eq!(&bytes, &capture(config).0);
        prop_assert_ne!(&bytes, &capture(Config { seed: seed ^ 1, ..config }).0);

        let mut generator = Generator::new(config).unwrap();
        let mut records = Generator::FILE_HEADER.to_vec();
        while let Some(record) = generator.next_record() {
            records.extend_from_slice(record);
        }
        prop_assert_eq!(records, bytes);
        prop_assert_eq!(generator.written(), written);
    }
}

#[test]
fn mean_lengths_are_those_documented() {
    for (size, tolerance) in [(Size::Small, 1.0), (Size::Mix, 4.0), (Size::Large, 15.0)] {
        let config = Config { size, packets: 60_000, flows: 60, ..Config::default() };
        let (bytes, written) = capture(config);
        let mean = written.bytes as f64 / written.packets as f64;
        let documented = f64::from(size.mean_len());
        assert!((mean - documented).abs() <= tolerance, "{size:?}: {mean}");

        let longest = records(&bytes).iter().map(|(_, frame)| frame.len()).max().unwrap();
        assert_eq!(longest, if size == Size::Small { 136 } else { 1564 }, "{size:?}");
        let acks = records(&bytes).iter().filter(|(_, frame)| frame.len() == 104).count();
        let share = acks as f64 / 60_000.0;
        let expected = match size {
            Size::Small => 0.90..0.95,
            Size::Mix => 0.60..0.72,
            Size::Large => 0.10..0.20,
        };
        assert!(expected.contains(&share), "{size:?}: {share}");
    }
}

#[test]
fn connections_are_as_long_and_packets_as_far_apart_as_the_rates_say() {
    let config = Config { packets: 100_000, flows: 50, rate: 300_000, ..Config::default() };
    for (connections, expected) in [(None, 100.0), (Some(15_000), 20.0)] {
        let (bytes, written) = capture(Config { connections_per_second: connections, ..config });
        let mean = written.packets as f64 / written.completed as f64;
        assert!((mean / expected - 1.0).abs() < 0.1, "{connections:?}: {mean}");
        let records = records(&bytes);
        assert_eq!(records[1].0 - records[0].0, 3_333);
        assert_eq!(records[30_000].0 - records[0].0, 100_000_000, "a tenth of a second");
    }
    let (_, written) = capture(Config { connections_per_second: Some(0), ..config });
    assert_eq!((written.connections, written.completed), (50, 0));
}

#[test]
fn lost_packets_leave_gaps_in_time_and_in_the_connections() {
    let config = Config { packets: 50_000, flows: 100, loss: 0.1, ..Config::default() };
    let (bytes, written) = capture(config);
    let sent = written.packets + written.lost;
    let share = written.lost as f64 / sent as f64;
    assert!((0.09..0.11).contains(&share), "{share}");
    let records = records(&bytes);
    assert_eq!(records.len(), 50_000);
    // Packets lost behind the last one have no time.
    let last = (records[49_999].0 - records[0].0) / 1000;
    assert!((sent - 5..sent).contains(&last), "{last} of {sent}");
}

#[test]
fn what_cannot_be_made_is_refused_with_the_reason() {
    let refused = |config| Generator::new(config).unwrap_err();
    let config = Config::default();
    assert_eq!(refused(Config { flows: 0, ..config }), ConfigError::NoFlows);
    assert_eq!(refused(Config { rate: 0, ..config }), ConfigError::Rate(0));
    assert_eq!(refused(Config { loss: 1.0, ..config }), ConfigError::Loss(1.0));
    assert!(matches!(refused(Config { loss: f64::NAN, ..config }), ConfigError::Loss(_)));
    let error = refused(Config { connections_per_second: Some(200_000), ..config });
    assert_eq!(
        error.to_string(),
        "200000 connections a second at 1000000 packets a second: \
         each has more than 6 packets, so 142857 at most"
    );
    assert!(Generator::new(Config { connections_per_second: Some(142_857), ..config }).is_ok());
}
