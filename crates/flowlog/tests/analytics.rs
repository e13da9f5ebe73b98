//! Traffic analytics: which flows are a row, and what is in it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly"
)]
#![allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")]

mod common;

use std::fs;
use std::io;
use std::path::Path;

use common::{Flow, at, files, from_outside, inside, totals};
use serde_json::{Value, json};
use vtap_flow::record::{Ending, Phase};
use vtap_flowlog::{Analytics, Ids, Interval, analytics};
use vtap_packet::Protocol;

fn open(directory: &Path, interval: Interval) -> Analytics {
    Analytics::open(directory, &Ids::default(), interval).unwrap()
}

/// The rows of each file of lines, behind its name.
fn rows(directory: &Path) -> Vec<(String, Vec<Value>)> {
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), rows)
    };
    files(directory, ".jsonl").iter().map(read).collect()
}

#[test]
fn flows_that_share_all_but_the_source_port_are_a_row() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path(), Interval::Hour);
    for port in [50_000_u32, 50_001, 50_002] {
        let client = format!("10.0.2.4:{port}");
        let start = at(f64::from(port - 49_990));
        let flow = Flow::new(port.into(), &client, "10.0.2.6:443", start).end(at(30.0), [4, 3]);
        log.record(&flow, &inside()).unwrap();
    }
    let mut open = Flow::new(1, "10.0.2.4:60000", "10.0.2.6:443", at(40.0));
    log.record(&open.tell(Phase::Begin, at(100.0), at(90.0), [0, 0]), &inside()).unwrap();
    log.tick(at(3599.9)).unwrap();
    assert!(rows(temp.path()).is_empty());
    log.tick(at(3600.0)).unwrap();

    let target = "vtap/vtap";
    let row = json!({
        "AllowedInFlows": 0, "AllowedOutFlows": 4, "CompletedFlows": 3,
        "BytesSrcToDest": 1200, "BytesDestToSrc": 9000,
        "PacketsSrcToDest": 12, "PacketsDestToSrc": 9,
        "SrcIp": "10.0.2.4", "SrcSubnet": "spoke/clients",
        "DestIp": "10.0.2.6", "DestSubnet": "spoke/servers", "DestPort": 443,
        "L4Protocol": "T", "L7Protocol": "HTTPS",
        "FlowDirection": "Outbound", "FlowStatus": "Allowed", "FlowType": "IntraVNet",
        "FlowEncryption": "Unencrypted", "MacAddress": "00-22-48-71-C2-05",
        "FlowStartTime": "2025-12-01T00:00:10.0000000Z",
        "FlowEndTime": "2025-12-01T00:00:40.0000000Z",
        "FlowIntervalStartTime": "2025-12-01T00:00:00.0000000Z",
        "FlowIntervalEndTime": "2025-12-01T01:00:00.0000000Z",
        "TimeProcessed": "2025-12-01T01:00:00.0000000Z",
        "TimeGenerated": "2025-12-01T01:00:00.0000000Z",
        "FlowLogResourceId": "NetworkWatcherRG/NetworkWatcher_vtap/vtap",
        "TargetResourceId": target, "TargetResourceType": "VirtualNetwork",
        "Type": "NTANetAnalytics", "SubType": "FlowLog", "FaSchemaVersion": "3",
    });
    assert_eq!(rows(temp.path()), [("NTANetAnalytics-20251201T000000Z.jsonl".into(), vec![row])]);
    #[cfg(feature = "parquet")]
    assert!(log.directory().join("NTANetAnalytics-20251201T000000Z.parquet").is_file());
}

#[test]
fn a_public_address_is_in_a_column_of_its_own_with_its_counts() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path(), Interval::TenMinutes);
    let flow = Flow::new(1, "198.51.100.7:50000", "10.0.2.6:22", at(1.0)).end(at(2.0), [4, 3]);
    log.record(&flow, &from_outside()).unwrap();
    log.finish().unwrap();
    let row = &rows(temp.path())[0].1[0];
    assert_eq!(row["SrcPublicIps"], "198.51.100.7|1|1|4|3|400|3000");
    assert_eq!((&row["SrcIp"], &row["SrcSubnet"]), (&Value::Null, &Value::Null));
    assert_eq!((&row["DestIp"], &row["AllowedInFlows"]), (&json!("10.0.2.6"), &json!(1)));
    assert_eq!(
        (&row["FlowType"], &row["FlowDirection"]),
        (&json!("ExternalPublic"), &json!("Inbound"))
    );
}

