//! Frames in few words.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use vtap_packet::tcp::Flags;
use vtap_packet::{LinkType, Packet, Timestamp};

/// A TCP segment in an Ethernet frame, with right checksums.
#[derive(Clone, Debug)]
pub struct TcpFrame {
    /// Source.
    pub src: SocketAddr,
    /// Destination.
    pub dst: SocketAddr,
    /// Control bits.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Window, not scaled.
    pub window: u16,
    /// Options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// Length of the payload.
    pub len: usize,
}

impl TcpFrame {
    /// Without payload and options, with a window of 64,240.
    ///
    /// # Panics
    ///
    /// On addresses that are none.
    pub fn new(src: &str, dst: &str, flags: Flags, seq: u32, ack: u32) -> Self {
        let (src, dst) = (src.parse().expect("source"), dst.parse().expect("destination"));
        Self { src, dst, flags, seq, ack, window: 64_240, options: Vec::new(), len: 0 }
    }

    /// With `len` bytes of payload.
    #[must_use]
    pub fn data(self, len: usize) -> Self {
        Self { len, ..self }
    }

    /// With this window.
    #[must_use]
    pub fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    /// With these options.
    #[must_use]
    pub fn options(self, options: &[u8]) -> Self {
        Self { options: options.to_vec(), ..self }
    }

    /// The frame.
    ///
    /// # Panics
    ///
    /// On addresses of two families.
    pub fn build(&self) -> Vec<u8> {
        let mut tcp =
            etherparse::TcpHeader::new(self.src.port(), self.dst.port(), self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        for (bit, flag) in [
            (Flags::FIN, &mut tcp.fin),
            (Flags::SYN, &mut tcp.syn),
            (Flags::RST, &mut tcp.rst),
            (Flags::PSH, &mut tcp.psh),
            (Flags::ACK, &mut tcp.ack),
            (Flags::URG, &mut tcp.urg),
            (Flags::ECE, &mut tcp.ece),
            (Flags::CWR, &mut tcp.cwr),
        ] {
            *flag = self.flags.any(bit);
        }
        tcp.set_options_raw(&self.options).expect("options of at most 40 bytes");
        let builder = ip(self.src.ip(), self.dst.ip()).tcp_header(tcp);
        let payload = vec![0x5a; self.len];
        let mut frame = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut frame, &payload).expect("a frame that fits");
        frame
    }
}

/// A UDP datagram in an Ethernet frame.
///
/// # Panics
///
/// On addresses that are none, or of two families.
pub fn udp(src: &str, dst: &str, payload: &[u8]) -> Vec<u8> {
    let src: SocketAddr = src.parse().expect("source");
    let dst: SocketAddr = dst.parse().expect("destination");
    let builder = ip(src.ip(), dst.ip()).udp(src.port(), dst.port());
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut frame, payload).expect("a frame that fits");
    frame
}

fn ip(src: IpAddr, dst: IpAddr) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ethernet.ipv4(src.octets(), dst.octets(), 64),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ethernet.ipv6(src.octets(), dst.octets(), 64),
        _ => panic!("addresses of two families"),
    }
}

/// A frame in the envelope of a tap at 10.1.1.1, for a collector at 10.1.1.4.
pub fn mirrored(vni: u32, frame: &[u8]) -> Vec<u8> {
    mirrored_by("10.1.1.1:50000", "10.1.1.4:4789", vni, frame)
}

/// A frame in the envelope of any tap, for any collector.
///
/// # Panics
///
/// As [`udp`].
pub fn mirrored_by(tap: &str, collector: &str, vni: u32, frame: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x08, 0, 0, 0];
    payload.extend((vni << 8).to_be_bytes());
    payload.extend(frame);
    udp(tap, collector, &payload)
}

/// Cuts an Ethernet frame with an IP packet, of IPv6 without extension headers, into fragments of at
/// most `len` bytes of payload, a multiple of 8.
///
/// # Panics
///
/// On a frame that is none.
pub fn fragments(frame: &[u8], id: u16, len: usize) -> Vec<Vec<u8>> {
    let payload = frame.len() - ip_header_end(frame);
    let edges: Vec<_> = (0..payload).step_by(len).chain([payload]).collect();
    edges.windows(2).map(|edge| fragment(frame, id, edge[0], edge[1])).collect()
}

/// The bytes from `from`, a multiple of 8, to `to` of an IP packet's payload, as a fragment.
///
/// # Panics
///
/// As [`fragments`].
pub fn fragment(frame: &[u8], id: u16, from: usize, to: usize) -> Vec<u8> {
    let (head, payload) = frame.split_at(ip_header_end(frame));
    let more = to < payload.len();
    let piece = &payload[from..to];
    let offset = etherparse::IpFragOffset::try_new((from / 8) as u16).expect("an offset");
    let mut fragment = head[..14].to_vec();
    if head[14] >> 4 == 4 {
        let mut header = etherparse::Ipv4Header::from_slice(&head[14..]).expect("an IPv4 header").0;
        header.identification = id;
        header.dont_fragment = false;
        header.more_fragments = more;
        header.fragment_offset = offset;
        header.set_payload_len(piece.len()).expect("a length");
        header.header_checksum = header.calc_header_checksum();
        header.write(&mut fragment).expect("a header that fits");
    } else {
        let mut header = etherparse::Ipv6Header::from_slice(&head[14..]).expect("an IPv6 header").0;
        let of_fragment = etherparse::Ipv6FragmentHeader::new(
            header.next_header,
            offset,
            more,
            0x5eed_0000 | u32::from(id),
        );
        header.next_header = etherparse::IpNumber::IPV6_FRAGMENTATION_HEADER;
        header.set_payload_length(8 + piece.len()).expect("a length");
        header.write(&mut fragment).expect("a header that fits");
        of_fragment.write(&mut fragment).expect("a header that fits");
    }
    fragment.extend(piece);
    fragment
}

fn ip_header_end(frame: &[u8]) -> usize {
    if frame[14] >> 4 == 4 { 14 + 4 * usize::from(frame[14] & 0x0f) } else { 14 + 40 }
}

/// An Ethernet packet of these bytes, captured whole.
pub fn packet(number: u64, time: Timestamp, data: &[u8]) -> Packet<'_> {
    Packet {
        number,
        time,
        link: LinkType::ETHERNET,
        interface: 0,
        wire_len: data.len() as u32,
        data,
        tunnel: None,
    }
}

/// A capture file of frames a millisecond apart: pcap, little-endian, nanoseconds, Ethernet.
pub fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_3c4d_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(262_144_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for (index, frame) in frames.iter().enumerate() {
        let nanos = index as u64 * 1_000_000;
        file.extend((1_700_000_000 + (nanos / 1_000_000_000) as u32).to_le_bytes());
        file.extend(((nanos % 1_000_000_000) as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    file
}
