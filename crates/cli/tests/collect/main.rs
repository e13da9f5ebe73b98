//! The collector in a lab: the kernel's own VXLAN mirror between network namespaces
//! (`testdata/lab`), real TCP stacks, and `vtap collect` where a collector stands. Needs root, or, for
//! some, namespaces for users.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

#[path = "../common/mod.rs"]
mod common;
mod logs;
#[cfg(feature = "upload")]
mod upload;

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::lab::{Collecting, Lab};
use common::{gather, records, replay, run, uint, vtap};
use serde_json::Value;
use vtap_testkit::data::testdata;

/// Connections that open, carry data and end in all the ways there are.
const SESSIONS: &[&str] = &["several", "reset", "half-closed", "bulk"];

/// Events without their place in the input, which tells what else was captured, and without their
/// time, which each socket reads for itself.
fn comparable(rows: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        let row = row.as_object_mut().unwrap();
        assert!(row.remove("packet").is_some() && row.remove("timestamp").is_some());
    }
    rows
}

/// The same in an order of its own: of packets that come by two processors at once, two sockets see
/// now one first and now the other.
fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<_> = comparable(rows).iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// What holds for every collector that came to its end.
#[track_caller]
fn balanced(said: &Value) {
    let rows = &said["rows"];
    let rows_out = uint(&rows["written"]) + uint(&rows["overflowed"]) + uint(&rows["lost"]);
    assert_eq!(uint(&rows["made"]), rows_out, "{said}");
    let source = &said["source"];
    let read = uint(&said["packets"]) + uint(&source["dropped"]) + uint(&source["unread"]);
    assert_eq!(uint(&source["received"]), read, "{said}");
}

/// Rows of all files of a directory that are complete, in the order of their names.
fn files(folder: &Path, extension: &str) -> Vec<Value> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(extension));
    paths.sort();
    let text: String = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_source_gives_the_events_of_a_replay() {
    for (source, interface) in
        [("pcap", "any"), ("pcap", "col0"), ("ring", "col0"), ("ring", "any"), ("udp", "any")]
    {
        let Some(lab) = Lab::free("both") else { return };
        let mut collecting = None;
        let files = lab.record(&[("col", "any")], |lab| {
            let collector = lab.collect(&["--source", source, "-i", interface]);
            lab.begin(SESSIONS).end();
            sleep(Duration::from_millis(500));
            collecting = Some(collector.stop());
        });
        let collected = collecting.unwrap();
        let (events, summary, _) = replay(&[], &files[0]);
        let said = collected.summary();
        assert_eq!(sorted(&collected.rows()), sorted(&events), "{source} {interface}: {said}");
        assert_eq!(said["decapsulated"], summary["decapsulated"], "{source} {interface}");
        assert_eq!(said["flows"], summary["flows"], "{source} {interface}");
        assert_eq!(uint(&said["source"]["dropped"]), 0);
        balanced(&said);
        // Nobody answered what was mirrored.
        let answers =
            common::lab::tshark(&files[0], "icmp.type == 3 and not vxlan", "f", &["frame.number"]);
        assert_eq!(answers, Vec::<String>::new(), "{source}: ICMP port unreachable");
    }
}

