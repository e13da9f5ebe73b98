//! What is told about a collector: the table, the line, the JSON form and the metrics agree.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use vtap_capture::File;
use vtap_capture::live::Counters;
use vtap_collector::accounting::{FlowCounters, RowCounters};
use vtap_collector::flows::{self, Log};
use vtap_collector::host::{Nic, Process, Softnet};
use vtap_collector::uploads::Counters as Counted;
use vtap_collector::{Accounting, Table, metrics};
use vtap_decap::Decap;
use vtap_export::report::count;
use vtap_flow::{Config, Discard, Tracker};
use vtap_packet::Timestamp;
use vtap_pipeline::Pipeline;
use vtap_testkit::data::testdata;
use vtap_testkit::tools;

/// A day of a collector that lost nothing, with a belt that has read a capture.
fn healthy() -> Accounting {
    let decap = Decap::new(vtap_decap::Config::default());
    let mut pipeline = Pipeline::new(decap, Some(Tracker::new(Config::default())));
    let mut file = File::open(&testdata("tap/http.pcap")).unwrap();
    vtap_pipeline::run(&mut file, &mut pipeline, &mut Discard, &mut ()).unwrap();
    let mut report = pipeline.report();
    // As of 134 million such captures.
    for _ in 0..27 {
        report += report.clone();
    }
    let since = Timestamp::new(1_790_000_000, 0);
    let log = Log { made: 500, written: 480, lost: 0 };
    let taken =
        flows::Taken { answers: 90, records: 600, begun: 100, rows: log, tuples: log, sums: log };
    Accounting {
        since,
        at: since + Duration::from_secs(86_400),
        nics: vec![("eth0".into(), Nic { received: 2_234_567_890, ..Nic::default() })],
        softnet: Softnet { processed: 1_300_000_000, dropped: 0, squeezed: 1_234_567 },
        source: Counters { received: report.packets + 7, ..Counters::default() },
        report,
        flows: 12_345,
        rows: RowCounters { made: 54_321, written: 54_300, ..RowCounters::default() },
        told: FlowCounters { made: 700, taken, ..FlowCounters::default() },
        uploads: Counted { uploaded: 30, bytes: 5 << 20, removed: 30, ..Counted::default() },
        recorder: vtap_recorder::Counters::default(),
        process: Process {
            resident: 412 << 20,
            cpu: Duration::from_secs(40_000),
            threads: 5,
            open_files: 21,
        },
    }
}

/// One that lost at every layer.
fn lossy() -> Accounting {
    let mut all = healthy();
    all.nics[0].1.missed = 31;
    all.softnet.dropped = 4;
    all.source.dropped = 12;
    all.source.received += 12;
    all.rows.overflowed = 21;
    all.rows.made += 300;
    all.rows.lost = 300;
    (all.told.overflowed, all.told.made) = (5, 705);
    all.told.taken.tuples.lost = 2;
    all.uploads.vanished = 1;
    all.uploads.pending_files = 3;
    all.uploads.oldest_pending = Some(all.since);
    all
}

