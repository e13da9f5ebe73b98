//! Flows as aligned columns, for people.
//!
//! Time of the first packet (UTC), seconds to the last, protocol, client and server, packets and IP
//! bytes each way, what it came to in Zeek's word, why it is over. Then notes: names, gateways, and
//! what is odd. A flow that goes on has a row with `...` in place of the reason, and what was counted
//! since the one before.

use std::io::{self, Write};

use vtap_flow::Record;
use vtap_flow::record::{Half, Phase};
use vtap_networks::{Description, End};

use crate::field::{self, text};
use crate::flow_json;
use crate::text::{ENDPOINT, Layout, TIME, Text, left, right};

/// `86400.000`
const DURATION: usize = 9;
/// `IPv6-ICMP`
const PROTOCOL: usize = 9;
const PACKETS: usize = 9;
const BYTES: usize = 12;
/// `RSTOS0`
const CONN_STATE: usize = 6;

pub(crate) fn headings() -> String {
    format!(
        "{:TIME$} {:>DURATION$} {:PROTOCOL$} {:ENDPOINT$} {:ENDPOINT$} {:>PACKETS$} {:>PACKETS$} \
         {:>BYTES$} {:>BYTES$} {:CONN_STATE$} REASON\n",
        "START",
        "SECONDS",
        "PROTO",
        "CLIENT",
        "SERVER",
        "PKTS>",
        "PKTS<",
        "BYTES>",
        "BYTES<",
        "STATE",
    )
}

impl<W: Write> Text<W> {
    /// Writes what is told of a flow. That one has begun is no row.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn flow(&mut self, record: &Record, description: &Description) -> io::Result<()> {
        if record.phase == Phase::Begin {
            return Ok(());
        }
        self.batch.row(|out, _| self.layout.flow(out, record, description))
    }
}

impl Layout {
    fn flow(&mut self, out: &mut Vec<u8>, record: &Record, description: &Description) {
        self.fit(record.client);
        self.fit(record.server);
        self.clock.write(out, record.start);
        text(out, " ");
        let span = record.end.since(record.start);
        let seconds = format!("{}.{:03}", span.as_secs(), span.subsec_millis());
        text(out, &format!("{seconds:>DURATION$} "));
        left(out, PROTOCOL, |out| flow_json::protocol(out, record.protocol));
        left(out, self.endpoint, |out| field::endpoint(out, record.client));
        left(out, self.endpoint, |out| field::endpoint(out, record.server));
        let ended = matches!(record.phase, Phase::End(_));
        let of = |half: &Half| if ended { half.total } else { half.since };
        let (to_server, to_client) = (of(&record.to_server), of(&record.to_client));
        right(out, PACKETS, Some(to_server.packets));
        right(out, PACKETS, Some(to_client.packets));
        right(out, BYTES, Some(to_server.bytes));
        right(out, BYTES, Some(to_client.bytes));
        left(out, CONN_STATE, |out| text(out, record.conn_state.name()));
        text(
            out,
            match record.phase {
                Phase::End(ending) => ending.name(),
                Phase::Begin | Phase::Continue => "...",
            },
        );
        notes(out, record, description);
        text(out, "\n");
    }
}

/// Each begins with two spaces.
fn notes(out: &mut Vec<u8>, record: &Record, description: &Description) {
    for (side, end) in [("client", &description.client), ("server", &description.server)] {
        if let Some(words) = words(end) {
            text(out, &format!("  {side} {words}"));
        }
    }
    let ways = [("to server", &description.to_server), ("to client", &description.to_client)];
    match ways.map(|(_, way)| way.via.as_deref()) {
        [Some(there), Some(back)] if there == back => text(out, &format!("  via {there}")),
        vias => {
            for ((way, _), via) in ways.iter().zip(vias) {
                if let Some(via) = via {
                    text(out, &format!("  {way} via {via}"));
                }
            }
        }
    }
    if description.asymmetric_path {
        text(out, "  asymmetric-path");
    }
    if record.midstream {
        text(out, "  midstream");
    }
    if let Some(missing) = record.missing {
        text(out, &format!("  one way: the {}'s packets are missing", missing.name()));
    }
    if let Some(tunnel) = record.tunnel.filter(|_| record.egress_only) {
        text(out, &format!("  egress only, from {} behind NAT", tunnel.src));
    }
    let retransmissions = record.to_server.retransmissions + record.to_client.retransmissions;
    if retransmissions > 0 {
        text(out, &format!("  {retransmissions} retransmitted"));
    }
    if let Some(tcp) = record.tcp.filter(|tcp| tcp.invalid > 0) {
        text(out, &format!("  {} INVALID", tcp.invalid));
    }
}

fn words(end: &End) -> Option<String> {
    match (end.name.as_deref(), end.label) {
        (Some(name), Some(label)) => Some(format!("{name} ({label})")),
        (Some(name), None) => Some(name.to_owned()),
        (None, Some(label)) => Some(label.to_owned()),
        (None, None) => None,
    }
}
