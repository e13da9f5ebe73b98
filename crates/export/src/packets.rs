//! One row a packet: what it was, the verdict and the state after it.
//!
//! For following what the tracker does, packet by packet, against tcpdump or conntrack. JSON lines
//! have `packet`, `timestamp`, the addresses and TCP fields as far as the packet shows them,
//! `verdict`, `state`, `reason` (null unless INVALID or SKIPPED) and `note` (only where a packet
//! passed that conntrack would log).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;

use serde_json::{Map, Value, json};
use vtap_packet::tcp::Tcp;
use vtap_packet::udp::Udp;
use vtap_packet::{EtherType, Ip, Packet, Protocol, link};

/// What became of a packet, in words.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// NEW, ESTABLISHED, RELATED, INVALID or SKIPPED.
    pub verdict: &'a str,
    /// The state of the flow after it; NONE, or DELETED.
    pub state: &'a str,
    /// Why it is INVALID or was skipped.
    pub reason: Option<&'a str>,
    /// What is odd about it although it passed.
    pub note: Option<&'a str>,
}

/// Writes a row for each packet, in their order.
///
/// The verdict on a packet may come later than the packet; its row, and those behind it, wait.
#[derive(Debug)]
pub struct Packets<W: Write> {
    out: io::BufWriter<W>,
    json: bool,
    begun: bool,
    waiting: VecDeque<Row>,
}

/// A row that is not written yet.
#[derive(Debug)]
struct Row {
    packet: u64,
    shows: Shows,
    verdict: Option<Verdict<'static>>,
}

/// What a row has before the verdict.
#[derive(Debug)]
enum Shows {
    Text(String),
    Json(Map<String, Value>),
}

/// What a packet shows of itself.
#[derive(Debug)]
struct Shown<'a> {
    src: SocketAddr,
    dst: SocketAddr,
    protocol: Protocol,
    tcp: Option<(Tcp<'a>, u32)>,
}

impl<W: Write> Packets<W> {
    /// Aligned text for people.
    pub fn text(out: W) -> Self {
        Self::new(out, false)
    }

    /// JSON lines.
    pub fn json(out: W) -> Self {
        Self::new(out, true)
    }

    fn new(out: W, json: bool) -> Self {
        let out = io::BufWriter::new(out);
        Self { out, json, begun: false, waiting: VecDeque::new() }
    }

    /// Writes the row of a packet: the customer's frame where there is one. Without a verdict it
    /// waits for [`settle`](Self::settle).
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        verdict: Option<Verdict<'static>>,
    ) -> io::Result<()> {
        let shown = Shown::of(packet);
        let shows = if self.json {
            Shows::Json(json_row(packet, shown))
        } else {
            Shows::Text(text_row(packet, shown))
        };
        self.waiting.push_back(Row { packet: packet.number, shows, verdict });
        self.write()
    }

    /// Brings the verdict on a packet whose row waits.
    ///
    /// # Errors
    ///
    /// When rows cannot be written.
    pub fn settle(&mut self, packet: u64, verdict: Verdict<'static>) -> io::Result<()> {
        if let Ok(at) = self.waiting.binary_search_by_key(&packet, |row| row.packet)
            && let Some(row) = self.waiting.get_mut(at)
        {
            row.verdict = Some(verdict);
        }
        self.write()
    }

    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes the rows up to the first that waits for its verdict.
    fn write(&mut self) -> io::Result<()> {
        while let Some(Row { verdict: Some(verdict), .. }) = self.waiting.front() {
            let verdict = *verdict;
            match self.waiting.pop_front().map(|row| row.shows) {
                Some(Shows::Text(shows)) => self.write_text(&shows, verdict)?,
                Some(Shows::Json(shows)) => self.write_json(shows, verdict)?,
                None => {}
            }
        }
        Ok(())
    }

    fn write_json(&mut self, mut row: Map<String, Value>, verdict: Verdict<'_>) -> io::Result<()> {
        let mut put = |key: &str, value: Value| row.insert(key.into(), value);
        put("verdict", verdict.verdict.into());
        put("state", verdict.state.into());
        put("reason", verdict.reason.into());
        if let Some(note) = verdict.note {
            put("note", note.into());
        }
        serde_json::to_writer(&mut self.out, &row)?;
        self.out.write_all(b"\n")
    }

    fn write_text(&mut self, row: &str, verdict: Verdict<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.out.write_all(headings().as_bytes())?;
        }
        let Verdict { verdict, state, reason, note } = verdict;
        match reason.or(note) {
            Some(note) => writeln!(self.out, "{row}  {verdict:<11}  {state:<11}  {note}"),
            None => writeln!(self.out, "{row}  {verdict:<11}  {state}"),
        }
    }
}

