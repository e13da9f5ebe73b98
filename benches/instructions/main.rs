//! One stage of the belt over so many packets of memory: `vtap-instructions STAGE PACKETS`.
//!
//! Setting up costs the same for any number of packets up to [`MOST`], so the difference between
//! two runs belongs to the packets alone.

#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement fails loudly"
)]

use std::hint::black_box;

use vtap_capture::File;
use vtap_decap::{Config as DecapConfig, Decap, Stripped};
use vtap_flow::{Checksum, Config, Discard, EventFlag, Tracker};
use vtap_packet::Timestamp;
use vtap_pipeline::{Pipeline, run};
use vtap_testkit::{frame, packet, traffic};

/// Packets after the handshakes, at most.
const MOST: usize = 40_000;

/// Enough that flows come in no order; the cost of a cache miss is none here.
const FLOWS: usize = 1000;

/// Segments made; they are repeated.
const DIFFERENT: usize = 4000;

/// Bytes of payload, one for each packet at random: with headers a mean of 385 a packet.
const MIX: [usize; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 515, 515, 515, 515, 515, 515, 1400];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(stage), Some(packets)) = (arguments.next(), arguments.next()) else {
        panic!("usage: vtap-instructions STAGE PACKETS");
    };
    let packets: usize = packets.parse().expect("a number of packets");
    assert!(packets <= MOST, "at most {MOST} packets");
    let (opening, data) = traffic::lasting(FLOWS, DIFFERENT, &MIX, 1);
    let frames = || opening.iter().chain(data.iter().cycle().take(MOST));
    let count = opening.len() + packets;
    match stage.as_str() {
        "decap" => decap(frames().map(|inner| frame::mirrored(27, inner)).collect(), count),
        "track-off" => {
            let config = Config { checksum: Checksum::Off, ..Config::default() };
            track(frames().cloned().collect(), count, config);
        }
        "track" => track(frames().cloned().collect(), count, Config::default()),
        "records" => {
            let config = Config { records: true, ..Config::default() };
            track(frames().cloned().collect(), count, config);
        }
        "replay" => replay(frames().map(|inner| frame::mirrored(27, inner)).collect(), count),
        _ => panic!("no stage {stage}"),
    }
}

fn decap(frames: Vec<Vec<u8>>, count: usize) {
    let mut decap = Decap::new(DecapConfig::default());
    for (number, bytes) in (1..).zip(&frames[..count]) {
        let Stripped::Mirrored(inner) = decap.strip(packet(number, time(number), bytes)) else {
            panic!("it is mirrored");
        };
        black_box(inner);
    }
}

fn track(frames: Vec<Vec<u8>>, count: usize, config: Config) {
    let mut tracker = Tracker::new(config);
    for (number, bytes) in (1..).zip(&frames[..count]) {
        let Ok(()) = tracker.queue(packet(number, time(number), bytes), &mut Discard);
    }
    let Ok(()) = tracker.finish(&mut Discard);
    assert_eq!(tracker.stats().flows, FLOWS as u64);
    assert_eq!(tracker.stats().events(EventFlag::Invalid), 0);
    let recorded = tracker.stats().recorded;
    assert_eq!(recorded.map(|recorded| recorded.told), config.records.then_some(count as u64));
}

/// The capture holds all packets and is cut behind those that count.
fn replay(frames: Vec<Vec<u8>>, count: usize) {
    let mut bytes = frame::pcap(&frames);
    let mut end = 24;
    let ends: Vec<_> = frames
        .iter()
        .map(|packet| {
            end += 16 + packet.len();
            end
        })
        .collect();
    bytes.truncate(ends[count - 1]);
    let mut file = File::from_bytes(bytes).expect("a capture");
    let tracker = Tracker::new(Config::default());
    let mut pipeline = Pipeline::new(Decap::new(DecapConfig::default()), Some(tracker));
    let report = run(&mut file, &mut pipeline, &mut Discard, &mut ()).expect("it is in memory");
    let flow = report.flow.expect("it tracks");
    assert_eq!((report.decapsulated(), flow.flows), (count as u64, FLOWS as u64));
    assert_eq!(flow.events(EventFlag::Invalid), 0);
}

fn time(number: u64) -> Timestamp {
    Timestamp::new(1_700_000_000, number * 1000)
}
