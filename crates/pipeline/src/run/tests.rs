use vtap_capture::File;
use vtap_decap::Decap;
use vtap_flow::{Config, Discard, Event, Gap, Tracker};
use vtap_packet::Packet;
use vtap_testkit::frame::{fragments, mirrored, pcap, udp};
use vtap_testkit::traffic;

use super::*;
use crate::{Fate, Seen, run_parallel};

fn pipeline() -> Pipeline {
    Pipeline::new(Decap::new(vtap_decap::Config::default()), Some(Tracker::new(Config::default())))
}

fn capture() -> Vec<Vec<u8>> {
    let mut frames: Vec<_> =
        traffic::established(3, 10, 100, 1).iter().map(|frame| mirrored(27, frame)).collect();
    frames.insert(4, udp("10.1.1.4:68", "10.1.1.1:67", b"not mirrored"));
    frames
}

fn run_over(frames: &[Vec<u8>], pipeline: &mut Pipeline) -> (Report, Vec<Event>, Vec<Fate>) {
    let mut source = File::from_bytes(pcap(frames)).unwrap();
    let (mut events, mut fates) = (Vec::new(), Vec::new());
    let report = watch(&mut source, pipeline, &mut events, &mut (), |watched| {
        if let Watched::Packet(seen) = watched {
            fates.push(seen.fate);
        }
        Ok(())
    });
    (report.unwrap(), events, fates)
}

#[test]
fn packets_that_are_not_mirrored_are_counted_and_tracked_on_request() {
    let (report, events, fates) = run_over(&capture(), &mut pipeline());
    assert_eq!((report.packets, report.decapsulated(), report.plain), (20, 19, 0));
    assert_eq!(report.skipped().collect::<Vec<_>>(), [("not-mirrored", 1)]);
    assert_eq!(fates.len(), 20);
    assert_eq!(fates[4], Fate::NotMirrored);
    assert_eq!(events.len(), 9, "three handshakes");

    let mut plain = pipeline();
    plain.intake.plain = true;
    let (report, ..) = run_over(&capture(), &mut plain);
    assert_eq!((report.plain, report.skipped().count()), (1, 0));
    assert_eq!(report.flow.unwrap().other, 1);
}

#[test]
fn each_filter_has_its_own_counter() {
    let mut pipeline = pipeline();
    pipeline.intake.outer_filter = Some(Box::new(|packet| packet.number > 3));
    pipeline.intake.inner_filter = Some(Box::new(|packet| packet.number % 2 == 0));
    let (report, ..) = run_over(&capture(), &mut pipeline);
    assert_eq!(report.outer_filter, 3);
    let filtered = report.flow_skipped().find(|(name, _)| *name == "inner-filter").unwrap();
    assert_eq!(filtered.1 + report.flow.unwrap().tcp_segments, report.decapsulated());
}

#[test]
fn without_a_tracker_frames_pass() {
    let mut decap_only = Pipeline::new(Decap::new(vtap_decap::Config::default()), None);
    let mut source = File::from_bytes(pcap(&capture())).unwrap();
    let mut lengths = 0_u64;
    let report = watch(&mut source, &mut decap_only, &mut Discard, &mut (), |watched| {
        if let Watched::Packet(Seen { packet, fate: Fate::Passed }) = watched {
            lengths += packet.data.len() as u64;
        }
        Ok(())
    });
    assert_eq!(report.unwrap().decap.inner_bytes, lengths);
}

#[test]
fn batches_give_the_events_and_counters_of_single_packets() {
    let frames: Vec<_> =
        traffic::established(50, 1000, 100, 7).iter().map(|frame| mirrored(27, frame)).collect();
    let (watched, events, _) = run_over(&frames, &mut pipeline());
    let mut source = File::from_bytes(pcap(&frames)).unwrap();
    let mut batched = Vec::new();
    let report = run(&mut source, &mut pipeline(), &mut batched, &mut ()).unwrap();
    assert_eq!(batched, events);
    assert_eq!(format!("{report:?}"), format!("{watched:?}"));
}

/// Traffic of which every third frame comes in fragments, inside its envelope or with it.
fn in_fragments() -> Vec<Vec<u8>> {
    let frames = traffic::established(50, 3000, 700, 7);
    let cut = |(index, frame): (usize, &Vec<u8>)| match index % 6 {
        0 => fragments(frame, index as u16, 304).iter().map(|piece| mirrored(27, piece)).collect(),
        3 => fragments(&mirrored(27, frame), index as u16, 400),
        _ => vec![mirrored(27, frame)],
    };
    frames.iter().enumerate().flat_map(cut).collect()
}

