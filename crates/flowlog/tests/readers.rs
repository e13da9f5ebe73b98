//! Both logs as others read them: a reader written from the cloud's documentation, and DuckDB.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly"
)]
#![allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Flow, at, from_outside, inside, totals};
use serde_json::{Value, json};
use vtap_flow::Record;
use vtap_flow::record::{Ending, Phase};
use vtap_flowlog::{Analytics, Ids, Interval, VnetFlowLog};
use vtap_networks::{Description, Direction};
use vtap_packet::{Mac, Protocol};
use vtap_testkit::tools;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The JSON objects that a script prints, by the value of `key`.
fn read(python: &Path, name: &str, directory: &Path, key: &str) -> BTreeMap<String, Value> {
    let printed = tools::run_python(python, &script(name), directory);
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (line[key].as_str().unwrap().to_owned(), line)).collect()
}

/// Two hours of flows of all kinds, in the order in which they are told.
fn flows() -> Vec<(Record, Description)> {
    let mut told = Vec::new();
    for number in 0..400_u64 {
        let is_outbound = number % 3 > 0;
        let client = if is_outbound { "10.0.2.4" } else { "198.51.100.7" };
        let client = format!("{client}:{}", 20_000 + number);
        let (protocol, server) = match number % 5 {
            0 => (Protocol::UDP, "10.0.2.6:53"),
            1 => (Protocol(47), "10.0.2.7:0"),
            _ => (Protocol::TCP, "10.0.2.6:443"),
        };
        let mut description = if is_outbound { inside() } else { from_outside() };
        if number % 7 == 0 {
            description.nic = Some(Mac([0x7c, 0xed, 0x8d, 0xaa, 0x92, 0xdc]));
        }
        let start = (number * 17 % 7200) as f64 + 0.125;
        let mut flow = Flow::new(number + 1, &client, server, at(start)).of(protocol);
        let mut tell = |phase, after: f64, more| {
            let now = at(start + after);
            told.push((flow.tell(phase, now, now, more), description.clone()));
        };
        if number % 2 == 0 {
            tell(Phase::Begin, 60.0, [0, 0]);
            tell(Phase::Continue, 300.0, [number + 1, 0]);
            tell(Phase::Continue, 600.0, [0, 0]);
        }
        tell(Phase::End(Ending::Fin), 700.0, [1, number]);
    }
    told.sort_by_key(|(record, _)| record.told);
    told
}

#[test]
fn a_reader_of_the_clouds_logs_reads_ours() {
    let Some(python) = tools::python(&["json"]) else { return };
    let temp = tempfile::tempdir().unwrap();
    let mut log = VnetFlowLog::open(temp.path(), &Ids::default()).unwrap();
    let mut expected = BTreeMap::new();
    for (record, description) in flows() {
        log.record(&record, &description).unwrap();
        if matches!(record.phase, Phase::End(_)) {
            let mac = description.nic.unwrap().to_string().replace(':', "").to_uppercase();
            let (client, server) = (record.client, record.server);
            let key = format!(
                "{mac} {} {} {} {} {} {}",
                client.ip(),
                server.ip(),
                client.port(),
                server.port(),
                record.protocol.0,
                if description.direction == Direction::Inbound { 'I' } else { 'O' }
            );
            let states = if record.packet % 2 == 1 { "BCCE" } else { "BE" };
            let flow = json!({ "flow": &key, "states": states, "sums": totals(&record) });
            expected.insert(key, flow);
        }
    }
    log.finish().unwrap();
    let container = log.directory().join("insights-logs-flowlogflowevent");
    assert_eq!(read(&python, "read_vnet_flow_log.py", &container, "flow"), expected);
    assert_eq!(expected.len(), 400);
}

#[test]
fn that_reader_reads_what_the_cloud_writes() {
    let Some(python) = tools::python(&["json"]) else { return };
    let temp = tempfile::tempdir().unwrap();
    let blob = temp.path().join(
        "flowLogResourceID=/AAAA0A0A-BB1B-CC2C-DD3D-EEEEEE4E4E4E_NETWORKWATCHERRG/\
         NETWORKWATCHER_EASTUS_HUB/y=2022/m=09/d=14/h=09/m=00/macAddress=00224871C205/PT1H.json",
    );
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    let sample = fs::read_to_string(script("cloud_sample.json")).unwrap();
    fs::write(&blob, sample.trim_end()).unwrap();
    let flows = read(&python, "read_vnet_flow_log.py", temp.path(), "flow");
    // The example of the documentation: 9125 packets, 5,256,000 bytes.
    let ssh = &flows["00224871C205 198.51.100.153 10.0.0.6 35370 23 6 I"];
    assert_eq!(ssh["states"], "BCE");
    assert_eq!(ssh["sums"], json!([1073, 618_048, 8052, 4_637_952]));
    assert_eq!(flows["00224871C205 203.0.113.153 10.0.0.6 55188 22 6 I"]["states"], "D");
    assert_eq!(flows.len(), 3);
}

#[cfg(feature = "parquet")]
#[test]
fn duckdb_reads_the_same_sums_from_columns_and_lines() {
    let Some(python) = tools::python(&["duckdb"]) else { return };
    let temp = tempfile::tempdir().unwrap();
    let ids = Ids::default();
    let mut analytics = Analytics::open(temp.path(), &ids, Interval::TenMinutes).unwrap();
    let mut expected = BTreeMap::<_, (u64, [u64; 4])>::new();
    for (record, description) in flows() {
        analytics.record(&record, &description).unwrap();
        if matches!(record.phase, Phase::End(_)) {
            let mac = description.nic.unwrap().to_string().replace(':', "-").to_uppercase();
            let protocol = match record.protocol {
                Protocol::TCP => "T".to_owned(),
                Protocol::UDP => "U".to_owned(),
                Protocol(number) => number.to_string(),
            };
            let server = record.server;
            let (ip, port) = (server.ip(), server.port());
            let key = format!("{mac} {ip} {port} {protocol} {:?}", description.direction);
            let (flows, sums) = expected.entry(key).or_default();
            *flows += 1;
            for (sum, total) in sums.iter_mut().zip(totals(&record)) {
                *sum += total;
            }
        }
    }
    analytics.finish().unwrap();
    let read = read(&python, "read_traffic_analytics.py", analytics.directory(), "flows");
    let object = |(key, (flows, sums)): (String, (u64, [u64; 4]))| {
        let row = json!({ "flows": &key, "begun": flows, "ended": flows, "sums": sums });
        (key, row)
    };
    assert_eq!(read, expected.into_iter().map(object).collect());
    assert_eq!(analytics.counters().files, 2 * 13);
}
