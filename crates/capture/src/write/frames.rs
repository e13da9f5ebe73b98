//! A capture file of either format, of packets of any number of taps.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use vtap_packet::{LinkType, Packet, Vni};

use super::{PcapWriter, PcapngWriter};

/// How a capture file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap with nanoseconds: one link type.
    Pcap,
    /// pcapng: one interface for each tap, VNI and link type.
    Pcapng,
}

impl Format {
    /// pcapng for a name that ends so, in either case of letters; else pcap.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("pcapng") => Self::Pcapng,
            _ => Self::Pcap,
        }
    }

    /// What names of such files end in, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
        }
    }
}

/// Interfaces that a pcapng file describes at most; packets of further taps are written to one for
/// all of them. An attacker can make up addresses and VNIs without end.
pub const MAX_INTERFACES: usize = 4096;

/// Writes packets: a customer's frames, each to the interface `tap 10.0.2.4 vni 27`, and packets
/// without a tunnel to the one that they were captured on.
pub struct Frames<W: Write> {
    writer: Writer<W>,
    names: BTreeMap<u32, String>,
    left_out: u64,
}

enum Writer<W: Write> {
    /// A pcap file until its first packet, which tells the link type.
    Empty(W),
    Pcap(LinkType, PcapWriter<W>),
    Pcapng(PcapngWriter<W>, BTreeMap<(Origin, LinkType), u32>),
    /// Its header failed.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Tap(IpAddr, Vni),
    Interface(u32),
    /// Taps past [`MAX_INTERFACES`].
    Further,
}

impl<W: Write> Frames<W> {
    /// Begins a file. The header of a pcap file is written with its first packet.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn new(out: W, format: Format) -> io::Result<Self> {
        let writer = match format {
            Format::Pcap => Writer::Empty(out),
            Format::Pcapng => Writer::Pcapng(PcapngWriter::new(out)?, BTreeMap::new()),
        };
        Ok(Self { writer, names: BTreeMap::new(), left_out: 0 })
    }

    /// Gives a capture interface, of packets without a tunnel, its name; to be called before the
    /// first packet of it. One without a name is called `interface N`.
    pub fn name_interface(&mut self, id: u32, name: &str) {
        if self.names.len() < MAX_INTERFACES {
            self.names.insert(id, name.to_owned());
        }
    }

    /// Writes a packet; `false` where pcap has no place for it, as its link type is not that of the
    /// first one.
    ///
    /// # Errors
    ///
    /// The writer's, or `InvalidInput` for a packet of 4 GiB.
    #[inline]
    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<bool> {
        if let Writer::Empty(_) = self.writer {
            self.begin(packet.link)?;
        }
        match &mut self.writer {
            Writer::Pcap(link, writer) if *link == packet.link => writer.write(packet)?,
            Writer::Pcapng(writer, interfaces) => {
                let origin = packet.tunnel.map_or(Origin::Interface(packet.interface), |tunnel| {
                    Origin::Tap(tunnel.src, tunnel.vni)
                });
                let id = match interfaces.get(&(origin, packet.link)) {
                    Some(id) => *id,
                    None => describe(writer, interfaces, &self.names, origin, packet.link)?,
                };
                writer.write(id, packet)?;
            }
            _ => {
                self.left_out += 1;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Packets that had no place in the format.
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Where it writes to; `None` once the header has failed.
    pub fn get_mut(&mut self) -> Option<&mut W> {
        match &mut self.writer {
            Writer::Empty(out) => Some(out),
            Writer::Pcap(_, writer) => Some(writer.get_mut()),
            Writer::Pcapng(writer, _) => Some(writer.get_mut()),
            Writer::Failed => None,
        }
    }

    /// Flushes the writer and gives it back. A file without a packet is a capture file as well.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn finish(mut self) -> io::Result<W> {
        if let Writer::Empty(_) = self.writer {
            self.begin(LinkType::ETHERNET)?;
        }
        match self.writer {
            Writer::Pcap(_, writer) => writer.finish(),
            Writer::Pcapng(writer, _) => writer.finish(),
            Writer::Empty(_) | Writer::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    #[cold]
    fn begin(&mut self, link: LinkType) -> io::Result<()> {
        if let Writer::Empty(out) = std::mem::replace(&mut self.writer, Writer::Failed) {
            self.writer = Writer::Pcap(link, PcapWriter::new(out, link)?);
        }
        Ok(())
    }
}

#[cold]
fn describe<W: Write>(
    writer: &mut PcapngWriter<W>,
    interfaces: &mut BTreeMap<(Origin, LinkType), u32>,
    names: &BTreeMap<u32, String>,
    origin: Origin,
    link: LinkType,
) -> io::Result<u32> {
    let origin = if interfaces.len() < MAX_INTERFACES { origin } else { Origin::Further };
    if let Some(id) = interfaces.get(&(origin, link)) {
        return Ok(*id);
    }
    let name = match origin {
        Origin::Tap(address, vni) => format!("tap {address} vni {vni}"),
        Origin::Interface(id) => match names.get(&id) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("interface {id}"),
        },
        Origin::Further => "further taps".to_owned(),
    };
    let id = writer.add_interface(&name, None, link)?;
    interfaces.insert((origin, link), id);
    Ok(id)
}

impl<W: Write> fmt::Debug for Frames<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}
