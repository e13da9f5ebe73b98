//! Records of flows: what they add up to, as tshark counts it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use common::{Ran, captures, corpus, each, options, replay, run, sum, tap, uint};
use serde_json::Value;
use vtap_capture::Source;
use vtap_decap::{Decap, PortSet};
use vtap_flow::Discard;
use vtap_packet::{EtherType, Ip, Packet, link};
use vtap_pipeline::{Fate, Pipeline, Seen, Watched};
use vtap_testkit::{data, tools};

/// The two ends of a conversation, the smaller one first, and packets and bytes from each.
type Conversations = BTreeMap<[(IpAddr, u64); 2], [[u64; 2]; 2]>;

fn count(all: &mut Conversations, ends: [(IpAddr, u64); 2], counts: [[u64; 2]; 2]) {
    let swapped = ends[0] > ends[1];
    let (ends, counts) =
        if swapped { ([ends[1], ends[0]], [counts[1], counts[0]]) } else { (ends, counts) };
    for (sum, count) in
        all.entry(ends).or_default().iter_mut().flatten().zip(counts.iter().flatten())
    {
        *sum += count;
    }
}

/// What records say of TCP, or of UDP.
fn by_vtap(rows: &[Value], protocol: &str) -> Conversations {
    let mut all = Conversations::new();
    for row in rows.iter().filter(|row| row["event_type"] == "flow" && row["proto"] == protocol) {
        let end =
            |ip: &str, port: &str| (row[ip].as_str().unwrap().parse().unwrap(), uint(&row[port]));
        let ends = [end("src_ip", "src_port"), end("dest_ip", "dest_port")];
        let flow = |key: &str| uint(&row["flow"][key]);
        let counts = [
            [flow("pkts_toserver"), flow("bytes_toserver")],
            [flow("pkts_toclient"), flow("bytes_toclient")],
        ];
        count(&mut all, ends, counts);
    }
    all
}

/// The customer's IP packets, and nothing around them, as a capture: what tshark says of its bytes
/// is said of IP packets.
fn unwrapped(options: &[&str], path: &Path, to: &Path) {
    let ports = match options {
        ["--port", port] => PortSet::new([port.parse().unwrap()]),
        _ => PortSet::default(),
    };
    let mut inputs = vtap_capture::open(&[path.to_path_buf()]).unwrap();
    let config = vtap_decap::Config { ports, ..vtap_decap::Config::default() };
    let mut pipeline = Pipeline::new(Decap::new(config), None);
    pipeline.intake.plain = true;
    let mut out = BufWriter::new(File::create(to).unwrap());
    // Nanoseconds, LINKTYPE_RAW.
    for word in [0xa1b2_3c4d_u32, 4 << 16 | 2, 0, 0, 1 << 20, 101] {
        out.write_all(&word.to_le_bytes()).unwrap();
    }
    let mut write = |packet: &Packet<'_>| {
        let Ok((ether_type, network)) = link::network(packet.link, packet.data) else { return };
        if !matches!(ether_type, EtherType::IPV4 | EtherType::IPV6) {
            return;
        }
        let stripped = packet.data.len() - network.len();
        let wire = packet.wire_len as usize - stripped;
        let Ok(ip) = Ip::parse(ether_type, network, wire) else { return };
        if ip.overruns_frame {
            return;
        }
        let len = ip.header.len() as u32 + ip.payload_len;
        let kept = network.len().min(len as usize);
        let words = [packet.time.secs() as u32, packet.time.subsec_nanos(), kept as u32, len];
        words.iter().for_each(|word| out.write_all(&word.to_le_bytes()).unwrap());
        out.write_all(&network[..kept]).unwrap();
    };
    while let Ok(Some(packet)) = inputs.next() {
        let Ok(()) = pipeline.push(packet, &mut Discard, |watched| {
            if let Watched::Packet(Seen { packet, fate: Fate::Passed }) = watched {
                write(&packet);
            }
            Ok(())
        });
    }
    out.flush().unwrap();
}

