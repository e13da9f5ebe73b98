//! Every packet and damage of a capture, and the laws of reading that pcap and pcapng share.

use std::io::{self, Read};
use std::path::Path;

use vtap_capture::{Damage, Error, File, Source};
use vtap_packet::{LinkType, Packet, Timestamp};

/// A packet that is kept; fields as in [`Packet`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Kept {
    pub number: u64,
    pub time: Timestamp,
    pub link: LinkType,
    pub interface: u32,
    pub wire_len: u32,
    pub data: Vec<u8>,
}

impl Kept {
    /// On loan again.
    pub fn packet(&self) -> Packet<'_> {
        let Self { number, time, link, interface, wire_len, ref data } = *self;
        Packet { number, time, link, interface, wire_len, data, tunnel: None }
    }
}

/// All that a source gave.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// In order.
    pub packets: Vec<Kept>,
    /// Offset behind each packet.
    pub ends: Vec<u64>,
    /// What could not be read and is listed.
    pub damage: Vec<Damage>,
    /// Damaged places beyond those.
    pub unlisted: u64,
}

impl Capture {
    /// Reads to the end.
    ///
    /// Laws: packets are numbered from 1; none is longer than it was on the wire; each has its
    /// interface described; reading goes forward; the end stays the end.
    pub fn of(source: &mut impl Source) -> Self {
        let mut read = Self::default();
        let mut end = 0;
        while let Some(packet) = source.next().expect("bytes in memory do not fail") {
            let Packet { number, time, link, interface, wire_len, data, tunnel } = packet;
            assert!(tunnel.is_none() && data.len() <= wire_len as usize);
            assert_eq!(number, read.packets.len() as u64 + 1);
            let data = data.to_vec();
            read.packets.push(Kept { number, time, link, interface, wire_len, data });
            let described = source.interface(interface).expect("an interface for each packet");
            assert_eq!(described.link, link);
            let progress = source.progress();
            assert!(
                progress.bytes >= end && progress.total.is_none_or(|all| progress.bytes <= all)
            );
            end = progress.bytes;
            read.ends.push(end);
        }
        assert!(source.next().expect("still no failure").is_none());
        read.damage = source.damage().to_vec();
        read.unlisted = source.unlisted_damage();
        assert!(read.damage.len() <= Damage::LISTED);
        assert!(read.unlisted == 0 || read.damage.len() == Damage::LISTED);
        read
    }

    /// Whether every byte made sense.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    /// Bytes passed over, of the listed damage.
    pub fn skipped(&self) -> u64 {
        self.damage.iter().map(|damage| damage.skipped).sum()
    }
}

/// Whether the input is compressed, so that offsets are not its own.
pub fn is_packed(bytes: &[u8]) -> bool {
    matches!(bytes, [0x1f, 0x8b, 8, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..])
        || matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Reads a capture mapped and streamed.
///
/// Laws: both give the same packets, the same damage, or the same refusal, however small the
/// pieces of the stream. Every byte is consumed. The beginning of a capture without damage gives
/// the packets that are whole in it, and no others before them. A compressed capture that does
/// not unpack is exempt: how much of it unpacks before that shows depends on the pieces.
pub fn read(bytes: &[u8]) -> Option<Capture> {
    let sum = bytes
        .iter()
        .fold(bytes.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let step = if sum.is_multiple_of(8) { 1 << 16 } else { 1 + sum % 61 };
    let packed = is_packed(bytes);
    let (file, read) = match (File::from_bytes(bytes.to_vec()), stream(bytes, step)) {
        (Ok(mut file), Ok(mut streamed)) => {
            let streamed = Capture::of(&mut streamed);
            let read = Capture::of(&mut file);
            if !packed || read.is_sound() && streamed.is_sound() {
                assert!(streamed.packets == read.packets, "packets differ in steps of {step}");
                assert_eq!(streamed.damage, read.damage);
                assert_eq!(streamed.unlisted, read.unlisted);
            }
            (file, read)
        }
        (Err(mapped), Err(streamed)) => {
            assert!(packed || begins(&mapped) == begins(&streamed), "{mapped} or {streamed}");
            return None;
        }
        (mapped, streamed) => {
            assert!(packed, "mapped {mapped:?}, streamed {streamed:?}");
            return None;
        }
    };
    if packed {
        return Some(read);
    }
    assert_eq!(file.progress().bytes, bytes.len() as u64);
    let data: u64 = read.packets.iter().map(|packet| packet.data.len() as u64).sum();
    assert!(data + read.skipped() <= bytes.len() as u64);
    if read.is_sound() {
        // Any place will do; this one moves with the content.
        let cut = sum % (bytes.len() + 1);
        prefix(&read, bytes, cut);
    }
    Some(read)
}

fn prefix(read: &Capture, bytes: &[u8], cut: usize) {
    let Ok(mut file) = File::from_bytes(bytes[..cut].to_vec()) else {
        panic!("the first {cut} bytes of a capture are refused");
    };
    let beginning = Capture::of(&mut file);
    let whole = read.ends.iter().take_while(|end| **end <= cut as u64).count();
    assert!(
        beginning.packets.len() >= whole && beginning.packets[..whole] == read.packets[..whole],
        "{whole} packets are whole in the first {cut} bytes; {:?}",
        beginning.damage
    );
}

fn stream(bytes: &[u8], step: usize) -> Result<File, Error> {
    File::from_reader(Path::new("memory"), Trickle { left: bytes.to_vec().into(), step })
}

/// What a refusal says about the bytes.
fn begins(error: &Error) -> &[u8] {
    match error {
        Error::NotACapture { begins, .. } => begins,
        other => panic!("bytes in memory do not fail: {other}"),
    }
}

/// Gives at most `step` bytes at a time.
struct Trickle {
    left: std::collections::VecDeque<u8>,
    step: usize,
}

impl Read for Trickle {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = room.len().min(self.step);
        self.left.read(&mut room[..len])
    }
}