#[test]
fn what_the_ring_had_no_room_for_is_counted() {
    for source in ["pcap", "ring", "udp"] {
        let Some(lab) = Lab::own("both") else { return };
        let collector = lab.collect(&["--source", source, "-i", "col0", "--buffer", "256KiB"]);
        // While it cannot run, the ring fills.
        collector.signal("STOP");
        let sent = lab.flood(40_000);
        collector.signal("CONT");
        let more = lab.flood(1_000);
        sleep(Duration::from_secs(1));
        let said = collector.stop().summary();
        let (seen, dropped) = (uint(&said["packets"]), uint(&said["source"]["dropped"]));
        assert!(dropped > 0 && seen > 0, "{source}: {said}");
        assert_eq!(seen + dropped, sent + more, "{source}: {said}");
        balanced(&said);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn sigterm_ends_it_within_five_seconds_and_nothing_is_lost() {
    let Some(lab) = Lab::own("both") else { return };
    let out = lab.path("events");
    let collector = lab.collect(&["--out", out.to_str().unwrap()]);
    lab.begin(SESSIONS).end();
    let began = Instant::now();
    let ended = collector.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(ended.status, 0);
    let said = ended.summary();
    balanced(&said);
    let rows = files(&out, ".json");
    assert_eq!(rows.len() as u64, uint(&said["rows"]["written"]));
    let flags = |flag: &str| rows.iter().filter(|row| row["tcp"]["flag"] == flag).count() as u64;
    assert_eq!(flags("SYN"), uint(&said["flows"]), "{said}");
}

#[test]
fn after_kill_9_everything_flushed_is_there() {
    let Some(lab) = Lab::own("both") else { return };
    let out = lab.path("events");
    let collector = lab.collect(&["--out", out.to_str().unwrap()]);
    lab.begin(SESSIONS).end();
    // Twice as long as rows wait to be written.
    sleep(Duration::from_millis(1500));
    collector.signal("KILL");
    collector.gone();
    let partial = files(&out, ".partial");
    let syns = partial.iter().filter(|row| row["tcp"]["flag"] == "SYN").count();
    assert!(syns >= SESSIONS.len(), "{partial:?}");
    // The next one gives the file its name.
    let next = lab.collect(&["--out", out.to_str().unwrap()]);
    next.stop();
    assert_eq!(files(&out, ".json"), partial);
}

#[test]
fn an_interface_that_was_down_is_read_on() {
    for source in ["pcap", "ring"] {
        let Some(lab) = Lab::own("both") else { return };
        let collector = lab.collect(&["--source", source, "-i", "col0"]);
        lab.begin(&["http"]).end();
        lab.link("col", "col0", "down");
        sleep(Duration::from_millis(500));
        lab.link("col", "col0", "up");
        sleep(Duration::from_secs(3));
        lab.begin(&["several"]).end();
        sleep(Duration::from_millis(500));
        let ended = collector.stop();
        assert_eq!(ended.status, 0, "{source}: {}", ended.stderr);
        let rows = ended.rows();
        let opened = rows.iter().filter(|row| row["tcp"]["flag"] == "SYN").count();
        assert_eq!(opened, 1 + 3, "{source}: both sessions, {rows:?}");
        balanced(&ended.summary());
    }
}

#[test]
fn an_interface_that_is_removed_ends_it_with_a_word() {
    for source in ["pcap", "ring"] {
        let Some(lab) = Lab::own("both") else { return };
        let collector = lab.collect(&["--source", source, "-i", "col0"]);
        lab.begin(&["http"]).end();
        sleep(Duration::from_millis(500));
        lab.link("col", "col0", "delete");
        let ended = collector.ended();
        assert_eq!(ended.status, 1, "{source}: {}", ended.stderr);
        assert!(ended.stderr.contains("col0"), "{source}: {}", ended.stderr);
        assert!(!ended.rows().is_empty());
    }
}

#[test]
fn a_reader_that_stands_still_for_ten_seconds_costs_rows_and_no_packet() {
    let Some(lab) = Lab::own("both") else { return };
    let fifo = lab.path("fifo");
    assert_eq!(run(Command::new("mkfifo").arg(&fifo), None).status, 0);
    // Takes some, stands still, takes the rest.
    let reader = "exec < \"$0\"; dd bs=1 count=1000 status=none; sleep 10; cat";
    let mut reading = Command::new("bash");
    reading.args(["-c", reader]).arg(&fifo).stdout(Stdio::piped());
    let mut reading = reading.spawn().unwrap();
    let read = gather(reading.stdout.take().unwrap());
    let collector = lab.collect_to(&fifo, &["--queue", "256"]);
    let sent = lab.flood(60_000);
    // The reader has stood still since the first rows came.
    sleep(Duration::from_secs(10));
    let ended = collector.stop();
    let said = ended.summary();
    assert_eq!(uint(&said["packets"]) + uint(&said["source"]["dropped"]), sent, "{said}");
    assert_eq!(uint(&said["source"]["dropped"]), 0, "the ring was read on: {said}");
    assert!(uint(&said["rows"]["overflowed"]) > 0, "{said}");
    balanced(&said);
    reading.wait().unwrap();
    let rows = String::from_utf8(read.recv().unwrap()).unwrap();
    assert_eq!(rows.lines().count() as u64, uint(&said["rows"]["written"]));
}

#[test]
fn a_full_disk_is_counted_and_nothing_written_is_lost() {
    let Some(lab) = Lab::free("both") else { return };
    let out = lab.path("small");
    let Some(disk) = lab.tmpfs(&out, "256k") else { return };
    let collector = lab.collect(&[
        "--out",
        out.to_str().unwrap(),
        "--min-free",
        "0",
        "--rotate-bytes",
        "64KiB",
    ]);
    let mut sent = lab.flood(30_000);
    sleep(Duration::from_secs(2));
    disk.resize("64m");
    sleep(Duration::from_secs(3));
    sent += lab.flood(3_000);
    sleep(Duration::from_secs(1));
    let ended = collector.stop();
    let said = ended.summary();
    assert_eq!(uint(&said["packets"]) + uint(&said["source"]["dropped"]), sent, "{said}");
    balanced(&said);
    assert_eq!(files(&out, ".json").len() as u64, uint(&said["rows"]["written"]), "{said}");
    assert!(uint(&said["rows"]["written"]) > 0);
}

#[test]
fn threads_that_share_a_ring_tell_the_same_events() {
    let Some(lab) = Lab::free("both") else { return };
    let mut collecting = None;
    let files = lab.record(&[("col", "col0")], |lab| {
        let collector = lab.collect(&["--source", "ring", "--threads", "3", "-i", "col0"]);
        lab.begin(SESSIONS).end();
        sleep(Duration::from_millis(500));
        collecting = Some(collector.stop());
    });
    let collected = collecting.unwrap();
    let (events, ..) = replay(&[], &files[0]);
    assert_eq!(sorted(&collected.rows()), sorted(&events));
    balanced(&collected.summary());
}

#[test]
fn what_is_recorded_is_what_was_mirrored() {
    for (options, inner) in [(&[][..], true), (&["--record-outer"], false)] {
        let Some(lab) = Lab::free("both") else { return };
        let (out, kept) = (lab.path("events"), lab.path("kept"));
        let mut args = vec!["-i", "col0", "--record-pcapng=false", "--record-min-free", "0"];
        args.extend(options);
        args.extend(["--out", out.to_str().unwrap(), "--record", kept.to_str().unwrap()]);
        let mut collecting = None;
        let files = lab.record(&[("col", "col0")], |lab| {
            let collector = lab.collect(&args);
            lab.begin(&["http"]).end();
            sleep(Duration::from_millis(500));
            collecting = Some(collector.stop());
        });
        let said = collecting.unwrap().summary();
        let wanted = lab.path("wanted.pcap");
        if inner {
            let decap = ["decap".as_ref(), files[0].as_os_str(), "-o".as_ref(), wanted.as_os_str()];
            assert_eq!(vtap(&decap).status, 0);
        } else {
            let mut tshark = Command::new("tshark");
            tshark.args(["-Y", "udp.dstport == 4789", "-F", "nsecpcap", "-r"]);
            assert_eq!(run(tshark.arg(&files[0]).arg("-w").arg(&wanted), None).status, 0);
        }
        let recorded = fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
        assert!(recorded.to_str().unwrap().ends_with(".pcap"), "{recorded:?}");
        let frames = |path: &Path| -> Vec<Vec<u8>> {
            records(path).into_iter().map(|(_, frame)| frame).collect()
        };
        assert_eq!(frames(&recorded), frames(&wanted));
        assert_eq!(uint(&said["recorder"]["recorded"]), uint(&said["decapsulated"]));
    }
}

#[test]
fn metrics_and_health_are_served_and_the_configuration_is_read_again() {
    let Some(lab) = Lab::own("both") else { return };
    let file = lab.path("collect.toml");
    fs::write(&file, "[telemetry]\nlisten = \"127.0.0.1:9789\"\n").unwrap();
    let collector = lab.collect(&["--config", file.to_str().unwrap()]);
    lab.begin(&["http"]).end();
    sleep(Duration::from_millis(500));
    let metrics = lab.get("http://127.0.0.1:9789/metrics");
    for sample in ["vtap_flows_seen_total 1\n", "vtap_events_total{flag=\"SYN\"} 1\n"] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
    assert!(lab.get("http://127.0.0.1:9789/healthz").starts_with("ok"));

    let wanted = "[telemetry]\nlisten = \"127.0.0.1:9789\"\n[events]\nflags = \"RST\"\n";
    fs::write(&file, wanted).unwrap();
    collector.signal("HUP");
    sleep(Duration::from_millis(500));
    let before = lab.begin(&["several"]);
    before.end();
    sleep(Duration::from_millis(500));
    let ended = collector.stop();
    assert!(ended.stderr.contains("events.flags is \"RST\" from now on"), "{}", ended.stderr);
    let rows = ended.rows();
    assert!(rows.iter().all(|row| uint(&row["tunnel"]["vni"]) == 27));
    let syns = rows.iter().filter(|row| row["tcp"]["flag"] == "SYN").count();
    assert_eq!(syns, 1, "those of the first session alone: {rows:?}");
    balanced(&ended.summary());
}

#[test]
fn it_runs_with_cap_net_raw_alone() {
    if !vtap_testkit::tools::installed(&["setpriv"]) {
        return;
    }
    let Some(lab) = Lab::free("both") else { return };
    let unprivileged = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps=-all,+net_raw",
        "--ambient-caps=+net_raw",
        "--bounding-set=-all,+net_raw",
    ];
    for source in ["pcap", "ring", "udp"] {
        let collector = lab.collect_as(&unprivileged, &["--source", source, "-i", "col0"]);
        lab.begin(&["http"]).end();
        sleep(Duration::from_millis(500));
        let ended = collector.stop();
        assert_eq!(ended.status, 0, "{source}: {}", ended.stderr);
        assert!(!ended.rows().is_empty(), "{source}: {}", ended.stderr);
    }
}

#[test]
fn sockets_need_no_privilege_and_the_summary_is_written_when_files_are_out_of_reach() {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    // Nobody has it when this one is gone.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
    command.args(["collect", "--source", "udp", "--port", &port.to_string(), "--format", "json"]);
    command.arg("--summary").arg(&summary).stdin(Stdio::null());
    let collector = Collecting::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    for (_, packet) in records(&testdata("tap/http.pcap")) {
        // Behind SLL2, IPv4 and UDP.
        sender.send_to(&packet[20 + 20 + 8..], ("127.0.0.1", port)).unwrap();
    }
    sleep(Duration::from_millis(500));
    let ended = collector.stop();
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let flags: Vec<_> = ended.rows().iter().map(|row| row["tcp"]["flag"].clone()).collect();
    assert_eq!(flags, ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN-ACK"]);
    let said: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
    assert_eq!(uint(&said["packets"]), 12);
    balanced(&said);
}

#[test]
fn what_cannot_be_opened_is_told_with_a_remedy() {
    for (args, words) in [
        // Who may not open any interface is told that first.
        (&["-i", "nosuch0"][..], &["nosuch0: cannot open the interface", "; "][..]),
        (&["--source", "udp", "-i", "nosuch0"], &["4789"]),
        (&["--filter", "udp dst dst", "-i", "lo"], &["filter", "pcap-filter"]),
    ] {
        let ran = vtap(&[&["collect"], args].concat());
        assert_eq!(ran.status, 2, "{args:?}: {}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{args:?}: {}", ran.stderr);
        }
    }
}
