//! A real TAP: the kernel's own VXLAN mirror between network namespaces (`testdata/lab`), tcpdump
//! on the tapped NIC and on the collector at once, and vtap in between. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::lab::{Lab, tshark};
use common::{records, replay, vtap};

fn times(path: &Path, filter: &str) -> Vec<String> {
    tshark(path, filter, "a", &["frame.time_epoch"])
}

fn flags(path: &Path) -> Vec<String> {
    let (rows, ..) = replay(&[], path);
    rows.iter().map(|row| row["tcp"]["flag"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_comes_out_of_the_envelopes_is_what_the_tapped_nic_had() {
    let Some(lab) = Lab::plain("both") else { return };
    let files = lab.sessions(&["http"], &[("vm", "nic0"), ("col", "any"), ("col", "col0")]);
    let nic: Vec<_> = records(&files[0]).into_iter().map(|(_, frame)| frame).collect();
    assert!(nic.len() >= 10, "a whole connection: {} frames", nic.len());

    for file in &files[1..] {
        let name = file.file_name().unwrap().to_str().unwrap();
        for extension in ["pcap", "pcapng"] {
            let out = lab.path(&format!("{name}.out.{extension}"));
            let args = ["decap".as_ref(), file.as_os_str(), "-o".as_ref(), out.as_os_str()];
            assert_eq!(vtap(&args).status, 0);
            // One connection, so the mirror has kept the order.
            if extension == "pcap" {
                let frames: Vec<_> = records(&out).into_iter().map(|(_, frame)| frame).collect();
                assert_eq!(frames, nic, "{name}");
            }
            // Each frame has the time of its envelope, to the nanosecond.
            let captured = times(file, "udp.dstport == 4789");
            assert_eq!(times(&out, "frame"), captured, "{name}, {extension}");
            assert!(captured.iter().all(|time| time.split_once('.').unwrap().1.len() == 9));
            let is_finer = |time: &String| !time.ends_with("000");
            assert!(captured.iter().any(is_finer), "{captured:?}");
        }
        let complete = ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN-ACK"];
        assert_eq!(flags(file), complete, "{name}");
    }
}

#[test]
fn a_tap_that_mirrors_one_direction_gives_one_asymmetric_row_a_flow() {
    for (mirror, missing) in [("egress", "server"), ("ingress", "client")] {
        let Some(lab) = Lab::plain(mirror) else { return };
        let files = lab.sessions(&["several"], &[("col", "any")]);
        let (rows, summary, _) = replay(&[], &files[0]);
        let asymmetric: Vec<_> =
            rows.iter().filter(|row| row["tcp"]["reason"] == "asymmetric").collect();
        let flows: BTreeSet<_> =
            asymmetric.iter().map(|row| row["community_id"].as_str().unwrap()).collect();
        assert_eq!((asymmetric.len(), flows.len()), (3, 3), "{mirror}: {summary}");
        for row in asymmetric {
            assert_eq!(row["tcp"]["flag"], "INVALID");
            assert_eq!(row["tcp"]["missing"], missing, "{mirror}: {row}");
        }
    }
}
