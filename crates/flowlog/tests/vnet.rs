//! The virtual-network flow log: what is in which file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests fail loudly"
)]

mod common;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use common::{DAY, Flow, at, files, from_outside, inside, read, totals};
use proptest::prelude::*;
use serde_json::{Value, json};
use vtap_flow::record::{Ending, Phase};
use vtap_flowlog::{Ids, VnetFlowLog, vnet};
use vtap_networks::Description;
use vtap_packet::{Protocol, Timestamp};

const FIRST_HOUR: &str = "vnet-flow-log/insights-logs-flowlogflowevent/flowLogResourceID=/\
    00000000-0000-0000-0000-000000000000_NETWORKWATCHERRG/NETWORKWATCHER_VTAP_VTAP/\
    y=2025/m=12/d=01/h=00/m=00/macAddress=00224871C205/PT1H.json";

fn open(directory: &Path) -> VnetFlowLog {
    VnetFlowLog::open(directory, &Ids::default()).unwrap()
}

/// The tuples of each record of a file, behind its time.
fn records(path: &Path) -> Vec<(String, Vec<String>)> {
    let log: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let strings = |tuples: &Value| serde_json::from_value(tuples.clone()).unwrap();
    let records = log["records"].as_array().unwrap().iter();
    records
        .map(|record| {
            let groups = &record["flowRecords"]["flows"][0]["flowGroups"];
            (record["time"].as_str().unwrap().into(), strings(&groups[0]["flowTuples"]))
        })
        .collect()
}

#[test]
fn a_minute_is_a_record_in_the_file_of_its_card_and_hour() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path());
    let short = Flow::new(1, "10.0.2.4:50000", "10.0.2.6:80", at(10.25)).end(at(10.75), [4, 3]);
    log.record(&short, &inside()).unwrap();
    let ping = Flow::new(2, "198.51.100.7:0", "10.0.2.6:0", at(20.0)).of(Protocol::ICMP);
    log.record(&ping.clone().end(at(21.0), [1, 1]), &from_outside()).unwrap();
    assert!(files(temp.path(), "PT1H.json").is_empty());

    // Nothing more is told: time alone closes the minute.
    log.tick(at(60.0)).unwrap();
    let path = temp.path().join(FIRST_HOUR);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(r#"{"records":[{"time":"2025-12-01T00:00:59.9999999Z","#));
    assert!(text.ends_with("]}"));
    let flow_log = "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS\
                    /NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/NETWORKWATCHERS\
                    /NETWORKWATCHER_VTAP/FLOWLOGS/VTAP";
    let record = json!({
        "time": "2025-12-01T00:00:59.9999999Z",
        "flowLogVersion": 4,
        "flowLogGUID": "00000000-0000-0000-0000-000000000000",
        "macAddress": "00224871C205",
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": flow_log,
        "targetResourceID": Ids::default().target_resource,
        "operationName": "FlowLogFlowEvent",
        "flowRecords": { "flows": [ { "aclID": "unspecified", "flowGroups": [ {
            "rule": "unspecified",
            "flowTuples": [
                "1764547210250,10.0.2.4,10.0.2.6,50000,80,6,O,B,NX,0,0,0,0",
                "1764547210750,10.0.2.4,10.0.2.6,50000,80,6,O,E,NX,4,400,3,3000",
                "1764547220000,198.51.100.7,10.0.2.6,0,0,1,I,B,NX,0,0,0,0",
                "1764547221000,198.51.100.7,10.0.2.6,0,0,1,I,E,NX,1,100,1,1000",
            ] } ] } ] },
    });
    let log_read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(log_read, json!({ "records": [record] }));
    let expected = vnet::Counters { tuples: 4, written: 4, lost: 0, records: 1 };
    assert_eq!(log.counters(), expected);
}

