//! Packets that are hard to tell apart, and those that look unlike and are the same.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests fail loudly, and build small things from big types"
)]

use vtap_compare::{Alteration, Comparison, Report, Skip};
use vtap_packet::tcp::Flags;
use vtap_packet::{LinkType, Packet, Timestamp};
use vtap_testkit::frame::{fragments, udp};
use vtap_testkit::{Conversation, TcpFrame, packet};

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;

/// Frames with the milliseconds at which they were captured.
fn compare(source: &[(u64, Vec<u8>)], tap: &[(u64, Vec<u8>)]) -> Report {
    let mut comparison = Comparison::new(100);
    for (number, (millis, frame)) in (1..).zip(source) {
        comparison.source(&packet(number, at(*millis), frame));
    }
    for (number, (millis, frame)) in (1..).zip(tap) {
        comparison.tap(&packet(number, at(*millis), frame));
    }
    comparison.finish()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(SECOND + millis * MILLI)
}

/// SYN, SYN-ACK, ACK, and so many requests, 10 ms apart.
fn talk(requests: usize) -> Vec<(u64, Vec<u8>)> {
    let mut talk = Conversation::new("10.0.0.1:5000", "10.0.0.2:80", 7);
    let mut frames = talk.handshake().to_vec();
    frames.extend((0..requests).map(|_| talk.request(100)));
    frames.iter().zip(0..).map(|(frame, at)| (at * 10, frame.build())).collect()
}

fn delayed(frames: &[(u64, Vec<u8>)], by: u64) -> Vec<(u64, Vec<u8>)> {
    frames.iter().map(|(at, frame)| (at + by, frame.clone())).collect()
}

#[test]
fn of_byte_identical_retransmissions_the_one_that_fits_no_delay_is_lost() {
    let mut source = talk(8);
    let again = source[5].1.clone();
    source.insert(8, (75, again.clone()));
    source.insert(10, (95, again));
    let mut tap = delayed(&source, 3);
    tap.remove(8);
    let report = compare(&source, &tap);
    assert_eq!((report.mirrored, report.loss.packets), (12, 1));
    assert_eq!(report.loss.listed[0].number, 9);
    assert_eq!(report.loss.listed[0].flags, Some(Flags::PSH | Flags::ACK));
    assert_eq!(report.delay.unwrap().max, 3_000_000);
}

#[test]
fn copies_by_two_taps_are_duplicates_of_the_first() {
    let source = talk(5);
    let mut tap = delayed(&source, 3);
    tap.extend(delayed(&source, 4));
    tap.sort();
    let report = compare(&source, &tap);
    assert_eq!((report.mirrored, report.duplicated, report.extra), (8, 8, 0));
    assert_eq!(report.reordered.packets, 0);
}

#[test]
fn captures_cut_to_headers_match_whole_ones() {
    let source = talk(5);
    for (cut_source, cut_tap) in [(false, true), (true, false), (true, true)] {
        let mut comparison = Comparison::new(0);
        for (number, (millis, frame)) in (1..).zip(&source) {
            let whole = packet(number, at(*millis), frame);
            let cut = Packet { data: &frame[..54], ..whole };
            comparison.source(if cut_source { &cut } else { &whole });
            comparison.tap(if cut_tap { &cut } else { &whole });
        }
        let report = comparison.finish();
        assert_eq!((report.mirrored, report.altered.packets), (8, 0));
    }
}

#[test]
fn a_checksum_that_was_left_to_the_nic_is_told() {
    let tap = talk(2);
    let mut source = tap.clone();
    for (_, frame) in &mut source {
        let len = (frame.len() - 34) as u32;
        let sum = vtap_packet::checksum::pseudo_header(
            [frame[26], frame[27], frame[28], frame[29]].into(),
            [frame[30], frame[31], frame[32], frame[33]].into(),
            vtap_packet::Protocol::TCP,
            len,
        );
        frame[50..52].copy_from_slice(&sum.to_be_bytes());
    }
    let report = compare(&source, &tap);
    assert_eq!(report.mirrored, 5);
    assert_eq!((report.altered.count(Alteration::Checksum), report.altered.offloaded), (5, 5));
    let examples = report.altered.examples(Alteration::Checksum);
    assert_eq!(examples.len(), 3);
    assert!(examples[0].before.ends_with(" (left to the NIC)"), "{examples:?}");
}

#[test]
fn what_comes_before_or_after_the_capture_of_the_tap_is_not_lost() {
    let source = talk(10);
    // A clock that is half an hour off.
    let mut tap = delayed(&source[3..9], 1_800_000);
    tap.remove(2);
    let report = compare(&source, &tap);
    assert_eq!((report.loss.before, report.loss.after, report.loss.packets), (3, 4, 1));
    assert_eq!(report.mirrored, 5);

    let mut comparison = Comparison::new(0);
    for (number, (millis, frame)) in (1..).zip(&source) {
        comparison.source(&packet(number, at(*millis), frame));
    }
    comparison.tap(&packet(1, at(0), &source[0].1));
    comparison.tap_ran(at(1000));
    let report = comparison.finish();
    assert_eq!((report.mirrored, report.loss.packets, report.loss.after), (1, 12, 0));
    let longest = report.loss.longest.unwrap();
    assert_eq!((longest.packets, longest.number, longest.last), (12, 2, at(120)));
}

