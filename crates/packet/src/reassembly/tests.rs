use proptest::prelude::*;

use super::*;
use crate::Vni;
use crate::ip::Fragment;

fn fragment(id: u32, offset: u32, more: bool, payload: &[u8]) -> Ip<'_> {
    Ip {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        protocol: Protocol::UDP,
        header: &[],
        payload,
        payload_len: payload.len() as u32,
        fragment: Some(Fragment { id, offset, more }),
        overruns_frame: false,
    }
}

fn pool() -> Reassembler {
    Reassembler::new(Limits::default())
}

fn push(pool: &mut Reassembler, secs: u64, ip: &Ip<'_>) -> Option<Vec<u8>> {
    match pool.push(Timestamp::new(secs, 0), Scope::default(), ip) {
        Pushed::Complete(datagram) => Some(datagram.payload.to_vec()),
        Pushed::Absorbed => None,
    }
}

#[test]
fn reversed_fragments_complete_with_the_first() {
    let mut pool = pool();
    assert!(push(&mut pool, 0, &fragment(1, 16, false, b"tail")).is_none());
    assert!(push(&mut pool, 0, &fragment(1, 8, true, b"middle--")).is_none());
    let whole = push(&mut pool, 0, &fragment(1, 0, true, b"head----")).unwrap();
    assert_eq!(whole, b"head----middle--tail");
    assert_eq!(pool.stats(), Stats { seen: 3, completed: 1, absorbed: 2, ..Stats::default() });
    assert_eq!((pool.parts.bytes(), pool.parts.len()), (0, 0));
}

#[test]
fn an_exact_repeat_is_absorbed_and_changes_nothing() {
    let mut pool = pool();
    push(&mut pool, 0, &fragment(1, 0, true, b"head----"));
    push(&mut pool, 0, &fragment(1, 0, true, b"head----"));
    assert_eq!(push(&mut pool, 0, &fragment(1, 8, false, b"tail")).unwrap(), b"head----tail");
    assert_eq!(pool.stats().overlapped, 0);
}

#[test]
fn an_overlap_refuses_the_datagram_and_what_follows() {
    for overlapping in [
        fragment(1, 0, true, b"HEAD----"),
        fragment(1, 0, true, b"head----more----"),
        fragment(1, 8, false, b"beyond"),
        fragment(1, 8, false, b"middle--"),
        fragment(1, 0, true, b"head----middle--"),
    ] {
        let mut pool = pool();
        push(&mut pool, 0, &fragment(1, 0, true, b"head----"));
        push(&mut pool, 0, &fragment(1, 8, true, b"middle--"));
        push(&mut pool, 0, &overlapping);
        assert!(push(&mut pool, 0, &fragment(1, 16, false, b"tail")).is_none());
        assert_eq!(pool.stats().overlapped, 4);
        assert_eq!((pool.parts.bytes(), pool.parts.len()), (0, 0));
    }
}

#[test]
fn old_datagrams_time_out_on_packet_time() {
    let mut pool = pool();
    push(&mut pool, 100, &fragment(1, 0, true, b"head----"));
    push(&mut pool, 130, &fragment(2, 0, true, b"other---"));
    assert_eq!(pool.stats().timed_out, 0);
    push(&mut pool, 131, &fragment(1, 8, false, b"tail"));
    assert_eq!(pool.stats().timed_out, 1);
    pool.finish();
    assert_eq!(pool.stats(), Stats { seen: 3, absorbed: 3, timed_out: 3, ..Stats::default() });
}

#[test]
fn a_flood_evicts_the_oldest_and_stays_within_the_limits() {
    for bytes in [usize::MAX, 8 * (PIECE + 8)] {
        let limits = Limits { datagrams: 10, bytes, age: Duration::from_secs(30) };
        let mut pool = Reassembler::new(limits);
        for id in 0..1000 {
            push(&mut pool, 0, &fragment(id, 0, true, b"head----"));
            assert!(pool.parts.len() <= 10 && pool.parts.bytes() <= bytes);
        }
        let held = if bytes == usize::MAX { 10 } else { 8 };
        assert_eq!((pool.parts.len(), pool.stats().evicted), (held, 1000 - held as u64));
    }
}

