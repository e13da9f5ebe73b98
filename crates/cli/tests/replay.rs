//! `vtap replay` and what is around it, as a user meets it: what it prints for each capture of
//! `testdata`, where results and summaries go, and how it ends.
//!
//! Golden files are in `testdata/golden`; `VTAP_BLESS=1 cargo test` writes them again. Read them
//! against `tshark -r` before they are committed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{captures, ended, gather, records, replay, run, tap, uint, vtap};
use serde_json::Value;
use vtap_testkit::data::testdata;
use vtap_testkit::{frame, tools, traffic};

fn http() -> PathBuf {
    testdata("tap/http.pcap")
}

fn flags(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["tcp"]["flag"].as_str().unwrap()).collect()
}

fn strings<'a>(args: &[&'a str], path: &'a Path) -> Vec<&'a str> {
    let mut args = args.to_vec();
    args.push(path.to_str().unwrap());
    args
}

/// Compares with a golden file, or writes it.
#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = testdata("golden").join(name);
    if std::env::var_os("VTAP_BLESS").is_some() {
        fs::create_dir_all(testdata("golden")).unwrap();
        return fs::write(path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{}: expected\n{golden}\nfound\n{text}", path.display());
}

#[test]
fn every_capture_replays_to_the_rows_of_its_golden_file() {
    let mut names = BTreeSet::new();
    for path in tap().into_iter().chain(captures(&testdata("azure"))) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let ran = vtap(&strings(&["replay"], &path));
        assert_eq!(ran.status, 0, "{name}: {}", ran.stderr);
        assert_golden(&format!("{name}.txt"), ran.text());
        names.insert(format!("{name}.txt"));
    }
    for name in ["http", "asymmetric", "both-ends", "snat-egress", "gap"] {
        let path = testdata(&format!("tap/{name}.pcap"));
        let ran = vtap(&strings(&["replay", "--format", "json"], &path));
        assert_golden(&format!("{name}.json"), ran.text());
        names.insert(format!("{name}.json"));
    }
    let networks = testdata("networks.toml");
    for name in
        ["http", "refused", "gap", "snat-egress", "both-ends", "icmp-unreachable", "two-routers"]
    {
        let path = testdata(&format!("tap/{name}.pcap"));
        let options = ["replay", "--logs", "flows", "--networks", networks.to_str().unwrap()];
        let ran = vtap(&strings(&options, &path));
        assert_eq!(ran.status, 0, "{name}: {}", ran.stderr);
        assert_golden(&format!("{name}.flows.txt"), ran.text());
        names.insert(format!("{name}.flows.txt"));
    }
    let path = testdata("tap/two-routers.pcap");
    let options = ["replay", "--logs", "flows", "--format", "json", "--networks"];
    let ran = vtap(&strings(&[&options[..], &[networks.to_str().unwrap()]].concat(), &path));
    assert_golden("two-routers.flows.jsonl", ran.text());
    names.insert("two-routers.flows.jsonl".to_owned());
    let files = fs::read_dir(testdata("golden")).unwrap();
    let files: BTreeSet<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, names, "golden files, and captures that have one");
}

#[test]
fn a_complete_connection_is_shown_from_syn_to_the_answer_to_the_last_fin() {
    let complete = ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN-ACK"];
    for name in ["http", "http-sll", "http-ethernet", "ipv6", "ipv6-outer", "ssh"] {
        let (rows, summary, ran) = replay(&[], &testdata(&format!("tap/{name}.pcap")));
        assert_eq!(flags(&rows), complete, "{name}");
        assert_eq!(ran.status, 0, "{name}");
        assert!(summary["invalid"].as_object().unwrap().is_empty(), "{name}: {summary}");
        assert!(rows.iter().all(|row| row["tunnel"]["vni"] == 27), "{name}");
    }
}

