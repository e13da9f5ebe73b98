//! `vtap compare`, as a user meets it: a capture of the tapped NIC against the mirror's, whole and
//! after things have happened to it.

#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ran, records, sum, uint, vtap};
use serde_json::{Value, json};
use vtap_testkit::data::testdata;
use vtap_testkit::frame;

fn nic() -> PathBuf {
    testdata("tap/nic/http-nic.pcap")
}

fn http() -> PathBuf {
    testdata("tap/http.pcap")
}

/// Bytes of a mirrored frame of `http.pcap` before the customer's IP header: LINUX_SLL2, IPv4,
/// UDP, VXLAN, Ethernet.
const IP: usize = 20 + 20 + 8 + 8 + 14;

fn compare(options: &[&str], source: &Path, tap: &Path) -> Ran {
    let mut args = vec!["compare", source.to_str().unwrap(), tap.to_str().unwrap()];
    args.extend(options);
    vtap(&args)
}

#[track_caller]
fn json_of(options: &[&str], source: &Path, tap: &Path) -> Value {
    let options = [options, &["--format", "json"]].concat();
    let ran = compare(&options, source, tap);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let uints = |keys: &[&str]| keys.iter().map(|key| uint(&report[key])).sum::<u64>();
    let side = |name: &str| (uint(&report[name]["packets"]), sum(&report[name]["skipped"]));
    let (packets, skipped) = side("source");
    assert_eq!(packets, uints(&["mirrored", "lost", "before", "after"]) + skipped);
    let (packets, skipped) = side("tap");
    assert_eq!(packets, uints(&["mirrored_frames", "duplicated", "extra"]) + skipped);
    report
}

type Record = ((u32, u32), Vec<u8>);

