//! The whole belt over a capture in memory: what `vtap replay --format none` does, without the
//! reading of a disk. `walk` is the floor: the same packets found, and left alone.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

use std::hint::black_box;

use bytes::Bytes;
use vtap_benches::{MIX, PACKETS, criterion, measure_many};
use vtap_capture::{File, Source};
use vtap_decap::{Config as DecapConfig, Decap};
use vtap_flow::{Checksum, Config, Discard, EventFlag, Tracker};
use vtap_pipeline::{Pipeline, Report, run};
use vtap_testkit::{frame, traffic};

/// Name, flows, and bytes of payload of which one is taken for each packet. Of many flows, most
/// packets are those that open them.
const CAPTURES: [(&str, usize, &[usize]); 5] = [
    ("small-1", 1, &[0]),
    ("small-1000", 1000, &[0]),
    ("small-100000", 100_000, &[0]),
    ("small-1000000", 1_000_000, &[0]),
    ("mix-20000", 20_000, &MIX),
];

fn main() {
    let mut criterion = criterion();
    for (name, flows, lens) in CAPTURES {
        let (opening, data) = traffic::lasting(flows, PACKETS, lens, 1);
        let frames: Vec<_> =
            opening.iter().chain(&data).map(|inner| frame::mirrored(27, inner)).collect();
        let count = frames.len();
        let capture = Bytes::from(frame::pcap(&frames));
        drop((opening, data, frames));

        measure_many(&mut criterion, "end_to_end", &format!("{name}/walk"), count, || {
            let mut file = File::from_bytes(capture.clone()).expect("a capture");
            while let Some(packet) = file.next().expect("memory does not fail") {
                black_box(packet);
            }
        });
        for (policy, checksum) in
            [("off", Checksum::Off), ("offload-aware", Checksum::OffloadAware)]
        {
            let report = replay(&capture, checksum);
            let flow = report.flow.expect("it tracks");
            assert_eq!((report.decapsulated(), flow.flows), (count as u64, flows as u64));
            assert_eq!(flow.events(EventFlag::Invalid), 0);
            measure_many(&mut criterion, "end_to_end", &format!("{name}/{policy}"), count, || {
                black_box(replay(&capture, checksum));
            });
        }
    }
    criterion.final_summary();
}

fn replay(capture: &Bytes, checksum: Checksum) -> Report {
    let mut file = File::from_bytes(capture.clone()).expect("a capture");
    let tracker = Tracker::new(Config { checksum, ..Config::default() });
    let mut pipeline = Pipeline::new(Decap::new(DecapConfig::default()), Some(tracker));
    run(&mut file, &mut pipeline, &mut Discard, &mut ()).expect("memory does not fail")
}
