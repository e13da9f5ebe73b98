//! `vtap bench`, as a user meets it. How fast anything is is not asserted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "tests fail loudly"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Ran, replay, sum, uint, vtap};
use serde_json::Value;
use vtap_packet::tcp::Flags;
use vtap_testkit::data::testdata;
use vtap_testkit::frame;

/// A run that takes no time.
fn bench(options: &[&str]) -> Ran {
    let mut args = vec!["bench", "--runs", "1"];
    args.extend(options);
    vtap(&args)
}

const SYNTHETIC: [&str; 4] = ["--packets", "20000", "--flows", "200"];

#[track_caller]
fn json(options: &[&str]) -> (Value, Ran) {
    let ran = bench(&[options, &["--format", "json"]].concat());
    assert_eq!(ran.status, 0, "{options:?}: {}", ran.stderr);
    (serde_json::from_slice(&ran.stdout).unwrap(), ran)
}

/// Names of the stages on one thread, each with what tells it from its likes.
fn stages(report: &Value) -> Vec<String> {
    let stages = report["stages"].as_array().unwrap().iter().filter(|stage| stage["threads"] != 2);
    let option =
        |stage: &Value| ["checksum", "format"].map(|key| stage[key].as_str().map(str::to_owned));
    stages
        .map(|stage| {
            let name = stage["stage"].as_str().unwrap().to_owned();
            [Some(name)].into_iter().chain(option(stage)).flatten().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

fn write(path: &Path, seed: &str) -> Vec<u8> {
    let path_text = path.to_str().unwrap();
    let ran = bench(&[&SYNTHETIC[..], &["--seed", seed, "--write", path_text]].concat());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.text().contains(path_text), "{}", ran.text());
    fs::read(path).unwrap()
}

#[test]
fn the_table_has_every_stage_and_what_was_measured_on() {
    let ran = bench(&SYNTHETIC);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    for row in [
        "vtap           0.1.0, 20",
        "machine        ",
        "capture        synthetic, --size mix --packets 20000 --flows 200 --seed 1, in memory\n",
        "packets        20,000, ",
        "decapsulated   20,000\n",
        "tracking       --profile azure --checksum offload-aware\n",
        "\nwalk  ",
        "\ndecap  ",
        "\ntrack --checksum off  ",
        "\ntrack --checksum offload-aware  ",
        "\nreplay --format none  ",
        "\nreplay --format json  ",
        "\nevents  ",
    ] {
        assert!(ran.text().contains(row), "{row}\n{}", ran.text());
    }
    assert!(!ran.text().contains("INVALID"), "{}", ran.text());
    assert!(ran.text().lines().all(|line| line.chars().count() <= 100), "{}", ran.text());
}

#[test]
fn json_has_the_counts_of_the_capture_and_a_figure_for_each_stage() {
    let (report, _) = json(&[&SYNTHETIC[..], &["--connections-per-second", "20000"]].concat());
    let capture = &report["capture"];
    assert_eq!((uint(&capture["packets"]), uint(&capture["decapsulated"])), (20_000, 20_000));
    assert_eq!(capture["flows"], capture["synthetic"]["connections"]);
    assert_eq!(capture["synthetic"]["packets_per_connection"], 50.0);
    assert_eq!(sum(&capture["invalid"]), 0);
    assert_eq!(capture["events"]["SYN"], capture["flows"]);
    assert_eq!(report["events"]["written"], sum(&capture["events"]));
    assert!(report["events"]["ns_per_event"].as_f64().unwrap() > 0.0);
    assert_eq!(report["vtap"], env!("CARGO_PKG_VERSION"));
    assert!(uint(&report["machine"]["cores"]) > 0);
    assert_eq!(
        stages(&report),
        ["walk", "decap", "track off", "track offload-aware", "replay none", "replay json"]
    );
    assert_eq!(report["stages"][0]["times_walk"], 1.0);
    for stage in report["stages"].as_array().unwrap() {
        let of = |key: &str| stage[key].as_f64().unwrap_or_else(|| panic!("{key}: {stage}"));
        let (nanos, mean) = (of("ns_per_packet"), capture["mean_bytes"].as_f64().unwrap());
        assert!(nanos > 0.0 && of("ns_per_packet_min") <= nanos);
        assert!(nanos <= of("ns_per_packet_max"));
        assert!((of("mpps") * nanos / 1000.0 - 1.0).abs() < 1e-6);
        assert!((of("gbit_per_second") * nanos / mean / 8.0 - 1.0).abs() < 1e-6);
    }
}

#[test]
fn the_checksum_policy_is_the_one_asked_for_or_the_profiles() {
    let (report, _) = json(&[&SYNTHETIC[..], &["--checksum", "off"]].concat());
    assert_eq!(stages(&report), ["walk", "decap", "track off", "replay none", "replay json"]);
    let (report, _) = json(&[&SYNTHETIC[..], &["--profile", "linux"]].concat());
    assert_eq!((&report["profile"], &report["checksum"]), (&"linux".into(), &"verify".into()));
}

#[test]
fn a_written_capture_is_kept_and_is_the_same_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, other] = ["a", "b", "c"].map(|name| folder.path().join(name));
    let bytes = write(&first, "7");
    assert!(bytes == write(&second, "7") && bytes != write(&other, "8"));

    let (rows, summary, ran) = replay(&["--checksum", "verify"], &first);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!((uint(&summary["packets"]), uint(&summary["decapsulated"])), (20_000, 20_000));
    assert_eq!((sum(&summary["invalid"]), uint(&summary["midstream"])), (0, 0));
    assert_eq!(rows.len() as u64, sum(&summary["events"]));

    let (report, _) = json(&["--file", first.to_str().unwrap()]);
    assert_eq!(report["capture"]["events"], summary["events"]);
    assert_eq!(report["capture"]["synthetic"], Value::Null);
}

