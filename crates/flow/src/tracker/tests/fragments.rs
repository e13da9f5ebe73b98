use proptest::prelude::*;
use proptest::sample::Index;
use vtap_testkit::frame::{fragment, fragments, udp};

use super::*;
use crate::key::Key;

const RESOLVER: &str = "168.63.129.16:53";
const HELD: Verdict = Verdict::Skipped(Skip::Fragment);

/// Packets that the flow between two ends has counted, from each.
fn packets(tape: &mut Tape, src: &str, dst: &str, protocol: Protocol) -> Option<[u32; 2]> {
    let key = Key::new(src.parse().unwrap(), dst.parse().unwrap(), protocol, Vni::default());
    tape.tracker.judge.packets(key)
}

fn answers(tape: &mut Tape) -> Option<[u32; 2]> {
    packets(tape, RESOLVER, CLIENT, Protocol::UDP)
}

/// An answer of the resolver in four fragments.
fn answer(id: u16) -> Vec<Vec<u8>> {
    fragments(&udp(RESOLVER, CLIENT, &[7; 1500]), id, 400)
}

#[test]
fn a_datagram_of_four_fragments_gives_its_flow_four_packets_in_any_order() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let mut tape = Tape::azure();
        let pieces = answer(1);
        let verdicts = order.map(|index: usize| tape.push_bytes(&pieces[index]).verdict);
        assert_eq!(verdicts, [HELD, HELD, HELD, Verdict::New]);
        assert_eq!(answers(&mut tape), Some([4, 0]));
        tape.finish();
        let stats = tape.tracker.stats();
        assert_eq!((stats.packets, stats.other, stats.skipped(Skip::Fragment)), (4, 1, 3));
        assert_eq!((stats.fragments.seen, stats.fragments.completed), (4, 1));
    }
}

#[test]
fn fragments_alone_open_nothing() {
    let mut tape = Tape::azure();
    tape.push_bytes(&fragments(&talk().request(1000).build(), 7, 400)[0]);
    tape.push_bytes(&answer(1)[0]);
    tape.wait(60);
    tape.push_bytes(&answer(2)[3]);
    assert_eq!((tape.tracker.flows(), tape.events.len()), (0, 0));
    assert_eq!(tape.tracker.stats().fragments.timed_out, 2);
}

#[test]
fn fragments_that_the_snaplen_cut_are_counted_as_soon_as_the_first_has_come() {
    let mut tape = Tape::azure();
    tape.push_bytes(&udp(RESOLVER, CLIENT, &[7; 10]));
    let pieces = answer(1);
    for (index, counted) in [(1, 1), (3, 1), (0, 4), (2, 5)] {
        let whole = frame::packet(0, tape.now, &pieces[index]);
        let kept = pieces[index].len().min(60);
        tape.push_packet(&Packet { data: &pieces[index][..kept], ..whole });
        assert_eq!(answers(&mut tape), Some([counted, 0]), "{index}");
    }
    assert_eq!(tape.tracker.stats().truncated, 0, "that counts what was followed");
}

#[test]
fn what_is_given_up_is_counted_then_and_renews_no_deadline() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    tape.push_all(talk.handshake());
    let segments = |tape: &mut Tape| packets(tape, CLIENT, SERVER, Protocol::TCP);
    assert_eq!(segments(&mut tape), Some([2, 1]));
    let pieces = fragments(&talk.request(1000).build(), 7, 400);
    tape.push_bytes(&pieces[0]);
    tape.push_bytes(&pieces[1]);
    assert_eq!(segments(&mut tape), Some([2, 1]));
    tape.wait(31);
    tape.push_bytes(&answer(1)[3]);
    assert_eq!(segments(&mut tape), Some([4, 1]));

    // Of the end of the input nothing is lost either.
    tape.push_bytes(&fragments(&talk.request(1000).build(), 8, 400)[0]);
    tape.tracker.reader.finish(&mut tape.tracker.judge);
    assert_eq!(segments(&mut tape), Some([5, 1]));
}

#[test]
fn fragments_do_not_show_an_end_that_nothing_whole_came_from() {
    let mut tape = Tape::azure();
    tape.push_bytes(&udp(CLIENT, RESOLVER, b"?"));
    let pieces = answer(1);
    let whole = frame::packet(0, tape.now, &pieces[0]);
    tape.push_packet(&Packet { data: &pieces[0][..60], ..whole });
    assert_eq!(answers(&mut tape), Some([0, 1]));
    assert_eq!(tape.push_bytes(&udp(CLIENT, RESOLVER, b"?")).verdict, Verdict::New);
}

#[test]
fn the_same_fragments_from_two_taps_are_two_datagrams() {
    let mut tape = Tape::azure();
    let pieces = answer(1);
    let mut verdicts = Vec::new();
    for data in &pieces {
        for tap in [1, 2] {
            let tunnel = in_vni(27).map(|tunnel| Tunnel { src: [10, 1, 1, tap].into(), ..tunnel });
            let packet = Packet { tunnel, ..frame::packet(0, tape.now, data) };
            verdicts.push(tape.push_packet(&packet).verdict);
        }
    }
    assert_eq!(verdicts[..6], [HELD; 6]);
    assert_eq!(verdicts[6..], [Verdict::New, Verdict::Duplicate]);
    assert_eq!(tape.tracker.stats().fragments.completed, 2);
    // The fragments of a copy are copies.
    let [src, dst] = [RESOLVER, CLIENT].map(|end| end.parse().unwrap());
    let key = Key::new(src, dst, Protocol::UDP, Vni::new(27));
    assert_eq!(tape.tracker.judge.packets(key), Some([4, 0]));
}

