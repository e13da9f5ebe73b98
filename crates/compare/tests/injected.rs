//! What is done to a conversation on its way to the tap is what the report says, to the packet.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests fail loudly, and build small things from big types"
)]

use proptest::prelude::*;
use vtap_compare::{Alteration, Comparison, Report};
use vtap_packet::{Packet, Timestamp};
use vtap_testkit::{TcpFrame, packet, traffic};

/// Nanoseconds between packets of the source, and what the way to the tap takes at least and at
/// most: less apart than the packets are.
const GAP: u64 = 10_000;
const WAY: std::ops::Range<u64> = 1_000_000..1_004_000;

/// Packets at both ends that nothing is done to, so that both captures cover the rest.
const MARGIN: usize = 60;

type Capture = Vec<(u64, Vec<u8>)>;

fn compare(source: &Capture, tap: &Capture) -> Report {
    let mut tap = tap.clone();
    tap.sort_by_key(|(nanos, _)| *nanos);
    let mut comparison = Comparison::new(usize::MAX);
    let packets = |capture: &Capture, mut take: Box<dyn FnMut(&Packet<'_>) + '_>| {
        for (number, (nanos, frame)) in (1..).zip(capture) {
            take(&packet(number, Timestamp::from_nanos(*nanos), frame));
        }
    };
    packets(source, Box::new(|packet| comparison.source(packet)));
    packets(&tap, Box::new(|packet| comparison.tap(packet)));
    comparison.finish()
}

/// A conversation of many flows in which no packet equals another.
fn conversation(flows: usize, packets: usize, seed: u64) -> Capture {
    let frames = traffic::established(flows, packets, 700, seed);
    let number = |(index, mut frame): (usize, Vec<u8>)| {
        frame[18..20].copy_from_slice(&(index as u16).to_be_bytes());
        (1_000_000_000 + index as u64 * GAP, frame)
    };
    frames.into_iter().enumerate().map(number).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    None,
    Lost,
    Doubled,
    /// By so many packets.
    Late(u64),
    Hop,
    Macs,
    Padded,
    Cut,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        12 => Just(Harm::None),
        2 => Just(Harm::Lost),
        2 => Just(Harm::Doubled),
        1 => (1_u64..9).prop_map(Harm::Late),
        1 => Just(Harm::Hop),
        1 => Just(Harm::Macs),
        1 => Just(Harm::Padded),
        1 => Just(Harm::Cut),
    ]
}