#[test]
fn a_flood_between_two_hosts_costs_others_nothing() {
    let mut pool = pool();
    let honest = |offset, more, payload| Ip {
        src: [10, 0, 0, 9].into(),
        ..fragment(1, offset, more, payload)
    };
    push(&mut pool, 0, &honest(0, true, b"head----"));
    for id in 0..20_000 {
        push(&mut pool, 0, &fragment(id, 0, true, b"head----"));
    }
    assert_eq!(push(&mut pool, 0, &honest(8, false, b"tail")).unwrap(), b"head----tail");
    assert_eq!(pool.stats().evicted, 20_000 - 4095);
}

#[test]
fn what_is_refused_takes_no_place_in_the_pool_and_is_forgotten_with_age() {
    let mut pool = pool();
    push(&mut pool, 0, &fragment(0, 0, true, b"head----"));
    for id in 1..10_000 {
        push(&mut pool, 0, &fragment(id, 0, true, b"head----"));
        push(&mut pool, 0, &fragment(id, 0, true, b"HEAD----"));
    }
    assert_eq!((pool.parts.len(), pool.closed.len()), (1, 4096));
    assert_eq!(push(&mut pool, 1, &fragment(0, 8, false, b"tail")).unwrap(), b"head----tail");
    push(&mut pool, 31, &fragment(9999, 0, true, b"head----"));
    assert_eq!(push(&mut pool, 31, &fragment(9999, 8, false, b"tail")).unwrap(), b"head----tail");
    assert_eq!(pool.stats().evicted, 0);
}

#[test]
fn copies_of_a_complete_datagram_do_not_wait() {
    let mut pool = pool();
    let [first, last] = [fragment(1, 0, true, b"head----"), fragment(1, 8, false, b"tail")];
    for ip in [&first, &first, &last, &last, &first] {
        push(&mut pool, 0, ip);
    }
    assert_eq!((pool.stats().completed, pool.parts.len()), (1, 0));
    // The number is used again.
    assert!(push(&mut pool, 1, &fragment(1, 0, true, b"other---")).is_none());
    assert_eq!(push(&mut pool, 1, &fragment(1, 8, false, b"end")).unwrap(), b"other---end");
    assert_eq!(pool.stats().overlapped, 0);
}

#[test]
fn a_clock_that_is_set_back_keeps_nothing_for_ever() {
    let mut pool = pool();
    push(&mut pool, 1_000_000, &fragment(1, 0, true, b"head----"));
    push(&mut pool, 1_000_000, &fragment(1, 0, true, b"HEAD----"));
    push(&mut pool, 1_000_000, &fragment(2, 0, true, b"head----"));
    push(&mut pool, 1000, &fragment(3, 0, true, b"head----"));
    assert_eq!((pool.parts.len(), pool.closed.len(), pool.stats().timed_out), (1, 0, 1));
    // Out of order by less than the age is not set back.
    push(&mut pool, 990, &fragment(3, 8, true, b"middle--"));
    assert_eq!(push(&mut pool, 1001, &fragment(3, 16, false, b"t")).unwrap(), b"head----middle--t");
}

#[test]
fn places_and_taps_are_kept_apart() {
    let mut pool = pool();
    let tap = |tap| Scope { tunnel: Some((Vni::new(27), [10, 1, 1, tap].into())), place: 0 };
    let scopes = [tap(1), tap(2), Scope { place: 1, ..tap(1) }, Scope::default()];
    let pieces = [fragment(1, 0, true, b"head----"), fragment(1, 8, false, b"tail")];
    let completed = pieces.iter().flat_map(|piece| {
        scopes.map(|scope| matches!(pool.push(Timestamp::EPOCH, scope, piece), Pushed::Complete(_)))
    });
    assert_eq!(completed.filter(|complete| *complete).count(), 4);
}

#[test]
fn what_a_table_takes_is_bounded() {
    // A guard on the bound, of which the documentation of `most_memory` speaks.
    assert!(Datagrams::<Part>::most_memory_each() < 1200);
    assert!(Reassembler::most_memory(Limits::default()) < 26 << 20);
}

#[test]
fn fragments_that_cannot_be_worked_with_are_told() {
    assert!(!Reassembler::accepts(&fragment(1, 0, true, b"odd")));
    assert!(!Reassembler::accepts(&fragment(1, 65_528, false, b"too long")));
    assert!(!Reassembler::accepts(&fragment(1, 0, true, b"")));
    let mut cut = fragment(1, 0, true, b"head----");
    cut.payload_len = 16;
    assert!(!Reassembler::accepts(&cut));
}

