//! TCP segments near each other in sequence space, and the frames that carry them.
//!
//! Random numbers would only ever be "no state" or "above the window". Here a step of 8 bytes says
//! how far a segment is *off* what the connection expects next, mostly not at all:
//!
//! | byte | says |
//! |---|---|
//! | 0 | connection (2 bits), side (1), IPv6 (1), [`Shape`] (4) |
//! | 1 | control bits, as in the header |
//! | 2 | offset of the sequence number (4), the sender goes on from there (1), a new number (1) |
//! | 3 | offset of the acknowledgment (4) |
//! | 4 | options (5): MSS, scale, SACK permitted, timestamps, SACK; which scale (3) |
//! | 5 | length of the payload (4), window (4) |
//! | 6 | time since the step before (4), VNI (2), checksum (2) |
//! | 7 | where a packet is cut, how long a quote is |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vtap_packet::{LinkType, Packet, Timestamp, Tunnel, Vni};

use crate::Bytes;

/// Steps of one input at most.
pub const MAX_STEPS: usize = 128;

const OFFSETS: [u32; 15] = [
    0,
    1,
    (-1_i32).cast_unsigned(),
    10,
    100,
    (-100_i32).cast_unsigned(),
    1460,
    (-1460_i32).cast_unsigned(),
    65_535,
    (-66_000_i32).cast_unsigned(),
    (-66_002_i32).cast_unsigned(),
    64_241,
    0x4000_0000,
    0x7fff_ffff,
    0x8000_0000,
];
const LENGTHS: [usize; 16] = [0, 0, 0, 1, 2, 10, 100, 200, 536, 1000, 1448, 1460, 1461, 0, 0, 4000];
const WINDOWS: [u16; 16] =
    [64_240, 65_535, 0, 1, 2, 10, 100, 501, 1000, 1460, 8192, 29_200, 32_767, 32_768, 64_000, 128];
const SCALES: [u8; 8] = [0, 2, 7, 8, 14, 15, 200, 255];
/// Nanoseconds.
const STEPS: [i64; 16] = [
    0,
    1_000,
    1_000_000,
    100_000_000,
    1_000_000_000,
    5_000_000_000,
    11_000_000_000,
    29_000_000_000,
    31_000_000_000,
    61_000_000_000,
    121_000_000_000,
    299_000_000_000,
    301_000_000_000,
    432_001_000_000_000,
    -1_000_000_000,
    -600_000_000_000,
];

/// What a step becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A segment.
    Whole,
    /// A segment whose data offset is `detail`.
    BadOffset,
    /// A segment in two fragments; the second is the next packet.
    Fragments,
    /// The same, the last one first.
    FragmentsReversed,
    /// A first fragment only.
    FirstFragment,
    /// An ICMP error that quotes the segment, to the one who sent it.
    IcmpError,
    /// The same, to somebody else.
    IcmpMisdirected,
    /// A UDP datagram.
    Udp,
    /// A segment of which `detail` bytes were captured.
    Cut,
    /// An echo request, or the reply.
    Echo,
    /// `detail` zeros.
    Junk,
}

impl Shape {
    fn of(nibble: u8) -> Self {
        match nibble {
            0..=5 => Self::Whole,
            6 => Self::BadOffset,
            7 => Self::Fragments,
            8 => Self::FragmentsReversed,
            9 => Self::FirstFragment,
            10 => Self::IcmpError,
            11 => Self::IcmpMisdirected,
            12 => Self::Udp,
            13 => Self::Cut,
            14 => Self::Echo,
            _ => Self::Junk,
        }
    }
}

/// Where a script is played: which address each host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Clients below servers.
    Straight,
    /// The other way round: whatever is sorted by address comes out in the opposite order.
    Reversed,
}

impl Stage {
    /// The address of host `host`, at most 250. It holds the host and what is missing to 250, so
    /// that checksums are the same on every stage.
    pub fn address(self, host: u8, v6: bool) -> IpAddr {
        let (host, rest) =
            if self == Self::Straight { (host, 250 - host) } else { (250 - host, host) };
        if v6 {
            Ipv6Addr::new(0xfd00, host.into(), 0, 0, 0, 0, 0, rest.into()).into()
        } else {
            Ipv4Addr::new(10, host, 0, rest).into()
        }
    }

    /// Back from an address of this stage to that of the straight one.
    pub fn straighten(self, address: IpAddr) -> IpAddr {
        let host = match address {
            IpAddr::V4(v4) => v4.octets()[1],
            IpAddr::V6(v6) => v6.octets()[3],
        };
        if self == Self::Straight {
            address
        } else {
            Self::Straight.address(250 - host, address.is_ipv6())
        }
    }
}

const SERVER: u8 = 100;
const ROUTER: u8 = 200;

