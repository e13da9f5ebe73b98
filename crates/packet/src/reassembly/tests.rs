use proptest::prelude::*;

use super::*;
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
    match pool.push(Timestamp::new(secs, 0), 0, ip) {
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
    assert_eq!((pool.bytes, pool.parts.len(), pool.by_age.len()), (0, 0, 0));
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
    ] {
        let mut pool = pool();
        push(&mut pool, 0, &fragment(1, 0, true, b"head----"));
        push(&mut pool, 0, &fragment(1, 8, true, b"middle--"));
        push(&mut pool, 0, &overlapping);
        assert!(push(&mut pool, 0, &fragment(1, 16, false, b"tail")).is_none());
        assert_eq!(pool.stats().overlapped, 4);
        assert_eq!(pool.bytes, 0);
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
    let limits = Limits { datagrams: 10, bytes: 64, age: Duration::from_secs(30) };
    let mut pool = Reassembler::new(limits);
    for id in 0..1000 {
        push(&mut pool, 0, &fragment(id, 0, true, b"head----"));
        assert!(pool.parts.len() <= 10 && pool.bytes <= 64);
    }
    assert_eq!(pool.stats().evicted, 992);
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
            // A whole datagram in one piece is no fragment on the wire, yet completes here.
            if let Some(whole) = push(&mut pool, 0, fragment) {
                prop_assert_eq!(&whole, &payload);
                completed += 1;
            }
        }
        prop_assert!(completed >= 1);
        pool.finish();
        let stats = pool.stats();
        prop_assert_eq!(stats.seen, stats.completed + stats.absorbed);
        prop_assert_eq!(stats.overlapped + stats.evicted, 0);
        prop_assert_eq!(pool.bytes, 0);
    }

    /// Hostile fragments: whatever overlaps, nothing is counted twice and nothing leaks.
    #[test]
    fn hostile_fragments_are_counted_once(
        fragments in prop::collection::vec((0_u32..3, 0_u32..6, any::<bool>(), 1_usize..4), 0..60),
    ) {
        let mut pool = Reassembler::new(Limits { datagrams: 2, bytes: 60, age: Duration::from_secs(1) });
        let bytes = [0xaa; 24];
        for (secs, (id, offset, more, words)) in fragments.into_iter().enumerate() {
            push(&mut pool, secs as u64 / 8, &fragment(id, offset * 8, more, &bytes[..words * 8]));
            prop_assert!(pool.bytes <= 60 && pool.parts.len() <= 2);
        }
        pool.finish();
        let stats = pool.stats();
        prop_assert_eq!(stats.seen, stats.completed + stats.absorbed);
        prop_assert!(stats.timed_out + stats.overlapped + stats.evicted <= stats.absorbed);
        prop_assert_eq!((pool.bytes, pool.by_age.len()), (0, 0));
    }
}
