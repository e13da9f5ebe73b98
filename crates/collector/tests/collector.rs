//! The threads of a collector, with a source, a writer and a clock made for it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vtap_capture::live::{Counters, Live};
use vtap_capture::{Error, Interface};
use vtap_collector::flows::{self, Flows, Told};
use vtap_collector::rows::{Row, Taken};
use vtap_collector::{Collector, Ended, FlowLogs, Rows, Setup, Tuning, Uploads, uploads};
use vtap_decap::Decap;
use vtap_export::{Directory, FlagSet, Format, Log};
use vtap_files::Rotation;
use vtap_flow::{Config, EventFlag, Profile, Tracker};
use vtap_flowlog::{Analytics, Ids, Interval, VnetFlowLog};
use vtap_networks::{Describer, Networks};
use vtap_packet::{Packet, Timestamp};
use vtap_pipeline::Pipeline;
use vtap_testkit::data::files_below;
use vtap_testkit::{Conversation, frame, packet, traffic};

/// Hands out the packets of a script, some at a time.
struct Scripted {
    frames: VecDeque<(Timestamp, Vec<u8>)>,
    at_once: usize,
    number: u64,
    /// Fails when nothing is left, instead of waiting.
    fails: bool,
    /// Whether it takes its time.
    pause: bool,
}

impl Scripted {
    fn new(frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let timed = (0..).zip(frames).map(|(at, frame)| (Timestamp::new(100, at * 1000), frame));
        Self { frames: timed.collect(), at_once: 64, number: 0, fails: false, pause: false }
    }
}

impl Live for Scripted {
    fn poll(&mut self, wait: Duration, mut take: impl FnMut(Packet<'_>)) -> Result<usize, Error> {
        let count = self.at_once.min(self.frames.len());
        if self.pause {
            thread::sleep(Duration::from_millis(20));
        }
        for (time, frame) in self.frames.drain(..count) {
            self.number += 1;
            take(packet(self.number, time, &frame));
        }
        if count == 0 {
            if self.fails {
                return Err(Error::NoInput);
            }
            thread::sleep(wait);
        }
        Ok(count)
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        Ok(Counters { received: self.number, ..Counters::default() })
    }

    fn interface(&self, _id: u32) -> Option<&Interface> {
        None
    }
}

/// Keeps rows; the test may hold it up.
#[derive(Clone, Default)]
struct Kept {
    rows: Arc<Mutex<Vec<Row>>>,
    gate: Arc<Mutex<()>>,
    ticks: Arc<AtomicU64>,
    written: u64,
    /// Files to keep, as it was told last.
    keep: Arc<AtomicU64>,
    /// Fails at this row.
    fails_at: Option<u64>,
    error: bool,
}

impl Kept {
    fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }

    fn flags(&self) -> Vec<EventFlag> {
        let rows = self.rows.lock().unwrap();
        rows.iter()
            .filter_map(|row| if let Row::Event(event) = row { Some(event.flag) } else { None })
            .collect()
    }
}

impl Rows for Kept {
    fn take(&mut self, row: &Row) {
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        self.written += 1;
        self.error |= self.fails_at == Some(self.written);
        self.rows.lock().unwrap().push(*row);
    }

    fn tick(&mut self, _now: Timestamp) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    fn finish(&mut self, _now: Timestamp) {}

    fn rotate(&mut self, rotation: Rotation) {
        self.keep.store(rotation.keep.unwrap_or_default() as u64, Ordering::Relaxed);
    }

    fn counters(&self) -> Taken {
        Taken { written: self.written, ..Taken::default() }
    }

    fn over(&mut self) -> Option<vtap_export::Error> {
        let broken = vtap_export::Error { path: None, source: io::ErrorKind::BrokenPipe.into() };
        self.error.then_some(broken)
    }
}

/// Keeps what is told of flows; the test may hold it up.
#[derive(Clone, Default)]
struct KeptFlows {
    told: Arc<Mutex<Vec<Told>>>,
    gate: Arc<Mutex<()>>,
    /// Files to keep, as it was told last.
    keep: Arc<AtomicU64>,
    taken: flows::Taken,
}