/// Writes `http.pcap` again after something was done to its records.
fn harmed(folder: &Path, harm: impl FnOnce(&mut Vec<Record>)) -> PathBuf {
    let mut records = records(&http());
    harm(&mut records);
    let mut file = fs::read(http()).unwrap()[..24].to_vec();
    for ((seconds, fraction), data) in records {
        let len = data.len() as u32;
        for word in [seconds, fraction, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(data);
    }
    let path = folder.join("harmed.pcap");
    fs::write(&path, file).unwrap();
    path
}

fn nanos(((seconds, fraction), _): &Record) -> i64 {
    i64::from(*seconds) * 1_000_000_000 + i64::from(*fraction)
}

#[test]
fn a_mirror_that_does_nothing_wrong_is_told_in_full() {
    let report = json_of(&[], &nic(), &http());
    let (source, tap) = (records(&nic()), records(&http()));
    let mut delays: Vec<_> =
        tap.iter().zip(&source).map(|(tap, source)| nanos(tap) - nanos(source)).collect();
    delays.sort_unstable();
    // Nearest rank, of 12: the 6th, and the 12th from 92 % on.
    let (min, median, p90, max) = (delays[0], delays[5], delays[10], delays[11]);
    let mean = delays.iter().sum::<i64>() / 12;
    let time = |seconds: u32, fraction: u32| {
        let time = vtap_packet::Timestamp::new(seconds.into(), fraction.into());
        time.to_string()
    };
    let side = |path: &Path, records: &[Record], decapsulated: u64| {
        let ends = [records.first(), records.last()].map(|record| {
            let ((seconds, fraction), _) = record.unwrap();
            time(*seconds, *fraction)
        });
        json!({
            "file": path.to_str().unwrap(),
            "packets": 12,
            "decapsulated": decapsulated,
            "first": ends[0],
            "last": ends[1],
            "skipped": {},
        })
    };
    let expected = json!({
        "vtap": env!("CARGO_PKG_VERSION"),
        "source": side(&nic(), &source, 0),
        "tap": side(&http(), &tap, 12),
        "mirrored": 12,
        "mirrored_frames": 12,
        "resegmented": { "packets": 0, "frames": 0 },
        "lost": 0,
        "lost_bytes": 0,
        "lost_partly": 0,
        "before": 0,
        "after": 0,
        "duplicated": 0,
        "extra": 0,
        "extra_outside": 0,
        "reordered": { "packets": 0, "within_flow": 0, "largest_extent": 0, "packet": null },
        "altered": { "packets": 0, "offloaded": 0, "kinds": {} },
        "delay_ns": {
            "min": min, "median": median, "p90": p90, "p99": max, "max": max, "mean": mean,
        },
        "jitter_ns": {
            "median": median - min, "p90": p90 - min, "p99": max - min, "max": max - min,
            "mean": mean - min,
        },
        "bursts": { "count": 0, "longest": null },
        "lost_flows": [],
        "lost_flows_unlisted": 0,
        "lost_packets": [],
        "lost_packets_unlisted": 0,
    });
    assert_eq!(report, expected);
}

#[test]
fn a_loss_is_told_with_its_packets_flows_and_bursts() {
    let folder = tempfile::tempdir().unwrap();
    // The handshake's ACK and the request, and the client's last packet but one.
    let tap = harmed(folder.path(), |records| {
        records.drain(4..6);
    });
    let report = json_of(&[], &nic(), &tap);
    assert_eq!((uint(&report["lost"]), uint(&report["mirrored"])), (2, 10));
    assert_eq!(report["bursts"]["count"], 1);
    assert_eq!(report["bursts"]["longest"]["packets"], 2);
    assert_eq!(report["bursts"]["longest"]["packet"], 5);
    let flow = &report["lost_flows"][0];
    assert_eq!(flow["packets"], 2);
    assert_eq!(flow["bytes"], report["lost_bytes"]);
    let packets = report["lost_packets"].as_array().unwrap();
    for (packet, number) in packets.iter().zip([5, 6]) {
        assert_eq!(packet["packet"], number);
        assert_eq!((&packet["src_ip"], &packet["src_port"]), (&"10.0.2.4".into(), &40080.into()));
        assert_eq!((&packet["dest_ip"], &packet["dest_port"]), (&"10.0.2.6".into(), &80.into()));
        assert_eq!(packet["proto"], "TCP");
    }
    assert_eq!((&packets[0]["flags"], &packets[1]["flags"]), (&"A".into(), &"PA".into()));

    let limited = json_of(&["--list", "1"], &nic(), &tap);
    assert_eq!(limited["lost_packets"].as_array().unwrap().len(), 1);
    assert_eq!(limited["lost_packets_unlisted"], 1);

    let ran = compare(&[], &nic(), &tap);
    let text = ran.text();
    assert!(text.starts_with("The mirror lost 2 of 12 packets (16.67 %).\n"), "{text}");
    assert!(text.contains("  TCP 10.0.2.4:40080 > 10.0.2.6:80\n"), "{text}");
    assert!(text.contains(": all 2 in a row, in "), "{text}");
}

#[test]
fn order_copies_and_changes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let tap = harmed(folder.path(), |records| {
        records.swap(5, 6);
        let again = records[8].clone();
        records.insert(9, again);
        records[2].1[IP + 8] -= 1;
        records[3].1[IP + 1] = 0xb8;
        records[4].1[IP - 14..IP - 8].fill(0x12);
    });
    let report = json_of(&[], &nic(), &tap);
    assert_eq!((uint(&report["mirrored"]), uint(&report["duplicated"])), (12, 1));
    assert_eq!(report["reordered"]["packets"], 1);
    assert_eq!(report["reordered"]["largest_extent"], 1);
    assert_eq!(report["altered"]["packets"], 3);
    let kinds = &report["altered"]["kinds"];
    assert_eq!(
        kinds["ttl"],
        json!({
            "packets": 1,
            "examples": [{ "packet": 3, "frame": 3, "before": "64", "after": "63" }],
        })
    );
    assert_eq!(kinds["tos"]["examples"][0]["after"], "0xb8");
    assert_eq!(kinds["mac"]["packets"], 1);
    assert_eq!(kinds.as_object().unwrap().len(), 3);
}

#[test]
fn a_nat_before_the_tap_is_seen_through() {
    let folder = tempfile::tempdir().unwrap();
    let tap = harmed(folder.path(), |records| {
        for (_, frame) in &mut records[2..] {
            for address in [IP + 12, IP + 16] {
                if frame[address..address + 4] == [10, 0, 2, 4] {
                    frame[address..address + 4].copy_from_slice(&[198, 51, 100, 7]);
                }
            }
        }
    });
    let report = json_of(&[], &nic(), &tap);
    assert_eq!((uint(&report["mirrored"]), uint(&report["extra"])), (12, 0));
    let kinds = &report["altered"]["kinds"];
    let example = &kinds["source-address"]["examples"][0];
    assert_eq!(
        (&example["before"], &example["after"]),
        (&"10.0.2.4".into(), &"198.51.100.7".into())
    );
    assert_eq!(
        uint(&kinds["source-address"]["packets"]) + uint(&kinds["destination-address"]["packets"]),
        10
    );
}