#[test]
fn a_half_that_closes_early_has_a_fin_of_its_own() {
    for name in ["half-closed", "snaplen", "snaplen-options"] {
        let (rows, ..) = replay(&[], &testdata(&format!("tap/{name}.pcap")));
        let flags = flags(&rows);
        assert_eq!(flags, ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN", "FIN-ACK"], "{name}");
    }
}

#[test]
fn an_asymmetric_flow_is_invalid_once_and_says_whose_packets_are_missing() {
    for (name, side, missing) in
        [("asymmetric", "client", "server"), ("asymmetric-reply", "server", "client")]
    {
        let (rows, ..) = replay(&[], &testdata(&format!("tap/{name}.pcap")));
        let rows: Vec<_> = rows.iter().filter(|row| row["tcp"]["reason"] == "asymmetric").collect();
        let flows: BTreeSet<_> = rows.iter().map(|row| row["community_id"].as_str()).collect();
        assert_eq!((rows.len(), flows.len()), (3, 3), "{name}");
        for row in rows {
            let tcp = &row["tcp"];
            assert_eq!(tcp["flag"], "INVALID", "{name}");
            assert_eq!((&tcp["side"], &tcp["missing"]), (&side.into(), &missing.into()), "{name}");
        }
    }
}

/// Without what depends on the machine, and the name of the file.
fn events_and_counts(args: &[&str], input: Option<Vec<u8>>) -> (Vec<Value>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
    command.args(["replay", "--format", "json", "--summary", "json"]).args(args);
    let ran = run(&mut command, input);
    assert_eq!(ran.status, 0, "{args:?}: {}", ran.stderr);
    let mut lines = ran.stderr.lines();
    let summary = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(lines.next(), None, "the summary is all there is on standard error");
    (ran.rows(), summary)
}

#[test]
fn every_container_gives_the_same_events_and_counts() {
    let original = events_and_counts(&[http().to_str().unwrap()], None);
    assert_eq!(flags(&original.0).len(), 6);
    for name in ["tap/http.pcapng", "tap/http.pcap.gz", "tap/http.pcap.zst", "tap/http.pcap"] {
        let path = testdata(name);
        assert_eq!(events_and_counts(&[path.to_str().unwrap()], None), original, "{name}");
        let bytes = fs::read(&path).unwrap();
        assert_eq!(events_and_counts(&["-"], Some(bytes.clone())), original, "{name}, piped");

        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let writer = std::thread::spawn({
            let fifo = fifo.clone();
            move || fs::write(fifo, bytes).unwrap()
        });
        let from_fifo = events_and_counts(&[fifo.to_str().unwrap()], None);
        assert_eq!(from_fifo, original, "{name}, from a FIFO");
        writer.join().unwrap();
    }
}

/// Deals the packets of a little-endian pcap out to two files, in turn.
fn deal(pcap: &[u8]) -> [Vec<u8>; 2] {
    let (header, mut rest) = pcap.split_at(24);
    let mut files = [header.to_vec(), header.to_vec()];
    let mut turn = 0;
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (record, after) = rest.split_at(16 + len);
        files[turn % 2].extend(record);
        rest = after;
        turn += 1;
    }
    files
}

#[test]
fn several_files_directories_and_patterns_are_merged_by_time() {
    let whole = events_and_counts(&[http().to_str().unwrap()], None);
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = deal(&fs::read(http()).unwrap());
    let (a, b) = (folder.path().join("a.pcap"), folder.path().join("b.pcap"));
    fs::write(&a, first).unwrap();
    fs::write(&b, second).unwrap();
    fs::write(folder.path().join("notes.txt"), "what was captured where, and why").unwrap();
    fs::create_dir(folder.path().join("older")).unwrap();

    let [folder, a, b] = [folder.path(), &a, &b].map(|path| path.to_str().unwrap());
    let pattern = format!("{folder}/[ab].pcap");
    for inputs in [&[a, b][..], &[b, a], &[folder], &[&pattern]] {
        assert_eq!(events_and_counts(inputs, None), whole, "{inputs:?}");
    }
    let other = fs::read(b).unwrap();
    assert_eq!(events_and_counts(&["-", a], Some(other)), whole, "a pipe beside a file");
}