#[test]
fn a_long_flow_begins_goes_on_every_five_minutes_and_ends_in_another_hour() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path());
    let start = at(3000.5);
    let mut flow = Flow::new(1, "10.0.2.4:50000", "10.0.2.6:80", start);
    let mut tell = |phase, told: f64, end: f64, more| {
        log.record(&flow.tell(phase, at(told), at(end), more), &inside()).unwrap();
    };
    tell(Phase::Begin, 3060.0, 3050.0, [0, 0]);
    tell(Phase::Continue, 3300.5, 3290.0, [10, 20]);
    // Idle.
    tell(Phase::Continue, 3600.5, 3290.0, [0, 0]);
    tell(Phase::End(Ending::Timeout), 3850.0, 3610.25, [1, 0]);
    log.finish().unwrap();

    let path = temp.path().join(FIRST_HOUR);
    let tuple = |rest: &str, time: f64| {
        let time = at(time).nanos() / 1_000_000;
        vec![format!("{time},10.0.2.4,10.0.2.6,50000,80,6,O,{rest}")]
    };
    let first = [
        ("2025-12-01T00:51:59.9999999Z".into(), tuple("B,NX,0,0,0,0", 3000.5)),
        ("2025-12-01T00:55:59.9999999Z".into(), tuple("C,NX,10,1000,20,20000", 3290.0)),
    ];
    assert_eq!(records(&path), first);
    let path = temp.path().join(FIRST_HOUR.replace("h=00", "h=01"));
    let second = [
        ("2025-12-01T01:00:59.9999999Z".into(), tuple("C,NX,0,0,0,0", 3290.0)),
        ("2025-12-01T01:04:59.9999999Z".into(), tuple("E,NX,1,100,0,0", 3610.25)),
    ];
    assert_eq!(records(&path), second);
}

#[test]
fn a_flow_without_a_card_is_logged_under_a_card_of_zeros() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path());
    let flow =
        Flow::new(1, "[2001:db8::1]:50000", "[2001:db8::2]:80", at(1.0)).end(at(2.0), [1, 1]);
    log.record(&flow, &Description::default()).unwrap();
    log.finish().unwrap();
    let path = temp.path().join(FIRST_HOUR.replace("00224871C205", "000000000000"));
    assert_eq!(
        records(&path)[0].1[1],
        "1764547202000,2001:db8::1,2001:db8::2,50000,80,6,O,E,NX,1,100,1,1000"
    );
}

#[test]
fn another_run_goes_on_in_the_file_of_the_hour() {
    let temp = tempfile::tempdir().unwrap();
    let mut flows = Vec::new();
    for run in 0..3_u64 {
        let mut log = open(temp.path());
        let second = VnetFlowLog::open(temp.path(), &Ids::default()).unwrap_err();
        assert_eq!(second.source.kind(), io::ErrorKind::WouldBlock);
        let told = at(60.0 * run as f64 + 5.0);
        // Packets are counted anew, so the number of a flow is that of another one before.
        let client = format!("10.0.2.4:{}", 50_000 + run);
        let flow = Flow::new(1, &client, "10.0.2.6:80", told).end(told, [run + 1, 0]);
        log.record(&flow, &inside()).unwrap();
        log.finish().unwrap();
        flows.push(totals(&flow));
        // What a kill has left.
        fs::write(temp.path().join("vnet-flow-log/PT1H.json.partial"), "{").unwrap();
    }
    assert_eq!(records(&temp.path().join(FIRST_HOUR)).len(), 3);
    let read = read(temp.path());
    assert!(read.values().all(|told| told.states == "BE"));
    assert_eq!(read.values().map(|told| told.sums).collect::<Vec<_>>(), flows);
    drop(open(temp.path()));
    assert!(files(temp.path(), ".partial").is_empty());
}

#[test]
fn a_straggler_goes_to_its_minute_and_a_clock_set_back_is_followed() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path());
    let mut tell = |packet: u64, told: Timestamp| {
        let client = format!("10.0.2.4:{}", 50_000 + packet);
        let flow = Flow::new(packet, &client, "10.0.2.6:80", told).end(told, [1, 0]);
        log.record(&flow, &inside()).unwrap();
    };
    tell(1, at(3605.0));
    tell(2, at(3599.0));
    tell(3, at(3606.0));
    tell(4, at(3665.0));
    let day_before = at(0.0).nanos() - 86_400_000_000_000;
    tell(5, Timestamp::from_nanos(day_before));
    tell(6, Timestamp::from_nanos(day_before) + Duration::from_secs(60));
    let times = |path: &str| {
        let records = records(&temp.path().join(path));
        records.into_iter().map(|(time, tuples)| (time, tuples.len())).collect::<Vec<_>>()
    };
    assert_eq!(times(FIRST_HOUR), [("2025-12-01T00:59:59.9999999Z".into(), 2)]);
    let next = FIRST_HOUR.replace("h=00", "h=01");
    let expected =
        [("2025-12-01T01:00:59.9999999Z".into(), 4), ("2025-12-01T01:01:59.9999999Z".into(), 2)];
    assert_eq!(times(&next), expected);
    let before = FIRST_HOUR.replace("m=12/d=01", "m=11/d=30");
    assert_eq!(times(&before), [("2025-11-30T00:00:59.9999999Z".into(), 2)]);
}

