//! A segment in its envelope, in the record of a capture file.
//!
//! ```text
//! record header 16 | Ethernet 14 | IPv4 20 | UDP 8 | VXLAN 8 | Ethernet 14 | IPv4 20 | TCP 20 | ..
//! ```

use std::net::{Ipv4Addr, SocketAddrV4};

use vtap_packet::tcp::Flags;
use vtap_packet::{Protocol, Timestamp, checksum};

use crate::connection::{MSS, SYN_OPTIONS, Segment, Side};
use crate::endpoints::Endpoints;

/// pcap, little-endian, nanoseconds, Ethernet, packets of at most 256 KiB.
pub(crate) const FILE_HEADER: [u8; 24] =
    [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

/// Record header of a pcap file.
pub(crate) const RECORD_HEADER: usize = 16;

/// The network of the tapped machines, as the cloud has it when none is chosen.
const VNI: u32 = 27;

/// What data consist of.
const DATA: u8 = 0x5a;

const ETHERNET: u16 = 14;
const IPV4: u16 = 20;
const UDP: u16 = 8;
const VXLAN: u16 = 8;
const TCP: u16 = 20;

/// Locally administered. Toward the collector, and between the gateway and the tapped machine.
const ENVELOPE_MACS: [[u8; 6]; 2] = [[2, 0, 0, 3, 0, 4], [2, 0, 0, 3, 0, 1]];
const GATEWAY: [u8; 6] = [2, 0, 0, 2, 0, 1];
const TAPPED: [u8; 6] = [2, 0, 0, 2, 0, 4];

/// The bytes of one record, used again for the next.
#[derive(Debug)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    pub(crate) fn new() -> Self {
        let headers = 2 * (ETHERNET + IPV4) + UDP + VXLAN + TCP;
        Self(Vec::with_capacity(RECORD_HEADER + usize::from(headers + MSS)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `id` identifies the packet on both IP layers, as far as its 16 bits go.
    pub(crate) fn write(
        &mut self,
        time: Timestamp,
        id: u16,
        endpoints: &Endpoints,
        segment: &Segment,
    ) {
        let options: &[u8] = if segment.flags.any(Flags::SYN) { &SYN_OPTIONS } else { &[] };
        let tcp_len = TCP + u16::try_from(options.len()).unwrap_or_default() + segment.len;
        let inner_len = ETHERNET + IPV4 + tcp_len;
        let udp_len = UDP + VXLAN + inner_len;
        let (src, dst) = endpoints.from(segment.side);
        let (tap, collector) = endpoints.envelope(segment.side);

        self.0.clear();
        self.header(time, ETHERNET + IPV4 + udp_len);
        self.ethernet(ENVELOPE_MACS);
        self.ipv4([*tap.ip(), *collector.ip()], Protocol::UDP, id, udp_len);
        // Without checksum, as RFC 7348 section 4.1 has it.
        self.words([tap.port(), collector.port(), udp_len, 0]);
        self.vxlan();
        self.ethernet(match segment.side {
            Side::Client => [TAPPED, GATEWAY],
            Side::Server => [GATEWAY, TAPPED],
        });
        self.ipv4([*src.ip(), *dst.ip()], Protocol::TCP, id, tcp_len);
        self.tcp(src, dst, segment, options);
    }

    fn header(&mut self, time: Timestamp, len: u16) {
        let seconds = u32::try_from(time.secs()).unwrap_or(u32::MAX);
        for field in [seconds, time.subsec_nanos(), len.into(), len.into()] {
            self.0.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// Destination and source, then IPv4.
    fn ethernet(&mut self, macs: [[u8; 6]; 2]) {
        self.0.extend_from_slice(macs.as_flattened());
        self.words([0x0800]);
    }

    fn ipv4(&mut self, [src, dst]: [Ipv4Addr; 2], protocol: Protocol, id: u16, len: u16) {
        let [id_hi, id_lo] = id.to_be_bytes();
        let [len_hi, len_lo] = (IPV4 + len).to_be_bytes();
        let ([s0, s1, s2, s3], [d0, d1, d2, d3]) = (src.octets(), dst.octets());
        // Not to be fragmented, 64 hops.
        let mut header = [
            0x45, 0, len_hi, len_lo, id_hi, id_lo, 0x40, 0, 64, protocol.0, 0, 0, s0, s1, s2, s3,
            d0, d1, d2, d3,
        ];
        [header[10], header[11]] = (!checksum::of(&header)).to_be_bytes();
        self.0.extend_from_slice(&header);
    }

    fn vxlan(&mut self) {
        self.0.extend_from_slice(&[0x08, 0, 0, 0]);
        self.0.extend_from_slice(&(VNI << 8).to_be_bytes());
    }

    fn tcp(&mut self, src: SocketAddrV4, dst: SocketAddrV4, segment: &Segment, options: &[u8]) {
        let begin = self.0.len();
        // In words of four bytes.
        let data_offset = 5 + u8::try_from(options.len() / 4).unwrap_or_default();
        self.words([src.port(), dst.port()]);
        self.0.extend_from_slice(&segment.seq.0.to_be_bytes());
        self.0.extend_from_slice(&segment.ack.0.to_be_bytes());
        self.0.extend_from_slice(&[data_offset << 4, segment.flags.0]);
        self.words([segment.window, 0, 0]);
        self.0.extend_from_slice(options);
        self.0.resize(self.0.len() + usize::from(segment.len), DATA);

        let bytes = self.0.get_mut(begin..).unwrap_or_default();
        let (src, dst) = ((*src.ip()).into(), (*dst.ip()).into());
        let sum = !checksum::transport(src, dst, Protocol::TCP, bytes);
        if let Some(field) = bytes.get_mut(16..18) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
    }

    fn words<const N: usize>(&mut self, words: [u16; N]) {
        for word in words {
            self.0.extend_from_slice(&word.to_be_bytes());
        }
    }
}
