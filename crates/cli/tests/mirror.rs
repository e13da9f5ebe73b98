//! What a mirror does to traffic, made by the kernel (`testdata/lab/scenarios.sh`): vtap has to
//! tell it from what is wrong with the connections. Each connection here is healthy. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use common::lab::{Lab, tshark};
use common::{replay, sum, trace, uint};
use serde_json::{Value, json};

/// Nine connections that open, carry data and end in all the ways there are.
const WHOLE: &[&str] = &["several", "reset", "half-closed", "bulk"];
const CONNECTIONS: u64 = 9;
/// What the collector has, as it is captured most often.
const ANY: (&str, &str) = ("col", "any");

const VM: &str = "10.0.2.4";
const SERVER: &str = "10.0.2.6";
const ROUTER: &str = "10.0.2.5";

/// What a replay said.
struct Said {
    events: Vec<Value>,
    summary: Value,
}

impl Said {
    /// Replays a capture, with one thread and with two, and checks what holds for all of them.
    #[track_caller]
    fn of(options: &[&str], file: &Path) -> Self {
        let (events, summary, ran) = replay(&[options, &["--threads", "1"]].concat(), file);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let (.., two) = replay(&[options, &["--threads", "2"]].concat(), file);
        assert_eq!(two.text(), ran.text(), "two threads");
        let said = Self { events, summary };
        let fragments = &said.summary["fragments"];
        let decapsulated = said.count("decapsulated") + said.count("plain");
        let skipped = sum(&said.summary["skipped"]);
        assert_eq!(said.count("packets"), decapsulated + skipped + uint(&fragments["absorbed"]));
        let tracked = said.count("tcp_segments") + said.count("other");
        let copies = said.count("duplicates") + said.count("forwarded");
        assert_eq!(decapsulated, tracked + copies + sum(&said.summary["flow_skipped"]));
        let fates = uint(&fragments["completed"]) + uint(&fragments["absorbed"]);
        assert_eq!(uint(&fragments["seen"]), fates);
        said
    }

    fn count(&self, key: &str) -> u64 {
        uint(&self.summary[key])
    }

    /// The flags of each flow in order and who sent them, the (c)lient or the (s)erver. A flow goes
    /// by its client's port: clients have ports above 40000.
    fn story(&self) -> BTreeMap<u64, Vec<String>> {
        let mut flows = BTreeMap::<_, Vec<_>>::new();
        for event in self.rows("tcp") {
            let (from, to) = (uint(&event["src_port"]), uint(&event["dest_port"]));
            let side = if from > to { "c" } else { "s" };
            let flag = event["tcp"]["flag"].as_str().unwrap();
            flows.entry(from.max(to)).or_default().push(format!("{side} {flag}"));
        }
        flows
    }

    fn rows(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["event_type"] == kind)
    }

    #[track_caller]
    fn nothing_invalid(&self) {
        let rows: Vec<_> =
            self.rows("tcp").filter(|event| event["tcp"]["flag"] == "INVALID").collect();
        assert!(rows.is_empty(), "{rows:#?}");
        assert_eq!(sum(&self.summary["invalid"]), 0, "{}", self.summary);
    }
}

/// Mirrored TCP packets of each tap, as tshark sees them.
fn taps(file: &Path) -> BTreeMap<String, u64> {
    let mut taps = BTreeMap::new();
    for tap in tshark(file, "vxlan && tcp", "f", &["ip.src"]) {
        *taps.entry(tap).or_default() += 1;
    }
    taps
}

/// `vtap trace` finds nothing INVALID, and sets so many packets aside for this reason.
#[track_caller]
fn traced(options: &[&str], file: &Path, reason: &str, aside: u64) {
    let rows = trace(options, file);
    let invalid: Vec<_> = rows.iter().filter(|row| row["verdict"] == "INVALID").collect();
    assert!(invalid.is_empty(), "{invalid:#?}");
    let of_reason = rows.iter().filter(|row| row["reason"] == reason);
    assert_eq!(of_reason.count() as u64, aside, "{reason}");
}

