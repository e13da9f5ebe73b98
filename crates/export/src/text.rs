//! Aligned columns, for people.
//!
//! A row of headings, then one row an event: time (UTC, nanoseconds), packet number, VNI, source
//! and destination of the packet, flag, state of the flow after it, the end that sent it. Where
//! there is more to say, a note follows: why the packet is INVALID, by name and in words; how many
//! more of its kind were not shown; that it is a retransmission. `-` stands for what is not known,
//! `NONE` for the state where there is no flow.
//!
//! With IPv4 the columns take 119 characters, notes apart. The address columns grow, both
//! together, when an IPv6 endpoint needs it, and keep that width for the rows after it.

use std::io::{self, Write};
use std::net::SocketAddr;

use vtap_flow::gap::Cause;
use vtap_flow::{Event, Gap, Sink};

use crate::batch::Batch;
use crate::clock::Clock;
use crate::field::{self, text};

/// Writes events as rows of text.
#[derive(Debug)]
pub struct Text<W> {
    pub(crate) batch: Batch<W>,
    pub(crate) layout: Layout,
}

impl<W: Write> Text<W> {
    /// Writes events to `writer`, which needs no buffer of its own. The headings are written even
    /// where no event follows.
    pub fn new(writer: W) -> Self {
        Self::with_head(writer, &headings())
    }

    /// Writes rows below a head, which may be empty.
    pub(crate) fn with_head(writer: W, head: &str) -> Self {
        Self { batch: Batch::new(writer, head), layout: Layout::new() }
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

impl<W: Write> Sink for Text<W> {
    type Error = io::Error;

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.batch.row(|out, _| self.layout.row(out, event))
    }

    fn gap(&mut self, gap: &Gap) -> io::Result<()> {
        self.batch.row(|out, _| self.layout.gap(out, gap))
    }
}

/// `2025-12-01T00:00:00.000000000Z`
pub(crate) const TIME: usize = 30;
/// A hundred million packets; more shift their own row.
const PACKET: usize = 8;
/// 24 bits.
const VNI: usize = 8;
/// `255.255.255.255:65535`
pub(crate) const ENDPOINT: usize = 21;
/// `SYN-ACK`, `INVALID`
const FLAG: usize = 7;
/// `ESTABLISHED`
const STATE: usize = 11;
/// `client`, `server`
const SIDE: usize = 6;

pub(crate) fn headings() -> String {
    format!(
        "{:TIME$} {:>PACKET$} {:>VNI$} {:ENDPOINT$} {:ENDPOINT$} {:FLAG$} {:STATE$} SIDE\n",
        "TIME", "PACKET", "VNI", "SOURCE", "DESTINATION", "FLAG", "STATE",
    )
}

/// What one row leaves to the next.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) clock: Clock,
    /// How wide the address columns are by now.
    pub(crate) endpoint: usize,
    /// An endpoint to be measured.
    scratch: Vec<u8>,
}

impl Layout {
    fn new() -> Self {
        Self { clock: Clock::new(), endpoint: ENDPOINT, scratch: Vec::with_capacity(64) }
    }

    /// Widens the address columns where `endpoint` needs it.
    pub(crate) fn fit(&mut self, endpoint: SocketAddr) {
        if endpoint.is_ipv6() {
            self.scratch.clear();
            field::endpoint(&mut self.scratch, endpoint);
            self.endpoint = self.endpoint.max(self.scratch.len());
        }
    }

    fn row(&mut self, out: &mut Vec<u8>, event: &Event) {
        self.fit(event.src);
        self.fit(event.dst);

        self.clock.write(out, event.time);
        text(out, " ");
        right(out, PACKET, Some(event.packet));
        right(out, VNI, event.tunnel.map(|tunnel| tunnel.vni.get().into()));
        left(out, self.endpoint, |out| field::endpoint(out, event.src));
        left(out, self.endpoint, |out| field::endpoint(out, event.dst));
        left(out, FLAG, |out| text(out, event.flag.name()));
        left(out, STATE, |out| text(out, event.state.map_or("NONE", |state| state.name())));
        let side = event.side.map_or("-", |side| side.name());
        text(out, side);
        let end = out.len();
        spaces(out, SIDE.saturating_sub(side.len()));
        let padded = out.len();
        notes(out, event);
        if out.len() == padded {
            // Nothing to note: no spaces at the end of the row.
            out.truncate(end);
        }
        text(out, "\n");
    }

    /// Not of a packet, so it has no columns but the time.
    fn gap(&mut self, out: &mut Vec<u8>, gap: &Gap) {
        self.clock.write(out, gap.end);
        text(out, " --- the mirror of tap ");
        field::address(out, gap.tap);
        text(out, " showed nothing for ");
        field::seconds(out, gap.end.since(gap.start));
        text(out, " s (");
        text(
            out,
            match gap.cause {
                Cause::Silence => "silence after steady traffic",
                Cause::Resumed => "many connections went on beyond their windows",
            },
        );
        text(out, ") ---\n");
    }
}

/// Each note begins with the space that sets it apart.
fn notes(out: &mut Vec<u8>, event: &Event) {
    if let Some(reason) = event.reason {
        text(out, " ");
        text(out, reason.name());
        text(out, ": ");
        text(out, reason.words());
    }
    if let Some(missing) = event.missing {
        text(out, " (");
        text(out, missing.name());
        text(out, "'s packets are missing)");
    }
    if event.retransmission {
        text(out, " retransmission");
    }
    if let Some(tunnel) = event.tunnel.filter(|_| event.egress_only) {
        text(out, " egress only, from ");
        field::address(out, tunnel.src);
        text(out, " behind NAT");
    }
    if event.suppressed > 0 {
        text(out, " (and ");
        field::number(out, event.suppressed);
        let plural = if event.suppressed == 1 { "" } else { "s" };
        text(out, " more INVALID packet");
        text(out, plural);
        text(out, " of this flow, the last one here)");
    }
}

