//! The kernel's own verdicts: `vtap trace` against what nf_conntrack of Linux 6.18 answered for
//! each packet of `testdata/conntrack`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde::Deserialize;
use vtap_testkit::data::testdata;

/// One line of `*.expected.jsonl`.
#[derive(Debug, Deserialize)]
struct Expected {
    index: u64,
    proto: Option<u8>,
    src: Option<String>,
    sport: Option<u16>,
    dst: Option<String>,
    dport: Option<u16>,
    ctstate: String,
    tcpstate: Option<String>,
    reason: Option<String>,
    ignored: bool,
    pre61_invalid: bool,
}

/// One line of `vtap trace --format json`.
#[derive(Debug, Deserialize)]
struct Traced {
    packet: u64,
    verdict: String,
    state: String,
    reason: Option<String>,
    note: Option<String>,
}

struct Scenario {
    name: String,
    /// Options of the recording, as options of `vtap trace`.
    options: Vec<&'static str>,
    expected: Vec<Expected>,
}

fn scenarios() -> Vec<Scenario> {
    let index = fs::read_to_string(testdata("conntrack/index.tsv")).unwrap();
    index
        .lines()
        .map(|line| {
            let mut columns = line.split('\t');
            let name = columns.next().unwrap().to_owned();
            let recorded_with = columns.nth(1).unwrap_or_default();
            let mut options = Vec::new();
            if recorded_with.contains("--loose 0") {
                options.extend(["--pickup", "off"]);
            }
            if recorded_with.contains("--no-checksum") {
                options.extend(["--checksum", "off"]);
            }
            let path = testdata(&format!("conntrack/{name}.expected.jsonl"));
            let expected = fs::read_to_string(path).unwrap();
            let expected =
                expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            Scenario { name, options, expected }
        })
        .collect()
}