#[test]
fn a_capture_that_was_decapsulated_before_needs_plain() {
    let ran = compare(&[], &nic(), &nic());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.text().contains("--plain"), "{}", ran.text());
    let report = json_of(&[], &nic(), &nic());
    assert_eq!(report["tap"]["skipped"], json!({ "not-mirrored": 12 }));
    let report = json_of(&["--plain"], &nic(), &nic());
    assert_eq!((uint(&report["mirrored"]), &report["delay_ns"]["max"]), (12, &0.into()));
}

#[test]
fn other_forms_of_the_same_captures_compare_alike() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner.pcapng");
    let ran = vtap(&["decap", http().to_str().unwrap(), "-o", inner.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    for (source, tap) in [
        (nic(), testdata("tap/http.pcapng")),
        (nic(), testdata("tap/http.pcap.gz")),
        (inner, testdata("tap/http.pcap.zst")),
        (http(), http()),
    ] {
        let report = json_of(&[], &source, &tap);
        assert_eq!((uint(&report["mirrored"]), uint(&report["extra"])), (12, 0));
    }
}

#[test]
fn captures_of_two_sessions_have_nothing_in_common() {
    let ran = compare(&[], &nic(), &testdata("tap/ssh.pcap"));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.text().contains("different times"), "{}", ran.text());
}

#[test]
#[cfg(feature = "live")]
fn an_inner_filter_is_for_both_captures() {
    let report = json_of(&["--inner-filter", "arp"], &nic(), &http());
    assert_eq!(uint(&report["mirrored"]), 2);
    assert_eq!(report["source"]["skipped"], json!({ "inner-filter": 10 }));
    assert_eq!(report["source"]["skipped"], report["tap"]["skipped"]);
}

#[test]
fn fragments_of_the_machine_itself_are_compared_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let [source, tap] = ["source.pcap", "tap.pcap"].map(|name| folder.path().join(name));
    let datagram = frame::udp("10.0.0.4:5000", "10.0.0.6:4000", &[7; 4000]);
    let fragments = frame::fragments(&datagram, 9, 1480);
    let mirrored: Vec<_> = fragments.iter().map(|frame| frame::mirrored(27, frame)).collect();
    fs::write(&source, frame::pcap(&fragments)).unwrap();
    fs::write(&tap, frame::pcap(&mirrored)).unwrap();
    let report = json_of(&[], &source, &tap);
    assert_eq!((uint(&report["mirrored"]), uint(&report["extra"])), (3, 0));
    let report = json_of(&["--plain"], &source, &source);
    assert_eq!((uint(&report["mirrored"]), uint(&report["extra"])), (3, 0));
    if cfg!(feature = "live") {
        let report = json_of(&["--inner-filter", "host 10.0.0.9"], &source, &tap);
        assert_eq!(report["source"]["skipped"], json!({ "inner-filter": 3 }));
    }
}

#[test]
fn what_may_be_among_frames_that_are_cut_too_short_is_not_claimed_lost() {
    let folder = tempfile::tempdir().unwrap();
    // A record of the mirrored request is cut to the inner IP header.
    let tap = folder.path().join("cut.pcap");
    let mut file = fs::read(http()).unwrap();
    let mut at = 24;
    for _ in 0..5 {
        at += 16 + u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    let len = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
    let kept = IP + 20 + 4;
    file[at + 8..at + 12].copy_from_slice(&(kept as u32).to_le_bytes());
    file.drain(at + 16 + kept..at + 16 + len);
    fs::write(&tap, file).unwrap();
    let report = json_of(&[], &nic(), &tap);
    assert_eq!((uint(&report["lost"]), uint(&report["mirrored"])), (1, 11));
    assert_eq!(report["tap"]["skipped"], json!({ "cut-short": 1 }));
    let ran = compare(&[], &nic(), &tap);
    assert!(ran.text().contains("\nUp to 1 of them may be there: "), "{}", ran.text());
}

#[test]
fn damage_is_told_and_what_cannot_be_opened_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.pcap");
    let mut bytes = frame::pcap(&[vec![0; 60], vec![0; 60]]);
    bytes[24 + 8..24 + 16].fill(0xff);
    fs::write(&damaged, bytes).unwrap();
    let ran = compare(&[], &damaged, &http());
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("damaged.pcap"), "{}", ran.stderr);

    for (source, tap, reason) in [
        (Path::new("/nonexistent.pcap"), http(), "/nonexistent.pcap"),
        (&nic(), PathBuf::from("/nonexistent.pcap"), "/nonexistent.pcap"),
        (Path::new("-"), PathBuf::from("-"), "not both"),
    ] {
        let ran = compare(&[], source, &tap);
        assert_eq!((ran.status, ran.stdout.is_empty()), (2, true));
        assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    }
}