/// This protocol right in the customer's packet: not what an error quotes, nor what another tunnel
/// carries.
fn filter(protocol: &str) -> String {
    format!(r#"frame.protocols matches "^raw:(ip|ipv6(:ipv6\\.[a-z]+)*):{protocol}(:|$)""#)
}

/// By its fields and by its tables, what tshark says of TCP and UDP in a capture.
struct Tshark(Ran);

impl Tshark {
    const FIELDS: [&str; 14] = [
        "frame.protocols",
        "ip.src",
        "ipv6.src",
        "ip.dst",
        "ipv6.dst",
        "ip.id",
        "ipv6.fraghdr.ident",
        "ip.proto",
        "ipv6.fraghdr.nxt",
        "frame.len",
        "tcp.srcport",
        "tcp.dstport",
        "udp.srcport",
        "udp.dstport",
    ];

    fn run(path: &Path) -> Self {
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(path);
        for setting in ["ip.defragment", "ipv6.defragment", "tcp.desegment_tcp_streams"] {
            command.arg("-o").arg(format!("{setting}:FALSE"));
        }
        let later = "ip.frag_offset > 0 || ipv6.fraghdr.offset > 0";
        command.args(["-Y", &format!("{} || {later}", filter("(tcp|udp)"))]);
        command.args(["-T", "fields", "-E", "occurrence=f"]);
        command.args(Self::FIELDS.iter().flat_map(|field| ["-e", field]));
        let tables = ["tcp", "udp"].map(|protocol| format!("conv,{protocol},{}", filter(protocol)));
        command.args(["-z", &tables[0], "-z", &tables[1]]);
        Self(run(&mut command, None))
    }

    fn fields(&self) -> Vec<[&str; 14]> {
        // The tables come behind them.
        let lines = self.0.text().lines().take_while(|line| !line.starts_with("===="));
        lines.map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap()).collect()
    }

    /// Whether it is TCP or UDP, by its place in [`Conversations`], and the ports.
    fn ports<'a>(fields: &[&'a str; 14]) -> Option<(usize, [&'a str; 2])> {
        let known = |it| ["tcp", "udp"].iter().position(|name| *name == it);
        let at = fields[0].split(':').find_map(known)?;
        Some((at, [fields[10 + 2 * at], fields[11 + 2 * at]]))
    }

    /// Sums over fields: of TCP, and of UDP. A fragment behind the first of its datagram has the
    /// ports of that one.
    fn by_fields(&self) -> [Conversations; 2] {
        let rows = self.fields();
        // By addresses, identification and protocol: of the last that began, or of the first.
        let mut begun = BTreeMap::new();
        for fields in rows.iter().rev().filter(|fields| Self::ports(fields).is_some()) {
            begun.insert(&fields[1..9], fields);
        }
        let mut all = <[Conversations; 2]>::default();
        for fields in &rows {
            if Self::ports(fields).is_some() {
                begun.insert(&fields[1..9], fields);
            }
            let Some((at, ports)) = begun.get(&fields[1..9]).and_then(|fields| Self::ports(fields))
            else {
                continue;
            };
            // Nothing of a header that was cut off before its ports.
            let [Ok(src_port), Ok(dst_port)] = ports.map(str::parse) else { continue };
            let end = |v4: &str, v6: &str, port| {
                ((if v4.is_empty() { v6 } else { v4 }).parse().unwrap(), port)
            };
            let [_, src, src6, dst, dst6, _, _, _, _, len, ..] = *fields;
            let ends = [end(src, src6, src_port), end(dst, dst6, dst_port)];
            count(&mut all[at], ends, [[1, len.parse().unwrap()], [0, 0]]);
        }
        all
    }
}

/// Bytes as tshark writes them: exact, or cut to a unit.
fn is_about(number: &str, unit: &str, bytes: u64) -> bool {
    let number: u64 = number.parse().unwrap();
    let unit = match unit {
        "bytes" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        other => panic!("{other}"),
    };
    number == bytes / unit
}

