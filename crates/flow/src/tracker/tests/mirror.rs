//! What a mirror does to traffic.

use std::net::IpAddr;

use proptest::prelude::*;
use vtap_packet::checksum;

use super::*;
use crate::gap::Cause;
use crate::{Copies, Gap};

/// A tap's view of packets: who shows them, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View {
    tap: Option<[u8; 4]>,
    vni: u32,
    place: u32,
}

const PLAIN: View = View { tap: None, vni: 0, place: 0 };
const ONE: View = View { tap: Some([10, 1, 1, 1]), vni: 27, place: 0 };
const OTHER: View = View { tap: Some([10, 1, 1, 2]), ..ONE };

/// Events with the gaps between them.
#[derive(Default)]
struct Said {
    events: Vec<Event>,
    gaps: Vec<Gap>,
}

impl Sink for Said {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Self::Error> {
        self.events.push(*event);
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Self::Error> {
        self.gaps.push(*gap);
        Ok(())
    }
}

/// A tracker that is shown packets by taps.
struct Mirror {
    tracker: Tracker,
    said: Said,
    now: Timestamp,
    number: u64,
}

impl Mirror {
    fn new(config: Config) -> Self {
        let now = Timestamp::new(1_700_000_000, 0);
        Self { tracker: Tracker::new(config), said: Said::default(), now, number: 0 }
    }

