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
use vtap_flow::{Config, EventFlag, Profile, Tracker};
use vtap_pipeline::{Pipeline, Report, run, watch};

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
    let mut seen = 0_u64;
    let report = watch(&mut file, &mut pipeline_of_one, &mut json, &mut (), |_| {
        seen += 1;
        Ok::<_, io::Error>(())
    });
    let report = report.expect("bytes in memory do not fail");
    assert_eq!(seen, report.packets);
    let lines = json.finish().expect("a vector takes all");
    let mut json = Json::new(Vec::new());
    let batched = run(&mut batched_file, &mut pipeline(profile), &mut json, &mut ());
    let batched = batched.expect("bytes in memory do not fail");
    assert_eq!(format!("{batched:?}"), format!("{report:?}"));
    assert_eq!(json.finish().expect("a vector takes all"), lines);
    let mut events = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let event: serde_json::Value = serde_json::from_slice(line).expect("a line of JSON");
        assert!(event["timestamp"].is_string() && event["tcp"]["flag"].is_string());
        events += 1;
    }
    if let Some(flow) = report.flow {
        let counted: u64 = EventFlag::ALL.iter().map(|flag| flow.events(*flag)).sum();
        assert_eq!(events, counted + flow.retransmissions);
    }
    report
}
