//! A capture through the whole belt, in both profiles, plain packets tracked too, events written
//! as JSON.
//!
//! Laws: those of [`vtap_pipeline::Report`], asserted as the run ends; every packet is seen once;
//! every event is one line of JSON; batches tell and count what single packets do; records add up;
//! without them, events and counters are the same; a run that only decapsulates counts the same
//! packets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vtap_capture::File;
use vtap_decap::{Config as DecapConfig, Decap};
use vtap_export::Json;
use vtap_flow::{Config, EventFlag, Profile, Sink, Skip, Tracker, Verdict};
use vtap_pipeline::{Fate, Pipeline, Report, Seen, Watched, run, watch};

#[path = "../../crates/pipeline/tests/ledger/mod.rs"]
mod ledger;

use ledger::{Ledger, Told};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = File::from_bytes(bytes.to_vec()) else { return };
    drop(file);
    let [linux, azure, stripped] =
        [Some(Profile::Linux), Some(Profile::Azure), None].map(|profile| follow(bytes, profile));
    assert_eq!(linux.decap, azure.decap);
    assert_eq!(linux.decap, stripped.decap);
});

fn pipeline(profile: Option<Profile>, records: bool) -> Pipeline {
    let config = |profile| Config { max_flows: 16, records, ..Config::new(profile) };
    let tracker = profile.map(|profile| Tracker::new(config(profile)));
    let mut pipeline = Pipeline::new(Decap::new(DecapConfig::default()), tracker);
    pipeline.intake.plain = true;
    pipeline
}

fn follow(bytes: &[u8], profile: Option<Profile>) -> Report {
    let file = || File::from_bytes(bytes.to_vec()).expect("it was opened before");
    let (mut file, mut batched_file) = (file(), file());
    let mut ledger = Ledger::default();
    let (mut seen, mut held, mut settled) = (0_u64, 0, 0);
    let report = watch(&mut file, &mut pipeline(profile, true), &mut ledger, &mut (), |watched| {
        match watched {
            Watched::Packet(_) => seen += 1,
            Watched::Settled(..) => settled += 1,
        }
        held += i64::from(is_held(watched));
        Ok(())
    });
    let report = report.expect("bytes in memory do not fail");
    assert_eq!(seen, report.packets);
    assert_eq!(held, settled, "what waits is told of later");
    let mut batches = Ledger::default();
    let batched = run(&mut batched_file, &mut pipeline(profile, true), &mut batches, &mut ());
    let batched = batched.expect("bytes in memory do not fail");
    assert_eq!(format!("{batched:?}"), format!("{report:?}"));
    assert_eq!(batches.0, ledger.0);
    let Some(flow) = report.flow else { return report };
    ledger.assert_laws(&flow);
    if flow.skipped(Skip::IpChecksum) == 0 {
        // Such packets may take a place of the table where there are records.
        without_records(bytes, profile, &report, &ledger);
    }
    let mut json = Json::new(Vec::new());
    for told in &ledger.0 {
        match told {
            Told::Event(event) => json.event(event),
            Told::Gap(gap) => json.gap(gap),
            Told::Record(_) | Told::Answer(_) => Ok(()),
        }
        .expect("a vector takes all");
    }
    let lines = json.finish().expect("a vector takes all");
    let mut events = 0_u64;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let event: serde_json::Value = serde_json::from_slice(line).expect("a line of JSON");
        assert!(event["timestamp"].is_string());
        let is_gap = event["event_type"] == "gap";
        assert!(is_gap || event["tcp"]["flag"].is_string());
        events += u64::from(!is_gap);
    }
    let counted: u64 = EventFlag::ALL.iter().map(|flag| flow.events(*flag)).sum();
    assert_eq!(events, counted + flow.retransmissions);
    report
}

fn without_records(bytes: &[u8], profile: Option<Profile>, with: &Report, told: &Ledger) {
    let mut file = File::from_bytes(bytes.to_vec()).expect("it was opened before");
    let mut bare = Ledger::default();
    let report = run(&mut file, &mut pipeline(profile, false), &mut bare, &mut ());
    let counters = report.expect("bytes in memory do not fail").flow;
    let mut expected = with.flow;
    if let (Some(expected), Some(counters)) = (&mut expected, counters) {
        expected.recorded = counters.recorded;
    }
    assert_eq!(expected, counters);
    let rows = told.0.iter();
    assert!(rows.filter(|told| matches!(told, Told::Event(_) | Told::Gap(_))).eq(&bare.0));
}

fn is_held(watched: Watched<'_>) -> bool {
    let Watched::Packet(Seen { fate: Fate::Tracked(outcome), .. }) = watched else { return false };
    outcome.verdict == Verdict::Held
}