#[test]
fn every_table_fits_into_eighty_columns() {
    let (before, now) = (healthy(), lossy());
    for table in [Table::new(&now).to_string(), Table::new(&now).since(&before).to_string()] {
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

#[test]
fn without_a_drop_the_first_line_says_so() {
    let all = healthy();
    let table = Table::new(&all).to_string();
    println!("{table}");
    assert!(table.starts_with("Nothing that reached the source was lost.\n"), "{table}");
    let [received, read] = [all.report.packets + 7, all.report.packets].map(count);
    let sum = format!("{received} received = {read} read + 0 dropped + 7 unread");
    assert!(table.contains(&sum), "{table}");
    assert!(table.ends_with("Every packet is accounted for.\n"), "{table}");
}

#[test]
fn what_was_lost_comes_first_with_its_remedy() {
    let mut before = lossy();
    before.source.dropped = 9;
    let mut all = lossy();
    all.at = before.at + Duration::from_secs(60);
    let table = Table::new(&all).since(&before).to_string();
    println!("{table}");
    let (verdict, _) = table.split_once("\n\n").unwrap();
    assert!(verdict.starts_with("LOST source: 12 packets ("), "{verdict}");
    for part in [
        "), 3 since ",
        "\n  -> enlarge source.buffer",
        "\nLOST row queue: 21 rows (0.038%), none since ",
        "\nLOST flow queue: 5 records (",
        "\nLOST vnet-flow-log: 2 tuples (",
        "\nLOST upload: 1 files (",
        "\nPERHAPS LOST card eth0: 31 packets of all traffic (<0.001%), none since ",
    ] {
        assert!(verdict.contains(part), "{part}: {verdict}");
    }
    let line = Table::new(&all).since(&before).line();
    println!("{line}");
    let dropped = "cards 31, softnet 4, source 12 (+3), rows 321, flow logs 7, uploads 1; \
                   not uploaded: 3 files, the oldest for 1 d 0 h";
    assert!(line.ends_with(dropped), "{line}");
}

#[test]
fn a_collector_that_gets_nothing_says_what_to_look_at() {
    let all = Accounting::default();
    let table = Table::new(&all).to_string();
    assert!(table.contains("NOTHING CAME\n"), "{table}");
    let (before, mut now) = (healthy(), healthy());
    now.at = before.at + Duration::from_secs(60);
    let table = Table::new(&now).since(&before).to_string();
    assert!(table.contains("NOTHING CAME since "), "{table}");
}

#[test]
fn numbers_that_contradict_each_other_are_told_as_a_bug() {
    let mut all = healthy();
    all.source.received = 1;
    let table = Table::new(&all).to_string();
    assert!(table.starts_with("BUG: ") && table.ends_with("NOT ACCOUNTED FOR.\n"), "{table}");
}

/// Samples by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(pair).collect()
}

/// The sample that has a number of the JSON form.
fn sample_of(path: &[&str]) -> String {
    match path {
        ["flows"] => "vtap_flows_seen_total".into(),
        ["reserved_bits"] => "vtap_vxlan_reserved_total".into(),
        ["flows_now"] => "vtap_flows".into(),
        ["source", "unread"] => "vtap_source_unread".into(),
        ["rows", "made"] => "vtap_rows_made_total".into(),
        ["rows", "waiting"] => "vtap_rows_waiting".into(),
        ["rows", outcome] => format!("vtap_rows_total{{outcome=\"{outcome}\"}}"),
        ["flow_queue", "waiting"] => "vtap_flow_queue_waiting".into(),
        ["flow_log", log, "waiting"] => format!("vtap_flow_log_waiting{{log=\"{log}\"}}"),
        ["flow_log", log, counter] => format!("vtap_flow_log_{counter}_total{{log=\"{log}\"}}"),
        [
            "upload",
            gauge @ ("pending_files" | "pending_bytes" | "oldest_pending_seconds" | "unnameable"),
        ] => {
            format!("vtap_upload_{gauge}")
        }
        ["process", "resident"] => "process_resident_memory_bytes".into(),
        ["process", "cpu_seconds"] => "process_cpu_seconds_total".into(),
        ["process", "threads"] => "process_threads".into(),
        ["process", "open_files"] => "process_open_fds".into(),
        [by @ ("skipped" | "flow_skipped" | "invalid"), reason] => {
            format!("vtap_{by}_total{{reason=\"{reason}\"}}")
        }
        ["events", flag] => format!("vtap_events_total{{flag=\"{flag}\"}}"),
        ["nics", name, counter] => format!("vtap_nic_{counter}_total{{interface=\"{name}\"}}"),
        ["taps", tap, counter] => format!("vtap_tap_{counter}_total{{tap=\"{tap}\"}}"),
        path => format!("vtap_{}_total", path.join("_")),
    }
}

fn each_number<'a>(
    value: &'a Value,
    path: &mut Vec<&'a str>,
    found: &mut impl FnMut(&[&str], f64),
) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                path.push(name);
                each_number(value, path, found);
                path.pop();
            }
        }
        Value::Number(number) => found(path, number.as_f64().unwrap()),
        _ => assert!(matches!(path[..], ["since" | "at"]), "{path:?}: {value}"),
    }
}

#[test]
fn metrics_have_every_number_of_the_json_form() {
    let all = lossy();
    let (json, samples) = (all.to_json(), samples(&metrics::text(&all)));
    let mut numbers = 0;
    each_number(&json, &mut Vec::new(), &mut |path, number| {
        let name = sample_of(path);
        assert_eq!(samples.get(&name), Some(&number), "{name}");
        numbers += 1;
    });
    assert!(numbers > 60, "{numbers}");
}

#[test]
fn counters_by_reason_begin_with_zero() {
    let samples = samples(&metrics::text(&Accounting::default()));
    for name in [
        "vtap_skipped_total{reason=\"vxlan-no-vni\"}",
        "vtap_flow_skipped_total{reason=\"cut-short\"}",
        "vtap_invalid_total{reason=\"no-state\"}",
        "vtap_events_total{flag=\"SYN\"}",
    ] {
        assert_eq!(samples.get(name), Some(&0.0), "{name}");
    }
}

#[test]
fn label_values_are_escaped() {
    let odd = "a\"b\\c\nd".to_owned();
    let all = Accounting { nics: vec![(odd, Nic::default())], ..Accounting::default() };
    let text = metrics::text(&all);
    assert!(text.contains(r#"vtap_nic_received_total{interface="a\"b\\c\nd"} 0"#), "{text}");
}

#[test]
fn every_metric_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let text = metrics::text(&lossy());
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<_> = names.filter(|name| !docs.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn promtool_finds_nothing_to_say() {
    if !tools::installed(&["promtool"]) {
        return;
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(metrics::text(&lossy()).as_bytes()).unwrap();
    drop(stdin);
    let out = promtool.wait_with_output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    assert!(out.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