/// The tables of conversations, of TCP and of UDP, against sums: what is another in them.
fn differences(tshark: &Tshark, sums: &[Conversations; 2]) -> Vec<String> {
    let end = |text: &str| {
        let (ip, port) = text.rsplit_once(':').unwrap();
        (ip.parse::<IpAddr>().unwrap(), port.parse::<u64>().unwrap())
    };
    let mut found = Vec::new();
    for (heading, sums) in ["TCP Conversations", "UDP Conversations"].iter().zip(sums) {
        let table = tshark.0.text().split_once(heading).unwrap().1.split("====").next().unwrap();
        let mut packets = Conversations::new();
        let mut rows = BTreeMap::<_, Vec<_>>::new();
        for line in table.lines().filter(|line| line.contains("<->")) {
            let words: Vec<_> = line.split_whitespace().collect();
            // Frames and bytes from the second end, then from the first.
            let [a, "<->", b, back, back_bytes, back_unit, there, there_bytes, there_unit, ..] =
                words[..]
            else {
                panic!("{line}")
            };
            let ends = [end(a), end(b)];
            let frames = |text: &str| text.parse::<u64>().unwrap();
            count(&mut packets, ends, [[frames(there), 0], [frames(back), 0]]);
            let (there, back) = ((there_bytes, there_unit), (back_bytes, back_unit));
            let row = if ends[0] > ends[1] {
                ([ends[1], ends[0]], [back, there])
            } else {
                (ends, [there, back])
            };
            rows.entry(row.0).or_default().push(row.1);
        }
        let in_packets = |[there, back]: &[[u64; 2]; 2]| [[there[0], 0], [back[0], 0]];
        let expected: Conversations =
            sums.iter().map(|(ends, halves)| (*ends, in_packets(halves))).collect();
        if packets != expected {
            found.push(format!("{heading}: {packets:?}, expected {expected:?}"));
            continue;
        }
        for (ends, bytes) in rows {
            // Where a tuple was used again tshark has a row for each, and units hide what they add
            // up to.
            let [bytes] = &bytes[..] else { continue };
            for (half, (number, unit)) in sums[&ends].iter().zip(bytes) {
                if !is_about(number, unit, half[1]) {
                    found.push(format!("{heading}: {ends:?}: {half:?}, {number} {unit}"));
                }
            }
        }
    }
    found
}

/// Captures of which one of tshark's two answers is another than ours, and why: its table of
/// conversations, or its fields. Of all others both say what records add up to.
const DIFFERENCES: [(&str, &str); 8] = [
    (
        "seladb_PcapPlusPlus--ip4_fragments.pcap",
        "two last fragments come again behind their datagram, for which no flow is known any more",
    ),
    (
        "snaplen-options.pcap",
        "tshark's table leaves out segments whose options the capture has cut",
    ),
    ("zeek_zeek--tcp__truncated-header.pcap", "as above, of the header itself"),
    (
        "zeek_zeek--ipv6-http-atomic-frag.pcap",
        "tshark's table leaves out packets that are one whole fragment (RFC 6946)",
    ),
    (
        "simsong_tcpflow--simson.pcap",
        "tshark's fields have the ports of headers that the capture has cut, its table has not",
    ),
    (
        "OISF_suricata-verify--bug-6875-01__fuzz.pcap",
        "tshark's table leaves out a segment whose header length is wrong",
    ),
    (
        "the-tcpdump-group_tcpdump--bigtcp-ipv6-vxlan-ipv6.pcap",
        "tshark does not read a TCP segment in a BIG TCP packet of IPv6",
    ),
    (
        "the-tcpdump-group_tcpdump--esp_truncated.pcap",
        "a header with a wrong checksum says that more fragments follow: nothing is read of it",
    ),
];