/// The cell that `put` appends, at the left of its column.
pub(crate) fn left(out: &mut Vec<u8>, width: usize, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    spaces(out, (start + width + 1).saturating_sub(out.len()).max(1));
}

/// A number, or `-`, at the right of its column.
pub(crate) fn right(out: &mut Vec<u8>, width: usize, number: Option<u64>) {
    let digits =
        number.map_or(1, |number| number.checked_ilog10().map_or(1, |log| log as usize + 1));
    spaces(out, width.saturating_sub(digits));
    match number {
        Some(number) => field::number(out, number),
        None => text(out, "-"),
    }
    text(out, " ");
}

/// Copies more than there should be and cuts, because filling any other number takes a call.
fn spaces(out: &mut Vec<u8>, count: usize) {
    let end = out.len() + count;
    while out.len() < end {
        out.extend_from_slice(b"                ");
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn lines(events: &[Event]) -> Vec<String> {
        let mut text = Text::new(Vec::new());
        for event in events {
            text.event(event).unwrap();
        }
        let bytes = text.finish().unwrap();
        String::from_utf8(bytes).unwrap().lines().map(Into::into).collect()
    }

    #[test]
    fn ipv4_rows_stand_under_their_headings() {
        let unusual = Event {
            packet: 12_345_678,
            src: "255.255.255.255:65535".parse().unwrap(),
            tunnel: None,
            side: None,
            ..sample::syn()
        };
        assert_eq!(
            lines(&[sample::syn(), sample::syn_ack(), unusual]),
            [
                "TIME                             PACKET      VNI SOURCE                DESTINATION           FLAG    STATE       SIDE",
                "2025-12-01T00:00:00.123456789Z        1       27 10.0.1.4:50000        10.0.2.5:443          SYN     SYN_SENT    client",
                "2025-12-01T00:00:00.123456789Z        2       27 10.0.2.5:443          10.0.1.4:50000        SYN-ACK SYN_RECV    server",
                "2025-12-01T00:00:00.123456789Z 12345678        - 255.255.255.255:65535 10.0.2.5:443          SYN     SYN_SENT    -",
            ]
        );
    }

    #[test]
    fn columns_fit_120_characters_whatever_ipv4_brings() {
        let event = Event {
            packet: 99_999_999,
            src: "255.255.255.255:65535".parse().unwrap(),
            dst: "255.255.255.255:65535".parse().unwrap(),
            tunnel: sample::syn().tunnel.map(|tunnel| vtap_packet::Tunnel {
                vni: vtap_packet::Vni::new(u32::MAX),
                ..tunnel
            }),
            flag: vtap_flow::EventFlag::SynAck,
            state: Some(vtap_flow::State::Established),
            ..sample::syn()
        };
        assert_eq!(lines(&[event])[1].len(), 119);
    }

    #[test]
    fn notes_follow_the_last_column() {
        let rows = lines(&[
            sample::invalid(),
            sample::asymmetric(),
            sample::retransmission(),
            sample::suppressed(),
            Event { suppressed: 1, ..sample::asymmetric() },
        ]);
        let notes: Vec<&str> = rows[1..].iter().map(|row| &row[113..]).collect();
        assert_eq!(
            notes,
            [
                "-      no-state: no connection is known that this packet belongs to",
                "client asymmetric: the other direction is not seen here (server's packets are missing)",
                "server retransmission",
                "-      no-state: no connection is known that this packet belongs to (and 12 more INVALID \
                 packets of this flow, the last one here)",
                "client asymmetric: the other direction is not seen here (server's packets are missing) \
                 (and 1 more INVALID packet of this flow, the last one here)",
            ]
        );
    }

    #[test]
    fn a_gap_and_a_translated_source_are_told_in_words() {
        let mut text = Text::new(Vec::new());
        text.gap(&sample::gap()).unwrap();
        text.event(&Event { egress_only: true, ..sample::syn() }).unwrap();
        let bytes = text.finish().unwrap();
        let rows: Vec<_> = std::str::from_utf8(&bytes).unwrap().lines().collect();
        assert_eq!(
            rows[1],
            "2025-12-01T00:00:12.300000000Z --- the mirror of tap 10.9.0.4 showed nothing for 10.050 s \
             (silence after steady traffic) ---"
        );
        assert_eq!(&rows[2][113..], "client egress only, from 10.9.0.4 behind NAT");
    }

    #[test]
    fn address_columns_grow_once_and_stay() {
        let rows = lines(&[sample::syn(), sample::plain_v6(), sample::syn()]);
        let column = |row: usize, cell: &str| rows[row].find(cell).unwrap();
        assert_eq!(column(2, "[fd00::1:0:0:1]:50000"), 49);
        assert_eq!(column(1, "10.0.2.5:443"), 49 + 22);
        assert_eq!(column(2, "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:443"), 49 + 45);
        assert_eq!(column(3, "10.0.2.5:443"), 49 + 45);
        assert_eq!((column(2, "FIN "), column(3, "SYN ")), (49 + 90, 49 + 90));
    }
}