fn json_row(packet: &Packet<'_>, shown: Option<Shown<'_>>) -> Map<String, Value> {
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| row.insert(key.into(), value);
    put("packet", packet.number.into());
    put("timestamp", packet.time.to_string().into());
    if let Some(shown) = shown {
        put("src_ip", shown.src.ip().to_string().into());
        put("src_port", shown.src.port().into());
        put("dest_ip", shown.dst.ip().to_string().into());
        put("dest_port", shown.dst.port().into());
        put("proto", shown.protocol.to_string().into());
        if let Some((tcp, len)) = shown.tcp {
            put("flags", tcp.flags.to_string().into());
            put("seq", tcp.seq.0.into());
            put("ack", tcp.ack.0.into());
            put("window", tcp.window.into());
            put("len", len.into());
        }
    }
    if let Some(tunnel) = packet.tunnel {
        put(
            "tunnel",
            json!({
                "src_ip": tunnel.src.to_string(), "src_port": tunnel.src_port,
                "dest_ip": tunnel.dst.to_string(), "dest_port": tunnel.dst_port,
                "vni": tunnel.vni.get(), "depth": tunnel.depth,
            }),
        );
    }
    row
}

fn headings() -> String {
    format!(
        "{:>7}  {:<18}  {:<21}   {:<21}  {:<5} {:>10} {:>10} {:>5} {:>5}  {:<11}  {:<11}  NOTE\n",
        "PACKET",
        "TIME (UTC)",
        "SOURCE",
        "DESTINATION",
        "FLAGS",
        "SEQ",
        "ACK",
        "WIN",
        "LEN",
        "VERDICT",
        "STATE",
    )
}

fn text_row(packet: &Packet<'_>, shown: Option<Shown<'_>>) -> String {
    let time = packet.time.rfc3339();
    // The date is the same on every row of most captures; the header line of a capture has it.
    let time = String::from_utf8_lossy(time.get(11..29).unwrap_or_default());
    let shows = match shown {
        Some(Shown { src, dst, tcp: Some((tcp, len)), .. }) => format!(
            "{:<21} > {:<21}  {:<5} {:>10} {:>10} {:>5} {:>5}",
            src.to_string(),
            dst.to_string(),
            tcp.flags,
            tcp.seq.0,
            tcp.ack.0,
            tcp.window,
            len,
        ),
        Some(Shown { src, dst, protocol, .. }) => {
            format!(
                "{:<21} > {:<21}  {:<39}",
                src.to_string(),
                dst.to_string(),
                protocol.to_string()
            )
        }
        None => format!("{:<85}", format!("{} bytes of {}", packet.wire_len, packet.link)),
    };
    format!("{:>7}  {time}  {shows}", packet.number)
}

impl<'a> Shown<'a> {
    fn of(packet: &Packet<'a>) -> Option<Self> {
        let (ether_type, network) = link::network(packet.link, packet.data).ok()?;
        if !matches!(ether_type, EtherType::IPV4 | EtherType::IPV6) {
            return None;
        }
        let ip = Ip::parse(ether_type, network, network.len()).ok()?;
        let first = ip.fragment.is_none_or(|fragment| fragment.offset == 0);
        let is_tcp = first && ip.protocol == Protocol::TCP;
        let tcp = is_tcp.then(|| Tcp::parse(ip.payload).ok()).flatten();
        let ports = match (&tcp, ip.protocol) {
            (Some(tcp), _) => (tcp.src_port, tcp.dst_port),
            (None, Protocol::UDP) if first => {
                Udp::parse(ip.payload).map_or((0, 0), |udp| (udp.src_port, udp.dst_port))
            }
            _ => (0, 0),
        };
        let len = |tcp: &Tcp<'_>| {
            ip.payload_len.saturating_sub(u32::try_from(tcp.header_len).unwrap_or(u32::MAX))
        };
        Some(Self {
            src: SocketAddr::new(ip.src, ports.0),
            dst: SocketAddr::new(ip.dst, ports.1),
            protocol: ip.protocol,
            tcp: tcp.map(|tcp| (tcp, len(&tcp))),
        })
    }
}
