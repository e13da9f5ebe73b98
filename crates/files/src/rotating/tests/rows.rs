//! No row is lost that was not counted, whatever the disk does and whenever the process ends.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Rows with fillers of these lengths.
    Write(Vec<usize>),
    Flush,
    /// After so many seconds.
    Tick(u64),
    /// What the next attempts meet.
    Faults(Vec<Option<usize>>),
    Full(bool),
    Kill,
}

fn ops(kills: u32) -> impl Strategy<Value = Vec<Op>> {
    let fault = prop_oneof![2 => Just(None), 1 => (0..80_usize).prop_map(Some)];
    let op = prop_oneof![
        6 => prop::collection::vec(0..60_usize, 0..8).prop_map(Op::Write),
        2 => Just(Op::Flush),
        4 => (0..40_u64).prop_map(Op::Tick),
        2 => prop::collection::vec(fault, 1..6).prop_map(Op::Faults),
        1 => any::<bool>().prop_map(Op::Full),
        kills => Just(Op::Kill),
    ];
    prop::collection::vec(op, 0..60)
}

fn rotations() -> impl Strategy<Value = Rotation> {
    let bytes = prop::option::of(1..400_u64);
    let every = prop::option::of((1..90_u64).prop_map(Duration::from_secs));
    let compression = prop::option::of(1..4_i32);
    (bytes, every, compression, 0..600_usize).prop_map(
        |(bytes, every, compression, buffer_bytes)| Rotation {
            bytes,
            every,
            compression,
            buffer_bytes,
            ..any_space()
        },
    )
}

/// Sums over the runs between kills.
#[derive(Default)]
struct Sums {
    accepted: u64,
    rows: u64,
}

/// Runs `ops` and finishes on a disk that is well again; all rows that were handed in have
/// numbers, in order.
fn run(directory: &Path, rotation: &Rotation, ops: &[Op]) -> Sums {
    let (mut rotating, mut faults) = faulty(directory, rotation.clone());
    let (mut sums, mut number, mut now) = (Sums::default(), 0_u64, START);
    for op in ops {
        match op {
            Op::Write(fillers) => {
                let mut rows = String::new();
                for filler in fillers {
                    number += 1;
                    rows += &format!("{number},{}\n", "x".repeat(*filler));
                }
                rotating.write(rows.as_bytes(), now);
            }
            Op::Flush => rotating.flush(now),
            Op::Tick(seconds) => {
                now = now + Duration::from_secs(*seconds);
                rotating.tick(now);
            }
            Op::Faults(next) => faults.lock().unwrap().next.extend(next),
            Op::Full(full) => faults.lock().unwrap().full = *full,
            Op::Kill => {
                let counters = rotating.counters();
                assert!(counters.balance());
                sums.accepted += counters.accepted;
                sums.rows += counters.rows;
                drop(rotating);
                (rotating, faults) = faulty(directory, rotation.clone());
                assert!(rotating.leftovers().failed.is_empty());
            }
        }
        assert!(rotating.counters().balance(), "{:?}", rotating.counters());
        assert!(rotating.waiting.bytes().len() <= rotation.buffer_bytes);
    }
    *faults.lock().unwrap() = Faults::default();
    rotating.finish(now).unwrap();
    let counters = rotating.counters();
    assert_eq!(counters.accepted, counters.rows + counters.lost);
    sums.accepted += counters.accepted;
    sums.rows += counters.rows;
    assert_eq!(sums.accepted, number);
    sums
}

/// All rows that were read back, which have to be in order, each once.
fn in_order(directory: &Path) -> Vec<u64> {
    let numbers: Vec<_> = read(directory).into_iter().flat_map(|file| file.numbers).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!(names(directory, false).partials().unwrap().is_empty());
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn rows_read_back_are_those_accepted_but_for_those_lost(rotation in rotations(), ops in ops(0)) {
        let directory = tempfile::tempdir().unwrap();
        let sums = run(directory.path(), &rotation, &ops);
        prop_assert_eq!(in_order(directory.path()).len() as u64, sums.rows);
    }

    #[test]
    fn a_kill_at_any_moment_takes_no_row_that_was_in_a_file(rotation in rotations(), ops in ops(2)) {
        let directory = tempfile::tempdir().unwrap();
        let sums = run(directory.path(), &rotation, &ops);
        // More, where a write had failed and could not be cut off: those rows are whole, too.
        let read = in_order(directory.path()).len() as u64;
        prop_assert!((sums.rows..=sums.accepted).contains(&read), "{} of {}", read, sums.rows);
    }
}
