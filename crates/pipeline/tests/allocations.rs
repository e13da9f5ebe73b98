//! No allocation for a packet of a known flow, from the bytes of a file to the events and the
//! records; DNS responses, which are read where there are records, excepted.

#![allow(unsafe_code, reason = "a global allocator that counts")]
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use vtap_capture::{File, Source};
use vtap_decap::Decap;
use vtap_flow::{Checksum, Config, Discard, Profile, Tracker};
use vtap_packet::tcp::Flags;
use vtap_packet::{Packet, Timestamp};
use vtap_pipeline::Pipeline;
use vtap_testkit::{frame, traffic};

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting in a constant-initialised thread local
// without destructor does not allocate. `realloc` is the provided one, which calls `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FLOWS: usize = 1000;
/// The handshakes, and a pass over all flows several times over.
const WARM: usize = 3 * FLOWS + 10_000;
const MEASURED: usize = 60_000;

fn configs() -> Vec<Config> {
    let mut configs = Vec::new();
    for profile in [Profile::Azure, Profile::Linux] {
        for checksum in [Checksum::OffloadAware, Checksum::Verify, Checksum::Off] {
            for records in [false, true] {
                configs.push(Config { checksum, records, ..Config::new(profile) });
            }
        }
    }
    configs
}

fn pipeline(config: Config) -> Pipeline {
    Pipeline::new(Decap::new(vtap_decap::Config::default()), Some(Tracker::new(config)))
}

fn push(pipeline: &mut Pipeline, packet: Packet<'_>) {
    let Ok(()) = pipeline.push(packet, &mut Discard, |_| Ok(()));
}

/// Reads a whole file and counts from packet number `warm` on.
fn allocations_behind(warm: usize, file: &[u8], config: Config) -> (u64, Pipeline) {
    let mut source = File::from_bytes(file.to_vec()).unwrap();
    let mut pipeline = pipeline(config);
    let mut before = 0;
    let mut number = 0;
    while let Some(packet) = source.next().unwrap() {
        if number == warm {
            before = ALLOCATIONS.get();
        }
        push(&mut pipeline, packet);
        number += 1;
    }
    let after = ALLOCATIONS.get();
    assert!(number >= warm + 50_000);
    (after - before, pipeline)
}

#[test]
fn packets_of_known_flows_allocate_nothing() {
    let frames: Vec<_> = traffic::established(FLOWS, WARM - 3 * FLOWS + MEASURED, 200, 7)
        .iter()
        .map(|frame| frame::mirrored(27, frame))
        .collect();
    assert_eq!(frames.len(), WARM + MEASURED);
    let file = frame::pcap(&frames);
    for config in configs() {
        let (count, mut pipeline) = allocations_behind(WARM, &file, config);
        assert_eq!(count, 0, "{config:?}");
        let Ok(report) = pipeline.finish(&mut Discard);
        assert_eq!(report.decapsulated(), (WARM + MEASURED) as u64);
        assert_eq!(report.flow.unwrap().flows, FLOWS as u64);

        // The same without a file in between.
        let mut pipeline = self::pipeline(config);
        let mut before = 0;
        for (index, frame) in frames.iter().enumerate() {
            if index == WARM {
                before = ALLOCATIONS.get();
            }
            let time = Timestamp::from_nanos(1_700_000_000_000_000_000 + index as u64 * 1000);
            push(&mut pipeline, frame::packet(index as u64 + 1, time, frame));
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{config:?}");
    }
}

/// Connections that come and go: as many open as expire, so the table keeps its size.
#[test]
fn flows_that_come_and_go_allocate_nothing_once_the_table_has_its_size() {
    const CONNECTIONS: usize = 40_000;
    let mut frames = Vec::new();
    for index in 0..CONNECTIONS {
        let mut talk = traffic::conversation(index);
        frames.extend(talk.handshake().map(|frame| frame.build()));
        frames.push(talk.request(10).build());
        frames.push(talk.from_client(Flags::RST | Flags::ACK, 0).build());
    }
    let frames: Vec<_> = frames.iter().map(|frame| frame::mirrored(27, frame)).collect();
    let file = frame::pcap(&frames);
    for config in configs() {
        // 200 connections a second, of which each is kept for 10 s after its end.
        let (count, mut pipeline) = allocations_behind(frames.len() / 2, &file, config);
        assert_eq!(count, 0, "{config:?}");
        assert!(pipeline.tracker.as_ref().unwrap().flows() < CONNECTIONS / 4);
        let Ok(report) = pipeline.finish(&mut Discard);
        assert_eq!(report.flow.unwrap().flows, CONNECTIONS as u64);
    }
}
