//! One JSON object a line, in the envelope of Suricata's EVE.
//!
//! ```json
//! {"timestamp":"2025-12-01T00:00:00.000000001Z","event_type":"tcp","src_ip":"10.0.1.4",
//!  "src_port":50000,"dest_ip":"10.0.2.5","dest_port":443,"proto":"TCP",
//!  "community_id":"1:w5mK5wZhrO6H5iu/D4VnkVuIIr8=","packet":7,
//!  "tunnel":{"src_ip":"10.9.0.4","src_port":51111,"dest_ip":"10.9.0.5","dest_port":4789,
//!            "vni":27,"depth":1},
//!  "tcp":{"flag":"INVALID","reason":"asymmetric","state":"NONE","side":"client",
//!         "missing":"server","suppressed":3}}
//! ```
//!
//! A gap in what a tap shows is a line of its own, with the time at which it was over:
//!
//! ```json
//! {"timestamp":"2025-12-01T00:00:12.300000000Z","event_type":"gap","tap":"10.9.0.4",
//!  "gap":{"start":"2025-12-01T00:00:02.250000000Z","end":"2025-12-01T00:00:12.300000000Z",
//!         "seconds":10.050,"cause":"silence"}}
//! ```
//!
//! Keys come in this order, on one line. `timestamp`, addresses and ports are those of the packet.
//! A key is absent where there is nothing to say: `tunnel` for a packet that was not mirrored,
//! `taps` where one tap alone has shown the flow, `egress_only` (always `true`) and `nat` unless
//! the source was translated on its way out and nothing comes back,
//! `reason` unless the flag is INVALID, `side` where it is not known, `missing` unless the reason
//! is asymmetric. `retransmission` is there only as `true`; `suppressed` only on the row that
//! stands for so many INVALID packets, of which it shows the last. `state` is `NONE` where there
//! is no flow.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use vtap_flow::event::MAX_TAPS;
use vtap_flow::{Event, Gap, Sink};
use vtap_packet::{Protocol, Tunnel};

use crate::batch::Batch;
use crate::clock::Clock;
use crate::community::Ids;
use crate::field::{self, text};

/// Writes events as JSON lines.
#[derive(Debug)]
pub struct Json<W> {
    pub(crate) batch: Batch<W>,
    pub(crate) clock: Clock,
}

impl<W: Write> Json<W> {
    /// Writes to `writer`, which needs no buffer of its own.
    pub fn new(writer: W) -> Self {
        Self { batch: Batch::new(writer, ""), clock: Clock::new() }
    }

    /// Writes what was gathered and flushes the writer.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.batch.flush()
    }

    /// Flushes and hands the writer back.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(self) -> io::Result<W> {
        self.batch.finish()
    }
}

impl<W: Write> Sink for Json<W> {
    type Error = io::Error;

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.batch.row(|out, ids| row(out, &mut self.clock, ids, event))
    }

    fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        self.batch.row(|out, _| gap_row(out, &mut self.clock, gap))
    }
}

