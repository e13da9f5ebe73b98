//! Whatever the event, a row is valid and its values read back.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::{IpAddr, SocketAddr};

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use vtap_export::{Azure, Json, Text};
use vtap_flow::{Event, EventFlag, Reason, Side, Sink, State};
use vtap_packet::{Timestamp, Tunnel, Vni};

const SIDES: [Side; 2] = [Side::Client, Side::Server];

fn tunnel() -> impl Strategy<Value = Tunnel> {
    any::<(IpAddr, IpAddr, u16, u16, u32, u8)>().prop_map(
        |(src, dst, src_port, dst_port, vni, depth)| Tunnel {
            src,
            dst,
            src_port,
            dst_port,
            vni: Vni::new(vni),
            depth,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (
        any::<(u64, u64, SocketAddr, SocketAddr, bool, u64)>(),
        select(EventFlag::ALL.to_vec()),
        option::of(tunnel()),
        option::of(select(State::ALL.to_vec())),
        option::of(select(SIDES.to_vec())),
        option::of(select(Reason::ALL.to_vec())),
        option::of(select(SIDES.to_vec())),
    )
        .prop_map(|(plain, flag, tunnel, state, side, reason, missing)| {
            let (time, packet, src, dst, retransmission, suppressed) = plain;
            Event {
                time: Timestamp::from_nanos(time),
                packet,
                flag,
                src,
                dst,
                tunnel,
                state,
                side,
                reason,
                missing,
                taps: [None; vtap_flow::event::MAX_TAPS],
                egress_only: false,
                retransmission,
                suppressed,
            }
        })
}

/// An object without the keys whose value is null.
fn object(mut value: Value) -> Value {
    value.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    value
}

/// The one row of an event.
fn line(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'));
    line.into()
}

proptest! {
    #[test]
    fn json_rows_hold_every_value(event in event()) {
        let mut json = Json::new(Vec::new());
        json.event(&event).unwrap();
        let mut row: Value = serde_json::from_str(&line(json.finish().unwrap())).unwrap();

        let id = row["community_id"].take();
        prop_assert!(id.as_str().unwrap().starts_with("1:"));
        let tunnel = event.tunnel.map(|tunnel| json!({
            "src_ip": tunnel.src.to_string(),
            "src_port": tunnel.src_port,
            "dest_ip": tunnel.dst.to_string(),
            "dest_port": tunnel.dst_port,
            "vni": tunnel.vni.get(),
            "depth": tunnel.depth,
        }));
        let tcp = object(json!({
            "flag": event.flag.name(),
            "reason": event.reason.map(Reason::name),
            "state": event.state.map_or("NONE", State::name),
            "side": event.side.map(Side::name),
            "missing": event.missing.map(Side::name),
            "retransmission": event.retransmission.then_some(true),
            "suppressed": (event.suppressed > 0).then_some(event.suppressed),
        }));
        prop_assert_eq!(object(row), object(json!({
            "timestamp": event.time.to_string(),
            "event_type": "tcp",
            "src_ip": event.src.ip().to_string(),
            "src_port": event.src.port(),
            "dest_ip": event.dst.ip().to_string(),
            "dest_port": event.dst.port(),
            "proto": "TCP",
            "packet": event.packet,
            "tunnel": tunnel,
            "tcp": tcp,
        })));
    }

    #[test]
    fn flow_trace_rows_hold_every_value(event in event()) {
        let event = Event { suppressed: 0, ..event };
        let mut azure = Azure::new(Vec::new());
        azure.set_resource_id("id");
        azure.event(&event).unwrap();
        let row: Value = serde_json::from_str(&line(azure.finish().unwrap())).unwrap();

        prop_assert_eq!(row, json!({
            "time": format!("{:.27}Z", event.time.to_string()),
            "category": "AZFWFlowTrace",
            "resourceId": "id",
            "properties": {
                "Protocol": "TCP",
                "SourceIp": event.src.ip().to_string(),
                "SourcePort": event.src.port(),
                "DestinationIp": event.dst.ip().to_string(),
                "DestinationPort": event.dst.port(),
                "Flag": event.flag.name(),
                "Action": "Log",
                "ActionReason": "Additional TCP Log",
            },
        }));
    }

    #[test]
    fn text_rows_have_a_cell_in_every_column(event in event()) {
        let mut text = Text::new(Vec::new());
        text.event(&event).unwrap();
        let bytes = text.finish().unwrap();
        let rows = String::from_utf8(bytes).unwrap();
        let row = rows.lines().nth(1).unwrap();
        let cells: Vec<&str> = row.split_whitespace().take(8).collect();
        let endpoint = |endpoint: SocketAddr| match endpoint.ip() {
            IpAddr::V4(v4) => format!("{v4}:{}", endpoint.port()),
            IpAddr::V6(v6) => format!("[{v6}]:{}", endpoint.port()),
        };
        prop_assert_eq!(cells, [
            event.time.to_string(),
            event.packet.to_string(),
            event.tunnel.map_or_else(|| "-".into(), |tunnel| tunnel.vni.to_string()),
            endpoint(event.src),
            endpoint(event.dst),
            event.flag.to_string(),
            event.state.map_or("NONE", State::name).into(),
            event.side.map_or("-", Side::name).into(),
        ]);
        prop_assert_eq!(row.trim_end(), row);
    }
}