    fn azure() -> Self {
        Self::new(Config::default())
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn shows(&mut self, view: View, frame: &[u8]) -> Verdict {
        self.number += 1;
        let tunnel = view.tap.map(|tap| Tunnel {
            src: IpAddr::from(tap),
            dst: IpAddr::from([10, 1, 1, 4]),
            src_port: 1,
            dst_port: 4789,
            vni: Vni::new(view.vni),
            depth: 1,
        });
        let packet = frame::packet(self.number, self.now, frame);
        let packet = Packet { tunnel, interface: view.place, ..packet };
        let Ok(outcome) = self.tracker.push(&packet, &mut self.said);
        outcome.verdict
    }

    fn shows_all(&mut self, view: View, frames: &[TcpFrame]) {
        for frame in frames {
            self.shows(view, &frame.build());
            self.wait(Duration::from_micros(1));
        }
    }

    fn settled(&mut self) -> Vec<(u64, Verdict)> {
        self.tracker.settled().map(|(number, outcome)| (number, outcome.verdict)).collect()
    }

    fn finish(&mut self) {
        let Ok(()) = self.tracker.finish(&mut self.said);
        assert!(self.tracker.stats().balances());
    }

    fn flags(&self) -> String {
        let rows = self.said.events.iter().filter(|event| !event.retransmission);
        rows.map(|event| event.flag.name()).collect::<Vec<_>>().join(" ")
    }

    fn stats(&self) -> Stats {
        self.tracker.stats()
    }
}

fn whole() -> Vec<TcpFrame> {
    let mut talk = talk();
    let mut frames = talk.handshake().to_vec();
    frames.extend([talk.request(100), talk.response(1000), talk.from_client(Flags::ACK, 0)]);
    frames.extend(talk.close());
    frames
}

/// The frame with this TTL, as a router would send it.
fn with_ttl(mut frame: Vec<u8>, ttl: u8) -> Vec<u8> {
    frame[22] = ttl;
    frame[24..26].fill(0);
    let sum = !checksum::of(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn what_another_tap_shows_again_is_a_duplicate() {
    let mut mirror = Mirror::azure();
    for frame in whole() {
        let (first, second) =
            (mirror.shows(ONE, &frame.build()), mirror.shows(OTHER, &with_ttl(frame.build(), 63)));
        assert!(!matches!(first, Verdict::Invalid(_) | Verdict::Duplicate), "{first:?}");
        assert_eq!(second, Verdict::Duplicate, "a router between the taps changes nothing");
        mirror.wait(Duration::from_millis(1));
    }
    mirror.finish();
    assert_eq!(mirror.flags(), "SYN SYN-ACK ACK FIN FIN-ACK FIN FIN-ACK");
    assert_eq!((mirror.stats().tcp_segments, mirror.stats().duplicates), (10, 10));
    assert_eq!(mirror.stats().retransmissions, 0);
    let taps = mirror.said.events.last().unwrap().taps;
    assert_eq!(taps, [Some([10, 1, 1, 1].into()), Some([10, 1, 1, 2].into()), None, None]);
    let duplicates: Vec<_> = mirror.tracker.taps().iter().map(|tap| tap.duplicates).collect();
    assert_eq!(duplicates, [0, 0, 10]);
}

#[test]
fn the_outer_source_port_tells_nothing() {
    let mut mirror = Mirror::azure();
    for (frame, port) in whole().iter().zip(50_000..) {
        mirror.number += 1;
        let bytes = frame.build();
        let tunnel = Tunnel { src_port: port, ..in_vni(27).unwrap() };
        let packet = frame::packet(mirror.number, mirror.now, &bytes);
        let packet = Packet { tunnel: Some(tunnel), ..packet };
        let Ok(_) = mirror.tracker.push(&packet, &mut mirror.said);
    }
    assert_eq!(mirror.flags(), "SYN SYN-ACK ACK FIN FIN-ACK FIN FIN-ACK");
    assert_eq!(mirror.stats().flows, 1);
}

#[test]
fn taps_are_named_alike_by_batches_and_by_single_packets() {
    // Data of a third tap, between packets that make rows.
    let frames: Vec<_> = whole().iter().map(TcpFrame::build).collect();
    let third = Tunnel { src: [10, 1, 1, 3].into(), ..in_vni(27).unwrap() };
    let packets = frames.iter().zip(0_u64..).map(|(frame, at)| {
        let tunnel = if (3..6).contains(&at) { Some(third) } else { in_vni(27) };
        Packet { tunnel, ..frame::packet(at, Timestamp::new(1_700_000_000, at), frame) }
    });
    let (mut one, mut batched) = (Said::default(), Said::default());
    let mut tracker = Tracker::new(Config::default());
    for packet in packets.clone() {
        let Ok(_) = tracker.push(&packet, &mut one);
    }
    let mut tracker = Tracker::new(Config::default());
    for packet in packets {
        let Ok(()) = tracker.queue(packet, &mut batched);
    }
    let Ok(()) = tracker.finish(&mut batched);
    assert_eq!(one.events, batched.events);
}

#[test]
fn what_one_tap_shows_twice_was_sent_twice() {
    let mut mirror = Mirror::azure();
    let [syn, ..] = talk().handshake();
    for _ in 0..3 {
        mirror.shows(ONE, &syn.build());
    }
    assert_eq!((mirror.stats().tcp_segments, mirror.stats().duplicates), (3, 0));
    assert_eq!(mirror.stats().retransmissions, 2, "IP ID 0, byte for byte the same, at one time");
}

#[test]
fn a_ttl_one_lower_from_the_same_tap_was_forwarded() {
    let mut mirror = Mirror::azure();
    let frames = whole();
    for (number, frame) in frames.iter().enumerate() {
        let mut both = [frame.build(), with_ttl(frame.build(), 63)];
        if number % 3 == 2 {
            // The mirror reorders.
            both.reverse();
        }
        assert!(!matches!(mirror.shows(ONE, &both[0]), Verdict::Forwarded));
        assert_eq!(mirror.shows(ONE, &both[1]), Verdict::Forwarded);
    }
    mirror.finish();
    assert_eq!((mirror.stats().tcp_segments, mirror.stats().forwarded), (10, 10));
    assert_eq!(mirror.flags(), "SYN SYN-ACK ACK FIN FIN-ACK FIN FIN-ACK");
}

#[test]
fn another_ttl_is_another_packet() {
    let mut mirror = Mirror::azure();
    let [syn, ..] = talk().handshake();
    for ttl in [64, 60, 128] {
        mirror.shows(ONE, &with_ttl(syn.build(), ttl));
    }
    assert_eq!((mirror.stats().tcp_segments, mirror.stats().forwarded), (3, 0));
}

#[test]
fn one_tap_over_two_interfaces_is_a_copy_within_a_millisecond() {
    let elsewhere = View { place: 3, ..ONE };
    let [syn, ..] = talk().handshake().map(|frame| frame.build());
    let mut mirror = Mirror::azure();
    mirror.shows(ONE, &syn);
    mirror.wait(Duration::from_micros(5));
    assert_eq!(mirror.shows(elsewhere, &syn), Verdict::Duplicate);
    mirror.wait(Duration::from_millis(2));
    assert_eq!(mirror.shows(elsewhere, &syn), Verdict::New, "sent again, and went another way");
}

#[test]
fn a_tunnel_device_shows_what_its_envelope_has_shown() {
    let device = View { place: 3, ..PLAIN };
    let [syn, syn_ack, _] = talk().handshake().map(|frame| frame.build());
    let mut mirror = Mirror::azure();
    mirror.shows(ONE, &syn);
    assert_eq!(mirror.shows(device, &syn), Verdict::Duplicate);
    // At one place, a plain flow and a mirrored one are two.
    mirror.shows(PLAIN, &syn_ack);
    assert_ne!(mirror.shows(ONE, &syn_ack), Verdict::Duplicate);
}

#[test]
fn copies_are_known_within_a_vni_and_across_when_folded() {
    let there = View { vni: 28, ..OTHER };
    let [syn, ..] = talk().handshake().map(|frame| frame.build());
    for (fold_vni, verdict) in [(false, Verdict::New), (true, Verdict::Duplicate)] {
        let mut mirror = Mirror::new(Config { fold_vni, ..Config::default() });
        mirror.shows(ONE, &syn);
        assert_eq!(mirror.shows(there, &syn), verdict);
    }
}

#[test]
fn a_checksum_left_to_the_nic_makes_no_other_packet_and_another_payload_does() {
    let [_, _, ack] = talk().handshake();
    let frame = ack.data(10).build();
    let mut unfinished = frame.clone();
    let (src, dst) = ([10, 0, 2, 4].into(), [10, 0, 2, 6].into());
    let sum = checksum::pseudo_header(src, dst, Protocol::TCP, 30);
    unfinished[50..52].copy_from_slice(&sum.to_be_bytes());
    let mut mirror = Mirror::azure();
    mirror.shows(ONE, &unfinished);
    assert_eq!(mirror.shows(OTHER, &frame), Verdict::Duplicate);

    let mut other_data = frame.clone();
    other_data[54..56].copy_from_slice(&[0x5b, 0x59]);
    other_data[56..58].copy_from_slice(&[0, 0]);
    let mut mirror = Mirror::new(Config { checksum: Checksum::Verify, ..Config::default() });
    mirror.shows(ONE, &frame);
    other_data[50..52].copy_from_slice(&[0, 1]);
    assert_ne!(mirror.shows(OTHER, &other_data), Verdict::Duplicate);
}

#[test]
fn behind_the_window_of_packet_time_a_copy_is_a_packet() {
    let [syn, ..] = talk().handshake().map(|frame| frame.build());
    for (wait, verdict) in [(250, Verdict::Duplicate), (251, Verdict::New)] {
        let mut mirror = Mirror::azure();
        mirror.shows(ONE, &syn);
        mirror.wait(Duration::from_millis(wait));
        assert_eq!(mirror.shows(OTHER, &syn), verdict);
    }
    let copies = Copies { window: Duration::ZERO, ..Config::default().copies };
    let mut mirror = Mirror::new(Config { copies, ..Config::default() });
    mirror.shows(ONE, &syn);
    assert_eq!(mirror.shows(OTHER, &syn), Verdict::New, "switched off");
}

#[test]
fn other_protocols_have_copies_too() {
    let datagram = frame::udp("10.0.2.4:5000", "10.0.2.6:53", b"query");
    let mut mirror = Mirror::azure();
    mirror.shows(ONE, &datagram);
    assert_eq!(mirror.shows(OTHER, &datagram), Verdict::Duplicate);
    let answer = frame::udp("10.0.2.6:53", "10.0.2.4:5000", b"reply");
    assert_eq!(mirror.shows(OTHER, &answer), Verdict::Established);
    assert_eq!((mirror.stats().other, mirror.stats().duplicates), (2, 1));
}

/// What a tracker makes of packets; numbers and taps left out.
fn told(packets: &[(View, Vec<u8>)], copies: bool) -> (Vec<String>, u64, u64) {
    let copies = match copies {
        true => Config::default().copies,
        false => Copies { window: Duration::ZERO, ..Config::default().copies },
    };
    let mut mirror = Mirror::new(Config { copies, ..Config::default() });
    for (view, frame) in packets {
        mirror.shows(*view, frame);
    }
    mirror.finish();
    let rows = mirror.said.events.iter().map(|event| {
        format!("{:?} {} {} {:?}", event.flag, event.src, event.retransmission, event.state)
    });
    (rows.collect(), mirror.stats().tcp_segments, mirror.stats().duplicates)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each tap keeps the order of its packets; which of them is ahead changes all the time.
    #[test]
    fn any_interleaving_of_two_taps_is_told_as_one_tap(
        repeats in prop::collection::vec(0..3_usize, 10),
        choices in prop::collection::vec(any::<bool>(), 60),
    ) {
        let frames: Vec<_> = whole()
            .iter()
            .zip(&repeats)
            .flat_map(|(frame, again)| vec![frame.build(); again + 1])
            .collect();
        let one: Vec<_> = frames.iter().map(|frame| (ONE, frame.clone())).collect();
        let (mut left, mut right) = (one.iter(), frames.iter().map(|frame| (OTHER, frame.clone())));
        let mut both = Vec::new();
        for first in choices {
            both.extend(if first { left.next().cloned() } else { right.next() });
        }
        both.extend(left.cloned().chain(right));
        let (rows, segments, _) = told(&one, false);
        let (rows_of_both, segments_of_both, duplicates) = told(&both, true);
        prop_assert_eq!(rows, rows_of_both);
        prop_assert_eq!((segments, segments), (segments_of_both, duplicates));
    }

    /// A mirror moves packets by a few places: nothing that was sent right becomes INVALID.
    #[test]
    fn neighbours_that_change_places_are_not_invalid(
        swaps in prop::collection::vec(any::<bool>(), 10),
    ) {
        let mut frames: Vec<_> = whole().iter().map(TcpFrame::build).collect();
        for (at, swap) in swaps.iter().enumerate().skip(1) {
            if *swap {
                frames.swap(at - 1, at);
            }
        }
        let mut mirror = Mirror::new(Config { warm_up: Duration::ZERO, ..Config::default() });
        for frame in frames {
            mirror.shows(ONE, &frame);
            mirror.wait(Duration::from_micros(100));
        }
        mirror.finish();
        let reasons: Vec<_> = mirror.said.events.iter().filter_map(|event| event.reason).collect();
        prop_assert_eq!(reasons, []);
    }
}

/// Past the warm-up.
fn warmed_up() -> Mirror {
    let mut mirror = Mirror::azure();
    mirror.shows(ONE, &[0; 14]);
    mirror.wait(Duration::from_secs(61));
    mirror
}

#[test]
fn an_acknowledgment_waits_for_the_data_it_has_overtaken() {
    let (mut mirror, mut talk) = (warmed_up(), talk());
    mirror.shows_all(ONE, &talk.handshake());
    let (data, ack) = (talk.response(1000), talk.from_client(Flags::ACK, 0));
    assert_eq!(mirror.shows(ONE, &ack.build()), Verdict::Held);
    assert_eq!(mirror.shows(ONE, &data.build()), Verdict::Established);
    assert_eq!(mirror.settled(), [(5, Verdict::Established)]);
    mirror.finish();
    assert_eq!((mirror.stats().reordered, mirror.flags().as_str()), (1, "SYN SYN-ACK ACK"));
}

#[test]
fn a_handshake_in_any_order_is_a_handshake() {
    for order in [[1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0], [2, 0, 1]] {
        let mut mirror = warmed_up();
        let frames = talk().handshake();
        for at in order {
            mirror.shows(ONE, &frames[at].build());
        }
        mirror.finish();
        // Rows stand in the order of packets, whichever was judged first.
        let names = order.map(|at| ["SYN", "SYN-ACK", "ACK"][at]).join(" ");
        assert_eq!(mirror.flags(), names);
        assert_eq!(mirror.stats().flows, 1, "{order:?}");
    }
}

#[test]
fn what_never_comes_makes_it_invalid_after_ten_milliseconds() {
    let (mut mirror, mut talk) = (warmed_up(), talk());
    mirror.shows_all(ONE, &talk.handshake());
    talk.response(1000);
    let ack = talk.from_client(Flags::ACK, 0).build();
    let sent = mirror.now;
    assert_eq!(mirror.shows(ONE, &ack), Verdict::Held);
    mirror.wait(Duration::from_millis(9));
    mirror.shows(ONE, &[0; 14]);
    assert_eq!(mirror.settled(), []);
    mirror.wait(Duration::from_millis(1));
    mirror.shows(ONE, &[0; 14]);
    assert_eq!(mirror.settled(), [(5, Verdict::Invalid(Reason::AckAboveSent))]);
    let row = mirror.said.events.last().unwrap();
    assert_eq!((row.packet, row.time, row.reason), (5, sent, Some(Reason::AckAboveSent)));

    // At the end of the input nothing more can come.
    assert_eq!(mirror.shows(ONE, &ack), Verdict::Held);
    mirror.finish();
    assert_eq!(mirror.stats().invalid(Reason::AckAboveSent), 2);
}

#[test]
fn rows_stand_in_the_order_of_packets_although_some_are_judged_late() {
    let mut mirror = warmed_up();
    let orphan = |port: u32| {
        let client = format!("10.0.{}.4:{}", port >> 8, port);
        TcpFrame::new(&client, SERVER, Flags::ACK, 1, 1).build()
    };
    mirror.shows(ONE, &orphan(9));
    mirror.shows_all(ONE, &talk().handshake());
    assert_eq!(mirror.flags(), "", "behind a packet that waits");
    mirror.wait(Duration::from_millis(10));
    mirror.shows(ONE, &[0; 14]);
    assert_eq!(mirror.flags(), "INVALID SYN SYN-ACK ACK");

    // However many rows there are for one that waits, and time stands still.
    mirror.shows(ONE, &orphan(10));
    for port in 1..=5000_u32 {
        let client = format!("10.1.{}.4:{}", port >> 8, port);
        mirror.shows(ONE, &TcpFrame::new(&client, SERVER, Flags::SYN, 1, 0).build());
    }
    assert!(mirror.said.events.len() > crate::limits::ROWS_HELD);
    mirror.finish();
    let packets: Vec<_> = mirror.said.events.iter().map(|event| event.packet).collect();
    assert!(packets.is_sorted() && packets.len() == 4 + 5001);
}

#[test]
fn a_flood_of_what_has_no_state_holds_no_more_than_its_share() {
    let mut mirror = warmed_up();
    for port in 1..=5000_u32 {
        let client = format!("10.0.{}.4:{}", port >> 8, port);
        mirror.shows(ONE, &TcpFrame::new(&client, SERVER, Flags::ACK, 1, 1).build());
    }
    let settled = mirror.settled().len();
    // The one that is over the limit is judged when the next one comes.
    assert_eq!(settled, 5000 - crate::limits::HELD - 1);
    let mut talk = talk();
    mirror.shows_all(ONE, &talk.handshake());
    mirror.finish();
    assert_eq!(mirror.stats().invalid(Reason::NoState), 5000);
    assert_eq!(mirror.stats().events(crate::EventFlag::Ack), 1);
}

/// Connections that have talked for so long that a silence says something.
fn steady(mirror: &mut Mirror, talks: &mut [Conversation]) {
    for talk in &mut *talks {
        mirror.shows_all(ONE, &talk.handshake());
    }
    for _ in 0..10 {
        for talk in &mut *talks {
            mirror.shows_all(ONE, &[talk.request(10), talk.response(10)]);
        }
        mirror.wait(Duration::from_millis(400));
    }
}

fn talks(count: u16) -> Vec<Conversation> {
    (0..count)
        .map(|port| Conversation::new(&format!("10.0.2.4:{}", 40_000 + port), SERVER, 1))
        .collect()
}

#[test]
fn what_goes_on_in_a_gap_is_taken_up_behind_it() {
    let mut mirror = warmed_up();
    let mut talks = talks(4);
    steady(&mut mirror, &mut talks);
    let start = mirror.now;
    mirror.wait(Duration::from_secs(10));
    for talk in &mut talks {
        for _ in 0..100 {
            talk.request(60_000);
            talk.response(60_000);
        }
        mirror.shows_all(ONE, &[talk.response(10), talk.request(10)]);
        mirror.shows_all(ONE, &talk.close());
    }
    // One that was opened in the gap, and one that nobody knows of two minutes later.
    mirror.shows_all(ONE, &[TcpFrame::new("10.0.2.4:9", SERVER, Flags::ACK, 1, 1)]);
    mirror.wait(Duration::from_secs(120));
    mirror.shows_all(ONE, &[TcpFrame::new("10.0.2.4:8", SERVER, Flags::ACK, 1, 1)]);
    mirror.finish();
    let [gap] = mirror.said.gaps[..] else { panic!("{:?}", mirror.said.gaps) };
    assert_eq!((gap.tap, gap.cause), (IpAddr::from([10, 1, 1, 1]), Cause::Silence));
    assert!(gap.end.since(start) == Duration::from_secs(10) && gap.start < start);
    let reasons: Vec<_> = mirror.said.events.iter().filter_map(|event| event.reason).collect();
    assert_eq!(reasons, [Reason::NoState], "the last one");
    let stats = mirror.stats();
    assert_eq!((stats.gaps, stats.resumed, stats.midstream, stats.flows), (1, 4, 1, 6));
    assert_eq!(mirror.tracker.taps()[1].gaps, 1);
}

#[test]
fn what_was_silent_through_a_gap_is_taken_up_whenever_it_speaks() {
    let mut mirror = warmed_up();
    let mut talks = talks(2);
    steady(&mut mirror, &mut talks);
    mirror.wait(Duration::from_secs(10));
    let [first, second] = &mut talks[..] else { panic!() };
    let jump = |talk: &mut Conversation| (0..100).for_each(|_| drop(talk.response(60_000)));
    jump(first);
    mirror.shows_all(ONE, &[first.from_client(Flags::ACK, 0), first.response(10)]);
    jump(second);
    // Both long after the warm-up: the second for the first time, the first once more.
    mirror.wait(Duration::from_secs(200));
    mirror.shows_all(ONE, &[second.from_client(Flags::ACK, 0), second.response(10)]);
    jump(first);
    mirror.shows_all(ONE, &[first.from_client(Flags::ACK, 0)]);
    mirror.finish();
    assert_eq!((mirror.stats().gaps, mirror.stats().resumed), (1, 2));
}

#[test]
fn a_silence_without_steady_traffic_before_is_no_gap() {
    let mut mirror = warmed_up();
    for _ in 0..50 {
        mirror.shows_all(ONE, &talk().handshake());
        mirror.wait(Duration::from_secs(7));
    }
    assert_eq!(mirror.said.gaps, []);
}

#[test]
fn one_taps_gap_is_not_another_taps() {
    let mut mirror = warmed_up();
    steady(&mut mirror, &mut talks(4));
    for _ in 0..20 {
        mirror.wait(Duration::from_millis(900));
        mirror.shows(OTHER, &[0; 14]);
    }
    let orphan = TcpFrame::new("10.0.2.4:9", SERVER, Flags::ACK, 1, 1).build();
    mirror.shows(ONE, &[0; 14]);
    assert_eq!(mirror.said.gaps.len(), 1);
    mirror.wait(Duration::from_secs(1));
    assert_eq!(mirror.shows(OTHER, &orphan), Verdict::New, "the other tap has just begun");
    mirror.finish();
    assert_eq!(mirror.said.gaps.len(), 1);
}

#[test]
fn many_flows_that_go_on_beyond_their_windows_at_once_are_a_gap() {
    for (flows, gaps) in [(8, 1), (7, 0)] {
        let mut mirror = warmed_up();
        let mut talks = talks(flows);
        steady(&mut mirror, &mut talks);
        // Short of the silence that would tell.
        mirror.wait(Duration::from_secs(3));
        for talk in &mut talks {
            for _ in 0..10 {
                talk.response(60_000);
            }
            mirror.shows_all(ONE, &[talk.from_client(Flags::ACK, 0)]);
        }
        mirror.finish();
        assert_eq!(mirror.said.gaps.len(), gaps, "{flows}");
        assert!(mirror.said.gaps.iter().all(|gap| gap.cause == Cause::Resumed));
        let invalid = mirror.stats().invalid(Reason::AckAboveSent);
        assert_eq!(
            invalid,
            if gaps == 1 { 0 } else { 7 },
            "those that waited are taken up as well"
        );
    }
}

#[test]
fn behind_nat_only_what_goes_out_is_seen_and_nothing_is_invalid() {
    let mut talk = Conversation::new("203.0.113.7:40000", "198.51.100.6:443", 1000);
    let mut mirror = warmed_up();
    let [syn, _, ack] = talk.handshake();
    let request = talk.request(100);
    talk.response(60_000);
    let [fin, _, _, last] = talk.close();
    for frame in [syn, ack, request, fin, last] {
        assert_eq!(mirror.shows(ONE, &frame.build()), Verdict::New);
        mirror.wait(Duration::from_secs(1));
    }
    // One that was open before.
    let data = TcpFrame::new("203.0.113.7:40001", "198.51.100.6:443", Flags::ACK, 7, 7).data(10);
    assert_eq!(mirror.shows(ONE, &data.build()), Verdict::New);
    mirror.finish();
    assert_eq!(mirror.flags(), "SYN FIN");
    let egress: Vec<_> = mirror.said.events.iter().map(|event| event.egress_only).collect();
    assert_eq!(egress, [true, true]);
    let stats = mirror.stats();
    assert_eq!((stats.egress_only, stats.one_way, stats.flows), (2, 0, 2));
}

#[test]
fn a_flow_between_public_addresses_that_is_answered_is_an_ordinary_one() {
    let mut talk = Conversation::new("203.0.113.7:40000", "198.51.100.6:443", 1000);
    let mut mirror = warmed_up();
    mirror.shows_all(ONE, &talk.handshake());
    talk.response(1000);
    mirror.shows_all(ONE, &[talk.from_client(Flags::ACK, 0)]);
    mirror.wait(Duration::from_secs(1));
    mirror.shows(ONE, &[0; 14]);
    let egress: Vec<_> = mirror.said.events.iter().map(|event| event.egress_only).collect();
    assert_eq!(egress, [true, false, false, false], "until an answer is seen");
    let syn = TcpFrame::new("203.0.113.7:40001", "198.51.100.6:443", Flags::SYN, 1, 0);
    mirror.shows_all(ONE, &[syn]);
    assert!(!mirror.said.events.last().unwrap().egress_only, "this tap shows answers");
    assert_eq!(mirror.flags(), "SYN SYN-ACK ACK INVALID SYN");
}

#[test]
fn a_tuple_used_again_while_its_end_was_missed_is_another_flow() {
    let mut mirror = warmed_up();
    let mut first = talk();
    mirror.shows_all(ONE, &first.handshake());
    mirror.shows_all(ONE, &[first.request(10), first.response(10)]);
    mirror.wait(Duration::from_secs(60));
    let mut again = Conversation::new(CLIENT, SERVER, 900_000_000);
    mirror.shows_all(ONE, &again.handshake());
    mirror.shows_all(ONE, &[again.request(10), again.response(10)]);
    mirror.finish();
    assert_eq!(mirror.flags(), "SYN SYN-ACK ACK SYN SYN-ACK ACK");
    assert_eq!(mirror.stats().flows, 2);
}

#[test]
fn a_super_packet_is_counted_and_tracked() {
    let (mut mirror, mut talk) = (Mirror::azure(), talk());
    mirror.shows_all(ONE, &talk.handshake());
    mirror.shows_all(ONE, &[talk.response(30_000), talk.from_client(Flags::ACK, 0)]);
    let mut endless = talk.response(1000).build();
    // Big TCP leaves the length at zero.
    endless[16..18].fill(0);
    let mut endless = with_ttl(endless, 64);
    endless[50..52].fill(0);
    mirror.shows(ONE, &endless);
    mirror.finish();
    assert_eq!((mirror.stats().super_packets, mirror.stats().tcp_segments), (1, 6));
}
