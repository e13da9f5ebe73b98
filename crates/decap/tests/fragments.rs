//! Envelopes in fragments: the very frame comes out, or the refusal is counted.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a test fails loudly"
)]

use proptest::prelude::*;
use proptest::sample::Index;
use vtap_decap::{Config, Decap, Stats, Stripped};
use vtap_packet::tcp::Flags;
use vtap_packet::{Packet, Timestamp};
use vtap_testkit::TcpFrame;
use vtap_testkit::frame::{fragment, fragments, mirrored, mirrored_by, packet, udp};

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

/// What became of each packet: `Ok` with the frame, `Err` with whether it was absorbed.
fn strip_all(packets: &[Vec<u8>]) -> (Vec<Result<Vec<u8>, bool>>, Stats) {
    let mut decap = Decap::new(Config::default());
    let stripped = packets
        .iter()
        .map(|data| match decap.strip(packet(1, NOW, data)) {
            Stripped::Mirrored(frame) => Ok(frame.data.to_vec()),
            Stripped::Plain(plain) => {
                assert_eq!(plain.data, data, "as it came");
                Err(false)
            }
            Stripped::Absorbed => Err(true),
            Stripped::Skipped(skip) => panic!("{skip}"),
        })
        .collect();
    decap.finish();
    let stats = decap.stats();
    assert!(stats.balances());
    assert_eq!(stats.fragments.seen, stats.fragments.completed + stats.fragments.absorbed);
    (stripped, stats)
}

#[test]
fn all_fragments_of_a_plain_datagram_are_plain_from_the_first_on() {
    let pieces = fragments(&udp("10.1.1.1:1", "10.1.1.4:53", &[0; 1500]), 9, 400);
    let (stripped, stats) = strip_all(&pieces);
    assert_eq!(stripped, vec![Err(false); 4]);
    assert_eq!((stats.plain, stats.fragments.seen), (4, 0));
    // What comes before the first shows nothing and waits.
    let reversed: Vec<_> = pieces.into_iter().rev().collect();
    let (stripped, stats) = strip_all(&reversed);
    assert_eq!(stripped, [Err(true), Err(true), Err(true), Err(false)]);
    assert_eq!((stats.plain, stats.fragments.timed_out), (1, 3));
}

#[test]
fn a_number_used_again_for_an_envelope_is_an_envelope() {
    let inner = udp("10.0.2.4:1", "10.0.2.6:2", &[7; 900]);
    let mut pieces = fragments(&udp("10.1.1.1:1", "10.1.1.4:53", &[0; 1500]), 9, 400);
    pieces.extend(fragments(&mirrored(27, &inner), 9, 400));
    let (stripped, stats) = strip_all(&pieces);
    assert_eq!(stripped.last(), Some(&Ok(inner)));
    assert_eq!((stats.plain, stats.decapsulated), (4, 1));
}

#[test]
fn two_places_of_capture_have_the_datagram_each() {
    let inner = udp("10.0.2.4:1", "10.0.2.6:2", &[7; 900]);
    let pieces = fragments(&mirrored(27, &inner), 9, 400);
    let mut decap = Decap::new(Config::default());
    let mut frames = 0;
    for data in &pieces {
        for interface in [0, 1] {
            let packet = Packet { interface, ..packet(1, NOW, data) };
            frames += usize::from(matches!(decap.strip(packet), Stripped::Mirrored(_)));
        }
    }
    assert_eq!((frames, decap.stats().fragments.absorbed), (2, 4));
}

fn inner() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), 0..1400_usize).prop_map(|(v6, len)| {
        let (src, dst) =
            if v6 { ("[fd00::4]:1", "[fd00::6]:2") } else { ("10.0.2.4:1", "10.0.2.6:2") };
        TcpFrame::new(src, dst, Flags::ACK, 1, 1).data(len).build()
    })
}

fn envelope() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (inner(), any::<bool>()).prop_map(|(inner, v6)| {
        let (tap, collector) = if v6 {
            ("[fd00::1]:5000", "[fd00::2]:4789")
        } else {
            ("10.1.1.1:5000", "10.1.1.4:4789")
        };
        (mirrored_by(tap, collector, 27, &inner), inner)
    })
}