#[test]
fn a_directory_gets_a_file_of_events_in_the_format_and_one_of_flows_and_standard_output_nothing() {
    for (format, name) in
        [("text", "events.txt"), ("json", "events.json"), ("azure", "flow-trace.json")]
    {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/out");
        let path = http();
        let to_stdout = vtap(&strings(&["replay", "--format", format], &path));
        let args = ["replay", "--format", format, "--out", out.to_str().unwrap()];
        let ran = vtap(&strings(&args, &path));
        assert_eq!((ran.status, ran.text()), (0, ""), "{}", ran.stderr);
        let files: BTreeSet<_> = fs::read_dir(&out)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files, BTreeSet::from([name.to_owned(), "flows.jsonl".to_owned()]));
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), to_stdout.text());
        let flows = vtap(&strings(&["replay", "--format", "json", "--logs", "flows"], &path));
        assert_eq!(fs::read_to_string(out.join("flows.jsonl")).unwrap(), flows.text());
    }
}

#[test]
fn flags_choose_rows_and_change_no_counter() {
    let (all, whole, _) = replay(&[], &http());
    for (wanted, expected) in [
        ("SYN,FIN-ACK", &["SYN", "FIN-ACK", "FIN-ACK"][..]),
        ("fin", &["FIN"]),
        ("INVALID", &[]),
        ("none", &[]),
        ("all", &["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN-ACK"]),
    ] {
        let (rows, summary, _) = replay(&["--flags", wanted], &http());
        assert_eq!(flags(&rows), expected, "{wanted}");
        assert!(rows.iter().all(|row| all.contains(row)), "{wanted}");
        assert_eq!(summary, whole, "{wanted}");
    }
}

#[test]
fn retransmissions_are_rows_on_request_only() {
    let path = testdata("conntrack/022_syn_retransmit.pcap");
    let (quiet, summary, _) = replay(&["--plain"], &path);
    let (rows, same, _) = replay(&["--plain", "--retransmissions"], &path);
    let is_repeated = |row: &&Value| row["tcp"]["retransmission"] == true;
    let repeated = rows.iter().filter(is_repeated).count() as u64;
    assert!(repeated > 0 && repeated == uint(&summary["retransmissions"]), "{summary}");
    assert_eq!(quiet, rows.into_iter().filter(|row| !is_repeated(&row)).collect::<Vec<_>>());
    assert_eq!(summary, same);
}

#[test]
fn the_azure_shape_is_that_of_the_firewall_to_the_letter() {
    let path = http();
    let ran = vtap(&strings(&["replay", "--format", "azure"], &path));
    let row = |time: &str, src: (&str, u16), dst: (&str, u16), flag: &str| {
        format!(
            "{{\"time\":\"2026-11-22T02:43:{time}Z\",\"category\":\"AZFWFlowTrace\",\
             \"resourceId\":\"/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS\
             /VTAP/PROVIDERS/MICROSOFT.NETWORK/AZUREFIREWALLS/VTAP\",\"properties\":{{\
             \"Protocol\":\"TCP\",\"SourceIp\":\"{}\",\"SourcePort\":{},\
             \"DestinationIp\":\"{}\",\"DestinationPort\":{},\"Flag\":\"{flag}\",\
             \"Action\":\"Log\",\"ActionReason\":\"Additional TCP Log\"}}}}\n",
            src.0, src.1, dst.0, dst.1,
        )
    };
    let (client, server) = (("10.0.2.4", 40080), ("10.0.2.6", 80));
    let expected = [
        row("08.6089763", server, client, "SYN-ACK"),
        row("08.7698749", server, client, "FIN"),
        row("08.7700371", client, server, "FIN-ACK"),
        row("08.7700886", server, client, "FIN-ACK"),
    ];
    assert_eq!(ran.text(), expected.concat());

    let named = ["replay", "--format", "azure", "--flags", "SYN", "--resource-id", "/MY/FIREWALL"];
    let ran = vtap(&strings(&named, &path));
    let rows = ran.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["properties"]["Flag"], "SYN");
    assert_eq!(rows[0]["resourceId"], "/MY/FIREWALL");
}

