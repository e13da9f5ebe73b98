//! What is inside the envelopes, as tshark sees it: for each packet of every capture the tunnel,
//! the VNI and the 5-tuple of the customer's packet, field by field.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Sample, captures, corpus, each, options, run, tap, trace, uint};
use serde_json::Value;
use vtap_testkit::{data, tools};

/// Files of which tshark 4.0 says something else about at least one packet, and why. Of all others
/// it says the same.
///
/// What is no difference, because it is asked for in that way: the customer's packet is what the
/// last VXLAN header carries, so a tunnel of another kind in it (IP in IP, GRE) is not followed;
/// what an ICMP error quotes was not sent; fragments of the customer's packets stay fragments,
/// and all but the first show no ports.
const DIFFERENCES: [(&str, &str); 2] = [
    (
        "the-tcpdump-group_tcpdump--bigtcp-ipv4-vxlan-ipv4.pcap",
        "BIG TCP: tshark takes a UDP length of 0 for a mistake, tcpdump and vtap go by the IP length",
    ),
    (
        "the-tcpdump-group_tcpdump--bigtcp-ipv6-vxlan-ipv6.pcap",
        "BIG TCP: tshark takes a UDP length of 0 for a mistake, tcpdump and vtap go by the IP length",
    ),
];

/// An address, and a port where there is one.
type End = (String, u64);

/// A mirrored packet, as both can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirrored {
    src: End,
    dst: End,
    vni: u64,
    depth: u64,
    /// Source, destination and protocol of the customer's packet, where that is IP.
    inner: Option<(End, End, String)>,
}

type Packets = BTreeMap<u64, Mirrored>;

fn by_vtap(options: &[&str], path: &Path) -> Packets {
    let rows = trace(options, path).into_iter().filter(|row| !row["tunnel"].is_null());
    rows.map(|row| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tunnel = &row["tunnel"];
        let end = |of: &Value, ip: &str, port: &str| (text(&of[ip]), uint(&of[port]));
        let inner = row.get("src_ip").map(|_| {
            let src = end(&row, "src_ip", "src_port");
            (src, end(&row, "dest_ip", "dest_port"), text(&row["proto"]))
        });
        let mirrored = Mirrored {
            src: end(tunnel, "src_ip", "src_port"),
            dst: end(tunnel, "dest_ip", "dest_port"),
            vni: uint(&tunnel["vni"]),
            depth: uint(&tunnel["depth"]),
            inner,
        };
        (uint(&row["packet"]), mirrored)
    })
    .collect()
}

const FIELDS: [&str; 13] = [
    "frame.number",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.nxt",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "vxlan.vni",
];

/// Those of `options`, in tshark's words.
fn tshark_options(file: &str) -> Vec<String> {
    match options(file) {
        ["--port", port] => vec!["-d".into(), format!("udp.port=={port},vxlan")],
        _ => Vec::new(),
    }
}

