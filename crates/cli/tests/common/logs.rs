//! Logs that a collector has written: where they are, what is in them, what they add up to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vtap_testkit::data::files_below;

use super::{run, uint};

/// Files below a directory whose names end so, with their paths below it.
pub(crate) fn found(directory: &Path, end: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let named = |path: PathBuf| {
        (path.strip_prefix(directory).unwrap().to_path_buf(), fs::read(&path).unwrap())
    };
    files_below(directory, end).into_iter().map(named).collect()
}

pub(crate) fn lines(files: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<Value> {
    let text: String = files.values().map(|file| str::from_utf8(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Flows, and packets and bytes of both directions, by protocol.
pub(crate) fn sums(rows: &[Value]) -> BTreeMap<String, [u64; 5]> {
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

/// The flows of the flow log of a virtual network, as its reader tells them.
pub(crate) fn flows_in(container: &Path) -> Vec<Value> {
    let reader =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../flowlog/tests/read_vnet_flow_log.py");
    let ran = run(Command::new("python3").arg(reader).arg(container), None);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    ran.rows()
}

/// What they add up to: flows, and packets and bytes of one direction and of the other.
pub(crate) fn read(container: &Path) -> [u64; 5] {
    let mut sums = [0; 5];
    for flow in flows_in(container) {
        sums[0] += 1;
        let counts = flow["sums"].as_array().unwrap();
        sums.iter_mut().skip(1).zip(counts).for_each(|(sum, count)| *sum += uint(count));
    }
    sums
}

/// Flags for all logs below a directory.
pub(crate) fn all_logs(logs: &Path) -> Vec<String> {
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
pub(crate) fn balanced(said: &Value) {
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