fn row(out: &mut Vec<u8>, clock: &mut Clock, ids: &mut Ids, event: &Event) {
    text(out, r#"{"timestamp":""#);
    clock.write(out, event.time);
    text(out, r#"","event_type":"tcp","#);
    ends(out, event.src, event.dst);
    text(out, r#","proto":"TCP","community_id":""#);
    ids.leave_room(out, Protocol::TCP, (event.src, event.dst));
    text(out, r#"","packet":"#);
    field::number(out, event.packet);
    if let Some(envelope) = &event.tunnel {
        tunnel(out, envelope);
        if event.egress_only {
            nat(out, envelope);
        }
    }
    taps(out, event.taps);
    tcp(out, event);
    text(out, "}\n");
}

/// Who sent, and to whom. Inline as a number is.
#[inline(always)]
pub(crate) fn ends(out: &mut Vec<u8>, src: SocketAddr, dst: SocketAddr) {
    text(out, r#""src_ip":""#);
    field::address(out, src.ip());
    text(out, r#"","src_port":"#);
    field::number(out, src.port());
    text(out, r#","dest_ip":""#);
    field::address(out, dst.ip());
    text(out, r#"","dest_port":"#);
    field::number(out, dst.port());
}

/// Of a source that was translated: the address behind it is that of the tap.
pub(crate) fn nat(out: &mut Vec<u8>, envelope: &Tunnel) {
    text(out, r#","egress_only":true,"nat":{"private_ip":""#);
    field::address(out, envelope.src);
    text(out, r#""}"#);
}

pub(crate) fn taps(out: &mut Vec<u8>, taps: [Option<IpAddr>; MAX_TAPS]) {
    for (at, tap) in taps.iter().flatten().enumerate() {
        text(out, if at == 0 { r#","taps":[""# } else { r#"",""# });
        field::address(out, *tap);
    }
    if taps.iter().any(Option::is_some) {
        text(out, r#""]"#);
    }
}

fn gap_row(out: &mut Vec<u8>, clock: &mut Clock, gap: &Gap) {
    text(out, r#"{"timestamp":""#);
    clock.write(out, gap.end);
    text(out, r#"","event_type":"gap","tap":""#);
    field::address(out, gap.tap);
    text(out, r#"","gap":{"start":""#);
    clock.write(out, gap.start);
    text(out, r#"","end":""#);
    clock.write(out, gap.end);
    text(out, r#"","seconds":"#);
    field::seconds(out, gap.end.since(gap.start));
    text(out, r#","cause":""#);
    text(out, gap.cause.name());
    text(out, "\"}}\n");
}

pub(crate) fn tunnel(out: &mut Vec<u8>, tunnel: &Tunnel) {
    text(out, r#","tunnel":{"#);
    let [src, dst] = [(tunnel.src, tunnel.src_port), (tunnel.dst, tunnel.dst_port)];
    ends(out, src.into(), dst.into());
    text(out, r#","vni":"#);
    field::number(out, tunnel.vni.get());
    text(out, r#","depth":"#);
    field::number(out, tunnel.depth);
    text(out, "}");
}

fn tcp(out: &mut Vec<u8>, event: &Event) {
    text(out, r#","tcp":{"flag":""#);
    text(out, event.flag.name());
    if let Some(reason) = event.reason {
        text(out, r#"","reason":""#);
        text(out, reason.name());
    }
    text(out, r#"","state":""#);
    text(out, event.state.map_or("NONE", |state| state.name()));
    if let Some(side) = event.side {
        text(out, r#"","side":""#);
        text(out, side.name());
    }
    if let Some(missing) = event.missing {
        text(out, r#"","missing":""#);
        text(out, missing.name());
    }
    text(out, r#"""#);
    if event.retransmission {
        text(out, r#","retransmission":true"#);
    }
    if event.suppressed > 0 {
        text(out, r#","suppressed":"#);
        field::number(out, event.suppressed);
    }
    text(out, "}");
}

#[cfg(test)]
mod tests {
    use vtap_flow::Side;

    use super::*;
    use crate::sample;

    fn line(event: &Event) -> String {
        let mut json = Json::new(Vec::new());
        json.event(event).unwrap();
        String::from_utf8(json.finish().unwrap()).unwrap()
    }

    const SYN: &str = concat!(
        r#"{"timestamp":"2025-12-01T00:00:00.123456789Z","event_type":"tcp","#,
        r#""src_ip":"10.0.1.4","src_port":50000,"dest_ip":"10.0.2.5","dest_port":443,"#,
        r#""proto":"TCP","community_id":"1:w5mK5wZhrO6H5iu/D4VnkVuIIr8=","packet":1,"#,
        r#""tunnel":{"src_ip":"10.9.0.4","src_port":51111,"dest_ip":"10.9.0.5","#,
        r#""dest_port":4789,"vni":27,"depth":1},"#,
        r#""tcp":{"flag":"SYN","state":"SYN_SENT","side":"client"}}"#,
        "\n"
    );

    #[test]
    fn a_mirrored_syn_has_tunnel_state_and_side() {
        assert_eq!(line(&sample::syn()), SYN);
    }

    #[test]
    fn an_ipv6_packet_that_was_not_mirrored_has_no_tunnel() {
        assert_eq!(
            line(&sample::plain_v6()),
            concat!(
                r#"{"timestamp":"2025-12-01T00:00:00.123456789Z","event_type":"tcp","#,
                r#""src_ip":"fd00::1:0:0:1","src_port":50000,"#,
                r#""dest_ip":"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff","dest_port":443,"#,
                r#""proto":"TCP","community_id":"1:czaq9hZ7nqdbZLEkaAoWq4XxSnE=","packet":4,"#,
                r#""tcp":{"flag":"FIN","state":"FIN_WAIT","side":"client"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn several_taps_and_a_translated_source_stand_before_the_tcp_object() {
        let tap = |text: &str| Some(text.parse().unwrap());
        let event = Event {
            taps: [tap("10.9.0.4"), tap("fd00::6"), None, None],
            egress_only: true,
            ..sample::syn()
        };
        let (_, rest) = SYN.split_once(r#","tcp":"#).unwrap();
        let added = concat!(
            r#","depth":1},"egress_only":true,"nat":{"private_ip":"10.9.0.4"},"#,
            r#""taps":["10.9.0.4","fd00::6"],"tcp":"#
        );
        assert_eq!(line(&event).split_once(r#""vni":27"#).unwrap().1, format!("{added}{rest}"));
    }

    #[test]
    fn a_gap_is_a_line_of_its_own() {
        let mut json = Json::new(Vec::new());
        json.gap(&sample::gap()).unwrap();
        assert_eq!(
            String::from_utf8(json.finish().unwrap()).unwrap(),
            concat!(
                r#"{"timestamp":"2025-12-01T00:00:12.300000000Z","event_type":"gap","#,
                r#""tap":"10.9.0.4","gap":{"start":"2025-12-01T00:00:02.250000000Z","#,
                r#""end":"2025-12-01T00:00:12.300000000Z","seconds":10.050,"cause":"silence"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_tcp_object_says_what_there_is_to_say_and_no_more() {
        for (event, tcp) in [
            (sample::invalid(), r#"{"flag":"INVALID","reason":"no-state","state":"NONE"}"#),
            (
                sample::asymmetric(),
                r#"{"flag":"INVALID","reason":"asymmetric","state":"SYN_SENT","side":"client","missing":"server"}"#,
            ),
            (
                sample::retransmission(),
                r#"{"flag":"SYN-ACK","state":"SYN_RECV","side":"server","retransmission":true}"#,
            ),
            (
                sample::suppressed(),
                r#"{"flag":"INVALID","reason":"no-state","state":"NONE","suppressed":12}"#,
            ),
            (
                Event { missing: Some(Side::Client), suppressed: 1, ..sample::asymmetric() },
                r#"{"flag":"INVALID","reason":"asymmetric","state":"SYN_SENT","side":"client","missing":"client","suppressed":1}"#,
            ),
        ] {
            let line = line(&event);
            assert_eq!(line.split_once(r#","tcp":"#).unwrap().1, format!("{tcp}}}\n"));
        }
    }
}