#[test]
fn a_mirror_that_loses_packets_shows_as_invalid_ones() {
    let (report, _) = json(&[&SYNTHETIC[..], &["--loss", "10%"]].concat());
    let capture = &report["capture"];
    assert_eq!(uint(&capture["packets"]), 20_000);
    assert!(uint(&capture["synthetic"]["lost"]) > 1000);
    assert!(sum(&capture["invalid"]) > 0, "{capture}");
}

#[test]
fn captures_of_the_user_are_measured_as_replay_reads_them() {
    let http = testdata("tap/http.pcap");
    let (report, _) = json(&["--file", http.to_str().unwrap()]);
    let capture = &report["capture"];
    assert_eq!((uint(&capture["packets"]), uint(&capture["flows"])), (12, 1));
    assert_eq!(sum(&capture["events"]), 6);
    let files = [http.to_str().unwrap(), http.to_str().unwrap()];
    let (report, _) = json(&["--file", files[0], files[1]]);
    assert_eq!(uint(&report["capture"]["packets"]), 24);
}

#[test]
fn a_capture_without_mirrored_packets_names_the_options_that_help() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.pcap");
    let plain = frame::TcpFrame::new("10.0.0.1:5", "10.0.0.2:6", Flags::SYN, 1, 0);
    fs::write(&path, frame::pcap(&[plain.build()])).unwrap();
    let file = ["--file", path.to_str().unwrap()];
    let ran = bench(&file);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.text().contains("--plain") && ran.text().contains("--port"), "{}", ran.text());
    let (report, ran) = json(&file);
    assert!(ran.stderr.contains("--plain"), "{}", ran.stderr);
    assert_eq!(uint(&report["capture"]["flows"]), 0);

    let (report, ran) = json(&["--file", path.to_str().unwrap(), "--plain"]);
    assert_eq!((uint(&report["capture"]["flows"]), ran.stderr.as_str()), (1, ""));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pcap");
    fs::write(&empty, frame::pcap(&[])).unwrap();
    let empty = empty.to_str().unwrap();
    let http = testdata("tap/http.pcap");
    let http = http.to_str().unwrap();
    for (options, reason) in [
        (&["--file", http, "--size", "small"][..], "cannot be used with"),
        (&["--file", http, "--write", "x.pcap"], "cannot be used with"),
        (&["--loss", "100"], "percent"),
        (&["--packets", "0"], "0 is not in"),
        (&["--connections-per-second", "500000"], "142857 at most"),
        (&["--packets", "1000000000000"], "--write FILE"),
        (&["--write", "/dev/null", "--packets", "10"], "not a file"),
        (&["--file", "-"], "read once"),
        (&["--file", "/dev/null"], "read once"),
        (&["--file", empty], "no packets"),
        (&["--file", "/nonexistent.pcap"], "/nonexistent.pcap"),
    ] {
        let ran = bench(options);
        assert_eq!(ran.status, 2, "{options:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(reason), "{options:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{options:?}");
    }
}
