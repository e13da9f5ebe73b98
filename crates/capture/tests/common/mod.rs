//! Capture files byte by byte, and reading them in both ways at once.
#![allow(dead_code, reason = "every test file uses its part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use vtap_capture::{Damage, File, Kind, Source};

/// Byte order of a built file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

pub(crate) use Order::{Big, Little};

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        if self == Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        if self == Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        if self == Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

pub(crate) const MICROS: u32 = 0xa1b2_c3d4;
pub(crate) const NANOS: u32 = 0xa1b2_3c4d;
pub(crate) const KUZNETZOV: u32 = 0xa1b2_cd34;

/// A time that packets of built files have, in seconds.
pub(crate) const SECONDS: u32 = 1_764_547_200;

/// A classic pcap file that grows.
#[derive(Clone, Debug)]
pub(crate) struct Pcap {
    pub(crate) order: Order,
    pub(crate) magic: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Pcap {
    pub(crate) fn new(
        order: Order,
        magic: u32,
        version: (u16, u16),
        snaplen: u32,
        link: u32,
    ) -> Self {
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend(order.u16(version.0));
        bytes.extend(order.u16(version.1));
        bytes.extend([0; 8]);
        bytes.extend(order.u32(snaplen));
        bytes.extend(order.u32(link));
        Self { order, magic, bytes }
    }

    pub(crate) fn plain() -> Self {
        Self::new(Little, MICROS, (2, 4), 262_144, 1)
    }

    /// A record with these four fields, whatever `data` is.
    pub(crate) fn raw(&mut self, fields: [u32; 4], data: &[u8]) -> &mut Self {
        for field in fields {
            self.bytes.extend(self.order.u32(field));
        }
        if self.magic == KUZNETZOV {
            self.bytes.extend([0xee; 8]);
        }
        self.bytes.extend(data);
        self
    }

    /// A whole packet, `at` sub-second units past [`SECONDS`].
    pub(crate) fn packet(&mut self, at: u32, data: &[u8]) -> &mut Self {
        let len = data.len() as u32;
        self.raw([SECONDS, at, len, len], data)
    }
}

/// A pcapng file that grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pcapng {
    pub(crate) order: Option<Order>,
    pub(crate) bytes: Vec<u8>,
}

impl Pcapng {
    pub(crate) fn new(order: Order) -> Self {
        let mut file = Self::default();
        file.section(order, -1);
        file
    }

    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let order = self.order.unwrap();
        let len = order.u32(12 + body.len().next_multiple_of(4) as u32);
        self.bytes.extend(order.u32(kind));
        self.bytes.extend(len);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(len);
        self
    }

    pub(crate) fn section(&mut self, order: Order, length: i64) -> &mut Self {
        self.order = Some(order);
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(1));
        body.extend(order.u16(0));
        body.extend(order.u64(length as u64));
        self.block(0x0a0d_0d0a, &body)
    }

    pub(crate) fn interface(
        &mut self,
        link: u16,
        snaplen: u32,
        options: &[(u16, &[u8])],
    ) -> &mut Self {
        let order = self.order.unwrap();
        let mut body = order.u16(link).to_vec();
        body.extend([0; 2]);
        body.extend(order.u32(snaplen));
        for (code, value) in options {
            body.extend(order.u16(*code));
            body.extend(order.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    pub(crate) fn enhanced(
        &mut self,
        interface: u32,
        time: u64,
        wire: u32,
        data: &[u8],
    ) -> &mut Self {
        let len = data.len() as u32;
        self.enhanced_of(interface, time, [len, wire], data)
    }

    /// An enhanced packet block that claims these captured and wire lengths.
    pub(crate) fn enhanced_of(
        &mut self,
        interface: u32,
        time: u64,
        lengths: [u32; 2],
        data: &[u8],
    ) -> &mut Self {
        let order = self.order.unwrap();
        let mut body = Vec::new();
        for field in [interface, (time >> 32) as u32, time as u32, lengths[0], lengths[1]] {
            body.extend(order.u32(field));
        }
        body.extend(data);
        self.block(6, &body)
    }

    pub(crate) fn simple(&mut self, wire: u32, data: &[u8]) -> &mut Self {
        let body = [&self.order.unwrap().u32(wire)[..], data].concat();
        self.block(3, &body)
    }

    pub(crate) fn obsolete(
        &mut self,
        interface: u16,
        time: u64,
        wire: u32,
        data: &[u8],
    ) -> &mut Self {
        let order = self.order.unwrap();
        let mut body = order.u16(interface).to_vec();
        body.extend(order.u16(0xffff));
        for field in [(time >> 32) as u32, time as u32, data.len() as u32, wire] {
            body.extend(order.u32(field));
        }
        body.extend(data);
        self.block(2, &body)
    }
}

/// A packet that was lent, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) nanos: u64,
    pub(crate) link: u16,
    pub(crate) interface: u32,
    pub(crate) wire_len: u32,
    pub(crate) data: Vec<u8>,
}

/// Everything a source gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drained {
    pub(crate) packets: Vec<Got>,
    /// Offset, bytes passed over, kind.
    pub(crate) damage: Vec<(u64, u64, Kind)>,
    pub(crate) unlisted: u64,
}

impl Drained {
    pub(crate) fn datas(&self) -> Vec<&[u8]> {
        self.packets.iter().map(|packet| &packet.data[..]).collect()
    }

    pub(crate) fn nanos(&self) -> Vec<u64> {
        self.packets.iter().map(|packet| packet.nanos).collect()
    }
}

pub(crate) fn drain(source: &mut impl Source) -> Drained {
    let mut packets = Vec::new();
    while let Some(packet) = source.next().unwrap() {
        assert_eq!(packet.number, packets.len() as u64 + 1);
        assert!(packet.wire_len as usize >= packet.data.len());
        assert!(packet.tunnel.is_none());
        packets.push(Got {
            nanos: packet.time.nanos(),
            link: packet.link.0,
            interface: packet.interface,
            wire_len: packet.wire_len,
            data: packet.data.to_vec(),
        });
        let id = packet.interface;
        assert_eq!(source.interface(id).unwrap().link.0, packets.last().unwrap().link);
    }
    assert!(source.next().unwrap().is_none(), "the end stays the end");
    let entry = |damage: &Damage| (damage.offset, damage.skipped, damage.kind.clone());
    let damage = source.damage().iter().map(entry).collect();
    Drained { packets, damage, unlisted: source.unlisted_damage() }
}

/// Reads bytes as a mapped file and as a stream in small pieces; they must agree.
pub(crate) fn read(bytes: &[u8]) -> Drained {
    let mut file = File::from_bytes(bytes.to_vec()).unwrap();
    let mapped = drain(&mut file);
    assert_eq!(file.progress().bytes, bytes.len() as u64);
    for step in [usize::MAX, 1000] {
        let pieces = Pieces { left: io::Cursor::new(bytes.to_vec()), step };
        let mut file = File::from_reader(Path::new("pieces"), pieces).unwrap();
        assert_eq!(drain(&mut file), mapped, "in pieces of {step}");
    }
    mapped
}

/// A stream that gives at most `step` bytes at a time.
pub(crate) struct Pieces {
    pub(crate) left: io::Cursor<Vec<u8>>,
    pub(crate) step: usize,
}

impl Read for Pieces {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = room.len().min(self.step);
        self.left.read(&mut room[..len])
    }
}

/// A different packet for each `seed`, of `len` bytes.
pub(crate) fn data(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 16) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// The public corpus beside the repository, if it is there.
pub(crate) fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no corpus at {}", path.display());
    None
}