/// A packet of one of a few flows, of either family.
fn packet_of_a_flow() -> impl Strategy<Value = (u8, bool, usize)> {
    (0..8_u8, any::<bool>(), 0..1400_usize)
}

fn frames(steps: &[(u8, bool, usize)]) -> Vec<Vec<u8>> {
    let ends = |v6| if v6 { ["[fd00::4]:1", "[fd00::6]:2"] } else { ["10.0.2.4:1", "10.0.2.6:2"] };
    let mut talks = [false, true].map(|v6| Conversation::new(ends(v6)[0], ends(v6)[1], 1000));
    let mut frames: Vec<_> =
        talks.iter_mut().flat_map(Conversation::handshake).map(|frame| frame.build()).collect();
    for (what, v6, len) in steps {
        let talk = &mut talks[usize::from(*v6)];
        let [client, server] = ends(*v6);
        frames.push(match what {
            0 => udp(client, server, &vec![1; *len]),
            1 => udp(server, client, &vec![2; *len]),
            2 => talk.from_server(Flags::FIN | Flags::ACK, *len).build(),
            3 => talk.from_client(Flags::SYN | Flags::ACK, *len).build(),
            4 | 5 => talk.request(*len).build(),
            _ => talk.response(*len).build(),
        });
    }
    frames
}

proptest! {
    /// Traffic in fragments, in any order and with copies, makes the events and verdicts of the
    /// traffic before it was cut; every fragment is a packet of its flow.
    #[test]
    fn fragmented_traffic_is_judged_as_if_it_were_whole(
        steps in prop::collection::vec(packet_of_a_flow(), 1..40),
        len in 1..90_usize,
        order in prop::collection::vec(any::<Index>(), 1..20),
        linux in any::<bool>(),
        in_batches in any::<bool>(),
    ) {
        let config = Config::new(if linux { Profile::Linux } else { Profile::Azure });
        let (mut whole, mut cut) = (Tape::new(config), Tape::new(config));
        let (mut expected, mut verdicts, mut fragmented) = (Vec::new(), Vec::new(), 0);
        for (number, data) in (1..).zip(frames(&steps)) {
            whole.number = number - 1;
            expected.push(whole.push_bytes(&data));
            let mut pieces = fragments(&data, number as u16, 8 * len);
            if pieces.len() == 1 {
                pieces = vec![data];
            } else {
                for index in &order {
                    let copy = index.get(&pieces).clone();
                    pieces.insert(index.index(pieces.len()), copy);
                }
                fragmented += pieces.len() as u64 - 1;
            }
            for piece in &pieces {
                cut.number = number - 1;
                if in_batches {
                    let packet = Packet { number, ..frame::packet(number, cut.now, piece) };
                    let Ok(()) = cut.tracker.queue(packet, &mut cut.events);
                } else {
                    verdicts.push(cut.push_bytes(piece));
                }
            }
            whole.wait(1);
            cut.wait(1);
        }
        let Ok(()) = cut.tracker.flush(&mut cut.events);
        if !in_batches {
            verdicts.retain(|outcome| outcome.verdict != HELD);
            prop_assert_eq!(verdicts, expected);
        }
        whole.finish();
        cut.finish();
        prop_assert_eq!(&cut.events, &whole.events);
        let (cut, whole) = (cut.tracker.stats(), whole.tracker.stats());
        prop_assert_eq!(cut.skipped(Skip::Fragment), fragmented);
        prop_assert_eq!((cut.fragments.absorbed, cut.fragments.overlapped), (fragmented, 0));
        prop_assert_eq!((cut.tcp_segments, cut.other), (whole.tcp_segments, whole.other));
        prop_assert_eq!((cut.flows, cut.midstream), (whole.flows, whole.midstream));
        for reason in Reason::ALL {
            prop_assert_eq!(cut.invalid(reason), whole.invalid(reason));
        }
    }

    /// Every fragment of a known flow is one packet of it, whatever becomes of its datagram.
    #[test]
    fn every_fragment_is_accounted_to_its_flow(
        choices in prop::collection::vec((any::<Index>(), 0..3_u16, 40..500_usize), 1..60),
    ) {
        let mut tape = Tape::new(Config { checksum: Checksum::Off, ..Config::default() });
        tape.push_bytes(&udp(RESOLVER, CLIENT, &[7; 10]));
        let data = udp(RESOLVER, CLIENT, &[7; 1500]);
        let mut first_came = [false; 3];
        for (place, id, kept) in &choices {
            let from = 400 * place.index(4);
            first_came[usize::from(*id)] |= from == 0;
            let piece = fragment(&data, *id, from, (from + 400).min(data.len() - 34));
            let whole = frame::packet(0, tape.now, &piece);
            tape.push_packet(&Packet { data: &piece[..piece.len().min(*kept)], ..whole });
        }
        tape.tracker.reader.finish(&mut tape.tracker.judge);
        let [counted, _] = answers(&mut tape).unwrap();
        let told = choices.iter().filter(|(_, id, _)| first_came[usize::from(*id)]).count();
        // Copies behind a complete datagram wait for a first fragment of their own.
        let copies = tape.tracker.stats().fragments.completed > 0;
        prop_assert!(counted == 1 + told as u32 || copies && counted <= 1 + told as u32);
    }
}
