//! What of a packet is another at the tap.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::digest::{Digest, Macs, Names};
use crate::half::Half;

/// A field that the way to the tap has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration {
    /// IP source address.
    SourceAddress,
    /// IP destination address.
    DestinationAddress,
    /// Source port.
    SourcePort,
    /// Destination port.
    DestinationPort,
    /// An Ethernet address, where both captures have them.
    Mac,
    /// Time to live or hop limit.
    Ttl,
    /// Type of service or traffic class, ECN included.
    Tos,
    /// TCP options, where both captures have them whole.
    TcpOptions,
    /// TCP or UDP checksum, where addresses and ports, which it covers, are the same.
    Checksum,
    /// Bytes behind the IP packet.
    Padding,
}

impl Alteration {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SourceAddress,
        Self::DestinationAddress,
        Self::SourcePort,
        Self::DestinationPort,
        Self::Mac,
        Self::Ttl,
        Self::Tos,
        Self::TcpOptions,
        Self::Checksum,
        Self::Padding,
    ];

    /// As it stands in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SourceAddress => "source-address",
            Self::DestinationAddress => "destination-address",
            Self::SourcePort => "source-port",
            Self::DestinationPort => "destination-port",
            Self::Mac => "mac",
            Self::Ttl => "ttl",
            Self::Tos => "tos",
            Self::TcpOptions => "tcp-options",
            Self::Checksum => "checksum",
            Self::Padding => "padding",
        }
    }
}

/// One packet that shows a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its number in the source.
    pub packet: u64,
    /// Its number at the tap.
    pub frame: u64,
    /// What it was.
    pub before: String,
    /// What it is at the tap.
    pub after: String,
}

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Altered {
    /// Packets with any change.
    pub packets: u64,
    /// Packets whose checksum the source had left to its NIC, and the tap has filled in. They
    /// count as changed too.
    pub offloaded: u64,
    kinds: [(u64, Vec<Example>); Alteration::ALL.len()],
}

/// Examples of a kind, each with other values.
const EXAMPLES: usize = 3;

impl Altered {
    /// Packets with this change.
    pub fn count(&self, kind: Alteration) -> u64 {
        self.kinds.get(kind as usize).map_or(0, |(count, _)| *count)
    }

    /// The first packets with this change, three at most, no two with the same values.
    pub fn examples(&self, kind: Alteration) -> &[Example] {
        self.kinds.get(kind as usize).map_or(&[], |(_, examples)| examples)
    }

    /// Compares a packet with what it is at the tap. `whole`: all of it is in that one frame.
    pub(crate) fn compare(&mut self, source: &Digest, tap: &Digest, whole: bool, names: &Names) {
        let mut any = false;
        for kind in Alteration::ALL {
            if differs(kind, source, tap, whole, names) {
                any = true;
                self.add(kind, source, tap, names);
            }
        }
        self.packets += u64::from(any);
        let filled_in = whole && source.is_offloaded() && !tap.is_offloaded();
        self.offloaded += u64::from(any && filled_in && source.half == tap.half);
    }

    fn add(&mut self, kind: Alteration, source: &Digest, tap: &Digest, names: &Names) {
        let Some((count, examples)) = self.kinds.get_mut(kind as usize) else { return };
        *count += 1;
        if examples.len() >= EXAMPLES || *count > MANY {
            return;
        }
        let (before, after) = (value(kind, source, names), value(kind, tap, names));
        if examples.iter().any(|example| (&example.before, &example.after) == (&before, &after)) {
            return;
        }
        examples.push(Example { packet: source.number, frame: tap.number, before, after });
    }
}

/// Changes of a kind in which examples are looked for: where all are alike there are no more.
const MANY: u64 = 10_000;

fn differs(kind: Alteration, source: &Digest, tap: &Digest, whole: bool, names: &Names) -> bool {
    let ends = |digest: &Digest| match names.halves.get(digest.half) {
        Some(Half::Ip { src, dst, .. }) => Some((src, dst)),
        _ => None,
    };
    let end = |of: fn((SocketAddr, SocketAddr)) -> SocketAddr, ip: bool| {
        source.half != tap.half
            && ends(source).map(of).zip(ends(tap).map(of)).is_some_and(|(source, tap)| {
                if ip { source.ip() != tap.ip() } else { source.port() != tap.port() }
            })
    };
    match kind {
        Alteration::SourceAddress => end(|(src, _)| src, true),
        Alteration::DestinationAddress => end(|(_, dst)| dst, true),
        Alteration::SourcePort => end(|(src, _)| src, false),
        Alteration::DestinationPort => end(|(_, dst)| dst, false),
        Alteration::Mac => source.macs != tap.macs && source.macs.is_some() && tap.macs.is_some(),
        Alteration::Ttl => source.ttl != tap.ttl,
        Alteration::Tos => source.tos != tap.tos,
        Alteration::TcpOptions => {
            whole
                && source.is_tcp()
                && source.content.zip(tap.content).is_some_and(|(source, tap)| source != tap)
        }
        Alteration::Checksum => whole && source.half == tap.half && source.checksum != tap.checksum,
        Alteration::Padding => whole && source.padding != tap.padding,
    }
}

/// As people read it.
fn value(kind: Alteration, digest: &Digest, names: &Names) -> String {
    match (kind, names.halves.get(digest.half)) {
        (Alteration::SourceAddress, Some(Half::Ip { src, .. })) => src.ip().to_string(),
        (Alteration::DestinationAddress, Some(Half::Ip { dst, .. })) => dst.ip().to_string(),
        (Alteration::SourcePort, Some(Half::Ip { src, .. })) => src.port().to_string(),
        (Alteration::DestinationPort, Some(Half::Ip { dst, .. })) => dst.port().to_string(),
        (Alteration::Mac, _) => names.macs(digest).map_or_else(String::new, |macs| mac(&macs)),
        (Alteration::Ttl, _) => digest.ttl.to_string(),
        (Alteration::Tos, _) => format!("{:#04x}", digest.tos),
        (Alteration::TcpOptions, _) => format!("{} bytes", digest.header_len.saturating_sub(20)),
        (Alteration::Checksum, _) => {
            let left = if digest.is_offloaded() { " (left to the NIC)" } else { "" };
            format!("{:#06x}{left}", digest.checksum)
        }
        (Alteration::Padding, _) => format!("{} bytes", digest.padding),
        _ => String::new(),
    }
}

/// `02:00:00:00:00:01 > 02:00:00:00:00:02`, source first.
fn mac(macs: &Macs) -> String {
    let (dst, src) = macs.split_at(6);
    let mut text = String::new();
    for (separator, bytes) in [("", src), (" > ", dst)] {
        text.push_str(separator);
        for (at, byte) in bytes.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{byte:02x}", if at > 0 { ":" } else { "" });
        }
    }
    text
}