/// A frame, when it comes, and what of it was captured.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When it comes.
    pub time: Timestamp,
    /// In which network.
    pub vni: Option<Vni>,
    /// What was captured.
    pub data: Vec<u8>,
    /// Length before it was cut.
    pub wire_len: u32,
}

impl Frame {
    /// As packet `number`.
    pub fn packet(&self, number: u64) -> Packet<'_> {
        let tunnel = self.vni.map(|vni| Tunnel {
            src: Ipv4Addr::new(10, 9, 0, 4).into(),
            dst: Ipv4Addr::new(10, 9, 0, 5).into(),
            src_port: 50_000,
            dst_port: 4789,
            vni,
            depth: 1,
        });
        Packet {
            number,
            time: self.time,
            link: LinkType::ETHERNET,
            interface: 0,
            wire_len: self.wire_len,
            data: &self.data,
            tunnel,
        }
    }
}

/// Plays the steps of an input that begins at `start`.
pub fn play(mut bytes: Bytes<'_>, start: Timestamp, stage: Stage) -> Vec<Frame> {
    let mut player = Player { stage, now: start, next: [[0xffff_f000, 1000]; 4], id: 0 };
    let mut frames = Vec::new();
    for _ in 0..MAX_STEPS {
        if bytes.is_empty() {
            break;
        }
        player.step(bytes.chunk(), &mut frames);
    }
    frames
}

struct Player {
    stage: Stage,
    now: Timestamp,
    /// Next number of client and server of each connection.
    next: [[u32; 2]; 4],
    id: u16,
}

/// The two ends of a packet.
#[derive(Clone, Copy)]
struct Ends {
    src: IpAddr,
    dst: IpAddr,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Player {
    fn step(&mut self, step: [u8; 8], frames: &mut Vec<Frame>) {
        let [what, .., pace, detail] = step;
        let pause = STEPS[usize::from(pace & 0x0f)];
        let nanos = self.now.nanos().saturating_add_signed(pause);
        self.now = Timestamp::from_nanos(nanos);
        self.id = self.id.wrapping_add(1);

        let (v6, from_server) = (what & 8 != 0, what & 4 != 0);
        let client = self.stage.address(10 + (what & 3), v6);
        let server = self.stage.address(SERVER, v6);
        let ends = if from_server {
            Ends { src: server, dst: client }
        } else {
            Ends { src: client, dst: server }
        };
        let router = Ends { src: self.stage.address(ROUTER, v6), dst: ends.src };
        let vni = [None, Some(Vni::new(27)), Some(Vni::new(28)), None][usize::from(pace >> 4 & 3)];
        let shape = Shape::of(what >> 4);
        let segment = self.segment(step, ends, shape);
        let (id, now) = (self.id, self.now);
        let mut push = |packet: Vec<u8>, kept: usize| {
            let mut data = [0x02; 12].to_vec();
            data.extend(if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
            data.extend(packet);
            let wire_len = data.len() as u32;
            data.truncate(kept);
            frames.push(Frame { time: now, vni, data, wire_len });
        };
        let split = (usize::from(detail) * 8).clamp(8, segment.len().next_multiple_of(8) - 8);
        let pieces = || {
            let (first, last) = segment.split_at(split.min(segment.len()));
            (fragment(ends, id, 0, true, first), fragment(ends, id, split, false, last))
        };
        let all = usize::MAX;
        match shape {
            Shape::Whole | Shape::BadOffset => push(ip(ends, id, TCP, &segment), all),
            Shape::Cut => push(ip(ends, id, TCP, &segment), detail.into()),
            Shape::Fragments => {
                let (first, last) = pieces();
                push(first, all);
                push(last, all);
            }
            Shape::FragmentsReversed => {
                let (first, last) = pieces();
                push(last, all);
                push(first, all);
            }
            Shape::FirstFragment => push(pieces().0, all),
            Shape::IcmpError => push(icmp(router, id, &ip(ends, id, TCP, &segment), detail), all),
            Shape::IcmpMisdirected => {
                let astray = Ends { dst: ends.dst, ..router };
                push(icmp(astray, id, &ip(ends, id, TCP, &segment), detail), all);
            }
            Shape::Udp => {
                let mut datagram = segment[..4].to_vec();
                datagram.extend([0, 8, 0, 0]);
                push(ip(ends, id, UDP, &datagram), all);
            }
            Shape::Echo => push(echo(ends, id, detail), all),
            Shape::Junk => push(vec![0; detail.into()], all),
        }
    }

    fn segment(&mut self, step: [u8; 8], ends: Ends, shape: Shape) -> Vec<u8> {
        let [what, flags, place, answer, choice, size, pace, detail] = step;
        let sender = usize::from(what >> 2 & 1);
        let next = &mut self.next[usize::from(what & 3)];
        if place & 0x20 != 0 {
            next[sender] = u32::from_be_bytes([detail, 0, 0x10, 0]);
        }
        let offset = |base: u32, choice: u8| {
            OFFSETS.get(usize::from(choice & 0x0f)).map_or(0, |offset| base.wrapping_add(*offset))
        };
        let seq = offset(next[sender], place);
        let ack = offset(next[1 - sender], answer);
        let len = LENGTHS[usize::from(size & 0x0f)];
        let takes = len as u32 + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
        if place & 0x0f == 0 || place & 0x10 != 0 {
            next[sender] = seq.wrapping_add(takes);
        }
        let peer = next[1 - sender];

        let mut options = Vec::new();
        let on = |bit: u8| choice & bit != 0;
        if on(1) {
            options.extend([2, 4, 5, 0xb4]);
        }
        if on(2) {
            options.extend([1, 3, 3, SCALES[usize::from(choice >> 5)]]);
        }
        if on(4) {
            options.extend([1, 1, 4, 2]);
        }
        if on(8) {
            options.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]);
        }
        if on(16) {
            options.extend([1, 1, 5, 10]);
            options.extend(ack.wrapping_add(1).to_be_bytes());
            options.extend(offset(peer, answer >> 4).to_be_bytes());
        }
        let port = 40_000 + u16::from(what & 3);
        let (src_port, dst_port) = if sender == 0 { (port, 443) } else { (443, port) };
        let header_words = 5 + (options.len() / 4) as u8;
        let data_offset = if shape == Shape::BadOffset { detail & 0x0f } else { header_words };
        let mut segment = Vec::with_capacity(60 + len);
        segment.extend(src_port.to_be_bytes());
        segment.extend(dst_port.to_be_bytes());
        segment.extend(seq.to_be_bytes());
        segment.extend(ack.to_be_bytes());
        segment.extend([data_offset << 4, flags]);
        segment.extend(WINDOWS[usize::from(size >> 4)].to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.resize(segment.len() + len, 0x5a);
        let pseudo = pseudo_header(ends, TCP, segment.len());
        let checksum = match pace >> 6 {
            0 | 1 => !fold(pseudo + sum(&segment)),
            2 => !fold(pseudo + sum(&segment)) ^ 0x0101,
            _ => fold(pseudo),
        };
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        segment
    }
}

fn ip(ends: Ends, id: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (ends.src, ends.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => v4(src, dst, id, 0, protocol, payload),
        (IpAddr::V6(src), IpAddr::V6(dst)) => v6(src, dst, protocol, payload),
        _ => unreachable!("one family for each step"),
    }
}

fn fragment(ends: Ends, id: u16, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    match (ends.src, ends.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let field = (offset / 8) as u16 | u16::from(more) << 13;
            v4(src, dst, id, field, TCP, payload)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let field = offset as u16 | u16::from(more);
            let [hi, lo] = field.to_be_bytes();
            let [id_hi, id_lo] = id.to_be_bytes();
            let header = [TCP, 0, hi, lo, 0, 0, id_hi, id_lo];
            v6(src, dst, 44, &[&header, payload].concat())
        }
        _ => unreachable!("one family for each step"),
    }
}