#[test]
fn tuples_wait_while_the_disk_refuses_them() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path());
    let path = temp.path().join(FIRST_HOUR);
    // A directory where the file has to be.
    fs::create_dir_all(&path).unwrap();
    let mut flow = |packet: u64, told| {
        let client = format!("10.0.2.4:{}", 50_000 + packet);
        let flow = Flow::new(packet, &client, "10.0.2.6:80", told).end(told, [1, 0]);
        log.record(&flow, &inside()).map_err(|error| error.path)
    };
    flow(1, at(1.0)).unwrap();
    assert_eq!(flow(2, at(61.0)), Err(path.clone()));
    flow(3, at(62.0)).unwrap();
    fs::remove_dir(&path).unwrap();
    flow(4, at(121.0)).unwrap();
    log.finish().unwrap();
    assert_eq!(records(&path).iter().map(|(_, tuples)| tuples.len()).sum::<usize>(), 8);
    let expected = vnet::Counters { tuples: 8, written: 8, lost: 0, records: 3 };
    assert_eq!(log.counters(), expected);
}

/// Seconds from the start of a flow to its records, and packets that each tells.
type Life = (u16, Option<u8>, Vec<(u16, [u8; 2])>);

fn life() -> impl Strategy<Value = Life> {
    let told = (0..400_u16, any::<[u8; 2]>());
    (3000..4200_u16, proptest::option::of(0..60_u8), proptest::collection::vec(told, 1..5))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tuples_of_a_flow_add_up_to_its_record(
        lives in proptest::collection::vec(life(), 1..30),
        late in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let mut told = Vec::new();
        let mut expected = Vec::new();
        for (number, (start, begin, steps)) in lives.into_iter().enumerate() {
            let start = at(f64::from(start));
            // A flow may have been open before the log was.
            let client = format!("10.0.2.4:{}", 1000 + number);
            let mut flow = Flow::new(number as u64 + 1, &client, "10.0.2.6:80", start);
            let mut now = start;
            let mut states = String::from("B");
            if let Some(after) = begin {
                now = now + Duration::from_secs(after.into());
                told.push(flow.tell(Phase::Begin, now, now, [0, 0]));
            }
            let last = steps.len() - 1;
            for (number, (after, more)) in steps.into_iter().enumerate() {
                // Whoever is told of has sent something.
                let more = if number == 0 { [1 + u64::from(more[0]), 0] } else { more.map(u64::from) };
                now = now + Duration::from_secs(after.into());
                let (phase, state) = if number == last {
                    (Phase::End(Ending::Timeout), 'E')
                } else {
                    (Phase::Continue, 'C')
                };
                states.push(state);
                told.push(flow.tell(phase, now, now, more));
            }
            expected.push((format!("00224871C205 10.0.2.4 10.0.2.6 {} 80 6", 1000 + number),
                           states, totals(&flow.0)));
        }
        told.sort_by_key(|record| record.told);
        let temp = tempfile::tempdir().unwrap();
        let mut log = open(temp.path());
        for (number, record) in told.iter().enumerate() {
            log.record(record, &inside()).unwrap();
            if late.iter().any(|late| late.index(told.len()) == number) {
                // As if there had been no flow for long.
                log.tick(record.told).unwrap();
                log.finish().unwrap();
            }
        }
        log.finish().unwrap();
        let read = read(temp.path());
        prop_assert_eq!(read.len(), expected.len());
        for (flow, states, totals) in expected {
            prop_assert_eq!(&read[&flow].states, &states, "{}", flow);
            prop_assert_eq!(read[&flow].sums, totals, "{}", flow);
        }
        let counters = log.counters();
        prop_assert_eq!((counters.written, counters.lost), (counters.tuples, 0));
        prop_assert!(read.values().all(|told| told.last >= DAY * 1000));
    }
}