#[test]
fn a_gap_ends_no_connection_and_begins_none() {
    let Some(lab) = Lab::scenario("gap") else { return };
    let file = &lab.record(&[ANY], |lab| {
        let session = lab.begin(&["gap"]);
        sleep(Duration::from_secs(6));
        lab.mirror("off");
        sleep(Duration::from_secs(10));
        lab.mirror("on");
        session.end();
    })[0];
    let times = tshark(file, "vxlan && tcp", "a", &["frame.time_epoch"]);
    let times: Vec<f64> = times.iter().map(|time| time.parse().unwrap()).collect();
    let silence = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);

    let said = Said::of(&[], file);
    said.nothing_invalid();
    let gaps: Vec<_> = said.rows("gap").collect();
    assert_eq!((gaps.len(), said.count("gaps")), (1, 1), "{gaps:#?}");
    assert_eq!((&gaps[0]["tap"], &gaps[0]["gap"]["cause"]), (&json!(VM), &json!("silence")));
    assert_eq!(gaps[0]["timestamp"], gaps[0]["gap"]["end"]);
    let seconds = gaps[0]["gap"]["seconds"].as_f64().unwrap();
    assert!((seconds - silence).abs() < 0.002 && (seconds - 10.0).abs() < 0.5, "{seconds}");

    let open = ["c SYN", "s SYN-ACK", "c ACK"].as_slice();
    let by_client = ["c FIN", "s FIN-ACK", "c FIN-ACK"].as_slice();
    let by_server = ["s FIN", "c FIN-ACK", "s FIN-ACK"].as_slice();
    let expected = [
        (41000, [open, by_client].concat()),
        (41001, [open, by_server].concat()),
        (41002, [open, by_client].concat()),
        (41003, [open, by_server].concat()),
        // Its first packet after the gap is a FIN.
        (41004, [open, by_client].concat()),
        // Closed in the gap.
        (41010, open.to_vec()),
        // Closed in the gap, and opened anew after it.
        (41011, [open, open, by_client].concat()),
        // Opened in the gap.
        (41020, by_client.to_vec()),
        (41021, by_client.to_vec()),
        (41022, by_client.to_vec()),
        // Opened after it.
        (41040, [open, by_client].concat()),
        (41041, [open, by_client].concat()),
    ];
    let expected =
        expected.map(|(port, rows)| (port, rows.into_iter().map(str::to_owned).collect()));
    assert_eq!(said.story(), BTreeMap::from(expected));
    assert_eq!((said.count("midstream"), said.count("resumed")), (3, 5), "{}", said.summary);
    traced(&[], file, "duplicate", 0);
}

#[test]
fn copies_of_two_taps_count_once() {
    let Some(lab) = Lab::scenario("both-ends") else { return };
    let file = &lab.sessions(&[WHOLE, &["refused"]].concat(), &[ANY])[0];
    let taps = taps(file);
    let packets = taps[VM];
    assert_eq!(taps[SERVER], packets, "both see each packet");

    let said = Said::of(&[], file);
    said.nothing_invalid();
    assert_eq!((said.count("duplicates"), said.count("tcp_segments")), (packets, packets));
    assert_eq!((said.count("forwarded"), said.count("flows")), (0, CONNECTIONS + 1));
    for tap in [VM, SERVER] {
        let alone = Said::of(&["--filter", &format!("src host {tap}")], file);
        assert_eq!(alone.count("duplicates"), 0);
        assert_eq!(said.story(), alone.story(), "{tap}");
    }
    let of_taps = &said.summary["taps"];
    let sums =
        ["packets", "duplicates"].map(|key| uint(&of_taps[VM][key]) + uint(&of_taps[SERVER][key]));
    assert_eq!(sums, [said.count("decapsulated"), packets], "{of_taps}");
    // A SYN's row is written before its copy comes.
    let later = said.rows("tcp").filter(|event| event["tcp"]["flag"] != "SYN");
    assert!(later.into_iter().all(|event| event["taps"] == json!([VM, SERVER])));
    traced(&[], file, "duplicate", packets);
}

#[test]
fn copies_of_two_vnis_count_once_where_vnis_are_folded() {
    let Some(lab) = Lab::scenario("both-ends-vnis") else { return };
    let file = &lab.sessions(WHOLE, &[ANY])[0];
    let packets = taps(file)[VM];

    let folded = Said::of(&["--fold-vni"], file);
    folded.nothing_invalid();
    assert_eq!((folded.count("duplicates"), folded.count("flows")), (packets, CONNECTIONS));
    let alone = Said::of(&["--filter", &format!("src host {VM}")], file);
    assert_eq!(folded.story(), alone.story());

    let apart = Said::of(&[], file);
    apart.nothing_invalid();
    assert_eq!((apart.count("duplicates"), apart.count("flows")), (0, 2 * CONNECTIONS));
}

