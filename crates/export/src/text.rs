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

use vtap_flow::{Event, Sink};

use crate::batch::Batch;
use crate::field::{self, text};

/// Writes events as rows of text.
#[derive(Debug)]
pub struct Text<W> {
    batch: Batch<W>,
    layout: Layout,
}

impl<W: Write> Text<W> {
    /// Writes to `writer`, which needs no buffer of its own. The headings are written even where
    /// no event follows.
    pub fn new(writer: W) -> Self {
        Self { batch: Batch::new(writer, &headings()), layout: Layout::new() }
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
        self.batch.row(|out| self.layout.row(out, event))
    }
}

/// `2025-12-01T00:00:00.000000000Z`
const TIME: usize = 30;
/// A hundred million packets; more shift their own row.
const PACKET: usize = 8;
/// 24 bits.
const VNI: usize = 8;
/// `255.255.255.255:65535`
const ENDPOINT: usize = 21;
/// `SYN-ACK`, `INVALID`
const FLAG: usize = 7;
/// `ESTABLISHED`
const STATE: usize = 11;
/// `client`, `server`
const SIDE: usize = 6;

fn headings() -> String {
    format!(
        "{:TIME$} {:>PACKET$} {:>VNI$} {:ENDPOINT$} {:ENDPOINT$} {:FLAG$} {:STATE$} SIDE\n",
        "TIME", "PACKET", "VNI", "SOURCE", "DESTINATION", "FLAG", "STATE",
    )
}

/// How wide the address columns are by now.
#[derive(Debug)]
struct Layout {
    endpoint: usize,
    /// Source and destination of the row at hand: their lengths are needed before the first of
    /// them is written.
    src: Vec<u8>,
    dst: Vec<u8>,
}

impl Layout {
    fn new() -> Self {
        Self { endpoint: ENDPOINT, src: Vec::with_capacity(64), dst: Vec::with_capacity(64) }
    }

    fn row(&mut self, out: &mut Vec<u8>, event: &Event) {
        let Self { endpoint, src, dst } = self;
        src.clear();
        field::endpoint(src, event.src);
        dst.clear();
        field::endpoint(dst, event.dst);
        *endpoint = src.len().max(dst.len()).max(*endpoint);

        out.extend_from_slice(&event.time.rfc3339());
        text(out, " ");
        right(out, PACKET, itoa::Buffer::new().format(event.packet));
        match event.tunnel {
            Some(tunnel) => right(out, VNI, itoa::Buffer::new().format(tunnel.vni.get())),
            None => right(out, VNI, "-"),
        }
        left(out, *endpoint, src);
        left(out, *endpoint, dst);
        left(out, FLAG, event.flag.name().as_bytes());
        left(out, STATE, event.state.map_or("NONE", |state| state.name()).as_bytes());
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
    if event.suppressed > 0 {
        text(out, " (and ");
        field::number(out, event.suppressed);
        let plural = if event.suppressed == 1 { "" } else { "s" };
        text(out, " more INVALID packet");
        text(out, plural);
        text(out, " of this flow, the last one here)");
    }
}

fn left(out: &mut Vec<u8>, width: usize, cell: &[u8]) {
    out.extend_from_slice(cell);
    spaces(out, (width + 1).saturating_sub(cell.len()).max(1));
}

fn right(out: &mut Vec<u8>, width: usize, cell: &str) {
    spaces(out, width.saturating_sub(cell.len()));
    text(out, cell);
    text(out, " ");
}

fn spaces(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, b' ');
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