fn by_tshark(options: &[String], path: &Path) -> Packets {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(path).args(options);
    // As the packets are: vtap puts nothing together but envelopes, and no capture has those in
    // fragments.
    for setting in ["ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"] {
        command.arg("-o").arg(format!("{setting}:FALSE"));
    }
    command.args(["-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]);
    command.args(FIELDS.iter().flat_map(|field| ["-e", field]));
    run(&mut command, None).text().lines().filter_map(mirrored).collect()
}

/// Reads the layers of a packet from the outside in, and of each layer's fields the next value.
fn mirrored(line: &str) -> Option<(u64, Mirrored)> {
    let mut values = line.split('\t').zip(FIELDS).map(|(values, field)| {
        let values = values.split(',').filter(|value| !value.is_empty());
        (field, values.map(ToOwned::to_owned).collect::<VecDeque<_>>())
    });
    let number = values.next()?.1.pop_front()?.parse().unwrap();
    let protocols = line.split('\t').nth(1)?;
    let mut values: BTreeMap<_, _> = values.collect();
    let mut take = |field: &str| values.get_mut(field)?.pop_front();

    let mut found: Option<Mirrored> = None;
    let mut network: Option<(End, End, String)> = None;
    for layer in protocols.split(':') {
        match layer {
            // An IP packet in an IP packet is the customer's own tunnel; the outer one counts.
            "ip" | "ipv6" if network.as_ref().is_some_and(|(.., proto)| proto != "UDP") => break,
            "ip" => {
                let proto = name(&take("ip.proto")?);
                network = Some(((take("ip.src")?, 0), (take("ip.dst")?, 0), proto));
            }
            "ipv6" => {
                let proto = name(&take("ipv6.nxt")?);
                network = Some(((take("ipv6.src")?, 0), (take("ipv6.dst")?, 0), proto));
            }
            "tcp" | "udp" => {
                let (src, dst, proto) = network.as_mut()?;
                src.1 = take(&format!("{layer}.srcport"))?.parse().unwrap();
                dst.1 = take(&format!("{layer}.dstport"))?.parse().unwrap();
                *proto = layer.to_uppercase();
            }
            // What an ICMP error quotes was not sent.
            "icmp" | "icmpv6" => {
                let number = if layer == "icmp" { "1" } else { "58" };
                network.as_mut()?.2 = name(number);
                break;
            }
            "vxlan" => {
                let (src, dst, _) = network.take()?;
                let vni = take("vxlan.vni")?.parse().unwrap();
                found = Some(match found {
                    Some(outer) => Mirrored { vni, depth: outer.depth + 1, ..outer },
                    None => Mirrored { src, dst, vni, depth: 1, inner: None },
                });
            }
            _ => {}
        }
    }
    found.map(|found| (number, Mirrored { inner: network, ..found }))
}

/// As vtap names protocols.
fn name(number: &str) -> String {
    match number {
        "1" => "ICMP".into(),
        "2" => "IGMP".into(),
        "6" => "TCP".into(),
        "17" => "UDP".into(),
        "58" => "IPv6-ICMP".into(),
        "132" => "SCTP".into(),
        other => other.into(),
    }
}

#[test]
fn what_is_in_each_envelope_is_what_tshark_sees() {
    if !tools::installed(&["tshark"]) {
        return;
    }
    let samples = corpus().unwrap_or_default().into_iter();
    let samples = samples.filter(has_envelopes).map(|sample| sample.path);
    let ours = captures(&data::testdata("azure")).into_iter().chain(tap());
    let paths: Vec<_> = ours.chain(samples).collect();
    let compared = AtomicUsize::new(0);
    each(&paths, |path| {
        let file = path.file_name().unwrap().to_str().unwrap();
        let (ours, theirs) = (by_vtap(options(file), path), by_tshark(&tshark_options(file), path));
        compared.fetch_add(theirs.len(), Ordering::Relaxed);
        match DIFFERENCES.iter().find(|(name, _)| *name == file) {
            None => assert_eq!(ours, theirs, "{file}: vtap, tshark"),
            Some((_, why)) => assert_ne!(ours, theirs, "{file}: no longer so: {why}"),
        }
    });
    let compared = compared.into_inner();
    assert!(compared > 200, "{compared} mirrored packets are no comparison");
}

/// By name, or as the manifest counts, which has its numbers from tshark.
fn has_envelopes(sample: &Sample) -> bool {
    sample.vxlan > 0 || sample.name.to_lowercase().contains("vxlan")
}

#[test]
fn where_tshark_sees_no_envelope_there_is_none() {
    let Some(samples) = corpus() else { return };
    for sample in samples.iter().filter(|sample| !has_envelopes(sample)) {
        assert_eq!(by_vtap(&[], &sample.path), Packets::new(), "{}", sample.name);
    }
}

/// tcpdump's own tests say what it reads: `tests/bigtcp-*.out` in its repository.
#[test]
fn big_tcp_is_read_as_tcpdump_reads_it() {
    let Some(samples) = corpus() else { return };
    let expected = [
        ("ipv4-vxlan-ipv4", "192.168.1.2", 36875, "192.168.1.1", 36449, 497_210_414, 370),
        ("ipv6-vxlan-ipv6", "fd00::1", 40007, "fd00::2", 40607, 936_978_514, 368),
    ];
    for (name, src, src_port, dst, dst_port, seq, window) in expected {
        let name = format!("bigtcp-{name}");
        let sample = samples.iter().find(|sample| sample.name.contains(&name)).unwrap();
        let row = &trace(&[], &sample.path)[0];
        assert_eq!(row["tunnel"]["vni"], 5001, "{row}");
        assert_eq!((&row["src_ip"], &row["src_port"]), (&src.into(), &src_port.into()), "{row}");
        assert_eq!((&row["dest_ip"], &row["dest_port"]), (&dst.into(), &dst_port.into()), "{row}");
        let header = (&row["seq"], &row["window"], &row["len"], &row["flags"]);
        assert_eq!(header, (&seq.into(), &window.into(), &80_000.into(), &"PA".into()), "{row}");
    }
}