#[test]
fn a_flow_counts_in_each_interval_what_was_told_in_it() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path(), Interval::TenMinutes);
    let mut flow = Flow::new(1, "10.0.2.4:50000", "10.0.2.7:0", at(590.0)).of(Protocol(47));
    let mut tell = |phase, told, more| {
        log.record(&flow.tell(phase, at(told), at(told - 1.0), more), &inside()).unwrap();
    };
    tell(Phase::Begin, 600.0, [0, 0]);
    tell(Phase::Continue, 890.0, [1, 2]);
    tell(Phase::Continue, 1190.0, [3, 4]);
    tell(Phase::End(Ending::Timeout), 1300.0, [5, 6]);
    // Told late: it counts where the last one did.
    tell(Phase::End(Ending::Timeout), 1199.0, [7, 8]);
    log.finish().unwrap();
    let of = |row: &Value| {
        let count = |name: &str| row[name].as_u64().unwrap();
        let sums = ["AllowedOutFlows", "CompletedFlows", "PacketsSrcToDest", "PacketsDestToSrc"];
        (row["FlowStartTime"].as_str().unwrap().to_owned(), sums.map(count))
    };
    let read = rows(temp.path());
    let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["NTANetAnalytics-20251201T001000Z.jsonl", "NTANetAnalytics-20251201T002000Z.jsonl"];
    assert_eq!(names, expected);
    // Begun before the interval in which that was told.
    assert_eq!(of(&read[0].1[0]), ("2025-12-01T00:09:50.0000000Z".into(), [1, 0, 4, 6]));
    assert_eq!(of(&read[1].1[0]), ("2025-12-01T00:19:58.0000000Z".into(), [0, 2, 12, 14]));
    assert_eq!(read[0].1[0]["L4Protocol"], "47");
}

#[test]
fn an_interval_with_more_rows_than_fit_is_written_in_parts() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path(), Interval::Hour);
    let flows = analytics::ROWS as u64 + 10;
    let mut sums = [0; 4];
    for number in 0..flows {
        let (high, low) = (number >> 8 & 0xffff, number & 0xff);
        let client = format!("10.{}.{}.{low}:50000", high >> 8, high & 0xff);
        let flow = Flow::new(number + 1, &client, "10.0.2.6:443", at(1.0)).end(at(2.0), [1, 2]);
        log.record(&flow, &inside()).unwrap();
        for (sum, total) in sums.iter_mut().zip(totals(&flow)) {
            *sum += total;
        }
    }
    log.finish().unwrap();
    let read = rows(temp.path());
    let lens: Vec<_> = read.iter().map(|(name, rows)| (name.as_str(), rows.len())).collect();
    let expected = [
        ("NTANetAnalytics-20251201T000000Z-2.jsonl", 10),
        ("NTANetAnalytics-20251201T000000Z.jsonl", analytics::ROWS),
    ];
    assert_eq!(lens, expected);
    let all = || read.iter().flat_map(|(_, rows)| rows);
    let sum = |name: &str| all().map(|row| row[name].as_u64().unwrap()).sum::<u64>();
    let names = ["PacketsSrcToDest", "BytesSrcToDest", "PacketsDestToSrc", "BytesDestToSrc"];
    assert_eq!(names.map(sum), sums);
    assert_eq!(log.counters().written, flows);
}

#[test]
fn what_an_earlier_run_has_written_stays() {
    let temp = tempfile::tempdir().unwrap();
    for run in 1..=2 {
        let mut log = open(temp.path(), Interval::Hour);
        let second = Analytics::open(temp.path(), &Ids::default(), Interval::Hour).unwrap_err();
        assert_eq!(second.source.kind(), io::ErrorKind::WouldBlock);
        let flow = Flow::new(1, "10.0.2.4:50000", "10.0.2.6:443", at(1.0)).end(at(2.0), [run, 0]);
        log.record(&flow, &inside()).unwrap();
        log.finish().unwrap();
        // What a kill leaves.
        let left = log.directory().join("NTANetAnalytics-20251201T020000Z.jsonl.partial");
        fs::write(left, "{").unwrap();
    }
    drop(open(temp.path(), Interval::Hour));
    assert!(files(temp.path(), ".partial").is_empty());
    let read = rows(temp.path());
    let packets: Vec<_> =
        read.iter().map(|(_, rows)| rows[0]["PacketsSrcToDest"].clone()).collect();
    // The second run's name sorts first.
    assert_eq!(packets, [2, 1]);
}

#[test]
fn rows_wait_while_the_disk_refuses_them() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = open(temp.path(), Interval::TenMinutes);
    // A directory in the way of what the file is called while it is written.
    let name = "NTANetAnalytics-20251201T000000Z.jsonl.partial";
    let in_the_way = log.directory().join(name);
    fs::create_dir(&in_the_way).unwrap();
    let mut tell = |packet, told| {
        let flow = Flow::new(packet, "10.0.2.4:50000", "10.0.2.6:443", told).end(told, [1, 0]);
        log.record(&flow, &inside()).map_err(|error| error.path)
    };
    tell(1, at(1.0)).unwrap();
    assert_eq!(tell(2, at(601.0)), Err(in_the_way.clone()));
    fs::remove_dir(&in_the_way).unwrap();
    tell(3, at(602.0)).unwrap();
    log.finish().unwrap();
    let read = rows(temp.path());
    assert_eq!(read[0].0, "NTANetAnalytics-20251201T001000Z.jsonl");
    assert_eq!(read[0].1[0]["CompletedFlows"], 3);
    let counters = log.counters();
    assert_eq!((counters.records, counters.written, counters.lost), (3, 3, 0));
}