fn trace(scenario: &Scenario, options: &[&str]) -> Vec<Traced> {
    let output = Command::new(env!("CARGO_BIN_EXE_vtap"))
        .args(["trace", "--plain", "--format", "json"])
        .args(options)
        .args(&scenario.options)
        .arg(testdata(&format!("conntrack/{}.pcap", scenario.name)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {output:?}", scenario.name);
    let rows = String::from_utf8(output.stdout).unwrap();
    rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The name for what the kernel logged about a packet. It logs nothing for a header of less than
/// 20 bytes, or for an ACK that may not pick a connection up.
fn kind(reason: &str) -> &'static str {
    let kinds = [
        ("truncated packet", "truncated-header"),
        ("bad checksum", "bad-checksum"),
        ("invalid tcp flag combination", "bad-flags"),
        ("invalid new", "no-state"),
        ("invalid, state", "invalid-transition"),
        ("invalid rst", "invalid-rst"),
        ("SEQ is over upper bound", "seq-above-window"),
        ("ACK is over upper bound", "ack-above-sent"),
        // Of packets that pass:
        ("bytes more than expected", "overshoot"),
        ("SEQ is under lower bound", "seq-below-window"),
        ("ignored ACK under lower bound", "ack-below-window"),
        ("challenge-ack ignored", "challenge-ack"),
        ("ignored, state", "ignored"),
    ];
    let found = kinds.iter().find(|(text, _)| reason.contains(text));
    found.unwrap_or_else(|| panic!("no name for {reason:?}")).1
}

#[test]
fn the_linux_profile_answers_as_the_kernel_did_on_every_packet() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 111, "testdata/conntrack is complete");
    let (mut judged, mut differences) = (0, Vec::new());
    for scenario in &scenarios {
        let traced = trace(scenario, &["--profile", "linux"]);
        assert_eq!(traced.len(), scenario.expected.len(), "{}", scenario.name);
        for (expected, traced) in scenario.expected.iter().zip(&traced) {
            assert_eq!(traced.packet, expected.index + 1);
            if expected.ctstate == "NOT_SEEN" {
                // The IP layer dropped it, or holds it as a fragment.
                if traced.verdict != "SKIPPED" {
                    differences.push(format!("{}: {expected:?} {traced:?}", scenario.name));
                }
                continue;
            }
            if expected.proto != Some(6) {
                continue;
            }
            judged += 1;
            let same_reason = match expected.reason.as_deref().map(kind) {
                Some(kind) if expected.ignored => {
                    traced.reason.is_none() && traced.note.as_deref() == Some(kind)
                }
                Some(kind) => traced.reason.as_deref() == Some(kind),
                None if expected.ctstate == "INVALID" => {
                    matches!(traced.reason.as_deref(), Some("truncated-header" | "no-state"))
                }
                None => traced.reason.is_none() && traced.note.is_none(),
            };
            let state = expected.tcpstate.as_deref().unwrap_or("NONE");
            if traced.verdict != expected.ctstate || traced.state != state || !same_reason {
                differences.push(format!("{}: {expected:?} {traced:?}", scenario.name));
            }
        }
    }
    println!("{judged} TCP packets of {} scenarios judged", scenarios.len());
    assert!(judged > 6_400);
    assert!(differences.is_empty(), "{}:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn icmp_errors_are_related_to_the_flow_they_quote() {
    for scenario in scenarios().iter().filter(|scenario| scenario.name.contains("icmp")) {
        let traced = trace(scenario, &["--profile", "linux"]);
        for (expected, traced) in scenario.expected.iter().zip(&traced) {
            if expected.proto != Some(6) {
                assert_eq!(traced.verdict, expected.ctstate, "{}: {expected:?}", scenario.name);
            }
        }
    }
}

/// Both ends of a packet, order-free.
type Ends = BTreeSet<(String, u16)>;

fn ends(expected: &Expected) -> Option<Ends> {
    Some(BTreeSet::from([
        (expected.src.clone()?, expected.sport?),
        (expected.dst.clone()?, expected.dport?),
    ]))
}

/// The `azure` profile follows the kernel until it refuses a packet that the kernel lets pass: one
/// that kernels up to 6.0 refused, or one that picks a connection up. From then on the two know
/// different connections, and only the first difference of a flow can be told right from wrong.
#[test]
fn the_azure_profile_differs_where_it_says_and_nowhere_else() {
    let mut parted: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut compared, mut wrong) = (0, Vec::new());
    for scenario in &scenarios() {
        let options = ["--profile", "azure", "--warm-up", "0", "--checksum", "verify"];
        // An option given twice is a usage error; the scenario's own rules.
        let options =
            if scenario.options.contains(&"--checksum") { &options[..4] } else { &options };
        let traced = trace(scenario, options);
        let mut apart: BTreeSet<Ends> = BTreeSet::new();
        for (expected, traced) in scenario.expected.iter().zip(&traced) {
            let Some(ends) = ends(expected).filter(|_| expected.proto == Some(6)) else { continue };
            if expected.ctstate == "NOT_SEEN" || apart.contains(&ends) {
                continue;
            }
            compared += 1;
            let refused = traced.verdict == "INVALID";
            let invalid = expected.ctstate == "INVALID";
            let picked_up = expected.ctstate == "NEW"
                && expected.tcpstate.as_deref() == Some("ESTABLISHED")
                && matches!(traced.reason.as_deref(), Some("no-state" | "asymmetric"));
            if refused && !invalid && expected.pre61_invalid {
                *parted.entry("refused before 6.1").or_default() += 1;
                apart.insert(ends);
            } else if refused && picked_up {
                *parted.entry("not picked up").or_default() += 1;
                apart.insert(ends);
            } else if refused != invalid || (expected.pre61_invalid && !refused) {
                wrong.push(format!("{}: {expected:?} {traced:?}", scenario.name));
                apart.insert(ends);
            }
        }
    }
    println!("{compared} TCP packets compared; flows parted: {parted:?}");
    assert!(compared > 3_000);
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