#[test]
fn an_empty_tap_shows_nothing_lost() {
    let report = compare(&talk(3), &[]);
    assert_eq!((report.loss.before, report.mirrored, report.delay), (6, 0, None));
}

#[test]
fn datagrams_with_equal_headers_are_told_by_what_they_carry() {
    let datagram = |n: u8| udp("10.0.0.1:5000", "10.0.0.2:53", &[n; 40]);
    let source: Vec<_> = (0..20).map(|n| (n * 10, datagram(n as u8))).collect();
    let mut tap = delayed(&source, 1);
    tap.remove(7);
    tap.swap(3, 4);
    let report = compare(&source, &tap);
    assert_eq!((report.mirrored, report.loss.listed[0].number), (19, 8));
    assert_eq!((report.reordered.packets, report.reordered.within_half), (1, 1));
    assert_eq!((report.reordered.largest_extent, report.reordered.furthest), (1, Some(4)));
}

#[test]
fn fragments_are_matched_by_their_places() {
    let whole = udp("10.0.0.1:5000", "10.0.0.2:53", &[7; 100]);
    let source: Vec<_> = fragments(&whole, 9, 40).into_iter().map(|frame| (0, frame)).collect();
    let mut tap = delayed(&source, 1);
    let extra = fragments(&whole, 10, 40).remove(1);
    tap[1] = (1, extra);
    let report = compare(&source, &tap);
    assert_eq!((source.len(), report.mirrored, report.extra), (3, 2, 1));
    assert_eq!(report.loss.packets, 1);
}

#[test]
fn frames_without_ip_are_compared_whatever_their_padding() {
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend([5; 20]);
    let mut padded = arp.clone();
    padded.extend([0; 18]);
    let report = compare(&[(0, arp.clone())], &[(1, padded.clone())]);
    assert_eq!((report.mirrored, report.altered.packets), (1, 0));
    padded[40] = 6;
    let report = compare(&[(0, arp)], &[(1, padded)]);
    assert_eq!((report.mirrored, report.extra), (0, 1));
}

#[test]
fn a_copy_by_another_interface_of_the_source_is_no_loss() {
    let tap = talk(3);
    let cooked = |frame: &[u8], interface: u8| {
        let mut cooked = vec![8, 0, 0, 0, 0, 0, 0, interface, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        cooked.extend(&frame[14..]);
        cooked
    };
    let mut comparison = Comparison::new(10);
    for (number, (millis, frame)) in (0..).zip(&tap) {
        for interface in [2, 3] {
            let frame = cooked(frame, interface);
            let number = 2 * number + u64::from(interface) - 1;
            let link = LinkType::LINUX_SLL2;
            comparison.source(&Packet { link, ..packet(number, at(*millis), &frame) });
        }
        comparison.tap(&packet(number + 1, at(*millis), frame));
    }
    let report = comparison.finish();
    assert_eq!(report.source.skipped(Skip::InterfaceCopy), 6);
    assert_eq!((report.mirrored, report.loss.packets, report.duplicated), (6, 0, 0));
}

#[test]
fn unreadable_packets_are_skipped_by_reason() {
    let syn = TcpFrame::new("10.0.0.1:1", "10.0.0.2:2", Flags::SYN, 1, 0).build();
    let mut malformed = syn.clone();
    malformed[14] = 0x41;
    let mut comparison = Comparison::new(0);
    let whole = packet(1, at(0), &syn);
    comparison.source(&Packet { data: &syn[..40], ..whole });
    comparison.source(&Packet { link: LinkType(147), ..whole });
    comparison.tap(&packet(1, at(0), &malformed));
    let report = comparison.finish();
    let skipped = [Skip::CutShort, Skip::LinkType].map(|skip| report.source.skipped(skip));
    assert_eq!((skipped, report.source.all_skipped()), ([1, 1], 2));
    assert_eq!(report.tap.skipped(Skip::MalformedIp), 1);
}

#[test]
fn translation_and_segmentation_may_come_together() {
    let frame = |src: &str, seq: u32, len| {
        TcpFrame::new(src, "10.0.0.2:80", Flags::ACK, seq, 9).data(len).build()
    };
    let inside = |seq, len| frame("10.0.0.1:5000", seq, len);
    let outside = |seq, len| frame("198.51.100.7:61000", seq, len);
    let source = [(0, inside(1, 0)), (10, inside(1, 3000)), (20, inside(3001, 0))];
    let tap = [
        (1, outside(1, 0)),
        (11, outside(1, 1460)),
        (11, outside(1461, 1460)),
        (11, outside(2921, 80)),
        (21, outside(3001, 0)),
    ];
    let report = compare(&source, &tap);
    assert_eq!((report.mirrored, report.mirrored_frames, report.extra), (3, 5, 0));
    assert_eq!((report.resegmented.packets, report.resegmented.frames), (1, 3));
    let altered = &report.altered;
    assert_eq!(altered.packets, 3);
    assert_eq!(altered.count(Alteration::SourceAddress), 3);
    assert_eq!(altered.examples(Alteration::SourcePort)[0].after, "61000");
}