impl Flows for KeptFlows {
    fn take(&mut self, told: Told) {
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        match &told {
            Told::Record { .. } => self.taken.records += 1,
            Told::Answer(_) => self.taken.answers += 1,
        }
        self.told.lock().unwrap().push(told);
    }

    fn tick(&mut self, _now: Timestamp) {}

    fn finish(&mut self, _now: Timestamp) {}

    fn rotate(&mut self, rotation: Rotation) {
        self.keep.store(rotation.keep.unwrap_or_default() as u64, Ordering::Relaxed);
    }

    fn counters(&self) -> flows::Taken {
        self.taken
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
fn now() -> Timestamp {
    Timestamp::EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::new(
        Decap::new(vtap_decap::Config::default()),
        Some(Tracker::new(Config { records: true, ..Config::new(Profile::Azure) })),
    );
    pipeline.intake.plain = true;
    pipeline
}

fn setup(sources: Vec<Scripted>, kept: &Kept) -> Setup<Scripted> {
    Setup {
        belts: sources.into_iter().map(|source| (source, pipeline(), None)).collect(),
        rows: Box::new(kept.clone()),
        tuning: Tuning {
            flags: FlagSet::ALL,
            retransmissions: false,
            rotation: Rotation::default(),
            flow_rotation: Rotation::default(),
        },
        flows: None,
        uploads: None,
        queue: 256,
        flow_queue: 256,
        interfaces: Vec::new(),
        now,
    }
}

/// Whole connections, one after the other.
fn connections(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range
        .flat_map(|index| {
            let mut talk: Conversation = traffic::conversation(index);
            let mut frames: Vec<_> = talk.handshake().map(|frame| frame.build()).into();
            frames.push(talk.request(100).build());
            frames.push(talk.response(100).build());
            frames.extend(talk.close().map(|frame| frame.build()));
            frames
        })
        .collect()
}

#[track_caller]
fn wait_for(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within 10 s");
}

#[track_caller]
fn stop(collector: Collector) -> Ended {
    let ended = collector.stop(Duration::from_secs(10));
    assert!(ended.written);
    ended
}

#[test]
fn what_is_read_is_told_and_the_layers_agree() {
    let kept = Kept::default();
    let frames = connections(0..50);
    let packets = frames.len() as u64;
    let wide = Setup { queue: 1 << 16, ..setup(vec![Scripted::new(frames)], &kept) };
    let collector = Collector::start(wide).unwrap();
    wait_for(|| collector.accounting().report.packets == packets);
    let ended = stop(collector);
    let accounting = ended.accounting;
    assert_eq!((accounting.report.packets, accounting.source.received), (packets, packets));
    assert_eq!((accounting.unread(), accounting.rows.overflowed), (0, 0));
    assert_eq!(accounting.rows.written, kept.flags().len() as u64);
    assert_eq!(kept.flags().iter().filter(|flag| **flag == EventFlag::Syn).count(), 50);
}

#[test]
fn a_writer_that_stands_still_costs_rows_and_no_packet() {
    let kept = Kept::default();
    let frames = connections(0..400);
    let packets = frames.len() as u64;
    let gate = kept.hold();
    let collector = Collector::start(setup(vec![Scripted::new(frames)], &kept)).unwrap();
    // All are read although nobody writes.
    wait_for(|| collector.accounting().report.packets == packets);
    let rows = collector.accounting().rows;
    assert!(rows.overflowed > 0 && rows.written == 0, "{rows:?}");
    drop(gate);
    let ended = stop(collector);
    let rows = ended.accounting.rows;
    assert_eq!(rows.made, rows.written + rows.overflowed);
    assert_eq!(rows.written, kept.flags().len() as u64);
    assert!(rows.written > 0);
}

#[test]
fn a_writer_that_never_moves_again_is_left_behind() {
    let kept = Kept::default();
    let gate = kept.hold();
    let collector =
        Collector::start(setup(vec![Scripted::new(connections(0..50))], &kept)).unwrap();
    let ended = collector.stop(Duration::from_millis(300));
    assert!(!ended.written);
    ended.accounting.report.assert_laws();
    drop(gate);
}

#[test]
fn what_is_in_the_ring_when_it_is_stopped_is_read() {
    let kept = Kept::default();
    let frames = connections(0..50);
    let packets = frames.len() as u64;
    let slow = Scripted { at_once: 7, ..Scripted::new(frames) };
    let mut setup = setup(vec![slow], &kept);
    setup.queue = 1 << 16;
    let ended = stop(Collector::start(setup).unwrap());
    assert_eq!(ended.accounting.report.packets, packets);
    assert_eq!(ended.accounting.rows.overflowed, 0);
}

#[test]
fn a_source_that_fails_ends_the_collector_and_what_was_read_is_told() {
    let kept = Kept::default();
    let failing = Scripted { fails: true, ..Scripted::new(connections(0..5)) };
    let collector = Collector::start(setup(vec![failing], &kept)).unwrap();
    wait_for(|| collector.is_over());
    let ended = stop(collector);
    assert!(matches!(ended.sources[..], [Error::NoInput]), "{:?}", ended.sources);
    assert_eq!(kept.flags().iter().filter(|flag| **flag == EventFlag::Syn).count(), 5);
}

#[test]
fn a_reader_that_has_gone_ends_the_collector() {
    let kept = Kept { fails_at: Some(10), ..Kept::default() };
    let collector =
        Collector::start(setup(vec![Scripted::new(connections(0..50))], &kept)).unwrap();
    wait_for(|| collector.is_over());
    let ended = collector.stop(Duration::from_secs(10));
    assert!(ended.rows.is_some_and(|error| error.is_broken_pipe()));
}

#[test]
fn belts_side_by_side_are_added_up() {
    let kept = Kept::default();
    let sources = vec![Scripted::new(connections(0..30)), Scripted::new(connections(30..100))];
    let wide = Setup { queue: 1 << 16, ..setup(sources, &kept) };
    let collector = Collector::start(wide).unwrap();
    wait_for(|| collector.accounting().report.packets == 900);
    let accounting = stop(collector).accounting;
    assert_eq!(accounting.report.flow.unwrap().flows, 100);
    assert_eq!(accounting.source.received, accounting.report.packets);
    assert_eq!(kept.flags().iter().filter(|flag| **flag == EventFlag::Syn).count(), 100);
}

#[test]
fn what_rows_are_wanted_can_be_changed_while_it_runs() {
    let kept = Kept::default();
    let slow = Scripted { at_once: 9, pause: true, ..Scripted::new(connections(0..40)) };
    let flows = KeptFlows::default();
    let setup = Setup { flows: Some(Box::new(flows.clone())), ..setup(vec![slow], &kept) };
    let collector = Collector::start(setup).unwrap();
    wait_for(|| kept.flags().contains(&EventFlag::Fin));
    let rotation = Rotation { keep: Some(7), ..Rotation::default() };
    let flags = FlagSet::of(&[EventFlag::Syn]);
    let flow_rotation = Rotation { keep: Some(9), ..Rotation::default() };
    collector.tune(Tuning { flags, retransmissions: false, rotation, flow_rotation });
    wait_for(|| kept.flags().iter().rev().take(10).all(|flag| *flag == EventFlag::Syn));
    wait_for(|| kept.keep.load(Ordering::Relaxed) == 7);
    wait_for(|| flows.keep.load(Ordering::Relaxed) == 9);
    stop(collector);
}

/// Seconds that the clock of the next test is off.
static OFF: AtomicU64 = AtomicU64::new(0);

fn stepped() -> Timestamp {
    now() + Duration::from_secs(OFF.load(Ordering::Relaxed))
}

#[test]
fn a_clock_that_is_set_forth_and_back_changes_nothing() {
    OFF.store(86_400, Ordering::Relaxed);
    let kept = Kept::default();
    // The kernel's times jump with the clock: an hour ahead for the second half, then back.
    let mut source = Scripted::new(connections(0..90));
    for (at, (time, _)) in source.frames.iter_mut().enumerate() {
        *time = *time + Duration::from_secs(if (270..540).contains(&at) { 3600 } else { 0 });
    }
    let packets = source.frames.len() as u64;
    source.at_once = 16;
    let setup = Setup { now: stepped, queue: 1 << 16, ..setup(vec![source], &kept) };
    let collector = Collector::start(setup).unwrap();
    let ticks = || kept.ticks.load(Ordering::Relaxed);
    wait_for(|| ticks() > 0);
    for off in [0, 2 * 86_400, 43_200] {
        OFF.store(off, Ordering::Relaxed);
        let before = ticks();
        wait_for(|| ticks() > before + 1);
    }
    wait_for(|| collector.accounting().report.packets == packets);
    let ended = stop(collector);
    assert_eq!(ended.accounting.rows.overflowed, 0);
    let flags = kept.flags();
    let of = |wanted| flags.iter().filter(|flag| **flag == wanted).count();
    assert_eq!((of(EventFlag::Syn), of(EventFlag::SynAck), of(EventFlag::Fin)), (90, 90, 180));
    assert_eq!(of(EventFlag::Invalid), 0);
}

#[test]
fn mirrored_packets_are_taken_out_of_their_envelopes() {
    let kept = Kept::default();
    let frames = connections(0..3).into_iter().map(|inner| frame::mirrored(27, &inner));
    let collector = Collector::start(setup(vec![Scripted::new(frames)], &kept)).unwrap();
    wait_for(|| kept.flags().len() >= 3);
    let report = stop(collector).accounting.report;
    assert_eq!(report.decapsulated(), report.packets);
    assert_eq!(report.taps.iter().filter(|tap| tap.address.is_some()).count(), 1);
}

#[test]
fn a_collector_is_well_until_a_thread_ends_or_it_is_stopped() {
    let kept = Kept::default();
    let collector = Collector::start(setup(vec![Scripted::new(connections(0..5))], &kept)).unwrap();
    let watch = collector.watch();
    assert_eq!(watch.health(), Ok(()));
    wait_for(|| watch.accounting().report.packets == 45);
    assert_eq!(watch.health(), Ok(()));
    stop(collector);
    assert_eq!(watch.health(), Err("stopping".to_owned()));
    assert_eq!(watch.accounting().report.packets, 45, "the last counters stay");

    let failing = Scripted { fails: true, ..Scripted::new(connections(0..5)) };
    let collector = Collector::start(setup(vec![failing], &kept)).unwrap();
    wait_for(|| collector.is_over());
    assert_eq!(collector.watch().health(), Err("belt 0 has ended".to_owned()));
    stop(collector);
}

/// Sets up logs of flows in a directory, with their files complete at the end.
fn logs(directory: &Path) -> FlowLogs {
    let rotation = Rotation { min_free_bytes: 0, ..Rotation::default() };
    let rows = Directory::create(directory.join("flows")).unwrap();
    let rows = rows.rotated(Format::Json, Log::Flows, rotation, now()).unwrap();
    let vnet = VnetFlowLog::open(directory, &Ids::default()).unwrap();
    let sums = Analytics::open(directory, &Ids::default(), Interval::Hour).unwrap();
    FlowLogs::new(Describer::new(Networks::default()), Some(rows), Some(vnet), Some(sums))
}

/// The text of all files below a directory whose names end so.
fn texts(directory: &Path, end: &str) -> Vec<String> {
    let files = files_below(directory, end);
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_flow_is_in_every_log_once_whichever_belt_has_seen_it() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    // Both belts number their packets from 1.
    let sources = vec![Scripted::new(connections(0..30)), Scripted::new(connections(30..100))];
    let wide = Setup { flows: Some(Box::new(logs(folder.path()))), ..setup(sources, &kept) };
    let collector = Collector::start(Setup { flow_queue: 1 << 16, ..wide }).unwrap();
    wait_for(|| collector.accounting().report.packets == 900);
    let told = stop(collector).accounting.told;
    assert_eq!((told.overflowed, told.taken.records, told.taken.answers), (0, 100, 0), "{told:?}");
    assert_eq!(told.taken.rows, flows::Log { made: 100, written: 100, lost: 0 });
    assert_eq!(told.taken.tuples, flows::Log { made: 200, written: 200, lost: 0 });
    assert_eq!(told.taken.sums, flows::Log { made: 100, written: 100, lost: 0 });

    let rows: String = texts(&folder.path().join("flows"), ".jsonl").concat();
    assert_eq!(rows.lines().count(), 100);
    let vnet = texts(&folder.path().join("vnet-flow-log"), "PT1H.json").concat();
    assert_eq!((vnet.matches(",B,NX,").count(), vnet.matches(",E,NX,").count()), (100, 100));
    assert_eq!(texts(&folder.path().join("traffic-analytics"), ".jsonl").len(), 1);
}

#[test]
fn logs_of_flows_that_stand_still_cost_records_and_neither_packets_nor_events() {
    let (kept, flows) = (Kept::default(), KeptFlows::default());
    let frames = connections(0..2000);
    let packets = frames.len() as u64;
    let gate = flows.gate.lock().unwrap();
    let setup = Setup { queue: 1 << 16, ..setup(vec![Scripted::new(frames)], &kept) };
    let setup = Setup { flows: Some(Box::new(flows.clone())), ..setup };
    let collector = Collector::start(setup).unwrap();
    // Flows that are over are told of on packet time; most are at the end.
    wait_for(|| collector.accounting().report.packets == packets);
    let rows = collector.accounting().rows;
    assert_eq!(rows.overflowed, 0, "{rows:?}");
    let releasing = thread::spawn({
        let shared = collector.watch();
        move || {
            while shared.accounting().told.overflowed == 0 {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let stopping = thread::spawn(move || stop(collector));
    releasing.join().unwrap();
    drop(gate);
    let accounting = stopping.join().unwrap().accounting;
    assert_eq!(accounting.rows.written, kept.flags().len() as u64);
    let told = accounting.told;
    assert!(told.overflowed > 0 && told.taken.records > 0, "{told:?}");
    assert_eq!(told.made, 2000, "each flow once: {told:?}");
    assert_eq!(told.taken.records, flows.told.lock().unwrap().len() as u64);
}

#[test]
fn more_flows_than_the_queue_has_room_for_are_all_told_at_the_end() {
    let (kept, flows) = (Kept::default(), KeptFlows::default());
    let setup = setup(vec![Scripted::new(connections(0..2000))], &kept);
    let setup = Setup { flows: Some(Box::new(flows.clone())), queue: 1 << 16, ..setup };
    let collector = Collector::start(setup).unwrap();
    wait_for(|| collector.accounting().report.packets == 18_000);
    let told = stop(collector).accounting.told;
    assert_eq!((told.taken.records, told.overflowed), (2000, 0), "{told:?}");
}

#[test]
fn what_is_told_of_uploads_is_asked_for_when_it_is_needed() {
    let kept = Kept::default();
    let counted = Arc::new(AtomicU64::new(1));
    let asked = Arc::clone(&counted);
    let uploads = Uploads::new(move || uploads::Counters {
        uploaded: asked.load(Ordering::Relaxed),
        ..uploads::Counters::default()
    });
    let setup = setup(vec![Scripted::new(connections(0..1))], &kept);
    let collector = Collector::start(Setup { uploads: Some(uploads), ..setup }).unwrap();
    assert_eq!(collector.accounting().uploads.uploaded, 1);
    counted.store(7, Ordering::Relaxed);
    assert_eq!(collector.accounting().uploads.uploaded, 7);
    stop(collector);
}
