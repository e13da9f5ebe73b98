//! Classic pcap with nanoseconds, little-endian.

use std::io::{self, Write};

use pcap_file::pcap::{PcapHeader, PcapTsResolution};
use pcap_file::{DataLink, Endianness};
use vtap_packet::{LinkType, Packet};

use super::{SNAPLEN, io_error};

/// Writes packets of one link type.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
}

impl<W: Write> PcapWriter<W> {
    /// Begins a file with its header.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn new(mut out: W, link: LinkType) -> io::Result<Self> {
        let header = PcapHeader {
            snaplen: SNAPLEN,
            datalink: DataLink::from(u32::from(link.0)),
            ts_resolution: PcapTsResolution::NanoSecond,
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        header.write_to(&mut out).map_err(io_error)?;
        Ok(Self { out })
    }

    /// Writes one packet; its link type is taken to be that of the file. Times past the year 2106
    /// are written as the last second that the format holds.
    ///
    /// # Errors
    ///
    /// The writer's, or `InvalidInput` for a packet of 4 GiB.
    #[inline]
    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let seconds = u32::try_from(packet.time.secs()).unwrap_or(u32::MAX);
        let captured = u32::try_from(packet.data.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let fields = [seconds, packet.time.subsec_nanos(), captured, packet.wire_len.max(captured)];
        let mut header = [0; 16];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        self.out.write_all(&header)?;
        self.out.write_all(packet.data)
    }

    /// Where it writes to.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Flushes the writer and gives it back.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
