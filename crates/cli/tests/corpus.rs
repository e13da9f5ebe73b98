//! The public corpus, read by the binary: every file to its end, every packet counted once, and
//! the same answers with the envelope as without it. `docs/corpus.md` lists what differs from
//! other readers, and is what these tests go by.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{Sample, corpus, each, options, replay, sum, tap, trace, uint, vtap};
use serde_json::Value;
use vtap_capture::{File, Source};
use vtap_packet::{LinkType, Timestamp};

/// The rows of the table of `docs/corpus.md` under this heading, by their first cell.
fn documented(heading: &str) -> BTreeMap<String, Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/corpus.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2).map(|line| {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`'));
        let mut cells = cells.map(ToOwned::to_owned);
        (cells.next().unwrap(), cells.collect())
    });
    let rows: BTreeMap<_, _> = rows.collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

/// What holds for the summary of any run.
fn assert_laws(name: &str, summary: &Value, rows: &[Value]) {
    let count = |key: &str| uint(&summary[key]);
    let fragments = |key: &str| uint(&summary["fragments"][key]);
    let followed = count("decapsulated") + count("plain");
    assert_eq!(
        count("packets"),
        followed + sum(&summary["skipped"]) + fragments("absorbed"),
        "{name}: every packet in one counter: {summary}"
    );
    assert_eq!(
        followed,
        count("tcp_segments")
            + count("other")
            + count("duplicates")
            + count("forwarded")
            + sum(&summary["flow_skipped"]),
        "{name}: every frame in one counter: {summary}"
    );
    assert_eq!(
        fragments("seen"),
        fragments("completed") + fragments("absorbed"),
        "{name}: every fragment in one counter: {summary}"
    );
    let gave_up = fragments("timed_out") + fragments("overlapped") + fragments("evicted");
    assert!(gave_up <= fragments("absorbed"), "{name}: {summary}");

    let mut written = BTreeMap::new();
    let (mut invalid, mut asymmetric) = (0, 0);
    for row in rows {
        let tcp = &row["tcp"];
        *written.entry(tcp["flag"].as_str().unwrap()).or_insert(0) += 1;
        if tcp["reason"] == "asymmetric" {
            asymmetric += 1;
        } else if tcp["flag"] == "INVALID" {
            invalid += tcp["suppressed"].as_u64().unwrap_or(1);
        }
    }
    for (flag, count) in summary["events"].as_object().unwrap() {
        let rows = written.get(flag.as_str()).copied().unwrap_or(0);
        assert_eq!(uint(count), rows, "{name}: each {flag} counted is a row: {summary}");
    }
    // Of a one-way flow, one row stands for all packets.
    let one_way = summary["invalid"]["asymmetric"].as_u64().unwrap_or(0);
    assert!(asymmetric <= one_way, "{name}: {summary}");
    assert_eq!(
        sum(&summary["invalid"]) - one_way,
        invalid,
        "{name}: each INVALID segment is a row, or counted in one: {summary}"
    );
    assert!(sum(&summary["invalid"]) <= count("tcp_segments"), "{name}: {summary}");
}

#[test]
fn every_file_is_read_to_its_end_and_the_laws_hold() {
    let Some(samples) = corpus() else { return };
    let damaged = documented("Damaged files");
    each(&samples, |Sample { path, name, .. }| {
        let mut packets = Vec::new();
        for more in [&[][..], &["--plain"], &["--plain", "--profile", "linux"]] {
            let (rows, summary, ran) = replay(&[options(name), more].concat(), path);
            assert_laws(name, &summary, &rows);
            packets.push(uint(&summary["packets"]));

            let found = |key: &str| !summary[key].as_array().unwrap().is_empty();
            let what = if found("damaged") { "damaged" } else { "cut" };
            let expected = match damaged.get(name) {
                Some(cells) => (cells[0].parse().unwrap(), cells[1].as_str(), true),
                None => (0, what, false),
            };
            assert_eq!(
                (ran.status, what, found("damaged") || found("cut")),
                expected,
                "{name}: {summary}"
            );
            assert!(!found("unreadable"), "{name}: {summary}");
        }
        assert!(packets.windows(2).all(|pair| pair[0] == pair[1]), "{name}: {packets:?}");
    });
}

#[test]
fn packet_counts_are_those_of_the_manifest_or_explained() {
    let Some(samples) = corpus() else { return };
    let mut explained = documented("Packet counts");
    for Sample { path, name, packets, packets_tshark, .. } in &samples {
        let (_, summary, _) = replay(&[], path);
        let counts = [uint(&summary["packets"]), *packets, *packets_tshark];
        match explained.remove(name) {
            Some(cells) => assert_eq!(cells[..3], counts.map(|n| n.to_string()), "{name}"),
            None => assert_eq!(counts, [*packets; 3], "{name}: vtap, manifest, tshark"),
        }
    }
    assert!(explained.is_empty(), "not in the corpus: {explained:?}");
}

#[test]
fn trace_has_a_row_for_each_packet_whatever_it_was() {
    let Some(samples) = corpus() else { return };
    each(&samples, |Sample { path, name, .. }| {
        for more in [&[][..], &["--plain"]] {
            let options = [options(name), more].concat();
            let (_, summary, _) = replay(&options, path);
            let rows = trace(&options, path);
            let numbers: Vec<u64> = rows.iter().map(|row| uint(&row["packet"])).collect();
            let all: Vec<u64> = (1..=uint(&summary["packets"])).collect();
            assert_eq!(numbers, all, "{name}: in order, each once");

            // ICMP can be INVALID as well, which is no event.
            let is_invalid = |row: &&Value| row["verdict"] == "INVALID" && row["proto"] == "TCP";
            let invalid = rows.iter().filter(is_invalid).count() as u64;
            assert_eq!(invalid, sum(&summary["invalid"]), "{name}: {summary}");
            let mirrored = rows.iter().filter(|row| !row["tunnel"].is_null()).count() as u64;
            assert_eq!(mirrored, uint(&summary["decapsulated"]), "{name}");
        }
    });
}

/// A packet of a capture, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    time: Timestamp,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

fn read(path: &Path) -> Vec<Read> {
    let mut file = File::open(path).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = file.next().unwrap() {
        let (time, link, wire_len) = (packet.time, packet.link, packet.wire_len);
        packets.push(Read { time, link, wire_len, data: packet.data.to_vec() });
    }
    assert!(file.damage().is_empty(), "{}: {:?}", path.display(), file.damage());
    packets
}

/// Captures with mirrored packets, here and in the corpus.
fn mirrored() -> Vec<PathBuf> {
    let samples = corpus().unwrap_or_default().into_iter().map(|sample| sample.path);
    tap().into_iter().chain(samples).collect()
}

fn decap(options: &[&str], path: &Path, out: &Path) -> Value {
    let summary = out.with_extension("json");
    let mut args = vec!["decap".as_ref(), path.as_os_str(), "-o".as_ref(), out.as_os_str()];
    args.extend(["--summary".as_ref(), summary.as_os_str()]);
    args.extend(options.iter().map(std::ffi::OsStr::new));
    let ran = vtap(&args);
    assert!(ran.status < 2, "{}: {}", path.display(), ran.stderr);
    serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap()
}

#[test]
fn decap_writes_each_frame_once_with_its_bytes_and_its_time() {
    each(&mirrored(), |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pcap = folder.path().join("out.pcap");
        let pcapng = folder.path().join("out.pcapng");
        let summary = decap(options(name), path, &pcap);
        decap(options(name), path, &pcapng);
        let frames = read(&pcapng);
        assert_eq!(frames.len() as u64, uint(&summary["decapsulated"]), "{name}");
        assert_eq!(read(&pcap), frames, "{name}: both formats hold the same");
        let bytes: u64 = frames.iter().map(|frame| u64::from(frame.wire_len)).sum();
        assert_eq!(bytes, uint(&summary["inner_bytes"]), "{name}");
        if frames.is_empty() {
            return;
        }

        // A frame is where it was in its packet, behind everything but padding.
        let packets = if name.ends_with(".pcap") { File::open(path).unwrap() } else { return };
        let mut packets = packets;
        let rows = trace(options(name), path);
        let mut expected = frames.iter();
        for row in rows {
            let packet = packets.next().unwrap().unwrap();
            if row["tunnel"].is_null() {
                continue;
            }
            let frame = expected.next().unwrap();
            assert_eq!(frame.time, packet.time, "{name}");
            let at = packet.data.windows(frame.data.len()).rposition(|part| part == frame.data);
            assert!(at.is_some(), "{name}: packet {}", packet.number);
        }
        assert_eq!(expected.next(), None, "{name}");
    });
}

#[test]
fn frames_without_their_envelopes_make_the_same_events() {
    each(&mirrored(), |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.pcapng");
        let summary = decap(options(name), path, &out);
        // Which of the frames a packet became.
        let is_mirrored = |row: &&Value| !row["tunnel"].is_null();
        let rows = trace(options(name), path);
        let numbers: BTreeMap<u64, u64> =
            (rows.iter().filter(is_mirrored)).map(|row| uint(&row["packet"])).zip(1..).collect();

        // Without envelopes there are neither VNIs nor taps.
        let followed = ["--fold-vni", "--dedup-window", "0"];
        let folded = [options(name), &followed].concat();
        let (mut before, counts_before, _) = replay(&folded, path);
        if uint(&counts_before["gaps"]) + uint(&counts_before["egress_only"]) > 0 {
            // Told from what only the envelopes say.
            assert!(["gap.pcap", "snat-egress.pcap"].contains(&name), "{name}");
            return;
        }
        for event in &mut before {
            let event = event.as_object_mut().unwrap();
            assert!(event.remove("tunnel").is_some(), "{name}");
            event.remove("taps");
            event["packet"] = numbers[&uint(&event["packet"])].into();
        }
        let (after, counts_after, _) = replay(&[&["--plain"], &followed[..]].concat(), &out);
        assert_eq!(uint(&counts_after["packets"]), uint(&summary["decapsulated"]), "{name}");
        assert_eq!(before, after, "{name}");
        for count in ["tcp_segments", "flows", "midstream", "events", "invalid", "offloaded"] {
            assert_eq!(counts_before[count], counts_after[count], "{name}: {count}");
        }
    });
}