proptest! {
    /// Any cut into fragments, in any order, with any repetition, gives the datagram; and every
    /// fragment is counted once.
    #[test]
    fn any_cut_in_any_order_gives_the_datagram(
        payload in prop::collection::vec(any::<u8>(), 9..400),
        cuts in prop::collection::btree_set(1_usize..50, 0..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut edges: Vec<usize> = cuts.into_iter().map(|cut| cut * 8).filter(|at| *at < payload.len()).collect();
        edges.insert(0, 0);
        edges.push(payload.len());
        let fragments: Vec<_> = edges.windows(2).map(|edge| {
            fragment(7, edge[0] as u32, edge[1] < payload.len(), &payload[edge[0]..edge[1]])
        }).collect();
        let mut pool = pool();
        let mut completed = 0;
        // A random prefix with repeats, then every fragment once, so that nothing is missing.
        let prefix = order.iter().map(|index| index.get(&fragments));
        for fragment in prefix.chain(&fragments) {
            if let Some(whole) = push(&mut pool, 0, fragment) {
                prop_assert_eq!(&whole, &payload);
                completed += 1;
            }
        }
        // Whatever comes when all is there is a copy.
        prop_assert_eq!(completed, 1);
        pool.finish();
        let stats = pool.stats();
        prop_assert_eq!(stats.seen, stats.completed + stats.absorbed);
        prop_assert_eq!(stats.overlapped + stats.evicted, 0);
        prop_assert_eq!((pool.parts.bytes(), pool.parts.len()), (0, 0));
    }

    /// Hostile fragments: whatever overlaps, nothing is counted twice and nothing leaks.
    #[test]
    fn hostile_fragments_are_counted_once(
        fragments in prop::collection::vec((0_u32..3, 0_u32..6, any::<bool>(), 1_usize..4), 0..60),
    ) {
        let mut pool = Reassembler::new(Limits { datagrams: 2, bytes: 300, age: Duration::from_secs(1) });
        let bytes = [0xaa; 24];
        for (secs, (id, offset, more, words)) in fragments.into_iter().enumerate() {
            push(&mut pool, secs as u64 / 8, &fragment(id, offset * 8, more, &bytes[..words * 8]));
            prop_assert!(pool.parts.bytes() <= 300 && pool.parts.len() <= 2);
        }
        pool.finish();
        let stats = pool.stats();
        prop_assert_eq!(stats.seen, stats.completed + stats.absorbed);
        prop_assert!(stats.timed_out + stats.overlapped + stats.evicted <= stats.absorbed);
        prop_assert_eq!((pool.parts.bytes(), pool.parts.len()), (0, 0));
    }

    /// A fragment that overlaps one held in any other way than repeating it takes the datagram
    /// down, wherever both lie.
    #[test]
    fn any_overlap_refuses_the_datagram(
        words in 2_u32..20,
        cuts in prop::collection::btree_set(1_u32..20, 1..5),
        (from, len) in (0_u32..20, 1_u32..20),
        (other_bytes, more) in (any::<bool>(), any::<bool>()),
        v6 in any::<bool>(),
    ) {
        let data: Vec<u8> = (0..words * 8).map(|byte| byte as u8).collect();
        let edges: Vec<u32> =
            [0].into_iter().chain(cuts.into_iter().filter(|cut| *cut < words)).chain([words]).collect();
        let mut pieces: Vec<_> =
            edges.windows(2).map(|edge| (edge[0], edge[1], edge[1] < words, 0)).collect();
        let (from, to) = (from % words, (from % words + len).min(words));
        let stray = (from, to, more, u8::from(other_bytes));
        prop_assume!(pieces.len() > 1 && !pieces.contains(&stray));
        // Behind one that it overlaps, and before those without which nothing is complete.
        let overlapped = pieces.iter().position(|(_, end, ..)| *end > from).unwrap();
        pieces.swap(0, overlapped);
        pieces.insert(1, stray);
        let mut pool = pool();
        for (from, to, more, change) in pieces {
            let payload: Vec<u8> =
                data[from as usize * 8..to as usize * 8].iter().map(|byte| byte ^ change).collect();
            let mut ip = fragment(7, from * 8, more, &payload);
            if v6 {
                ip = Ip { src: [0xfd; 16].into(), dst: [0xfe; 16].into(), ..ip };
            }
            prop_assert!(push(&mut pool, 0, &ip).is_none(), "put together");
        }
        let stats = pool.stats();
        prop_assert_eq!((stats.overlapped, stats.absorbed), (stats.seen, stats.seen));
    }
}
