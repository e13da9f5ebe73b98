//! Logs of flows of a collector in a lab, and their way to a store. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::lab::Lab;
use common::{run, uint, vtap};
use serde_json::Value;

const SESSIONS: &[&str] = &["several", "reset", "half-closed", "bulk"];

/// Files below a directory whose names end so, with their paths below it.
fn found(directory: &Path, end: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(inner) = open.pop() {
        for path in fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                let bytes = fs::read(&path).unwrap();
                all.insert(path.strip_prefix(directory).unwrap().to_path_buf(), bytes);
            }
        }
    }
    all
}

fn lines(files: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<Value> {
    let text: String = files.values().map(|file| str::from_utf8(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Flows, and packets and bytes of both directions, by protocol.
fn sums(rows: &[Value]) -> BTreeMap<String, [u64; 5]> {
    let mut all = BTreeMap::new();
    for row in rows {
        let flow = |key: &str| uint(&row["flow"][key]);
        let counts = ["pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient"];
        let sums: &mut [u64; 5] = all.entry(row["proto"].to_string()).or_default();
        sums[0] += 1;
        sums.iter_mut().skip(1).zip(counts).for_each(|(sum, key)| *sum += flow(key));
    }
    all
}

/// What the tuples of the flow log of a virtual network add up to, as its reader tells: flows,
/// and packets and bytes of both directions.
fn read(container: &Path) -> [u64; 5] {
    let reader =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../flowlog/tests/read_vnet_flow_log.py");
    let ran = run(Command::new("python3").arg(reader).arg(container), None);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let mut sums = [0; 5];
    for flow in ran.rows() {
        sums[0] += 1;
        let counts = flow["sums"].as_array().unwrap_or_else(|| panic!("{flow}"));
        sums.iter_mut().skip(1).zip(counts).for_each(|(sum, count)| *sum += uint(count));
    }
    sums
}

/// Flags for all logs below a directory.
fn all_logs(logs: &Path) -> Vec<String> {
    let at = |name: &str| logs.join(name).to_str().unwrap().to_owned();
    let flags = [
        ("--out", at("events")),
        ("--flows", at("flows")),
        ("--vnet-flow-log", at("")),
        ("--traffic-analytics", at("")),
        ("--min-free", "0".into()),
        ("--flows-min-free", "0".into()),
    ];
    flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}

/// What holds for every collector that came to its end.
#[track_caller]
fn balanced(said: &Value) {
    let queue = &said["flow_queue"];
    let taken = uint(&queue["records"]) + uint(&queue["answers"]);
    assert_eq!(uint(&queue["made"]), taken + uint(&queue["overflowed"]), "{said}");
    for (name, log) in said["flow_log"].as_object().unwrap() {
        assert_eq!(
            uint(&log["made"]),
            uint(&log["written"]) + uint(&log["lost"]),
            "{name}: {said}"
        );
    }
    let rows = uint(&said["flow_log"]["flows"]["made"]);
    assert_eq!(rows + uint(&queue["begun"]), uint(&queue["records"]), "{said}");
}

#[test]
fn every_log_of_flows_adds_up_to_what_a_replay_of_the_recording_tells() {
    for threads in ["1", "3"] {
        let Some(lab) = Lab::free("both") else { return };
        let logs = lab.path("logs");
        let mut args = vec!["--source", "ring", "-i", "col0", "--threads", threads];
        let flags = all_logs(&logs);
        args.extend(flags.iter().map(String::as_str));
        let mut collecting = None;
        let files = lab.record(&[("col", "col0")], |lab| {
            let collector = lab.collect(&args);
            lab.begin(SESSIONS).end();
            sleep(Duration::from_millis(500));
            collecting = Some(collector.stop());
        });
        let said = collecting.unwrap().summary();
        balanced(&said);
        assert_eq!(uint(&said["flow_queue"]["overflowed"]), 0, "{said}");

        let replayed =
            ["replay", "--format", "json", "--logs", "flows", files[0].to_str().unwrap()];
        let wanted = sums(&vtap(&replayed).rows());
        let rows = lines(&found(&logs.join("flows"), ".jsonl"));
        assert_eq!(sums(&rows), wanted, "{threads} threads");
        assert!(wanted["\"TCP\""][0] >= 6, "{wanted:?}");

        let all = wanted.values().fold([0; 5], |mut all, sums| {
            all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            all
        });
        let container = logs.join("vnet-flow-log/insights-logs-flowlogflowevent");
        let vnet = read(&container);
        assert_eq!(vnet[1..], [all[1], all[3], all[2], all[4]], "{threads} threads");
        let analytics = lines(&found(&logs.join("traffic-analytics"), ".jsonl"));
        let sum = |column: &str| analytics.iter().map(|row| uint(&row[column])).sum::<u64>();
        let counted = ["PacketsSrcToDest", "PacketsDestToSrc", "BytesSrcToDest", "BytesDestToSrc"];
        assert_eq!(counted.map(sum), all[1..], "{threads} threads");
    }
}

#[test]
fn after_kill_9_every_log_can_be_read_and_has_what_was_told_before() {
    let Some(lab) = Lab::own("both") else { return };
    let logs = lab.path("logs");
    let flags = all_logs(&logs);
    let mut args = vec!["-i", "col0"];
    args.extend(flags.iter().map(String::as_str));
    let collector = lab.collect(&args);
    // Flows that ended by a reset are told of with it.
    lab.begin(&["reset"]).end();
    // Another packet moves time, twice as long as rows wait to be written.
    sleep(Duration::from_millis(200));
    lab.begin(&["http"]).end();
    sleep(Duration::from_millis(1500));
    collector.signal("KILL");
    collector.gone();
    let rows = lines(&found(&logs.join("flows"), ".partial"));
    assert!(rows.iter().any(|row| row["flow"]["reason"] == "rst"), "{rows:?}");
    let vnet = logs.join("vnet-flow-log/insights-logs-flowlogflowevent");
    if vnet.exists() {
        read(&vnet);
    }
    for file in found(&logs.join("traffic-analytics"), ".jsonl").values() {
        assert_eq!(file.last(), Some(&b'\n'));
    }
    // The next one completes the file of rows.
    lab.collect(&args).stop();
    assert_eq!(lines(&found(&logs.join("flows"), ".jsonl")), rows);
}

#[cfg(feature = "upload")]
#[test]
fn what_is_complete_goes_to_the_store_as_another_user_and_leaves_the_spools() {
    let Some(lab) = Lab::free("both") else { return };
    let (logs, store) = (lab.path("logs"), lab.path("store"));
    // Nobody has to come as far as there.
    let folder = logs.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in [&logs, &store] {
        fs::create_dir(directory).unwrap();
        std::os::unix::fs::chown(directory, Some(65_534), Some(65_534)).unwrap();
    }
    let url = format!("file://{}", store.display());
    let flags = all_logs(&logs);
    let mut args = vec!["-i", "col0", "--keep", "0", "--flows-keep", "0", "--user", "nobody"];
    args.extend(["--upload", &url, "--upload-remove-after", "1s", "--upload-scan-every", "1s"]);
    args.extend(flags.iter().map(String::as_str));

    let collector = lab.collect(&args);
    lab.begin(SESSIONS).end();
    sleep(Duration::from_millis(500));
    let ended = collector.stop();
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let said = ended.summary();
    balanced(&said);
    assert_eq!(uint(&said["upload"]["pending_files"]), 0, "{said}");
    let sent = found(&store, "");
    assert_eq!(sent.len() as u64, uint(&said["upload"]["uploaded"]), "{:?}", sent.keys());
    let rows = lines(&found(&store.join("flows"), ".jsonl"));
    assert_eq!(rows.len() as u64, uint(&said["flow_log"]["flows"]["written"]));
    let events = lines(&found(&store.join("events"), ".json"));
    assert_eq!(events.len() as u64, uint(&said["rows"]["written"]));
    let vnet = "insights-logs-flowlogflowevent";
    assert!(read(&store.join(vnet))[1] > 0);
    assert_eq!(found(&store.join("traffic-analytics"), ".parquet").len(), 1);

    // What went in the last second of a run is removed in the next.
    let collector = lab.collect(&args);
    let spools = ["events", "flows", "traffic-analytics"];
    let left = || spools.iter().map(|spool| found(&logs.join(spool), "").len()).sum::<usize>();
    for _ in 0..100 {
        if left() == 0 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert_eq!(left(), 0);
    collector.stop();
    // The flow log stays for as long as it may grow; nothing went twice under another name.
    assert_eq!(
        found(&logs.join("vnet-flow-log").join(vnet), "").len(),
        found(&store.join(vnet), "").len()
    );
    assert_eq!(found(&store, "").keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
}
