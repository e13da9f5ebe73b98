//! The columns of the table `NTANetAnalytics`: name, type, and the value where packets can tell it.

use std::net::IpAddr;

use vtap_flow::record::Traffic;
use vtap_networks::{Direction, service};
use vtap_packet::{Mac, Protocol, Timestamp};

use super::TABLE;
use super::group::{Group, Key, Place};
use crate::Ids;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// As in the reference of the table.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    value: fn(&Row<'_>) -> Value,
    /// Whether it has values at all. Of the others, packets cannot tell.
    pub is_told: bool,
}

/// The types of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `string`; UTF-8.
    Text,
    /// `int`; 32 bits with a sign.
    Int,
    /// `long`; 64 bits with a sign.
    Long,
    /// `real`; a double.
    Real,
    /// `bool`.
    Bool,
    /// `datetime`, UTC; in Parquet microseconds since 1970.
    Time,
}

/// A value; a column has those of its kind alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Text(String),
    Int(i32),
    Long(i64),
    Time(Timestamp),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) key: &'a Key,
    pub(crate) group: &'a Group,
    pub(crate) names: &'a Names,
    /// Of the interval.
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
}

/// What is the same in every row.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    flow_log: String,
    target: Option<(String, &'static str)>,
}

impl Names {
    pub(crate) fn of(ids: &Ids) -> Self {
        Self { flow_log: ids.flow_log_name(), target: ids.target() }
    }
}

impl Column {
    /// Its value in a row.
    pub(crate) fn of(&self, row: &Row<'_>) -> Value {
        (self.value)(row)
    }
}

const fn told(name: &'static str, kind: Kind, value: fn(&Row<'_>) -> Value) -> Column {
    Column { name, kind, value, is_told: true }
}

const fn null(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, value: |_| Value::Null, is_told: false }
}

/// Every column, in the order of the alphabet as in the reference.
pub const COLUMNS: &[Column] = &[
    null("AclGroup", Kind::Text),
    null("AclRule", Kind::Text),
    told("AllowedInFlows", Kind::Long, |row| begun(row, Direction::Inbound)),
    told("AllowedOutFlows", Kind::Long, |row| begun(row, Direction::Outbound)),
    null("AzureRegion", Kind::Text),
    told("BytesDestToSrc", Kind::Long, |row| long(row.group.to_src.bytes)),
    told("BytesSrcToDest", Kind::Long, |row| long(row.group.to_dest.bytes)),
    told("CompletedFlows", Kind::Long, |row| long(row.group.ended)),
    null("ConnectingVnets", Kind::Text),
    null("ConnectionName", Kind::Text),
    null("ConnectionType", Kind::Text),
    null("Country", Kind::Text),
    null("DeniedInFlows", Kind::Long),
    null("DeniedOutFlows", Kind::Long),
    null("DestApplicationGateway", Kind::Text),
    null("DestExpressRouteCircuit", Kind::Text),
    told("DestIp", Kind::Text, |row| address(row.key.dest, &row.group.dest)),
    null("DestLoadBalancer", Kind::Text),
    null("DestLocalNetworkGateway", Kind::Text),
    null("DestNic", Kind::Text),
    told("DestPort", Kind::Int, |row| Value::Int(row.key.dest_port.into())),
    told("DestPublicIps", Kind::Text, |row| public(row, row.key.dest, &row.group.dest)),
    null("DestRegion", Kind::Text),
    told("DestSubnet", Kind::Text, |row| subnet(&row.group.dest)),
    null("DestSubscription", Kind::Text),
    null("DestVm", Kind::Text),
    null("ExpressRouteCircuitPeeringType", Kind::Text),
    told("FaSchemaVersion", Kind::Text, |_| text("3")),
    told("FlowDirection", Kind::Text, |row| {
        text(match row.key.direction {
            Direction::Inbound => "Inbound",
            Direction::Outbound => "Outbound",
        })
    }),
    told("FlowEncryption", Kind::Text, |_| text("Unencrypted")),
    told("FlowEndTime", Kind::Time, |row| row.group.last.map_or(Value::Null, Value::Time)),
    told("FlowIntervalEndTime", Kind::Time, |row| Value::Time(row.end)),
    told("FlowIntervalStartTime", Kind::Time, |row| Value::Time(row.begin)),
    told("FlowLogResourceId", Kind::Text, |row| text(&row.names.flow_log)),
    told("FlowStartTime", Kind::Time, |row| row.group.first.map_or(Value::Null, Value::Time)),
    told("FlowStatus", Kind::Text, |_| text("Allowed")),
    told("FlowType", Kind::Text, |row| text(row.key.flow_type.name())),
    null("IsFlowCapturedAtUdrHop", Kind::Bool),
    told("L4Protocol", Kind::Text, |row| match row.key.protocol {
        Protocol::TCP => text("T"),
        Protocol::UDP => text("U"),
        Protocol(number) => text(number.to_string()),
    }),
    told("L7Protocol", Kind::Text, |row| {
        service::name(row.key.protocol, row.key.dest_port).map_or(Value::Null, text)
    }),
    told("MacAddress", Kind::Text, |row| row.key.nic.map_or(Value::Null, |mac| text(dashed(mac)))),
    null("NsgList", Kind::Text),
    null("NsgRule", Kind::Text),
    null("NsgRuleType", Kind::Text),
    told("PacketsDestToSrc", Kind::Long, |row| long(row.group.to_src.packets)),
    told("PacketsSrcToDest", Kind::Long, |row| long(row.group.to_dest.packets)),
    null("PrivateEndpointResourceId", Kind::Text),
    null("PrivateLinkResourceId", Kind::Text),
    null("PrivateLinkResourceName", Kind::Text),
    null("SourceSystem", Kind::Text),
    null("SrcApplicationGateway", Kind::Text),
    null("SrcExpressRouteCircuit", Kind::Text),
    told("SrcIp", Kind::Text, |row| address(row.key.src, &row.group.src)),
    null("SrcLoadBalancer", Kind::Text),
    null("SrcLocalNetworkGateway", Kind::Text),
    null("SrcNic", Kind::Text),
    told("SrcPublicIps", Kind::Text, |row| public(row, row.key.src, &row.group.src)),
    null("SrcRegion", Kind::Text),
    told("SrcSubnet", Kind::Text, |row| subnet(&row.group.src)),
    null("SrcSubscription", Kind::Text),
    null("SrcVm", Kind::Text),
    null("Status", Kind::Text),
    told("SubType", Kind::Text, |_| text("FlowLog")),
    told("TargetResourceId", Kind::Text, |row| {
        row.names.target.as_ref().map_or(Value::Null, |(name, _)| text(name))
    }),
    told("TargetResourceType", Kind::Text, |row| {
        row.names.target.as_ref().map_or(Value::Null, |(_, kind)| text(*kind))
    }),
    null("TenantId", Kind::Text),
    told("TimeGenerated", Kind::Time, |row| Value::Time(row.end)),
    told("TimeProcessed", Kind::Time, |row| Value::Time(row.end)),
    told("Type", Kind::Text, |_| text(TABLE)),
    null("_BilledSize", Kind::Real),
    null("_IsBillable", Kind::Text),
];

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