fn v4(src: Ipv4Addr, dst: Ipv4Addr, id: u16, field: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(field.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    let checksum = !fold(sum(&packet));
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn v6(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    packet
}

/// Destination unreachable, with as much of the packet as `detail` says.
fn icmp(ends: Ends, id: u16, quoted: &[u8], detail: u8) -> Vec<u8> {
    let quoted = &quoted[..quoted.len().min(usize::from(detail))];
    let kind = if ends.src.is_ipv6() { 1 } else { 3 };
    message(ends, id, [kind, 1, 0, 0, 0, 0, 0, 0], quoted)
}

fn echo(ends: Ends, id: u16, detail: u8) -> Vec<u8> {
    let request = detail & 1 == 0;
    let kind = match (ends.src.is_ipv6(), request) {
        (true, true) => 128,
        (true, false) => 129,
        (false, true) => 8,
        (false, false) => 0,
    };
    message(ends, id, [kind, 0, 0, 0, 0, detail >> 1, 0, 1], &[])
}

fn message(ends: Ends, id: u16, header: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut message = [&header, body].concat();
    let protocol = if ends.src.is_ipv6() { 58 } else { 1 };
    let pseudo = match ends.src {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => pseudo_header(ends, protocol, message.len()),
    };
    let checksum = !fold(pseudo + sum(&message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ip(ends, id, protocol, &message)
}

fn pseudo_header(ends: Ends, protocol: u8, len: usize) -> u64 {
    let octets = |address| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    octets(ends.src) + octets(ends.dst) + u64::from(protocol) + len as u64
}

fn sum(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    bytes.chunks(2).map(word).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