#[test]
fn fragments_are_judged_the_same_by_every_loop() {
    let frames = in_fragments();
    let (watched, events, _) = run_over(&frames, &mut pipeline());
    let [inner, outer] = [watched.flow.unwrap().fragments, watched.decap.fragments];
    assert!(inner.completed > 200 && outer.completed > 200);
    let whole: Vec<_> =
        traffic::established(50, 3000, 700, 7).iter().map(|frame| mirrored(27, frame)).collect();
    let (unfragmented, rows, _) = run_over(&whole, &mut pipeline());
    assert_eq!(events.len(), rows.len());
    let segments = |report: &Report| report.flow.unwrap().tcp_segments;
    assert_eq!(segments(&watched), segments(&unfragmented));

    let [mut batched, mut parallel] = [Vec::new(), Vec::new()];
    let source = || File::from_bytes(pcap(&frames)).unwrap();
    let one = run(&mut source(), &mut pipeline(), &mut batched, &mut ()).unwrap();
    let two = run_parallel(&mut source(), &mut pipeline(), &mut parallel, &mut ()).unwrap();
    assert_eq!((&batched, &parallel), (&events, &events));
    assert_eq!(
        [format!("{one:?}"), format!("{two:?}")],
        [format!("{watched:?}"), format!("{watched:?}")]
    );
}

/// Gives so many packets, and fails then.
struct Failing {
    frames: Vec<Vec<u8>>,
    lent: usize,
}

impl Source for Failing {
    fn next(&mut self) -> Result<Option<Packet<'_>>, capture::Error> {
        let frame = self.frames.get(self.lent).ok_or(capture::Error::NoInput)?;
        self.lent += 1;
        Ok(Some(vtap_testkit::frame::packet(self.lent as u64, Timestamp::EPOCH, frame)))
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }

    fn damage(&self) -> &[capture::Damage] {
        &[]
    }

    fn unlisted_damage(&self) -> u64 {
        0
    }

    fn interface(&self, _id: u32) -> Option<&capture::Interface> {
        None
    }
}

#[test]
fn two_threads_give_the_events_and_counters_of_one() {
    let frames: Vec<_> =
        traffic::established(50, 5000, 100, 7).iter().map(|frame| mirrored(27, frame)).collect();
    let (watched, events, _) = run_over(&frames, &mut pipeline());
    let mut source = File::from_bytes(pcap(&frames)).unwrap();
    let mut parallel = Vec::new();
    let report = run_parallel(&mut source, &mut pipeline(), &mut parallel, &mut ()).unwrap();
    assert_eq!(parallel, events);
    assert_eq!(format!("{report:?}"), format!("{watched:?}"));
}

#[test]
fn what_was_read_before_a_source_failed_is_told_by_either_loop() {
    let frames: Vec<_> =
        traffic::established(50, 3000, 100, 7).iter().map(|frame| mirrored(27, frame)).collect();
    let [mut one, mut two] = [pipeline(), pipeline()];
    let [mut of_one, mut of_two] = [Vec::new(), Vec::new()];
    let source = || Failing { frames: frames.clone(), lent: 0 };
    assert!(matches!(
        run(&mut source(), &mut one, &mut of_one, &mut ()),
        Err(RunError::Capture(capture::Error::NoInput))
    ));
    assert!(matches!(
        run_parallel(&mut source(), &mut two, &mut of_two, &mut ()),
        Err(RunError::Capture(capture::Error::NoInput))
    ));
    let [one, two] = [one.finish(&mut of_one).unwrap(), two.finish(&mut of_two).unwrap()];
    assert_eq!(one.packets, frames.len() as u64);
    assert_eq!((of_one, format!("{one:?}")), (of_two, format!("{two:?}")));
}

/// Takes nothing.
struct Full;

impl Sink for Full {
    type Error = &'static str;

    fn event(&mut self, _event: &Event) -> Result<(), Self::Error> {
        Err("full")
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Self::Error> {
        Err("full")
    }
}

#[test]
fn a_sink_that_fails_ends_either_loop() {
    let frames: Vec<_> =
        traffic::established(50, 50_000, 0, 7).iter().map(|frame| mirrored(27, frame)).collect();
    let source = || File::from_bytes(pcap(&frames)).unwrap();
    let one = run(&mut source(), &mut pipeline(), &mut Full, &mut ());
    let two = run_parallel(&mut source(), &mut pipeline(), &mut Full, &mut ());
    for ended in [one, two] {
        assert!(matches!(ended, Err(RunError::Sink("full"))));
    }
}