/// A cut into fragments at these of the places where it can be cut.
fn cut(frame: &[u8], at: &[Index]) -> Vec<Vec<u8>> {
    let payload = frame.len() - if frame[14] >> 4 == 4 { 34 } else { 54 };
    let mut edges: Vec<_> = at.iter().map(|index| 8 * (1 + index.index(payload / 8 - 1))).collect();
    edges.extend([0, payload]);
    edges.sort_unstable();
    edges.dedup();
    edges.windows(2).map(|edge| fragment(frame, 9, edge[0], edge[1])).collect()
}

/// The fragments in any order, some of them several times, each at least once.
fn shuffle(pieces: &[Vec<u8>], order: &[Index]) -> Vec<Vec<u8>> {
    let mut all: Vec<_> = pieces.to_vec();
    for index in order {
        let copy = index.get(pieces).clone();
        all.insert(index.index(all.len()), copy);
        let swapped = index.index(all.len());
        all.swap(0, swapped);
    }
    all
}

proptest! {
    #[test]
    fn any_cut_in_any_order_with_copies_gives_the_frame_once(
        (envelope, inner) in envelope(),
        at in prop::collection::vec(any::<Index>(), 1..10),
        order in prop::collection::vec(any::<Index>(), 0..30),
    ) {
        let packets = shuffle(&cut(&envelope, &at), &order);
        let (stripped, stats) = strip_all(&packets);
        let frames: Vec<_> = stripped.into_iter().flatten().collect();
        prop_assert_eq!(frames, [inner]);
        prop_assert_eq!((stats.decapsulated, stats.fragments.completed), (1, 1));
        prop_assert_eq!(stats.fragments.absorbed, packets.len() as u64 - 1);
        prop_assert_eq!(stats.fragments.overlapped + stats.fragments.timed_out, 0);
    }

    /// Two cuts of the same datagram, mixed: fragments overlap in extent. Nothing but the frame
    /// comes out, and that only before the first overlap.
    #[test]
    fn overlaps_give_the_frame_or_a_counted_refusal(
        (envelope, inner) in envelope(),
        (one, other) in (prop::collection::vec(any::<Index>(), 1..5), prop::collection::vec(any::<Index>(), 1..5)),
        order in prop::collection::vec(any::<Index>(), 0..30),
        flipped in prop::option::of(any::<Index>()),
    ) {
        let mut pieces = cut(&envelope, &one);
        pieces.extend(cut(&envelope, &other));
        if let Some(index) = flipped {
            // A second version of one fragment, with other bytes.
            let mut copy = index.get(&pieces).clone();
            *copy.last_mut().unwrap() ^= 0xff;
            pieces.push(copy);
        }
        let changed = flipped.is_some();
        let (stripped, stats) = strip_all(&shuffle(&pieces, &order));
        let frames: Vec<_> = stripped.into_iter().flatten().collect();
        prop_assert!(frames.len() <= 1);
        for frame in &frames {
            prop_assert!(changed || *frame == inner);
            prop_assert_eq!(frame.len(), inner.len());
        }
        prop_assert!(frames.len() == 1 || stats.fragments.overlapped > 1);
    }

    /// Fragments of which one is missing give nothing, and are counted.
    #[test]
    fn a_hole_gives_nothing(
        (envelope, _) in envelope(),
        at in prop::collection::vec(any::<Index>(), 1..10),
        hole in any::<Index>(),
    ) {
        let mut pieces = cut(&envelope, &at);
        pieces.remove(hole.index(pieces.len()));
        let count = pieces.len() as u64;
        let (stripped, stats) = strip_all(&pieces);
        prop_assert!(stripped.iter().all(|one| *one == Err(true)));
        prop_assert_eq!(stats.fragments.timed_out, count);
    }
}

#[test]
fn both_families_are_cut_as_the_parser_reads_them() {
    for (src, dst) in [("10.0.0.1:1", "10.0.0.2:2"), ("[fd00::1]:1", "[fd00::2]:2")] {
        let whole = udp(src, dst, &[1; 700]);
        let pieces = fragments(&whole, 3, 256);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[2][pieces[2].len() - 196..], whole[whole.len() - 196..]);
    }
}
