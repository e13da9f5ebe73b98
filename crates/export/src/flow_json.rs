//! Flows as JSON lines, in the envelope of Suricata's EVE.
//!
//! ```json
//! {"timestamp":"2025-12-01T00:00:07.000000000Z","event_type":"flow","src_ip":"10.0.1.4",
//!  "src_port":50000,"dest_ip":"10.0.2.5","dest_port":443,"proto":"TCP",
//!  "community_id":"1:w5mK5wZhrO6H5iu/D4VnkVuIIr8=","packet":1,
//!  "tunnel":{"src_ip":"10.0.1.4","src_port":51111,"dest_ip":"10.9.0.5","dest_port":4789,
//!            "vni":27,"depth":1},
//!  "flow":{"pkts_toserver":6,"pkts_toclient":5,"bytes_toserver":800,"bytes_toclient":4100,
//!          "payload_toserver":540,"payload_toclient":3880,
//!          "start":"2025-12-01T00:00:00.000000000Z","end":"2025-12-01T00:00:01.500000000Z",
//!          "age":1,"duration":1.500,"state":"closed","reason":"fin"},
//!  "tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"1b","state":"TIME_WAIT",
//!         "handshake":0.000812345,"syn_ack":0.000512000,"retransmissions_toserver":0,
//!         "retransmissions_toclient":1,"invalid":0},
//!  "conn_state":"SF","history":"ShADadfFT",
//!  "ether":{"src_macs":["00:22:48:71:c2:05"],"dest_macs":["00:22:48:71:c2:99"]},
//!  "dest_name":"www.example.com","via":{"toserver":"firewall"},"flow_type":"IntraVNet",
//!  "direction":"outbound"}
//! ```
//!
//! Source and destination are client and server of the flow. `timestamp` is the packet time at which
//! the row was told, behind `flow.end` by as long as it took to know that nothing follows. `age` and
//! `duration` are seconds from first to last packet. `src_macs` are the cards that the client's side
//! has shown: the sender of the first packet to the server and then, if it is another, the receiver
//! of the first packet to the client; `dest_macs` in the same order those of the server's side.
//!
//! Keys come in this order, on one line, and are absent where there is nothing to say.
//!
//! A flow that goes on has a row of `event_type` `flow_update` every five minutes, whose counters are
//! of the packets since the last one: a sum over rows of `flow` counts every packet once, and so
//! does one over `flow_update` up to the last.

use std::io::{self, Write};

use vtap_flow::record::{Half, Link, Phase, Record};
use vtap_networks::{Description, Direction, End, FlowType, Way};
use vtap_packet::{Mac, Protocol};

use crate::clock::Clock;
use crate::community::Ids;
use crate::field::{self, text};
use crate::json;

impl<W: Write> json::Json<W> {
    /// Writes what is told of a flow. That one has begun is no row.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn flow(&mut self, record: &Record, description: &Description) -> io::Result<()> {
        if record.phase == Phase::Begin {
            return Ok(());
        }
        self.batch.row(|out, ids| row(out, &mut self.clock, ids, record, description))
    }
}

