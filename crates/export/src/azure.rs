//! The flow trace of Azure Firewall (category `AZFWFlowTrace`), one record a line, as it arrives
//! in a storage account or an event hub.
//!
//! ```json
//! {"time":"2025-12-01T00:00:00.0000000Z","category":"AZFWFlowTrace","resourceId":"/SUBSCR...",
//!  "properties":{"Protocol":"TCP","SourceIp":"10.0.2.5","SourcePort":443,
//!  "DestinationIp":"10.0.1.4","DestinationPort":50000,"Flag":"SYN-ACK","Action":"Log",
//!  "ActionReason":"Additional TCP Log"}}
//! ```
//!
//! Time has seven digits, ticks of 100 ns; what is finer is cut off. Addresses and ports are those
//! of the packet, as in the firewall's own rows.
//!
//! Where the firewall has no example to follow: it writes no flow trace of IPv6 (in other logs its
//! IPv6 addresses are bracketed and expanded), here such an address has its usual form, without
//! brackets. SYN and ACK, which the firewall leaves out, are written if they are let through. An
//! asymmetric flow is an INVALID row. The row that stands for suppressed INVALID packets is no
//! packet's, so it has no place in this shape: it is counted, not written.

use std::io::{self, Write};

use serde_json::Value;
use vtap_flow::{Event, Gap, Sink};

use crate::batch::Batch;
use crate::clock::Clock;
use crate::field::{self, text};

/// `resourceId` unless another is given: a firewall that does not exist.
pub const RESOURCE_ID: &str = "/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000\
    /RESOURCEGROUPS/VTAP/PROVIDERS/MICROSOFT.NETWORK/AZUREFIREWALLS/VTAP";

/// Writes events as rows of the firewall's flow trace.
#[derive(Debug)]
pub struct Azure<W> {
    pub(crate) batch: Batch<W>,
    clock: Clock,
    /// From the end of the time to the source address.
    head: String,
    omitted: u64,
}

impl<W: Write> Azure<W> {
    /// Writes to `writer`, which needs no buffer of its own, in the name of [`RESOURCE_ID`].
    pub fn new(writer: W) -> Self {
        Self {
            batch: Batch::new(writer, ""),
            clock: Clock::new(),
            head: head(RESOURCE_ID),
            omitted: 0,
        }
    }

    /// In the name of this resource from now on; any text, usually in capitals.
    pub fn set_resource_id(&mut self, id: &str) {
        self.head = head(id);
    }

    /// How many events had no place in this shape: the rows that stand for suppressed packets.
    pub const fn omitted(&self) -> u64 {
        self.omitted
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

impl<W: Write> Sink for Azure<W> {
    type Error = io::Error;

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if event.suppressed > 0 {
            self.omitted += 1;
            return Ok(());
        }
        self.batch.row(|out, _| row(out, &mut self.clock, &self.head, event))
    }

    /// The firewall sits in the path and has no mirror that could have gaps.
    fn gap(&mut self, _gap: &Gap) -> io::Result<()> {
        self.omitted += 1;
        Ok(())
    }
}

fn head(resource_id: &str) -> String {
    let id = Value::from(resource_id);
    format!(
        "Z\",\"category\":\"AZFWFlowTrace\",\"resourceId\":{id},\
         \"properties\":{{\"Protocol\":\"TCP\",\"SourceIp\":\""
    )
}

fn row(out: &mut Vec<u8>, clock: &mut Clock, head: &str, event: &Event) {
    text(out, r#"{"time":""#);
    clock.write(out, event.time);
    // What is finer than a tick, and the `Z`.
    out.truncate(out.len() - 3);
    text(out, head);
    field::address(out, event.src.ip());
    text(out, r#"","SourcePort":"#);
    field::number(out, event.src.port());
    text(out, r#","DestinationIp":""#);
    field::address(out, event.dst.ip());
    text(out, r#"","DestinationPort":"#);
    field::number(out, event.dst.port());
    text(out, r#","Flag":""#);
    text(out, event.flag.name());
    text(out, "\",\"Action\":\"Log\",\"ActionReason\":\"Additional TCP Log\"}}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn lines(azure: Azure<Vec<u8>>) -> String {
        String::from_utf8(azure.finish().unwrap()).unwrap()
    }

    #[test]
    fn a_row_has_the_columns_of_the_flow_trace_and_time_in_ticks() {
        let mut azure = Azure::new(Vec::new());
        azure.event(&sample::syn_ack()).unwrap();
        azure.event(&sample::plain_v6()).unwrap();
        let start = concat!(
            r#"{"time":"2025-12-01T00:00:00.1234567Z","category":"AZFWFlowTrace","#,
            r#""resourceId":"/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/VTAP"#,
            r#"/PROVIDERS/MICROSOFT.NETWORK/AZUREFIREWALLS/VTAP","properties":{"Protocol":"TCP","#,
        );
        let end = r#""Action":"Log","ActionReason":"Additional TCP Log"}}"#;
        assert_eq!(
            lines(azure),
            format!(
                "{start}{}{end}\n{start}{}{end}\n",
                concat!(
                    r#""SourceIp":"10.0.2.5","SourcePort":443,"#,
                    r#""DestinationIp":"10.0.1.4","DestinationPort":50000,"Flag":"SYN-ACK","#,
                ),
                concat!(
                    r#""SourceIp":"fd00::1:0:0:1","SourcePort":50000,"#,
                    r#""DestinationIp":"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff","#,
                    r#""DestinationPort":443,"Flag":"FIN","#,
                ),
            )
        );
    }

    #[test]
    fn an_asymmetric_flow_is_invalid_and_a_row_of_suppressed_packets_is_counted_only() {
        let mut azure = Azure::new(Vec::new());
        azure.event(&sample::asymmetric()).unwrap();
        azure.event(&sample::suppressed()).unwrap();
        assert_eq!(azure.omitted(), 1);
        let lines = lines(azure);
        assert!(lines.contains(r#""Flag":"INVALID""#) && lines.lines().count() == 1);
    }

    #[test]
    fn a_resource_id_is_escaped() {
        let mut azure = Azure::new(Vec::new());
        azure.set_resource_id("/a \"b\"\\\n\u{e9}");
        azure.event(&sample::syn_ack()).unwrap();
        let row: Value = serde_json::from_str(&lines(azure)).unwrap();
        assert_eq!(row["resourceId"], "/a \"b\"\\\n\u{e9}");
    }
}
