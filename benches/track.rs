//! Following established flows: data segments of 100 bytes, each of a flow chosen at random.

#![allow(clippy::panic, reason = "a benchmark fails loudly")]

use std::hint::black_box;

use vtap_benches::{BATCH, Frames, PACKETS, Round, criterion, measure};
use vtap_flow::{Checksum, Config, Discard, Outcome, State, StateAfter, Tracker, Verdict};
use vtap_testkit::traffic;

fn main() {
    let mut criterion = criterion();
    for flows in [1, 1000, 100_000, 1_000_000] {
        let (opening, data) = traffic::lasting(flows, PACKETS, &[46], 1);
        let (handshakes, opening) = (opening.len(), Frames::new(opening));
        let data = Frames::new(data);
        assert_eq!(data.mean_len(), 100);
        for (name, checksum) in [("off", Checksum::Off), ("offload-aware", Checksum::OffloadAware)]
        {
            let mut tracker = Tracker::new(Config { checksum, ..Config::default() });
            let mut round = opening.round();
            for _ in 0..handshakes {
                push(&mut tracker, &mut round);
            }
            let mut round = data.round().after(&round);
            for _ in 0..2 * PACKETS {
                let Outcome { verdict, state, note } = push(&mut tracker, &mut round);
                let settled = (Verdict::Established, StateAfter::In(State::Established), None);
                assert_eq!((verdict, state, note), settled);
            }
            assert_eq!(tracker.flows(), flows);
            measure(&mut criterion, "track", &format!("{flows}/{name}"), || {
                for _ in 0..BATCH {
                    let Ok(()) = tracker.queue(round.packet(), &mut Discard);
                }
                black_box(tracker.stats());
            });
        }
    }
    criterion.final_summary();
}

#[inline]
fn push(tracker: &mut Tracker, round: &mut Round<'_>) -> Outcome {
    let Ok(outcome) = tracker.push(&round.packet(), &mut Discard);
    outcome
}