/// Packets that come behind a later one, and the largest extent, by the definition.
fn reordering(arrivals: &[usize]) -> (u64, u64) {
    let (mut packets, mut largest) = (0, 0);
    for (arrival, sent) in arrivals.iter().enumerate() {
        if let Some(first) = arrivals[..arrival].iter().position(|earlier| earlier > sent) {
            packets += 1;
            largest = largest.max((arrival - first) as u64);
        }
    }
    (packets, largest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_harm_is_counted_as_often_as_it_was_done(
        seed in any::<u64>(),
        harms in prop::collection::vec((harm(), WAY), 100..400),
    ) {
        let source = conversation(7, harms.len() + 2 * MARGIN - 21, seed);
        let harms: Vec<_> = (0..source.len())
            .map(|at| match at.checked_sub(MARGIN).and_then(|at| harms.get(at)) {
                Some(harm) => *harm,
                None => (Harm::None, WAY.start),
            })
            .collect();
        let (mut tap, mut arrivals) = (Capture::new(), Vec::new());
        for (sent, ((nanos, frame), (harm, way))) in source.iter().zip(&harms).enumerate() {
            let (mut nanos, mut frame) = (nanos + way, frame.clone());
            match harm {
                Harm::None => {}
                Harm::Lost => continue,
                Harm::Doubled => tap.push((nanos + 2_000, frame.clone())),
                Harm::Late(packets) => nanos += packets * GAP,
                Harm::Hop => frame[22] -= 1,
                Harm::Macs => frame[..12].copy_from_slice(&[7; 12]),
                Harm::Padded => frame.extend([0; 6]),
                Harm::Cut => frame.truncate(60),
            }
            arrivals.push((nanos, sent));
            tap.push((nanos, frame));
        }
        arrivals.sort();
        let arrivals: Vec<_> = arrivals.into_iter().map(|(_, sent)| sent).collect();
        let count = |of: fn(&Harm) -> bool| harms.iter().filter(|(harm, _)| of(harm)).count() as u64;

        let report = compare(&source, &tap);
        let lost = count(|harm| *harm == Harm::Lost);
        prop_assert_eq!(report.loss.packets, lost);
        prop_assert_eq!((report.loss.before, report.loss.after, report.extra), (0, 0, 0));
        prop_assert_eq!(report.mirrored, source.len() as u64 - lost);
        prop_assert_eq!(report.duplicated, count(|harm| *harm == Harm::Doubled));
        let (reordered, extent) = reordering(&arrivals);
        prop_assert_eq!(report.reordered.packets, reordered);
        prop_assert_eq!(report.reordered.largest_extent, extent);
        for (kind, expected) in [
            (Alteration::Ttl, count(|harm| *harm == Harm::Hop)),
            (Alteration::Mac, count(|harm| *harm == Harm::Macs)),
            (Alteration::Padding, count(|harm| *harm == Harm::Padded)),
            (Alteration::Checksum, 0),
            (Alteration::SourceAddress, 0),
        ] {
            prop_assert_eq!(report.altered.count(kind), expected, "{}", kind.name());
        }
        let numbers: Vec<_> = report.loss.listed.iter().map(|lost| lost.number).collect();
        let expected: Vec<_> = (1..)
            .zip(&harms)
            .filter(|(_, (harm, _))| *harm == Harm::Lost)
            .map(|(number, _)| number)
            .collect();
        prop_assert_eq!(numbers, expected);
    }

    /// Some flows go through a source NAT: every packet of them has another address and port, and
    /// answers come back to those.
    #[test]
    fn translated_flows_are_matched_and_told(
        seed in any::<u64>(),
        lost in prop::collection::vec(prop::bool::weighted(0.1), 300),
    ) {
        let source = conversation(6, 300, seed);
        let (mut tap, mut translated, mut gone) = (Capture::new(), 0, 0);
        for (at, (nanos, frame)) in source.iter().enumerate() {
            if at > MARGIN && at < source.len() - MARGIN && lost[at % lost.len()] {
                gone += 1;
                continue;
            }
            let mut frame = frame.clone();
            let ports = [34, 36].map(|at| u16::from_be_bytes([frame[at], frame[at + 1]]));
            let client = usize::from(ports[0] == 443);
            if ports[client] % 2 == 0 {
                let address = 26 + client * 4;
                frame[address..address + 4].copy_from_slice(&[198, 51, 100, 7]);
                let port = 34 + client * 2;
                let other = ports[client] + 10_000;
                frame[port..port + 2].copy_from_slice(&other.to_be_bytes());
                translated += 1;
            }
            tap.push((nanos + WAY.start, frame));
        }
        let report = compare(&source, &tap);
        prop_assert_eq!((report.loss.packets, report.extra), (gone, 0));
        let kinds = [
            Alteration::SourceAddress,
            Alteration::DestinationAddress,
            Alteration::SourcePort,
            Alteration::DestinationPort,
        ];
        let [sources, destinations, source_ports, destination_ports] =
            kinds.map(|kind| report.altered.count(kind));
        prop_assert_eq!(sources + destinations, translated);
        prop_assert_eq!((sources, destinations), (source_ports, destination_ports));
        prop_assert_eq!(report.altered.packets, translated);
        prop_assert_eq!(report.altered.count(Alteration::Checksum), 0);
    }

    /// The source captures segments of many kilobytes, the tap what the NIC made of them.
    #[test]
    fn segments_of_the_source_are_found_in_pieces_at_the_tap(
        segments in prop::collection::vec((1_usize..12, prop::option::weighted(0.2, 0_usize..12)), 10..60),
        isn in any::<u32>(),
        joined_at_the_tap in any::<bool>(),
    ) {
        let (mut whole, mut pieces) = (Capture::new(), Capture::new());
        let mut expected = [0_u64; 4];
        let mut seq = isn;
        for (index, (count, lost)) in segments.iter().enumerate() {
            let nanos = 1_000_000_000 + index as u64 * 1_000_000;
            let flags = vtap_packet::tcp::Flags::ACK;
            let frame = |seq, len| {
                TcpFrame::new("10.0.0.4:5000", "10.0.0.6:80", flags, seq, 77).data(len).build()
            };
            whole.push((nanos, frame(seq, count * 1000)));
            // Captures begin and end with packets that both have.
            let inside = index > 0 && index + 1 < segments.len() && *count > 1;
            let lost = lost.filter(|lost| inside && lost < count && !joined_at_the_tap);
            for piece in 0..*count {
                if lost != Some(piece) {
                    let way = WAY.start + piece as u64 * 100;
                    pieces.push((nanos + way, frame(seq + piece as u32 * 1000, 1000)));
                }
            }
            expected[0] += 1;
            expected[1] += u64::from(lost.is_some());
            if *count > 1 {
                expected[2] += u64::from(lost.is_none());
                expected[3] += (*count - usize::from(lost.is_some())) as u64;
            }
            seq = seq.wrapping_add(*count as u32 * 1000);
        }
        let [packets, lost, resegmented, frames] = expected;
        if joined_at_the_tap {
            let report = compare(&pieces, &whole);
            prop_assert_eq!(report.loss.packets + report.loss.before + report.loss.after, 0);
            prop_assert_eq!((report.extra, report.duplicated), (0, 0));
            prop_assert_eq!(report.mirrored, pieces.len() as u64);
            prop_assert_eq!(
                (report.resegmented.packets, report.resegmented.frames),
                (frames, resegmented)
            );
        } else {
            let report = compare(&whole, &pieces);
            prop_assert_eq!(report.mirrored + report.loss.packets, packets);
            prop_assert_eq!((report.loss.packets, report.loss.partly), (lost, lost));
            prop_assert_eq!((report.extra, report.duplicated), (0, 0));
            prop_assert_eq!(
                (report.resegmented.packets, report.resegmented.frames),
                (resegmented, frames)
            );
            for packet in &report.loss.listed {
                prop_assert_eq!(packet.missing, Some(1000));
            }
        }
    }

    /// Any bytes: the laws hold, which `finish` asserts.
    #[test]
    fn any_two_captures_keep_the_laws(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20),
        picks in prop::collection::vec((any::<bool>(), 0_usize..20, any::<u32>()), 0..60),
    ) {
        let mut comparison = Comparison::new(3);
        for (number, (source, at, nanos)) in (1..).zip(picks) {
            let Some(frame) = frames.get(at) else { continue };
            let mut frame = frame.clone();
            // Most are IPv4.
            if frame.len() > 30 && frame[0] & 3 != 0 {
                frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
                frame[16] = 0;
                frame[23] = if frame[0] & 4 == 0 { 6 } else { 17 };
                frame[26] = 10;
            }
            let packet = packet(number, Timestamp::from_nanos(nanos.into()), &frame);
            if source { comparison.source(&packet) } else { comparison.tap(&packet) }
        }
        comparison.finish();
    }
}
