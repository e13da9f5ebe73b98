//! A capture through the whole belt, in both profiles, plain packets tracked too, events written
//! as JSON.
//!
//! Laws: those of [`vtap_pipeline::Report`], asserted as the run ends; every packet is seen once;
//! every event is one line of JSON; batches give the bytes and counters of single packets; a run
//! that only decapsulates counts the same packets.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use vtap_capture::File;
use vtap_decap::{Config as DecapConfig, Decap};
use vtap_export::Json;
use vtap_flow::{Config, EventFlag, Profile, Tracker, Verdict};
use vtap_pipeline::{Fate, Pipeline, Report, Seen, Watched, run, watch};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::from_bytes(bytes.to_vec()) else { return };
    drop(file);
    let [linux, azure, stripped] =
        [Some(Profile::Linux), Some(Profile::Azure), None].map(|profile| follow(bytes, profile));
    assert_eq!(linux.decap, azure.decap);
    assert_eq!(linux.decap, stripped.decap);
});

fn pipeline(profile: Option<Profile>) -> Pipeline {
    let config = |profile| Config { max_flows: 16, ..Config::new(profile) };
    let tracker = profile.map(|profile| Tracker::new(config(profile)));
    let mut pipeline = Pipeline::new(Decap::new(DecapConfig::default()), tracker);
    pipeline.intake.plain = true;
    pipeline
}

fn follow(bytes: &[u8], profile: Option<Profile>) -> Report {
    let file = || File::from_bytes(bytes.to_vec()).expect("it was opened before");
    let (mut file, mut batched_file) = (file(), file());
    let mut pipeline_of_one = pipeline(profile);
    let mut json = Json::new(Vec::new());
    let (mut seen, mut held, mut settled) = (0_u64, 0, 0);
    let report = watch(&mut file, &mut pipeline_of_one, &mut json, &mut (), |watched| {
        match watched {
            Watched::Packet(_) => seen += 1,
            Watched::Settled(..) => settled += 1,
        }
        held += i64::from(is_held(watched));
        Ok::<_, io::Error>(())
    });
    let report = report.expect("bytes in memory do not fail");
    assert_eq!(seen, report.packets);
    assert_eq!(held, settled, "what waits is told of later");
    let lines = json.finish().expect("a vector takes all");
    let mut json = Json::new(Vec::new());
    let batched = run(&mut batched_file, &mut pipeline(profile), &mut json, &mut ());
    let batched = batched.expect("bytes in memory do not fail");
    assert_eq!(format!("{batched:?}"), format!("{report:?}"));
    assert_eq!(json.finish().expect("a vector takes all"), lines);
    let mut events = 0_u64;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let event: serde_json::Value = serde_json::from_slice(line).expect("a line of JSON");
        assert!(event["timestamp"].is_string());
        let is_gap = event["event_type"] == "gap";
        assert!(is_gap || event["tcp"]["flag"].is_string());
        events += u64::from(!is_gap);
    }
    if let Some(flow) = report.flow {
        let counted: u64 = EventFlag::ALL.iter().map(|flag| flow.events(*flag)).sum();
        assert_eq!(events, counted + flow.retransmissions);
    }
    report
}

fn is_held(watched: Watched<'_>) -> bool {
    let Watched::Packet(Seen { fate: Fate::Tracked(outcome), .. }) = watched else { return false };
    outcome.verdict == Verdict::Held
}