/// Beyond what the type holds, the largest value: 8 exabytes.
fn long(number: u64) -> Value {
    Value::Long(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Flows that have begun, in the column of their direction; zero in the other.
fn begun(row: &Row<'_>, direction: Direction) -> Value {
    long(if row.key.direction == direction { row.group.begun } else { 0 })
}

/// Null for a public address, which has a column of its own.
fn address(address: IpAddr, place: &Place) -> Value {
    if place.is_public { Value::Null } else { text(address.to_string()) }
}

/// A public address with what is counted of it: flows begun and ended, packets to the destination
/// and back, bytes to the destination and back.
fn public(row: &Row<'_>, address: IpAddr, place: &Place) -> Value {
    if !place.is_public {
        return Value::Null;
    }
    let Group { begun, ended, to_dest, to_src, .. } = row.group;
    let Traffic { packets, bytes, .. } = to_dest;
    text(format!("{address}|{begun}|{ended}|{packets}|{}|{bytes}|{}", to_src.packets, to_src.bytes))
}

/// `hub/AzureFirewallSubnet`: the resource group in front of it is not known.
fn subnet(place: &Place) -> Value {
    match (&place.vnet, &place.subnet) {
        (Some(vnet), Some(subnet)) => text(format!("{vnet}/{subnet}")),
        _ => Value::Null,
    }
}

/// `00-22-48-71-C2-05`.
fn dashed(mac: Mac) -> String {
    let [a, b, c, d, e, g] = mac.0;
    format!("{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{g:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_that_stay_null_are_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flow-logs.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, rest) = page.split_once("### Columns that stay null").unwrap();
        let documented: Vec<_> = rest.lines().next_paragraph();
        let null: Vec<_> = COLUMNS.iter().filter(|c| !c.is_told).map(|c| c.name).collect();
        assert_eq!(documented, null);
        assert!(COLUMNS.is_sorted_by_key(|column| (column.name.starts_with('_'), column.name)));
    }

    trait Paragraph<'a> {
        fn next_paragraph(self) -> Vec<&'a str>;
    }

    impl<'a> Paragraph<'a> for std::str::Lines<'a> {
        /// The words in backquotes of the next paragraph.
        fn next_paragraph(self) -> Vec<&'a str> {
            let lines = self.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
            lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
        }
    }
}