#[test]
fn the_summary_goes_where_it_was_asked_to_go() {
    let path = http();
    let (_, from_file, ran) = replay(&[], &path);
    assert_eq!(ran.stderr, "", "a whole file leaves nothing to say");
    let ran = vtap(&strings(&["replay", "--format", "none", "--summary", "json"], &path));
    assert_eq!(serde_json::from_str::<Value>(&ran.stderr).unwrap(), from_file);
    assert_eq!(ran.text(), "");

    let ran = vtap(&strings(&["replay", "--summary", "text"], &path));
    for row in [
        "packets         12 read, 1.6 KiB, in ",
        "decapsulated    12, 995 bytes inside\n",
        "flows           1\n",
        "TCP segments    10, 10 with checksums left to the NIC\n",
        "not tracked     not-ip 2\n",
        "events          SYN 1, SYN-ACK 1, ACK 1, FIN 1, FIN-ACK 2\n",
    ] {
        assert!(ran.stderr.contains(row), "{row:?} is not in\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains('\x1b'), "no colour where no terminal is");
}

#[test]
fn a_capture_without_mirrored_packets_is_told_what_to_add() {
    let path = testdata("tap/nic/http-nic.pcap");
    let ran = vtap(&strings(&["replay"], &path));
    assert_eq!(ran.status, 0);
    assert!(ran.stderr.contains("No mirrored packet was found; 12 are not mirrored."));
    assert!(ran.stderr.contains("--plain") && ran.stderr.contains("--port"), "{}", ran.stderr);

    let ran = vtap(&strings(&["replay", "--plain", "--format", "json"], &path));
    assert_eq!(flags(&ran.rows()), ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN-ACK"]);
    assert!(!ran.stderr.contains("No mirrored packet"), "{}", ran.stderr);
}

/// Where the record of packet `number` begins, in bytes.
fn record(pcap: &[u8], number: usize) -> usize {
    (1..number).fold(24, |at, _| {
        at + 16 + u32::from_le_bytes(pcap[at + 8..at + 12].try_into().unwrap()) as usize
    })
}

#[test]
fn a_file_that_ends_inside_a_packet_is_read_that_far_and_is_no_failure() {
    let whole = fs::read(http()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pcap");
    let end_of_five = record(&whole, 6);
    for (len, packets, cut) in
        [(end_of_five, 5, 0), (end_of_five + 1, 5, 1), (end_of_five + 40, 5, 1), (24, 0, 0)]
    {
        fs::write(&path, &whole[..len]).unwrap();
        let (rows, summary, ran) = replay(&[], &path);
        assert_eq!((ran.status, uint(&summary["packets"])), (0, packets), "{len}: {summary}");
        assert_eq!(summary["cut"].as_array().unwrap().len(), cut, "{len}: {summary}");
        assert_eq!(summary["damaged"].as_array().unwrap().len(), 0, "{len}: {summary}");
        assert_eq!(rows.len(), if packets == 5 { 3 } else { 0 });
    }
}

#[test]
fn a_damaged_file_is_read_around_the_damage_and_the_status_tells() {
    let mut bytes = fs::read(http()).unwrap();
    let at = record(&bytes, 7);
    // A length that no packet has, in the middle, and the end is missing as well.
    bytes[at + 8..at + 12].copy_from_slice(&0xffff_ff00_u32.to_le_bytes());
    bytes.truncate(bytes.len() - 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pcap");
    fs::write(&path, &bytes).unwrap();
    let (rows, summary, ran) = replay(&[], &path);
    assert_eq!(ran.status, 1);
    assert_eq!(flags(&rows)[..3], ["SYN", "SYN-ACK", "ACK"]);
    let damaged = &summary["damaged"][0];
    assert_eq!(damaged["file"], path.to_str().unwrap());
    assert_eq!(damaged["offset"], at as u64);
    assert!(damaged["what"].as_str().unwrap().contains("4294967040 bytes"), "{damaged}");
    assert!(ran.stderr.contains(&format!("{}: byte {at}: ", path.display())), "{}", ran.stderr);

    // The other commands end alike.
    let out = folder.path().join("out.pcap");
    let [path, out] = [&path, &out].map(|path| path.to_str().unwrap());
    assert_eq!(vtap(&["trace", path]).status, 1);
    assert_eq!(vtap(&["decap", path, "-o", out]).status, 1);
}

#[test]
fn compressed_data_that_does_not_unpack_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["http.pcap.gz", "http.pcap.zst"] {
        let mut bytes = fs::read(testdata(&format!("tap/{name}"))).unwrap();
        let path = folder.path().join(name);
        let middle = bytes.len() / 2;
        fs::write(&path, &bytes[..middle]).unwrap();
        let (_, summary, ran) = replay(&[], &path);
        assert_eq!((ran.status, summary["cut"].as_array().unwrap().len()), (0, 1), "{summary}");
        for byte in &mut bytes[middle..middle + 40] {
            *byte = !*byte;
        }
        fs::write(&path, &bytes).unwrap();
        let (_, summary, ran) = replay(&[], &path);
        let damaged = summary["damaged"].as_array().unwrap().len();
        assert_eq!((ran.status, damaged), (1, 1), "{name}: {summary}");
    }
}

#[test]
fn what_cannot_be_opened_ends_with_2_alone_and_with_1_beside_what_can() {
    let good = http();
    let good = good.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let pattern = format!("{empty}/*.pcap");
    let no_capture = testdata("README.md");
    let no_capture = no_capture.to_str().unwrap();
    for bad in ["/no/such/file.pcap", no_capture, empty, &pattern] {
        for command in ["replay", "trace"] {
            let ran = vtap(&[command, bad]);
            assert_eq!(ran.status, 2, "{command} {bad}: {}", ran.stderr);
            assert!(ran.stderr.contains(bad), "{}", ran.stderr);
        }
        let ran = vtap(&["replay", "--format", "json", good, bad]);
        assert_eq!((ran.status, ran.rows().len()), (1, 6), "{bad}: {}", ran.stderr);
        assert!(ran.stderr.contains(bad), "{}", ran.stderr);
    }
    let ran = vtap(&["replay", "/no/such/file", "/nor/this"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("/no/such/file") && ran.stderr.contains("/nor/this"));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    let path = http();
    let path = path.to_str().unwrap();
    for (args, says) in [
        (&["replay"][..], "FILE"),
        (&["replay", path, "--flags", "SYNACK"], "SYN-ACK"),
        (&["replay", path, "--format", "xml"], "json"),
        (&["replay", path, "--speed", "fast"], "10x"),
        (&["replay", path, "--warm-up", "soon"], "ms, s, m or h"),
        (&["replay", path, "--profile", "bsd"], "linux"),
        (&["replay", path, "--no-such-option"], "--no-such-option"),
        (&["replay", path, "--out", "/dev/null/x"], "/dev/null/x"),
        (&["decap", path], "--output"),
        (&["decap", path, "-o", "/no/such/folder/x.pcap"], "/no/such/folder/x.pcap"),
        (&["translate"], "translate"),
    ] {
        let ran = vtap(args);
        assert_eq!(ran.status, 2, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.text(), "", "{args:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["--version"], &["replay", "--help"], &["help", "decap"]] {
        let ran = vtap(args);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{args:?}");
        assert!(!ran.text().is_empty(), "{args:?}");
    }
}

#[cfg(feature = "live")]
#[test]
fn filters_choose_packets_before_the_envelope_comes_off_and_after() {
    let path = testdata("tap/icmp-unreachable.pcap");
    let (rows, summary, _) = replay(&["--filter", "udp port 4789"], &path);
    assert_eq!((uint(&summary["packets"]), uint(&summary["decapsulated"])), (17, 12));
    assert_eq!(summary["skipped"]["outer-filter"], 5);
    assert_eq!(rows, replay(&[], &path).0);

    // The customer's ports are not those of the envelope.
    let (rows, summary, _) = replay(&["--filter", "tcp port 80"], &path);
    assert_eq!((rows.len(), uint(&summary["decapsulated"])), (0, 0), "{summary}");
    let (rows, summary, _) = replay(&["--inner-filter", "tcp port 80"], &path);
    assert_eq!(rows.len(), 6);
    assert_eq!(summary["flow_skipped"]["inner-filter"], 2, "ARP: {summary}");
    let (rows, ..) = replay(&["--inner-filter", "src host 10.0.2.6"], &path);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["src_ip"] == "10.0.2.6"));

    let path = path.to_str().unwrap();
    for option in ["--filter", "--inner-filter"] {
        let ran = vtap(&["replay", option, "tcp prot 80", path]);
        assert_eq!((ran.status, ran.text()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("tcp prot 80"), "{}", ran.stderr);
    }
}

#[cfg(feature = "live")]
#[test]
fn decap_writes_only_what_passes_the_inner_filter() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcap");
    let (path, out_name) = (http(), out.to_str().unwrap());
    let args = ["decap", path.to_str().unwrap(), "-o", out_name, "--inner-filter", "arp"];
    let ran = vtap(&args);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let (_, summary, _) = replay(&["--plain"], &out);
    assert_eq!((uint(&summary["packets"]), uint(&summary["tcp_segments"])), (2, 0), "{summary}");
}

#[test]
fn the_output_is_the_same_with_any_number_of_threads() {
    let frames: Vec<_> = traffic::established(200, 30_000, 100, 3)
        .iter()
        .map(|inner| frame::mirrored(27, inner))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let busy = directory.path().join("busy.pcap");
    fs::write(&busy, frame::pcap(&frames)).unwrap();
    for path in tap().into_iter().chain([busy]) {
        for options in [&["--format", "json"][..], &["--profile", "linux", "--plain"]] {
            let with = |threads: &str| {
                let mut args = vec!["replay", "--summary", "json", "--threads", threads];
                args.extend(options);
                let ran = vtap(&strings(&args, &path));
                let mut summary: Value = serde_json::from_str(&ran.stderr).unwrap();
                summary.as_object_mut().unwrap().remove("seconds");
                (ran.stdout, summary, ran.status)
            };
            let one = with("1");
            for threads in ["2", "8"] {
                assert_eq!(with(threads), one, "{}, {threads} threads", path.display());
            }
        }
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let frames: Vec<_> = traffic::established(4000, 0, 0, 1)
        .iter()
        .map(|frame| frame::mirrored(27, frame))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.pcap");
    fs::write(&path, frame::pcap(&frames)).unwrap();
    for args in [
        &["replay", "--format", "text"][..],
        &["replay", "--format", "json"],
        &["replay", "--format", "azure"],
        &["trace"],
        &["trace", "--format", "json"],
        &["decap", "-o", "-"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
        command.args(args).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = gather(child.stderr.take().unwrap());
        let mut line = Vec::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::with_capacity(64, stdout).read_until(b'\n', &mut line).unwrap();
        assert!(!line.is_empty(), "{args:?}");
        // Standard output is closed by now.
        assert_eq!(ended(child), 0, "{args:?}");
        let stderr = String::from_utf8(stderr.recv().unwrap()).unwrap();
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn a_replay_at_recorded_speed_gives_the_same_events() {
    let (events, counts, _) = replay(&[], &http());
    for speed in ["1x", "20x", "0.9x"] {
        let (paced, same, _) = replay(&["--speed", speed], &http());
        assert_eq!((paced, same), (events.clone(), counts.clone()), "{speed}");
    }
}

#[test]
fn decap_writes_to_standard_output_what_it_writes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcap");
    let path = http();
    let path = path.to_str().unwrap();
    assert_eq!(vtap(&["decap", path, "-o", out.to_str().unwrap()]).status, 0);
    assert_eq!(vtap(&["decap", path, "-o", "-"]).stdout, fs::read(out).unwrap());
}

#[test]
fn decap_gives_the_frames_of_the_tapped_nic_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcap");
    let path = http();
    vtap(&["decap", path.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let frames =
        |path: &Path| -> Vec<_> { records(path).into_iter().map(|(_, frame)| frame).collect() };
    let nic = frames(&testdata("tap/nic/http-nic.pcap"));
    assert_eq!((nic.len(), frames(&out)), (12, nic));
}

#[test]
fn decap_refuses_to_empty_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.pcap");
    let bytes = fs::read(http()).unwrap();
    fs::write(&input, &bytes).unwrap();
    let link = folder.path().join("link.pcap");
    std::os::unix::fs::symlink(&input, &link).unwrap();
    for out in [&input, &link] {
        let [input, out] = [&input, out].map(|path| path.to_str().unwrap());
        let ran = vtap(&["decap", input, "-o", out]);
        assert_eq!(ran.status, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("is an input as well"), "{}", ran.stderr);
        assert_eq!(fs::read(input).unwrap(), bytes);
    }
}

#[test]
fn decap_refuses_to_empty_an_input_that_was_not_named_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(http()).unwrap();
    let [a, b, hard] = ["a.pcap", "b.pcap", "hard.pcap"].map(|name| folder.path().join(name));
    let pattern = folder.path().join("[ab].pcap");
    for input in [folder.path(), &pattern, &b] {
        for path in [&a, &b] {
            fs::write(path, &bytes).unwrap();
        }
        let _ = fs::hard_link(&b, &hard);
        let out = if input == b { &hard } else { &b };
        let args = ["decap", input.to_str().unwrap(), "-o", out.to_str().unwrap()];
        let ran = vtap(&args);
        assert!(fs::read(&b).unwrap() == bytes, "{args:?} has overwritten its input");
        assert_eq!(ran.status, 2, "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_summary_does_not_overwrite_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.pcap");
    let bytes = fs::read(http()).unwrap();
    fs::write(&input, &bytes).unwrap();
    let input = input.to_str().unwrap();
    let ran = vtap(&["replay", input, "--summary", input]);
    assert!(fs::read(input).unwrap() == bytes, "the capture is gone: {}", ran.stderr);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
}

#[test]
fn completions_are_scripts_that_their_shells_accept() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = vtap(&["completions", shell]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        for word in ["replay", "decap", "inner-filter", "summary"] {
            let without_filters = word == "inner-filter" && !cfg!(feature = "live");
            assert!(without_filters || ran.text().contains(word), "{shell}: {word}");
        }
        if tools::find(shell).is_some() {
            let checked = run(Command::new(shell).arg("-n"), Some(ran.stdout));
            assert_eq!((checked.status, checked.stderr.as_str()), (0, ""), "{shell}");
        }
    }
    assert_eq!(vtap(&["completions", "cmd"]).status, 2);
}

#[test]
fn the_manual_page_renders_without_a_complaint_and_tells_every_command() {
    let page = vtap(&["man"]);
    assert_eq!(page.status, 0);
    if !tools::installed(&["groff"]) {
        return;
    }
    let mut groff = Command::new("groff");
    groff.args(["-man", "-Tascii", "-ww", "-P-cbou", "-rLL=100n"]);
    let rendered = run(&mut groff, Some(page.stdout));
    assert_eq!((rendered.status, rendered.stderr.as_str()), (0, ""));
    for words in ["NAME", "SYNOPSIS", "vtap replay", "vtap trace", "vtap decap", "--warm-up"] {
        assert!(rendered.text().contains(words), "{words} is not in\n{}", rendered.text());
    }
}
