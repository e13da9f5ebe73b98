//! pcapng with nanoseconds, little-endian, in one section.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::block_common::ENHANCED_PACKET_BLOCK;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};
use vtap_packet::{LinkType, Packet};

use super::{SNAPLEN, io_error};

/// Writes packets of any number of interfaces, which may be added while packets are written.
pub struct PcapngWriter<W: Write> {
    out: PcapNgWriter<W>,
    interfaces: u32,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file with its section header, which names vtap and its version.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn new(out: W) -> io::Result<Self> {
        let application = concat!("vtap ", env!("CARGO_PKG_VERSION"));
        let header = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication(application.into())],
            ..SectionHeaderBlock::default()
        };
        let out = PcapNgWriter::with_section_header(out, header).map_err(io_error)?;
        Ok(Self { out, interfaces: 0 })
    }

    /// Describes an interface; the answer is its id for [`write`](Self::write), counted from 0.
    /// Wireshark shows the name in a column and the description, if any, in the file's properties.
    ///
    /// # Errors
    ///
    /// The writer's, or a name or description of 64 KiB.
    pub fn add_interface(
        &mut self,
        name: &str,
        description: Option<&str>,
        link: LinkType,
    ) -> io::Result<u32> {
        let nanoseconds = InterfaceTsResolution::new(false, 9).map_err(io_error)?;
        let mut options = vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
            InterfaceDescriptionOption::IfTsResol(nanoseconds),
        ];
        let description = description.map(Cow::Borrowed);
        options.extend(description.map(InterfaceDescriptionOption::IfDescription));
        let linktype = DataLink::from(u32::from(link.0));
        let block = InterfaceDescriptionBlock { linktype, snaplen: SNAPLEN, options };
        self.out.write_pcapng_block(block).map_err(io_error)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes one packet of an interface; its link type is taken to be that of the interface.
    ///
    /// # Errors
    ///
    /// The writer's, or `InvalidInput` for an interface that was not added or a packet of 4 GiB.
    #[inline]
    pub fn write(&mut self, interface: u32, packet: &Packet<'_>) -> io::Result<()> {
        const FIXED: usize = 32;
        let padding = packet.data.len().next_multiple_of(4) - packet.data.len();
        let block = u32::try_from(FIXED + packet.data.len() + padding);
        let (Ok(block), true) = (block, interface < self.interfaces) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        #[expect(clippy::cast_possible_truncation, reason = "less than the block, which fits")]
        let captured = packet.data.len() as u32;
        let nanos = packet.time.nanos();
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (upper, lower) = ((nanos >> 32) as u32, nanos as u32);
        let wire_len = packet.wire_len.max(captured);
        let fields = [ENHANCED_PACKET_BLOCK, block, interface, upper, lower, captured, wire_len];
        let mut header = [0; 28];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let mut trailer = [0; 8];
        if let Some(length) = trailer.get_mut(padding..padding + 4) {
            length.copy_from_slice(&block.to_le_bytes());
        }
        let out = self.out.get_mut();
        out.write_all(&header)?;
        out.write_all(packet.data)?;
        out.write_all(trailer.get(..padding + 4).unwrap_or_default())
    }

    /// Where it writes to.
    pub fn get_mut(&mut self) -> &mut W {
        self.out.get_mut()
    }

    /// Flushes the writer and gives it back.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.out.into_inner();
        out.flush()?;
        Ok(out)
    }
}

impl<W: Write> fmt::Debug for PcapngWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcapngWriter").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}