#[test]
fn copies_of_another_interface_count_once() {
    let Some(lab) = Lab::scenario("any") else { return };
    let file = &lab.sessions(&[WHOLE, &["refused"]].concat(), &[ANY])[0];
    let packets = taps(file)[VM];
    let doubled = tshark(file, "tcp && !vxlan", "f", &["frame.number"]).len() as u64;
    assert_eq!(doubled, packets, "the VXLAN device has each frame once more");

    let said = Said::of(&[], file);
    said.nothing_invalid();
    assert_eq!((said.count("duplicates"), said.count("tcp_segments")), (0, packets));
    assert!(uint(&said.summary["skipped"]["not-mirrored"]) >= packets);

    let plain = Said::of(&["--plain"], file);
    plain.nothing_invalid();
    assert_eq!((plain.count("duplicates"), plain.count("tcp_segments")), (packets, packets));
    assert_eq!(plain.count("flows"), CONNECTIONS + 1);
    assert_eq!(plain.story(), said.story());
}

#[test]
fn envelopes_in_fragments_say_what_whole_ones_do() {
    let Some(lab) = Lab::scenario("fragments") else { return };
    let files = lab.sessions(&[WHOLE, &["refused"]].concat(), &[ANY, ("vm", "nic0")]);
    let fragment = "ip.flags.mf == 1 || ip.frag_offset > 0";
    let fragments = tshark(&files[0], fragment, "f", &["frame.number"]).len() as u64;
    assert!(fragments > 1000, "{fragments}");

    let said = Said::of(&[], &files[0]);
    said.nothing_invalid();
    assert_eq!(
        said.summary["fragments"],
        json!({
            "seen": fragments, "completed": fragments / 2, "absorbed": fragments / 2,
            "timed_out": 0, "overlapped": 0, "evicted": 0,
        })
    );
    assert_eq!(said.count("tcp_segments"), taps(&files[0])[VM]);
    assert_eq!((said.count("duplicates"), said.count("flows")), (0, CONNECTIONS + 1));
    assert_eq!(said.story(), Said::of(&["--plain"], &files[1]).story());
    traced(&[], &files[0], "duplicate", 0);
}

#[test]
fn a_route_that_is_not_tapped_is_said_once_a_connection() {
    let Some(lab) = Lab::scenario("asymmetric") else { return };
    let file = &lab.sessions(WHOLE, &[ANY])[0];
    let said = Said::of(&[], file);
    let invalid: Vec<_> = said.rows("tcp").filter(|row| row["tcp"]["flag"] == "INVALID").collect();
    let flows: BTreeSet<_> =
        invalid.iter().map(|row| row["community_id"].as_str().unwrap()).collect();
    assert_eq!((invalid.len() as u64, flows.len() as u64), (CONNECTIONS, CONNECTIONS));
    for row in invalid {
        assert_eq!(row["tcp"]["reason"], "asymmetric", "{row}");
        assert_eq!(row["tcp"]["missing"], "server", "{row}");
    }
    assert_eq!((said.count("one_way"), said.count("egress_only")), (CONNECTIONS, 0));
}

#[test]
fn what_goes_out_behind_a_nat_is_not_asymmetric() {
    let Some(lab) = Lab::scenario("snat-egress") else { return };
    let file = &lab.sessions(WHOLE, &[ANY])[0];
    let inner = tshark(file, "vxlan && tcp", "l", &["ip.src", "ip.dst"]);
    assert!(inner.len() > 50 && inner.iter().all(|row| row == "203.0.113.7\t198.51.100.6"));

    let said = Said::of(&[], file);
    said.nothing_invalid();
    assert_eq!((said.count("egress_only"), said.count("one_way")), (CONNECTIONS, 0));
    assert_eq!(said.count("flows"), CONNECTIONS);
    for event in said.rows("tcp") {
        assert_eq!(event["egress_only"], true, "{event}");
        assert_eq!(event["nat"]["private_ip"], VM, "{event}");
        assert_eq!(event["src_ip"], "203.0.113.7", "{event}");
    }
    traced(&[], file, "duplicate", 0);
}

#[test]
fn what_a_tapped_router_passes_on_counts_once() {
    let Some(lab) = Lab::scenario("router") else { return };
    let files = lab.sessions(&[WHOLE, &["refused"]].concat(), &[ANY, ("vm", "nic0")]);
    let twice = taps(&files[0])[ROUTER];
    let hops = tshark(&files[0], "vxlan && tcp", "l", &["ip.ttl"]);
    assert_eq!(hops.iter().filter(|ttl| *ttl == "63").count() as u64 * 2, twice);

    let said = Said::of(&[], &files[0]);
    said.nothing_invalid();
    assert_eq!((said.count("forwarded"), said.count("duplicates")), (twice / 2, 0));
    assert_eq!((said.count("tcp_segments"), said.count("flows")), (twice / 2, CONNECTIONS + 1));
    assert_eq!(said.story(), Said::of(&["--plain"], &files[1]).story());
    traced(&[], &files[0], "forwarded", twice / 2);
}