#[test]
fn records_add_up_to_what_tshark_counts() {
    if !tools::installed(&["tshark"]) {
        return;
    }
    let mut files: Vec<_> = tap()
        .into_iter()
        .chain(captures(&data::testdata("azure")))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (path, name)
        })
        .collect();
    files.extend(corpus().into_iter().flatten().map(|sample| (sample.path, sample.name)));
    let compared = Mutex::new([0_usize; 2]);
    each(&files, |(path, name)| {
        let options = options(name);
        // Every packet, as often as it is there: tshark does not know copies.
        let every = ["--plain", "--logs", "flows", "--dedup-window", "0", "--fold-vni"];
        let (rows, summary, _) = replay(&[options, &every[..]].concat(), path);
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("raw.pcap");
        unwrapped(options, path, &raw);
        let records = ["TCP", "UDP"].map(|protocol| by_vtap(&rows, protocol));
        let tshark = Tshark::run(&raw);
        let fields = tshark.by_fields();
        // tshark's table has of a datagram the first fragment alone; all are counted to their flow.
        let fragmented = uint(&summary["inner_fragments"]["seen"]) > 0;
        let table = if fragmented { Vec::new() } else { differences(&tshark, &records) };
        let same = records == fields && table.is_empty();
        let known = DIFFERENCES.iter().find(|(file, _)| file == name);
        assert_eq!(same, known.is_none(), "{name}: {known:?}: {records:?}, {fields:?}, {table:?}");
        if same {
            let mut compared = compared.lock().unwrap();
            compared[0] += 1;
            compared[1] += records.iter().map(Conversations::len).sum::<usize>();
        }
        let told: u64 = rows
            .iter()
            .filter(|row| row["event_type"] == "flow")
            .map(|row| uint(&row["flow"]["pkts_toserver"]) + uint(&row["flow"]["pkts_toclient"]))
            .sum();
        let followed = uint(&summary["tcp_segments"]) + uint(&summary["other"]);
        assert!(told <= followed + sum(&summary["flow_skipped"]), "{name}: {told}: {summary}");
    });
    let [files, conversations] = compared.into_inner().unwrap();
    println!("{files} captures, {conversations} conversations");
    assert!(conversations > 30, "{conversations}");
}

#[test]
fn rows_flow_log_and_analytics_of_a_replay_have_the_same_sums() {
    for name in ["http", "gap", "both-ends", "two-routers", "snat-egress", "router"] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let logs = "flows,vnet-flow-log,traffic-analytics";
        let options = ["--logs", logs, "--out", out, "--interval", "10m"];
        let (_, _, ran) = replay(&options, &data::testdata(&format!("tap/{name}.pcap")));
        assert_eq!(ran.status, 0, "{name}: {}", ran.stderr);

        let text = std::fs::read_to_string(folder.path().join("flows.jsonl")).unwrap();
        let mut rows = [0; 4];
        for row in text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let keys = ["pkts_toserver", "bytes_toserver", "pkts_toclient", "bytes_toclient"];
            if row["event_type"] == "flow" {
                keys.iter().zip(&mut rows).for_each(|(key, sum)| *sum += uint(&row["flow"][*key]));
            }
        }
        let mut tuples = [0; 4];
        for file in data::files_below(folder.path(), "PT1H.json") {
            let log: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            for record in log["records"].as_array().unwrap() {
                let groups = &record["flowRecords"]["flows"][0]["flowGroups"];
                for tuple in groups[0]["flowTuples"].as_array().unwrap() {
                    let fields: Vec<_> = tuple.as_str().unwrap().split(',').collect();
                    let counts = fields[9..].iter().map(|count| count.parse::<u64>().unwrap());
                    counts.zip(&mut tuples).for_each(|(count, sum)| *sum += count);
                }
            }
        }
        let mut analytics = [0; 4];
        for file in data::files_below(folder.path(), ".jsonl") {
            if file.ends_with("flows.jsonl") {
                continue;
            }
            for line in std::fs::read_to_string(file).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                let keys =
                    ["PacketsSrcToDest", "BytesSrcToDest", "PacketsDestToSrc", "BytesDestToSrc"];
                keys.iter().zip(&mut analytics).for_each(|(key, sum)| *sum += uint(&row[*key]));
            }
        }
        assert!(rows[0] > 0, "{name}");
        assert_eq!((tuples, analytics), (rows, rows), "{name}");
        assert!(!data::files_below(folder.path(), ".parquet").is_empty(), "{name}");
    }
}

#[test]
fn what_is_a_tree_of_files_asks_for_a_directory() {
    for (options, remedy) in [
        (&["--logs", "vnet-flow-log"][..], "--out DIR"),
        (&["--logs", "events,traffic-analytics"], "--out DIR"),
        (&["--logs", "flows", "--format", "azure"], "--logs vnet-flow-log --out DIR"),
    ] {
        let capture = data::testdata("tap/http.pcap");
        let args = [&["replay"], options, &[capture.to_str().unwrap()]].concat();
        let ran = common::vtap(&args);
        assert_eq!(ran.status, 2, "{options:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(remedy), "{options:?}: {}", ran.stderr);
    }
}