fn row(
    out: &mut Vec<u8>,
    clock: &mut Clock,
    ids: &mut Ids,
    record: &Record,
    description: &Description,
) {
    text(out, r#"{"timestamp":""#);
    clock.write(out, record.told);
    let ended = matches!(record.phase, Phase::End(_));
    text(out, if ended { r#"","event_type":"flow","# } else { r#"","event_type":"flow_update","# });
    json::ends(out, record.client, record.server);
    text(out, r#","proto":""#);
    protocol(out, record.protocol);
    if !matches!(record.protocol, Protocol::ICMP | Protocol::ICMPV6) {
        text(out, r#"","community_id":""#);
        ids.leave_room(out, record.protocol, (record.client, record.server));
    }
    text(out, r#"","packet":"#);
    field::number(out, record.packet);
    if let Some(envelope) = &record.tunnel {
        json::tunnel(out, envelope);
        // One alone is the tunnel's source.
        if record.taps.iter().flatten().nth(1).is_some() {
            json::taps(out, record.taps);
        }
        if record.egress_only {
            json::nat(out, envelope);
        }
    }
    counters(out, clock, record);
    tcp(out, record);
    text(out, r#","conn_state":""#);
    text(out, record.conn_state.name());
    text(out, r#"","history":""#);
    text(out, record.history.as_str());
    text(out, r#"""#);
    if record.midstream {
        text(out, r#","midstream":true"#);
    }
    if let Some(missing) = record.missing {
        text(out, r#","one_way":true,"missing":""#);
        text(out, missing.name());
        text(out, r#"""#);
    }
    ether(out, record.to_server.link, record.to_client.link);
    described(out, description);
    text(out, "}\n");
}

/// By number where it has no name.
pub(crate) fn protocol(out: &mut Vec<u8>, protocol: Protocol) {
    match protocol.name() {
        Some(name) => text(out, name),
        None => field::number(out, protocol.0),
    }
}

fn counters(out: &mut Vec<u8>, clock: &mut Clock, record: &Record) {
    let ended = matches!(record.phase, Phase::End(_));
    let of = |half: &Half| if ended { half.total } else { half.since };
    let (to_server, to_client) = (of(&record.to_server), of(&record.to_client));
    text(out, r#","flow":{"pkts_toserver":"#);
    field::number(out, to_server.packets);
    text(out, r#","pkts_toclient":"#);
    field::number(out, to_client.packets);
    text(out, r#","bytes_toserver":"#);
    field::number(out, to_server.bytes);
    text(out, r#","bytes_toclient":"#);
    field::number(out, to_client.bytes);
    text(out, r#","payload_toserver":"#);
    field::number(out, to_server.payload);
    text(out, r#","payload_toclient":"#);
    field::number(out, to_client.payload);
    let age = record.end.since(record.start);
    text(out, r#","start":""#);
    clock.write(out, record.start);
    text(out, r#"","end":""#);
    clock.write(out, record.end);
    text(out, r#"","age":"#);
    field::small_number(out, age.as_secs());
    text(out, r#","duration":"#);
    field::seconds(out, age);
    text(out, r#","state":""#);
    text(out, state(record));
    if let Phase::End(ending) = record.phase {
        text(out, r#"","reason":""#);
        text(out, ending.name());
    }
    text(out, r#""}"#);
}

/// In Suricata's words: `new` until both sides were seen, `closed` behind FINs or a reset.
fn state(record: &Record) -> &'static str {
    use vtap_flow::record::ConnState::{
        Oth, Rej, RstO, RstOs0, RstR, RstRh, S0, S1, S2, S3, SF, Sh, Shr,
    };
    let both = record.to_server.total.packets > 0 && record.to_client.total.packets > 0;
    match record.conn_state {
        SF | RstO | RstR | RstOs0 | RstRh | Rej if record.tcp.is_some() => "closed",
        S1 | S2 | S3 => "established",
        S0 | Sh | Shr | SF | RstO | RstR | RstOs0 | RstRh | Rej | Oth if both => "established",
        _ => "new",
    }
}

fn tcp(out: &mut Vec<u8>, record: &Record) {
    let Some(tcp) = &record.tcp else { return };
    let (to_server, to_client) = (&record.to_server, &record.to_client);
    text(out, r#","tcp":{"tcp_flags":""#);
    field::hex(out, to_server.flags | to_client.flags);
    text(out, r#"","tcp_flags_ts":""#);
    field::hex(out, to_server.flags);
    text(out, r#"","tcp_flags_tc":""#);
    field::hex(out, to_client.flags);
    text(out, r#"","state":""#);
    text(out, tcp.state.map_or("NONE", |state| state.name()));
    text(out, r#"""#);
    let spans = [(r#","handshake":"#, tcp.handshake), (r#","syn_ack":"#, tcp.syn_ack)];
    for (key, span) in spans {
        if let Some(span) = span {
            text(out, key);
            field::number(out, span.as_secs());
            text(out, ".");
            field::nine_digits(out, span.subsec_nanos());
        }
    }
    text(out, r#","retransmissions_toserver":"#);
    field::small_number(out, to_server.retransmissions);
    text(out, r#","retransmissions_toclient":"#);
    field::small_number(out, to_client.retransmissions);
    text(out, r#","invalid":"#);
    field::small_number(out, tcp.invalid);
    text(out, "}");
}

/// The cards at both ends of a flow's links.
fn ether(out: &mut Vec<u8>, to_server: Option<Link>, to_client: Option<Link>) {
    let sides = match (to_server, to_client) {
        (Some(there), Some(back)) => [(there.src, back.dst), (there.dst, back.src)],
        (Some(there), None) => [(there.src, there.src), (there.dst, there.dst)],
        (None, Some(back)) => [(back.dst, back.dst), (back.src, back.src)],
        (None, None) => return,
    };
    for ((first, second), begin) in
        sides.into_iter().zip([r#","ether":{"src_macs":["#, r#"],"dest_macs":["#])
    {
        text(out, begin);
        mac(out, first);
        if second != first {
            text(out, ",");
            mac(out, second);
        }
    }
    text(out, "]}");
}

fn mac(out: &mut Vec<u8>, Mac([a, b, c, d, e, f]): Mac) {
    let [a, b, c, d, e, f] = [a, b, c, d, e, f].map(field::hex_digits);
    let text = [
        b'"', a[0], a[1], b':', b[0], b[1], b':', c[0], c[1], b':', d[0], d[1], b':', e[0], e[1],
        b':', f[0], f[1], b'"',
    ];
    out.extend_from_slice(&text);
}

fn described(out: &mut Vec<u8>, description: &Description) {
    let ends = [("src", &description.client), ("dest", &description.server)];
    let known = ends.into_iter().filter(|(_, end)| **end != End::default());
    for (side, End { name, label, vnet, subnet, on_premises }) in known {
        let facts = [
            ("name", name.as_deref()),
            ("label", *label),
            ("vnet", vnet.as_deref()),
            ("subnet", subnet.as_deref()),
        ];
        for (fact, value) in facts {
            if let Some(value) = value {
                let _ = write!(out, r#","{side}_{fact}":"#);
                foreign(out, value);
            }
        }
        if *on_premises {
            let _ = write!(out, r#","{side}_on_premises":true"#);
        }
    }
    via(out, [&description.to_server, &description.to_client]);
    if description.asymmetric_path {
        text(out, r#","asymmetric_path":true"#);
    }
    if description.flow_type != FlowType::Unknown {
        text(out, r#","flow_type":""#);
        text(out, description.flow_type.name());
        text(out, r#"""#);
    }
    if description.nic.is_some() {
        text(
            out,
            match description.direction {
                Direction::Inbound => r#","direction":"inbound""#,
                Direction::Outbound => r#","direction":"outbound""#,
            },
        );
    }
}

/// The gateways on the way to the server and on the way to the client, where any is known.
fn via(out: &mut Vec<u8>, ways: [&Way; 2]) {
    let mut before = r#","via":{"#;
    for (way, key) in ways.into_iter().zip([r#""toserver":"#, r#""toclient":"#]) {
        if let Some(gateway) = &way.via {
            text(out, before);
            text(out, key);
            foreign(out, gateway);
            before = ",";
        }
    }
    if before == "," {
        text(out, "}");
    }
}

/// A string that is not ours, with what JSON has to have escaped.
fn foreign(out: &mut Vec<u8>, value: &str) {
    if is_plain(value.as_bytes()) {
        text(out, "\"");
        text(out, value);
        text(out, "\"");
        return;
    }
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// Whether JSON has a string as it is, and all of it is ASCII. Many bytes are looked at in one step,
/// some of them twice.
fn is_plain(value: &[u8]) -> bool {
    // No branch within.
    fn are_plain(bytes: &[u8]) -> bool {
        bytes.iter().fold(true, |all, &byte| {
            all & matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
        })
    }
    let (chunks, _) = value.as_chunks::<16>();
    match value.last_chunk::<16>() {
        Some(last) => chunks.iter().chain([last]).all(|chunk| are_plain(chunk)),
        None => are_plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_wherever_they_have_to_be() {
        for len in 0..50 {
            let plain = "n".repeat(len);
            for strange in ['"', '\\', '\n', '\0', '\u{7f}', 'ü', '}'] {
                for at in 0..=len {
                    let mut name = plain.clone();
                    name.insert(at, strange);
                    let mut out = Vec::new();
                    foreign(&mut out, &name);
                    assert_eq!(
                        String::from_utf8(out).unwrap(),
                        serde_json::to_string(&name).unwrap()
                    );
                }
            }
        }
    }
}
